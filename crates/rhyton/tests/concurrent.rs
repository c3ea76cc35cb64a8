//! Several threads over one loaded model. Alone in its process: it measures.

use rhyton::prelude::*;
use rhyton::tensor::rng::Stream;
use std::time::Instant;

/// Predictions a second over one model from so many threads.
fn throughput(model: &Model, x: &Tensor, expected: &Tensor, threads: usize) -> f64 {
    const EACH: usize = 2000;
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..EACH {
                    assert!(model.predict_all(x, 64).unwrap()[0].same_bits(expected));
                }
            });
        }
    });
    (threads * EACH) as f64 / start.elapsed().as_secs_f64()
}

#[test]
fn four_threads_predict_at_once_over_one_model() {
    let net = Sequential::new([6]).seed(1).add(Dense::new(200).activation("tanh"));
    let model = net.add(Dense::new(3).activation("softmax")).build().unwrap();
    let mut random = Stream::new(5, 0, 99);
    let x = Tensor::from_fn([16, 6], |_| random.normal());
    let expected = model.predict(&x).unwrap();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // A machine that others use as well has better moments.
    let of = |threads| throughput(&model, &x, &expected, threads);
    let ratios: Vec<f64> = (0..7).map(|_| of(4) / of(1)).collect();
    println!("{ratios:.2?}");
    let best = ratios.into_iter().fold(0.0, f64::max);
    println!("four threads predict {best:.2} times as much as one, on {cores} cores");
    assert!(cores < 2 || best >= 1.3, "{best:.2} times");
}
