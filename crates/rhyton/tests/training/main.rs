//! `compile`, `fit`, `evaluate`, callbacks, resuming and custom steps on the CPU backend.

mod callbacks;
mod custom_objects;
mod custom_step;
mod errors;
mod indices;
mod killed;
mod output;
mod own_step;
mod resume;
mod rules;
mod sources;
mod summary;
mod two_updates;
mod warnings;
mod wgan;

use rhyton::prelude::*;
use rhyton::tensor::rng::Stream;
use rhyton::train::{Compile, Compiled};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Reproducible normal numbers.
fn normal(shape: &[usize], seed: u64) -> Tensor {
    let mut random = Stream::new(seed, 0, 99);
    Tensor::from_fn(shape, |_| random.normal())
}

/// Labels 0, 1, .., `classes` - 1, 0, ..
fn labels(n: usize, classes: usize) -> Tensor {
    Tensor::from_fn([n], |i| (i * 7 % classes) as i32)
}

/// `w x + b` with the given kernel and bias.
fn linear(kernel: &[f32], bias: f32, arguments: Compile) -> Compiled {
    let model = Sequential::new([kernel.len()]).add(Dense::new(1)).build().unwrap();
    let mut model = model.compile(arguments).unwrap();
    let kernel = Tensor::new([kernel.len(), 1], kernel.to_vec()).unwrap();
    model.set_weights(&[kernel, Tensor::vector(vec![bias])]).unwrap();
    model
}

/// A small classifier with dropout and batch normalization.
fn classifier(arguments: Compile) -> Compiled {
    let model = Sequential::new([4])
        .add(Dense::new(8).activation("relu"))
        .add(BatchNormalization::new())
        .add(Dropout::new(0.25))
        .add(Dense::new(3).activation("softmax"))
        .build()
        .unwrap();
    model.compile(arguments).unwrap()
}

fn close(a: f64, b: f64) {
    assert!((a - b).abs() <= 1e-5 * b.abs().max(1.0), "{a} is not {b}");
}

/// Whether two models have the same bits.
fn same_bits(a: &[Tensor], b: &[Tensor]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same_bits(b))
}

/// A test of this program, run in a process of its own. It finds the folder by [`place`].
fn second_process(test: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--ignored", "--nocapture"]).env(PLACE, folder);
    command
}

const PLACE: &str = "RHYTON_TEST_FOLDER";

fn place() -> PathBuf {
    std::env::var_os(PLACE).expect("the first process says where").into()
}

fn quiet<'f>(epochs: usize) -> Fit<'f> {
    Fit::epochs(epochs).verbose(0)
}
