//! Models and data for tests.

#![allow(dead_code)]

use rhyton_model::{Model, Sequential};
use rhyton_nn::layers::*;
use rhyton_tensor::Tensor;
use rhyton_tensor::rng::Stream;
use std::sync::Arc;

fn backend() {
    rhyton_model::backend::set_backend(Arc::new(rhyton_cpu::CpuBackend::new().unwrap()));
}

/// Uniform numbers between 0 and 1.
pub fn noise(shape: &[usize], seed: u64) -> Tensor {
    let mut random = Stream::new(seed, 0, 0);
    Tensor::from_fn(shape.to_vec(), |_| random.uniform())
}

/// A dense layer without a bias, of `kernel` row by row.
pub fn linear(kernel: &[f32], classes: usize) -> Model {
    backend();
    let inputs = kernel.len() / classes;
    let mut model = Sequential::new([inputs]).add(Dense::new(classes).use_bias(false)).build().unwrap();
    model.set_weights(&[Tensor::new([inputs, classes], kernel.to_vec()).unwrap()]).unwrap();
    model
}

/// Weights three times as large, so that answers differ.
fn louder(mut model: Model) -> Model {
    let louder = |t: &Tensor| {
        Tensor::new(t.shape().to_vec(), t.to_vec::<f32>().into_iter().map(|w| 3.0 * w).collect::<Vec<_>>())
    };
    let weights: Vec<Tensor> = model.weights().iter().map(|t| louder(t).unwrap()).collect();
    model.set_weights(&weights).unwrap();
    model
}

pub fn dense() -> Model {
    backend();
    let net =
        Sequential::new([5]).seed(1).add(Dense::new(12).relu()).add(Dense::new(10).relu()).add(Dense::new(4));
    net.build().unwrap()
}

pub fn curved() -> Model {
    backend();
    let net = Sequential::new([5])
        .seed(2)
        .add(Dense::new(9).tanh())
        .add(Dense::new(8).sigmoid())
        .add(Dense::new(3));
    louder(net.build().unwrap())
}

pub fn leaking() -> Model {
    backend();
    let net = Sequential::new([5])
        .seed(6)
        .add(Dense::new(9))
        .add(LeakyReLU::new())
        .add(Dense::new(8).activation("elu"));
    louder(net.add(Dense::new(3)).build().unwrap())
}

pub fn convolutional() -> Model {
    backend();
    let net = Sequential::new([6, 6, 1])
        .seed(3)
        .add(Conv2D::new(4, 3).padding("same").relu())
        .add(MaxPooling2D::new(2));
    louder(net.add(Flatten::new()).add(Dense::new(8).relu()).add(Dense::new(5).softmax()).build().unwrap())
}

pub fn normalised() -> Model {
    backend();
    let net = Sequential::new([6, 6, 2]).seed(4).add(Conv2D::new(3, 3).relu()).add(BatchNormalization::new());
    let net = net
        .add(AveragePooling2D::new(2))
        .add(Flatten::new())
        .add(Dense::new(6).gelu())
        .add(LayerNormalization::new());
    net.add(Dense::new(3).softmax()).build().unwrap()
}

pub fn recurrent() -> Model {
    backend();
    let net = Sequential::new([5, 3]).seed(5).add(LSTM::new(6).return_sequences(true)).add(GRU::new(4));
    louder(net.add(Dense::new(3)).build().unwrap())
}

/// The classes that a model takes samples for.
pub fn predicted(model: &Model, x: &Tensor) -> Tensor {
    let scores = model.predict(x).unwrap();
    let n = scores.shape()[1];
    let class = |row: &[f32]| (0..n).rev().max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap() as i32;
    Tensor::vector(scores.to_vec::<f32>().chunks(n).map(class).collect::<Vec<i32>>())
}

pub fn close(have: &Tensor, want: &[f32], tolerance: f32) {
    let have = have.to_vec::<f32>();
    assert_eq!(have.len(), want.len());
    let fits = have.iter().zip(want).all(|(a, b)| (a - b).abs() <= tolerance);
    assert!(fits, "{have:?} for {want:?}");
}
