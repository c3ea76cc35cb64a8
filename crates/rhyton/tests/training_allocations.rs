//! A step of `fit` allocates nothing, and a step is all that epochs repeat.

use rhyton::counting::{Counting, allocations, live_bytes};
use rhyton::prelude::*;
use rhyton::train::callbacks::LambdaCallback;

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn steps_allocate_nothing_and_memory_stays_flat() {
    let x = Tensor::from_fn([100, 6], |i| (i * 37 % 100) as f32 / 100.0);
    let y = Tensor::from_fn([100], |i| (i % 3) as i32);
    let weights = Tensor::full([100], 0.5f32);
    let model = Sequential::new([6])
        .add(Dense::new(16).activation("relu"))
        .add(BatchNormalization::new())
        .add(Dropout::new(0.1))
        .add(Dense::new(3).activation("softmax"))
        .build()
        .unwrap();
    let arguments = Compile::new(Adam::new(1e-3), "sparse_categorical_crossentropy").metrics(["accuracy"]);
    let mut model = model.compile(arguments).unwrap();
    let mut counts = Vec::with_capacity(1000);
    let mut live = Vec::with_capacity(100);
    let count = LambdaCallback::new()
        .on_train_batch_end(|_, _| {
            counts.push(allocations());
            Ok(())
        })
        .on_epoch_end(|_, _| {
            live.push(live_bytes());
            Ok(())
        });
    model.fit((&x, &y, &weights), Fit::epochs(60).batch_size(16).verbose(0).callback(count)).unwrap();
    // 7 steps an epoch, the last one smaller. The first epochs compile and size their memory.
    let steps = |epoch: usize| &counts[epoch * 7..epoch * 7 + 7];
    let quietest = (2..60).map(|e| steps(e)[6] - steps(e)[0]).min();
    assert_eq!(quietest, Some(0));
    // The history grows by a few numbers an epoch, doubling its room now and then.
    assert!(live[59] < live[2] + 4096, "{} {}", live[2], live[59]);
}
