//! What predicting takes in float32 and in int8, side by side: `cargo run --release --example int8 -- [NAME] [profile]`.

use rhyton::model::program::Build;
use rhyton::prelude::*;
use rhyton::tensor::rng::Stream;
use std::time::Instant;

fn networks() -> Vec<Sequential> {
    let image = |name: &str, size: usize, channels: usize| Sequential::new([size, size, channels]).name(name);
    let conv = |n: usize| Conv2D::new(n, 3).padding("same").relu();
    vec![
        image("dense", 28, 1).add(Flatten::new()).add(Dense::new(64).relu()).add(Dense::new(64).relu()),
        image("wide", 28, 1).add(Flatten::new()).add(Dense::new(1024).relu()).add(Dense::new(1024).relu()),
        image("cnn", 28, 1)
            .add(Conv2D::new(32, 3).relu())
            .add(MaxPooling2D::new(2))
            .add(Flatten::new())
            .add(Dense::new(64).relu()),
        image("vgg", 32, 3)
            .add(conv(64))
            .add(conv(64))
            .add(MaxPooling2D::new(2))
            .add(conv(128))
            .add(conv(128))
            .add(MaxPooling2D::new(2))
            .add(conv(256))
            .add(conv(256))
            .add(MaxPooling2D::new(2))
            .add(Flatten::new())
            .add(Dense::new(256).relu()),
    ]
}

/// Milliseconds of a prediction.
fn time(model: &Model, x: &Tensor) -> Result<f64> {
    let start = Instant::now();
    model.predict_all(x, x.shape()[0])?;
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

/// Where the time goes, launch by launch.
fn profile(model: &Model, x: &Tensor) -> Result<()> {
    let mut b = Build::new(&[model], false);
    let inputs = b.inputs_of(0);
    b.call_inference(0, &inputs).iter().for_each(|y| b.output("y", y));
    let (program, mut out) = (b.compile("predict", &model.backend()?)?, vec![]);
    for round in 0..30 {
        if round == 5 {
            program.profile(true);
        }
        program.infer(model.values(), std::slice::from_ref(x), &mut out)?;
    }
    for l in program.take_profile() {
        let each = l.seconds / l.calls as f64;
        println!(
            "{:>9.1} us {:>6.0} GFLOP/s {:>6.1} GB/s {} threads  {}  {}",
            each * 1e6,
            l.flops / each / 1e9,
            l.bytes / each / 1e9,
            l.threads,
            l.kernel,
            l.label
        );
    }
    Ok(())
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    for network in networks() {
        let mut small = network.add(Dense::new(10).softmax()).build()?;
        let name = small.name();
        if arguments.first().is_some_and(|n| *n != name) {
            continue;
        }
        let large = small.clone();
        small.quantize("int8")?;
        for batch in [256, 1] {
            let mut s = Stream::new(1, 0, 0);
            let shape = [
                &[batch],
                &large.definition().input_types[0]
                    .shape
                    .eval(&[("batch".into(), batch)].into())
                    .unwrap_or_default()[1..],
            ]
            .concat();
            let x = Tensor::from_fn(shape, |_| s.uniform().max(0.3));
            let repeats = if name == "vgg" && batch > 1 { 7 } else { 200 };
            let mut best = [f64::INFINITY; 2];
            for _ in 0..repeats {
                for (best, model) in best.iter_mut().zip([&large, &small]) {
                    *best = best.min(time(model, &x)?);
                }
            }
            let [float, int] = best;
            println!(
                "{name:<6} batch {batch:>3}: float32 {float:.4} ms, int8 {int:.4} ms, {:.2} times",
                float / int
            );
            if arguments.get(1).is_some_and(|p| p == "profile") {
                profile(&large, &x)?;
                profile(&small, &x)?;
            }
        }
    }
    Ok(())
}
