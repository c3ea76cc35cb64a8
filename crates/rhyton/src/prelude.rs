//! `use rhyton::prelude::*;`: what a usual program needs.

pub use rhyton_io::callbacks::*;
pub use rhyton_io::{Load, Save, load_keras};
pub use rhyton_model::{Applicable, Input, Model, Sequential};
pub use rhyton_nn::LayerExt;
pub use rhyton_nn::layers::*;
pub use rhyton_nn::losses::*;
pub use rhyton_nn::optimizers::schedules::*;
pub use rhyton_nn::optimizers::*;
pub use rhyton_tensor::{Error, Result, Tensor};
pub use rhyton_train::callbacks::*;
pub use rhyton_train::{Compile, Compiled, Evaluate, Fit, History, ModelExt, by_output};

// The name that the code of `layer!` and `object!` refers to.
#[doc(hidden)]
pub use ::rhyton_nn;
