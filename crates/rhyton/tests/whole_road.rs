//! Training end to end on the CPU: learning, the same bits after an interruption anywhere, two models against each
//! other in one step, flat memory.

use rhyton::counting::{Counting, live_bytes};
use rhyton::prelude::*;
use rhyton::tensor::rng::Stream;
use rhyton::train::{Step, Training, Verbose};
use std::sync::Mutex;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Counting is for the whole process: one test at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn data(samples: usize) -> (Tensor, Tensor) {
    let mut random = Stream::new(5, 0, 1);
    let x = Tensor::from_fn([samples, 8], |_| random.normal());
    let rows = x.as_slice::<f32>().unwrap().chunks(8);
    let y = Tensor::vector(rows.map(|r| i32::from(r[0] + r[1] * r[2] > 0.0)).collect::<Vec<_>>());
    (x, y)
}

/// Everything that keeps state between steps: dropout, moving averages, moments.
fn network() -> Compiled {
    network_in("float32")
}

fn network_in(policy: &str) -> Compiled {
    let model = Sequential::new([8])
        .seed(3)
        .dtype_policy(policy)
        .add(Dense::new(16).relu())
        .add(BatchNormalization::new())
        .add(Dropout::new(0.2))
        .add(Dense::new(2).softmax())
        .build()
        .unwrap();
    model
        .compile(Compile::new(Adam::new(0.01), "sparse_categorical_crossentropy").metrics(["accuracy"]))
        .unwrap()
}

fn quiet(epochs: usize) -> Fit<'static> {
    Fit::epochs(epochs).batch_size(10).seed(7).verbose(Verbose::Silent)
}

fn same(a: &Compiled, b: &Compiled) -> bool {
    let tensors = |m: &Compiled| [m.weights(), &m.optimizer_state()].concat();
    tensors(a).iter().zip(&tensors(b)).all(|(x, y)| x.same_bits(y))
}

#[test]
fn a_network_learns() {
    let _guard = ONE_AT_A_TIME.lock();
    let (x, y) = data(600);
    let mut model = network();
    let history = model.fit((&x, &y), quiet(30).validation_split(0.2)).unwrap();
    assert!(history.last("val_accuracy").unwrap() > 0.85, "{:?}", history.last("val_accuracy"));
    assert!(history.get("loss")[0] > history.last("loss").unwrap());
    assert_eq!(history.names(), ["accuracy", "loss", "val_accuracy", "val_loss"]);
}

/// Ends training with an error after so many steps, as a power cut would.
struct PowerCut(usize);
impl Callback for PowerCut {
    fn on_train_batch_end(&mut self, _: usize, _: &mut Training<'_>) -> Result<()> {
        self.0 = self.0.wrapping_sub(1);
        if self.0 == 0 { Err(Error::new("power cut")) } else { Ok(()) }
    }
}

#[test]
fn training_goes_on_with_the_same_bits_wherever_it_was_cut() {
    let _guard = ONE_AT_A_TIME.lock();
    let (x, y) = data(105);
    for policy in ["float32", "mixed_bfloat16"] {
        cut_in(policy, &x, &y);
    }
}

fn cut_in(policy: &str, x: &Tensor, y: &Tensor) {
    let network = || network_in(policy);
    let callbacks =
        || quiet(6).validation_split(0.2).callback(ReduceLROnPlateau::new("val_loss").patience(1));
    let mut whole = network();
    let expected = whole.fit((x, y), callbacks().callback(PowerCut(0))).unwrap();
    for cut in [1, 4, 9, 10, 23, 49] {
        let path = std::env::temp_dir().join(format!("rhyton-cut-{policy}-{cut}-{}", std::process::id()));
        let backup = || BackupAndRestore::new(&path).every_steps(3);
        let broken = network().fit((x, y), callbacks().callback(PowerCut(cut)).callback(backup()));
        assert!(broken.unwrap_err().to_string().starts_with("power cut"));
        let mut resumed = network();
        let history = resumed.fit((x, y), callbacks().callback(PowerCut(0)).callback(backup())).unwrap();
        assert!(same(&whole, &resumed), "{policy}, cut after step {cut}");
        assert_eq!(history.to_json(), expected.to_json(), "{policy}, cut after step {cut}");
        resumed.save_weights(path.with_extension("npz")).unwrap();
        assert!(!path.exists(), "the backup is deleted when the model is saved");
        std::fs::remove_file(path.with_extension("npz")).unwrap();
    }
}

#[test]
fn memory_is_as_large_after_a_hundred_epochs_as_after_two() {
    let _guard = ONE_AT_A_TIME.lock();
    let (x, y) = data(200);
    let mut live = vec![];
    let watch = LambdaCallback::new().on_epoch_end(|_, _| {
        live.push(live_bytes());
        Ok(())
    });
    network().fit((&x, &y), quiet(100).callback(watch)).unwrap();
    // What grows is the history: a few numbers an epoch, and this list.
    assert!(live[99] - live[1] < 16 * 1024, "{} bytes more after epoch 100", live[99] - live[1]);
}

#[test]
fn models_leave_nothing_behind() {
    let _guard = ONE_AT_A_TIME.lock();
    let (x, y) = data(20);
    let use_one = || {
        let mut model = network();
        model.fit((&x, &y), quiet(1)).unwrap();
        model.predict(&x).unwrap();
    };
    (0..20).for_each(|_| use_one());
    let before = live_bytes();
    (0..500).for_each(|_| use_one());
    let grown = live_bytes() - before;
    assert!(grown < 4096, "{grown} bytes more after 500 models");
}

#[test]
fn two_models_learn_against_each_other_in_one_step() {
    let _guard = ONE_AT_A_TIME.lock();
    let generator = Sequential::new([2]).name("generator").add(Dense::new(8).relu()).add(Dense::new(1));
    let critic = Sequential::new([1]).name("critic").add(Dense::new(8).relu()).add(Dense::new(1).sigmoid());
    let mut step = Step::build([generator.build().unwrap(), critic.build().unwrap()], 0, |s| {
        let (noise, real) = (s.input("noise", [2]), s.input("real", [1]));
        let fake = s.call(0, &[noise])[0].clone();
        let on_fake = s.call(1, &[fake])[0].clone();
        let on_real = s.call(1, &[real])[0].clone();
        let critic_loss = -((on_real + 1e-6).log() + (1.000001 - &on_fake).log()).mean_all();
        let generator_loss = -(on_fake + 1e-6).log().mean_all();
        // Both losses are of the weights before the step.
        let gradients = s.grad(&generator_loss, 0);
        s.minimize(&critic_loss, 1, Adam::new(1e-2));
        s.apply(&gradients, 0, Adam::new(1e-2));
        let steps = s.state("steps", Tensor::scalar(0.0f32));
        s.update(&steps, &(&steps + 1.0));
        s.output("steps", &steps);
    })
    .unwrap();
    let mut random = Stream::new(2, 0, 1);
    for i in 0..400 {
        let noise = Tensor::from_fn([32, 2], |_| random.normal());
        let real = Tensor::from_fn([32, 1], |_| 4.0 + 0.5 * random.normal());
        step.run(&[noise, real]).unwrap();
        assert_eq!(step.value("steps"), Some(f64::from(i)));
    }
    let made = step.models().unwrap()[0].predict(&Tensor::from_fn([200, 2], |_| random.normal())).unwrap();
    let mean = made.to_vec::<f32>().iter().sum::<f32>() / 200.0;
    assert!((2.5..5.5).contains(&mean), "the generator makes {mean}, real ones are 4");
}
