//! Runs models on the interpreter, in double precision.
#![allow(dead_code)] // each test file uses its part

pub mod interval;

use rhyton_graph::interp::{Value, run_function};
use rhyton_graph::plan::{Param, bind};
use rhyton_graph::{Expr, Function, grad};
use rhyton_model::{Applicable, Input, Model, Symbolic, Traced};
use rhyton_nn::LayerRef;
use rhyton_tensor::rng::Stream;
use rhyton_tensor::{DType, Result, Tensor};

/// Reproducible normal numbers.
pub fn normal(shape: &[usize], seed: u64) -> Tensor {
    let mut random = Stream::new(seed, 0, 99);
    Tensor::from_fn(shape, |_| random.normal())
}

/// A tensor of these elements.
pub fn tensor(shape: &[usize], elements: &[f32]) -> Tensor {
    Tensor::new(shape, elements.to_vec()).unwrap()
}

/// Indices.
pub fn indices(shape: &[usize], elements: &[i32]) -> Tensor {
    Tensor::new(shape, elements.to_vec()).unwrap()
}

/// Symbolic inputs for batches like `data`.
pub fn inputs(data: &[Tensor]) -> Vec<Symbolic> {
    let of = |(i, t): (usize, &Tensor)| {
        let input =
            Input::new(&t.shape()[1..]).dtype(if t.dtype() == DType::I32 { "int32" } else { "float32" });
        rhyton_nn::LayerExt::name(input, format!("in{i}")).symbolic()
    };
    data.iter().enumerate().map(of).collect()
}

/// A model of one layer, all its results as outputs.
pub fn of_layer(layer: impl Into<LayerRef>, data: &[Tensor]) -> Result<Model> {
    let x = inputs(data);
    let y = layer.into().apply_all(x.as_slice());
    Model::new(&x, &y)
}

/// The results of a model on `data`.
pub fn run(model: &Model, data: &[Tensor]) -> Vec<Tensor> {
    let traced = model.trace(false).unwrap();
    let results = traced.outputs.iter().map(|v| v.expr.clone()).collect();
    evaluate(model, &traced, results, data)
}

/// The first result of a layer whose weights are set to `weights`, in order.
pub fn layer_with(layer: impl Into<LayerRef>, weights: &[Tensor], data: &[Tensor]) -> Vec<f32> {
    let mut model = of_layer(layer, data).unwrap();
    model.set_weights(weights).unwrap();
    run(&model, data)[0].to_vec()
}

/// The results of a layer without weights, and the mask of the first.
pub fn with_masks(model: &Model, data: &[Tensor]) -> (Tensor, Option<Tensor>) {
    let traced = model.trace(false).unwrap();
    let first = &traced.outputs[0];
    let results: Vec<Expr> = std::iter::once(first.expr.clone()).chain(first.mask.clone()).collect();
    let mut out = evaluate(model, &traced, results, data).into_iter();
    (out.next().unwrap(), out.next())
}

fn parameters(traced: &Traced) -> Vec<Expr> {
    traced.trace.params().into_iter().chain(traced.inputs.clone()).chain(traced.trace.key.clone()).collect()
}

fn arguments(model: &Model, traced: &Traced, data: &[Tensor]) -> Vec<Tensor> {
    let key = traced.trace.key.as_ref().map(|_| indices(&[2], &[7, 3]));
    model.weights().iter().cloned().chain(data.iter().cloned()).chain(key).collect()
}

/// Any values of a traced model.
pub fn evaluate(model: &Model, traced: &Traced, results: Vec<Expr>, data: &[Tensor]) -> Vec<Tensor> {
    let f = Function::new("test", parameters(traced), results);
    rhyton_graph::interpret(&f, &arguments(model, traced, data)).unwrap()
}

/// Compares the gradient of a weighted sum of all outputs with finite differences along random directions,
/// for every weight and every float input.
pub fn check_gradient(model: &Model, data: &[Tensor], training: bool) {
    let traced = model.trace(training).unwrap();
    let params = parameters(&traced);
    let args = arguments(model, &traced, data);
    let shapes: Vec<&[usize]> = args.iter().map(Tensor::shape).collect();
    let bindings = bind(&params.iter().map(Param::of).collect::<Vec<_>>(), &shapes).unwrap();
    let mut weights = vec![];
    let mut loss = Expr::scalar(0.0f32);
    for v in traced.outputs.iter().filter(|v| v.expr.dtype() == DType::F32) {
        let w = Expr::param("cotangent", v.expr.ty().clone());
        loss = loss + (&v.expr * &w).sum_all();
        weights.push(w);
    }
    loss = traced.trace.losses.iter().fold(loss, |sum, l| sum + l);
    let wrt: Vec<usize> = (0..params.len()).filter(|i| params[*i].dtype() == DType::F32).collect();
    let gradients = grad(&loss, &wrt.iter().map(|i| params[*i].clone()).collect::<Vec<_>>());
    let all: Vec<Expr> = params.iter().chain(&weights).cloned().collect();
    let mut values: Vec<Value> = args.iter().map(Value::from_tensor).collect();
    for (i, w) in weights.iter().enumerate() {
        let shape = w.shape().eval(&bindings).unwrap();
        values.push(Value::from_tensor(&normal(&shape, 1000 + i as u64)));
    }
    let forward = Function::new("loss", all.clone(), vec![loss]);
    let backward = Function::new("gradient", all, gradients);
    let found = run_function(&backward, &values, &bindings).unwrap();
    for (k, i) in wrt.iter().enumerate() {
        let direction = Value::from_tensor(&normal(&values[*i].shape, 2000 + *i as u64));
        let along: f64 = found[k].data.iter().zip(&direction.data).map(|(a, b)| a * b).sum();
        let shifted = |by: f64| {
            let mut at = values.clone();
            at[*i].data.iter_mut().zip(&direction.data).for_each(|(x, d)| *x += by * d);
            run_function(&forward, &at, &bindings).unwrap()[0].data[0]
        };
        let step = 1e-5;
        let numeric = (shifted(step) - shifted(-step)) / (2.0 * step);
        let scale = 1.0f64.max(numeric.abs()).max(along.abs());
        assert!(
            (along - numeric).abs() < 2e-5 * scale,
            "parameter {i} ({:?}): {along} against {numeric}",
            params[*i]
        );
    }
}

/// `a` and `b` agree to single precision.
pub fn close(a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len(), "{a:?} against {b:?}");
    for (x, y) in a.iter().zip(b) {
        assert!((x - y).abs() <= 2e-5 * (1.0 + y.abs()), "{a:?} against {b:?}");
    }
}

/// The text of the error of building this layer, without the lines of this file.
pub fn error_of(layer: impl Into<LayerRef>, data: &[Tensor]) -> String {
    let e = of_layer(layer, data).unwrap_err();
    let problem = &e.problems[0];
    assert!(problem.source.is_some(), "{e}");
    let mut text = problem.what.clone();
    for (label, part) in [("expected", &problem.expected), ("fix", &problem.fix)] {
        if let Some(part) = part {
            text += &format!(" | {label}: {part}");
        }
    }
    text
}
