//! Models: layers connected in sequence or as a graph, their weights, prediction, and programs over them
//! ([`program`]). A backend is chosen here, but none is named.

extern crate self as rhyton_model;

pub mod backend;
mod bounds;
mod check;
mod definition;
pub mod json;
pub mod program;
mod quantize;
mod rows;
mod sequential;
mod structure;
mod summary;
mod symbolic;
mod table;
mod weights;

pub use check::{converts, reject_nan};
pub(crate) use definition::nested;
pub use definition::{Call, Definition, Entry, Form};
pub use sequential::Sequential;
pub use summary::Summary;
pub use symbolic::{Applicable, Input, Inputs, Symbolic};
pub use weights::{Model, Tensors, Traced};
