//! Host data: element types, symbolic dimensions, tensors, random numbers, distributions and the error type that
//! every crate of Rhyton shares. It knows nothing of graphs, layers or devices.

pub mod batches;
mod dim;
mod dtype;
mod error;
pub mod files;
pub mod limits;
pub mod memory;
pub mod rng;
mod shape;
pub mod statistics;
mod tensor;
#[doc(hidden)]
pub mod testing;

pub use dim::{Bindings, Dim};
pub use dtype::DType;
pub use error::{Error, Problem, Result, Source};
pub use shape::Shape;
pub use tensor::{Data, Element, Tensor};

pub use half::{bf16, f16};
