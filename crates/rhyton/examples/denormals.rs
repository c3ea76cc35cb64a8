//! What denormal numbers cost: three programs that make them, each beside its undisturbed self, in turns.
//! `cargo run --release -p rhyton --example denormals`
//!
//! - softmax of scores whose upper triangle a causal mask hides;
//! - a step of a small convolutional network that has learnt its data for 2,500 steps;
//! - a step of Adam over a table, most rows of which have had no gradient for 1,500 steps.

use rhyton::graph::{Expr, Type};
use rhyton::model::backend::backend;
use rhyton::model::program::{Build, Values};
use rhyton::nn::functions::softmax;
use rhyton::prelude::*;
use rhyton::tensor::rng::Stream;
use rhyton::train::Verbose;
use std::time::Instant;

/// Turns; the median of their ratios counts.
const TURNS: usize = 15;

fn main() -> Result<()> {
    println!("                     undisturbed   disturbed   ratio");
    causal_softmax()?;
    trained_network()?;
    dead_weights()
}

/// Times both in turns and prints a line. Milliseconds of one of `count` each.
fn compare(
    name: &str,
    count: usize,
    mut undisturbed: impl FnMut() -> Result<()>,
    mut disturbed: impl FnMut() -> Result<()>,
) -> Result<()> {
    let time = |run: &mut dyn FnMut() -> Result<()>| -> Result<f64> {
        let start = Instant::now();
        run()?;
        Ok(start.elapsed().as_secs_f64() * 1e3 / count as f64)
    };
    let (mut calm, mut slow, mut ratios) = (vec![], vec![], vec![]);
    for _ in 0..TURNS {
        let (a, b) = (time(&mut undisturbed)?, time(&mut disturbed)?);
        calm.push(a);
        slow.push(b);
        ratios.push(b / a);
    }
    let [calm, slow, ratio] = [calm, slow, ratios].map(|mut all| {
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    });
    println!("{name:<20} {calm:>8.4} ms {slow:>8.4} ms {ratio:>7.2}");
    Ok(())
}

/// The same program, the hidden scores below the others by 20, or by so much that their powers vanish.
fn causal_softmax() -> Result<()> {
    const SHAPE: [usize; 3] = [64, 128, 128];
    let mut b = Build::new(&[], false);
    let scores = b.typed_input("scores", Type::f32(SHAPE));
    let hidden = b.typed_input("hidden", Type::f32([0usize; 0]));
    let [row, column] = [1, 2].map(|axis| Expr::iota(SHAPE.to_vec(), axis));
    let masked = column.less_equal(&row).select(&scores, &hidden.broadcast_to(SHAPE.to_vec()));
    b.output("weights", &softmax(&masked));
    let program = b.compile("causal", &backend()?)?;
    let mut random = Stream::new(0, 0, 1);
    let scores = Tensor::from_fn(SHAPE, |_| random.normal());
    let mut results = vec![];
    let program = std::cell::RefCell::new(move |hidden: f32| -> Result<()> {
        let batch = [scores.clone(), Tensor::scalar(hidden)];
        (0..20).try_for_each(|_| program.infer(&Values::default(), &batch, &mut results))
    });
    (program.borrow_mut())(-20.0)?;
    compare("causal softmax", 20, || (program.borrow_mut())(-20.0), || (program.borrow_mut())(-1e9))
}

fn quiet(batch: usize) -> Fit<'static> {
    Fit::epochs(1).batch_size(batch).verbose(Verbose::Silent)
}

/// The workload `cnn` of `rhyton bench`, fresh and trained.
fn trained_network() -> Result<()> {
    let mut random = Stream::new(0, 0, 1);
    let x = Tensor::from_fn([32 * 40, 28, 28, 1], |_| random.normal());
    let y = Tensor::from_fn([32 * 40], |_| random.below(10) as i32);
    let network = || {
        Sequential::new([28, 28, 1])
            .add(Conv2D::new(32, 3).relu())
            .add(MaxPooling2D::new(2))
            .add(Flatten::new())
            .add(Dense::new(64).relu())
            .add(Dense::new(10).softmax())
            .build()?
            .compile(Compile::new(Adam::new(1e-3), "sparse_categorical_crossentropy"))
    };
    let (mut fresh, mut trained) = (network()?, network()?);
    fresh.fit((&x, &y), quiet(32))?;
    trained.fit((&x, &y), Fit::epochs(2500 / 40 + 1).batch_size(32).verbose(Verbose::Silent))?;
    compare(
        "cnn, 2,500 steps",
        40,
        || fresh.fit((&x, &y), quiet(32)).map(drop),
        || trained.fit((&x, &y), quiet(32)).map(drop),
    )
}

/// A table of which the first step uses all rows, later ones a few.
fn dead_weights() -> Result<()> {
    const ROWS: usize = 4096;
    let table = || {
        Sequential::of(Input::new([16]).int32())
            .add(Embedding::new(ROWS, 64))
            .add(GlobalAveragePooling1D::new())
            .add(Dense::new(1))
            .build()?
            .compile(Compile::new(Adam::new(1e-3), "mse"))
    };
    let all = Tensor::from_fn([ROWS / 16, 16], |i| i as i32);
    let few = Tensor::from_fn([20 * 32, 16], |i| (i % 50) as i32);
    let [all_y, few_y] = [&all, &few].map(|x| Tensor::from_fn([x.shape()[0], 1], |i| (i % 7) as f32));
    let start = |steps: usize| -> Result<Compiled> {
        let mut model = table()?;
        model.fit((&all, &all_y), quiet(ROWS / 16))?;
        let epochs = Fit::epochs(steps / 20).batch_size(32).verbose(Verbose::Silent);
        model.fit((&few, &few_y), epochs)?;
        Ok(model)
    };
    let (mut alive, mut dead) = (start(20)?, start(1500)?);
    compare(
        "Adam, dead weights",
        20,
        || alive.fit((&few, &few_y), quiet(32)).map(drop),
        || dead.fit((&few, &few_y), quiet(32)).map(drop),
    )
}
