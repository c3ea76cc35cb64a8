#![doc = include_str!("../../../README.md")]
//!
//! # Modules
//!
//! They are the crates of the project: [`nn`] has layers, losses, metrics and optimizers, [`model`] models and
//! programs over them, [`train`] training, [`data`] data
//! sets and what lies between a file and `fit`, [`explain`] says why a model answers so, [`robust`] how far it can be trusted, [`io`] files, [`plot`] charts, [`graph`] what all of it is made of.
//! [`counting`] tells what a program allocates, [`prelude`] brings what a usual program needs.

pub use rhyton_cpu::counting;
pub use rhyton_data as data;
pub use rhyton_explain as explain;
pub use rhyton_graph as graph;
pub use rhyton_io as io;
pub use rhyton_model as model;
pub use rhyton_nn as nn;
pub use rhyton_plot as plot;
pub use rhyton_robust as robust;
pub use rhyton_tensor as tensor;
pub use rhyton_train as train;

pub use rhyton_tensor::{Error, Result, Tensor};

mod kinds;
pub mod prelude;

pub use kinds::KINDS;

/// In which type layers compute, as `keras.mixed_precision` sets it; see [`nn::policy`].
///
/// ```
/// # fn main() -> rhyton::Result<()> {
/// rhyton::mixed_precision::set_global_policy("mixed_bfloat16")?;
/// assert_eq!(rhyton::config::dtype_policy().name(), "mixed_bfloat16");
/// # Ok(())
/// # }
/// ```
pub mod mixed_precision {
    pub use rhyton_nn::policy::{
        DTypePolicy, global_policy, global_policy as dtype_policy, set_global_policy,
        set_global_policy as set_dtype_policy,
    };
}

/// Settings of the whole program, by the names of `keras.config` where Keras has them.
pub mod config {
    pub use rhyton_tensor::memory::{limit as memory_limit, set_limit as set_memory_limit};

    pub use rhyton_nn::policy::{global_policy as dtype_policy, set_global_policy as set_dtype_policy};
}

inventory::submit! {
    rhyton_model::backend::Registered {
        name: "cpu",
        default: true,
        make: || Ok(std::sync::Arc::new(rhyton_cpu::CpuBackend::new()?)),
    }
}

// Slow and obvious, in double precision: to see whether a result is the program's or the processor's.
inventory::submit! {
    rhyton_model::backend::Registered {
        name: "reference",
        default: false,
        make: || Ok(std::sync::Arc::<rhyton_graph::reference::ReferenceBackend>::default()),
    }
}
