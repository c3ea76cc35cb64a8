#![doc = include_str!("../../../README.md")]
//!
//! # Modules
//!
//! They are the crates of the project: [`nn`] has layers, losses, metrics, optimizers and training, [`data`] data
//! sets and what lies between a file and `fit`, [`io`] files, [`plot`] charts, [`graph`] what all of it is made of.
//! [`counting`] tells what a program allocates, [`prelude`] brings what a usual program needs.

pub use rhyton_cpu::counting;
pub use rhyton_data as data;
pub use rhyton_graph as graph;
pub use rhyton_io as io;
pub use rhyton_nn as nn;
pub use rhyton_plot as plot;
pub use rhyton_tensor as tensor;

pub use rhyton_tensor::{Error, Result, Tensor};

pub mod prelude;

inventory::submit! {
    rhyton_nn::backend::DefaultBackend(|| std::sync::Arc::new(rhyton_cpu::CpuBackend::new()))
}
