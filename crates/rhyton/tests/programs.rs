//! Programs over models: values by name, any number of samples, several backends.

use rhyton::graph::backend::Backend;
use rhyton::graph::{grad, reference::ReferenceBackend};
use rhyton::model::program::{Build, Values};
use rhyton::prelude::*;
use rhyton::tensor::rng::Stream;
use std::sync::Arc;

fn normal(shape: &[usize], seed: u64) -> Tensor {
    let mut random = Stream::new(seed, 0, 99);
    Tensor::from_fn(shape, |_| random.normal())
}

fn network(units: usize) -> Model {
    let net = Sequential::new([6]).seed(1).add(Dense::new(units).activation("tanh"));
    net.add(BatchNormalization::new()).add(Dense::new(3).activation("softmax")).build().unwrap()
}

/// The largest difference.
fn apart(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.shape(), b.shape());
    let pairs = a.to_vec::<f64>().into_iter().zip(b.to_vec::<f64>());
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn a_program_runs_over_any_number_of_samples() {
    let model = network(8);
    let mut b = Build::new(&[&model], false);
    let x = b.inputs_of(0);
    let best = b.call_inference(0, &x)[0].max(&[1]);
    b.output("best", &best);
    b.output("slope", &grad(&best.sum_all(), &x)[0]);
    let program = b.compile("slopes", &model.backend().unwrap()).unwrap();
    assert_eq!(program.inputs()[0].0, "input_layer");
    let x = normal(&[150, 6], 2);
    let whole = program.over(model.values(), &[&x], 150).unwrap();
    assert_eq!(whole.iter().map(Tensor::shape).collect::<Vec<_>>(), [&[150][..], &[150, 6]]);
    for size in [1, 64, 149, 1000] {
        let parts = program.over(model.values(), &[&x], size).unwrap();
        assert!(parts.iter().zip(&whole).all(|(a, b)| apart(a, b) < 1e-6), "{size} at a time");
    }
    // Another model of the same shape, by its values alone.
    let mut other = network(8);
    other.initialize(77).unwrap();
    assert!(apart(&program.over(other.values(), &[&x], 64).unwrap()[0], &whole[0]) > 1e-3);
}

#[test]
fn what_a_program_cannot_run_on_is_an_error() {
    let model = network(8);
    let mut b = Build::new(&[&model], false);
    let (x, w) = (b.inputs_of(0)[0].clone(), b.input("w", [1]));
    let y = &b.call_inference(0, &[x])[0] * w;
    b.output("y", &y);
    let program = b.compile("weighed", &model.backend().unwrap()).unwrap();
    let (x, w) = (normal(&[4, 6], 1), normal(&[3, 1], 1));
    let text = |values: &Values, inputs: &[&Tensor], size: usize| {
        program.over(values, inputs, size).unwrap_err().to_string()
    };
    assert_eq!(text(model.values(), &[&x, &w], 2), "3 samples, but the first input has 4");
    assert!(text(model.values(), &[&x, &x], 0).starts_with("batch_size=0"));
    let e = text(&Values::default(), &[&x, &normal(&[4, 1], 1)], 2);
    assert_eq!(e, "the program needs the value 'model.0/sequential/dense/kernel'");
    let mut counter = Build::new(&[], false);
    let n = counter.state("n", Tensor::scalar(0.0f32));
    counter.update(&n, &(&n + 1.0));
    let mut values = Values::default();
    counter.fill(&mut values).unwrap();
    let counter = counter.compile("counter", &model.backend().unwrap()).unwrap();
    let e = counter.over(&values, &[], 1).unwrap_err().to_string();
    assert!(e.starts_with("the program"), "{e}");
    for _ in 0..3 {
        counter.run(&mut values, &[], &mut vec![]).unwrap();
    }
    assert_eq!(values.get("state/n").unwrap().data().get_f64(0), 3.0);
}

#[test]
fn values_are_read_and_written_by_name() {
    let (x, y) = (normal(&[20, 6], 1), Tensor::from_fn([20], |i| (i % 3) as i32));
    let arguments = Compile::new(Adam::new(0.01), "sparse_categorical_crossentropy");
    let mut model = network(8).compile(arguments).unwrap();
    model.fit((&x, &y), Fit::epochs(1).verbose(0)).unwrap();
    let names: Vec<&str> = model.values().names().collect();
    for name in ["model.0/sequential/dense/kernel", "optimizer.0/iteration", "key", "train/loss/0"] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    let bias = model.values().get("model.0/sequential/dense_1/bias").unwrap();
    assert!(bias.same_bits(model.weight("sequential/dense_1/bias").unwrap()));
    // What training kept besides stays behind.
    let model = model.into_model();
    assert_eq!(model.values().names().count(), model.weights().len());
}

fn train_on(backend: &Arc<dyn Backend>) -> (Compiled, Vec<f64>) {
    let (x, y) = (normal(&[24, 6], 1), Tensor::from_fn([24], |i| (i % 3) as i32));
    let arguments = Compile::new(Adam::new(0.01), "sparse_categorical_crossentropy").metrics(["accuracy"]);
    let mut model = network(5).compile(arguments.backend(backend)).unwrap();
    let history = model.fit((&x, &y), Fit::epochs(3).batch_size(10).seed(1).verbose(0)).unwrap();
    let losses = history.get("loss").to_vec();
    (model, losses)
}

#[test]
fn one_model_is_trained_on_two_backends_in_one_process() {
    let cpu = rhyton::model::backend::backend().unwrap();
    let reference: Arc<dyn Backend> = Arc::<ReferenceBackend>::default();
    let [(a, losses), (b, expected)] = [&cpu, &reference].map(train_on);
    assert_eq!(b.backend().unwrap().name(), "reference");
    assert_ne!(a.backend().unwrap().name(), "reference");
    assert!(losses.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5), "{losses:?} {expected:?}");
    assert!(a.weights().iter().zip(b.weights()).all(|(a, b)| apart(a, b) < 1e-4));
    // From one to the other, with what it learned.
    let x = normal(&[7, 6], 9);
    let moved = b.into_model().on(&cpu).unwrap();
    let there = moved.clone().on(&reference).unwrap().predict(&x).unwrap();
    assert!(apart(&moved.predict(&x).unwrap(), &there) < 1e-5);
}
