//! Helpers of tests, here and in backends: random functions over all families of primitives, random arguments,
//! comparisons, gradients by finite differences.

mod random;
mod runner;

pub use random::random_function;
pub use runner::Runner;

use crate::expr::{Expr, Type};
use crate::function::Function;
use crate::interp::{Value, run_function};
use crate::plan::{Param, bind};
use rhyton_tensor::rng::Stream;
use rhyton_tensor::{Bindings, DType, Result, Tensor};

/// The function extended by the gradient of a scalar made of its float results, with respect to all float
/// parameters.
pub fn with_gradients(f: &Function) -> Function {
    let loss = weighted(&f.results);
    let wrt: Vec<Expr> = f.params.iter().filter(|p| p.dtype().is_float()).cloned().collect();
    let mut results = f.results.clone();
    results.extend(crate::grad(&loss, &wrt));
    f.rebuilt(f.params.clone(), results)
}

/// Sizes for `batch`.
pub fn bindings(batch: usize) -> Bindings {
    Bindings::from([("batch".into(), batch)])
}

/// Random arguments of a function: floats around zero, integers in -3..3, every int8, both truths.
pub fn random_args(f: &Function, batch: usize, seed: u64) -> Vec<Tensor> {
    let mut rng = Stream::new(seed, 1, 78);
    let sizes = |p: &Expr| p.shape().eval(&bindings(batch)).unwrap_or_default();
    f.params
        .iter()
        .map(|p| match p.dtype() {
            DType::I32 => Tensor::from_fn(sizes(p), |_| rng.below(6) as i32 - 3),
            DType::U8 => Tensor::from_fn(sizes(p), |_| rng.below(256) as u8),
            DType::I8 => Tensor::from_fn(sizes(p), |_| rng.below(256) as u8 as i8),
            DType::Bool => Tensor::from_fn(sizes(p), |_| rng.below(2) == 1),
            d => Tensor::from_fn(sizes(p), |_| rng.uniform() * 3.0 - 1.5).cast(d),
        })
        .collect()
}

/// Panics unless all tensors agree up to `tolerance`, relative to the largest element for floats; NaN equals NaN.
#[track_caller]
pub fn assert_close(have: &[Tensor], want: &[Tensor], tolerance: f64, what: &str) {
    assert_eq!(have.len(), want.len(), "{what}: number of results");
    for (r, (a, b)) in have.iter().zip(want).enumerate() {
        assert_eq!((a.shape(), a.dtype()), (b.shape(), b.dtype()), "{what}: type of result {r}");
        let finite = |i: usize| Some(b.data().get_f64(i).abs()).filter(|x| x.is_finite());
        let scale = (0..b.len()).filter_map(finite).fold(1.0, f64::max);
        for i in 0..a.len() {
            let (x, y) = (a.data().get_f64(i), b.data().get_f64(i));
            let near = x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= tolerance * scale;
            assert!(near, "{what}: element {i} of result {r} is {x}, expected {y}");
        }
    }
}

/// A scalar that depends on every element of the float results, each with a weight of its own.
fn weighted(results: &[Expr]) -> Expr {
    let mut loss = Expr::scalar(0.0f32);
    for (k, r) in results.iter().enumerate().filter(|(_, r)| r.dtype().is_float()) {
        let mut weight = Expr::full(r.shape().clone(), 0.3 + k as f32);
        for axis in 0..r.rank() {
            let at = Expr::iota(r.shape().clone(), axis).cast(DType::F32);
            weight = weight + (at * (1.7 + axis as f32) + k as f32).sin();
        }
        loss = loss + (r.cast(DType::F32) * &weight).sum_all();
    }
    loss
}

/// Compares the gradients of `f` with finite differences, in double precision through the interpreter.
///
/// # Errors
/// When the function is poisoned.
///
/// # Panics
/// When a derivative differs by more than `tolerance`, relative to the largest.
#[track_caller]
pub fn check_gradients(f: impl FnOnce(&[Expr]) -> Vec<Expr>, args: &[Tensor], tolerance: f64) -> Result<()> {
    let types: Vec<Type> = args.iter().map(|t| Type::new(t.dtype(), t.shape())).collect();
    let forward = Function::trace("checked", &types, |p| vec![weighted(&f(p))]);
    let floats: Vec<usize> = (0..args.len()).filter(|i| args[*i].dtype() == DType::F32).collect();
    let wrt: Vec<Expr> = floats.iter().map(|i| forward.params[*i].clone()).collect();
    let back = forward.rebuilt(forward.params.clone(), crate::grad(&forward.results[0], &wrt));
    let bound = bind(
        &forward.params.iter().map(Param::of).collect::<Vec<_>>(),
        &args.iter().map(Tensor::shape).collect::<Vec<_>>(),
    )?;
    let values: Vec<Value> = args.iter().map(Value::from_tensor).collect();
    let exact = run_function(&back, &values, &bound)?;
    let h = 1e-5;
    for (g, i) in exact.iter().zip(&floats) {
        let scale = g.data.iter().fold(1.0f64, |a, x| a.max(x.abs()));
        for j in 0..g.data.len() {
            let at = |step: f64| -> Result<f64> {
                let mut moved = values.clone();
                moved[*i].data[j] += step;
                Ok(run_function(&forward, &moved, &bound)?[0].data[0])
            };
            let slope = (at(h)? - at(-h)?) / (2.0 * h);
            let near = (slope - g.data[j]).abs() <= tolerance * scale;
            assert!(
                near,
                "derivative by element {j} of argument {i} is {}, by differences {slope}",
                g.data[j]
            );
        }
    }
    Ok(())
}
