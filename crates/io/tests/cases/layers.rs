//! A model around every example of every layer, for the tests of this crate and the seeds of the fuzzer.

use rhyton_model::{Applicable, Input, Model, Symbolic};
use rhyton_nn::registry::Example;
use rhyton_nn::{Kind, Layer, LayerExt};
use rhyton_tensor::{Dim, Tensor};

/// The examples of all layers that take inputs.
pub fn cases() -> Vec<Example<dyn Layer>> {
    let all = <dyn Layer>::rows().into_iter().flat_map(|row| (row.examples)());
    all.filter(|example| !example.inputs.is_empty()).collect()
}

/// A layer in a model of its own, with weights that are not its initial ones.
pub fn model_of(example: &Example<dyn Layer>, i: usize) -> (Model, Vec<Tensor>) {
    let named = |k: usize, s: &[usize]| {
        let sizes: Vec<Dim> = s.iter().map(|n| Dim::fixed(*n)).collect();
        Input::new(sizes).name(format!("in{k}")).symbolic()
    };
    let shapes = example.inputs;
    let inputs: Vec<Symbolic> = shapes.iter().enumerate().map(|(k, s)| named(k, s)).collect();
    let outputs = example.object.apply_all(inputs.as_slice());
    let mut model = Model::new(&inputs, &outputs).unwrap();
    let value = |seed: usize, k: usize| ((seed * 31 + k * 7) % 13) as f32 / 7.0;
    let weights: Vec<Tensor> = model
        .weights()
        .iter()
        .enumerate()
        .map(|(w, t)| Tensor::from_fn(t.shape(), |k| value(w + i, k)))
        .collect();
    model.set_weights(&weights).unwrap();
    let data = shapes
        .iter()
        .map(|s| Tensor::from_fn([&[2], *s].concat(), |k| (value(3, k) * 3.0).floor()))
        .collect();
    (model, data)
}
