//! Layers, losses, metrics, optimizers. Everything here is a function over [`rhyton_graph::Expr`]; no model, no backend
//! and no file format is named.

extern crate self as rhyton_nn;

pub mod activations;
mod axes;
pub mod choice;
pub mod constraints;
pub mod functions;
pub mod handle;
pub mod indices;
pub mod initializers;
pub mod layer;
pub mod layers;
pub mod losses;
pub mod metrics;
pub mod object;
pub mod optimizers;
pub mod policy;
pub mod quantizers;
pub mod registry;
pub mod regularizers;

pub use axes::{Axes, OutputShape};
pub use handle::Handle;
pub use layer::{Args, Base, Based, Cx, Layer, LayerExt, LayerRef, Outputs, Value, Weight};
pub use object::{Object, Setting};
pub use registry::{Kind, Row};

#[doc(hidden)]
pub mod __private {
    pub use inventory;
    pub use rhyton_tensor::Result;
    pub use serde::{self, Deserialize, Serialize};
    pub use serde_json::{Map, Value};
}
