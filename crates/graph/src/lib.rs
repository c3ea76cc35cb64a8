//! Expressions, primitives, gradients, passes and plans.
//!
//! A computation has three forms: an [`Expr`] is what users and layers build; a [`Function`] is a closed graph of
//! expressions, which passes rewrite; a [`plan::Plan`] is the flat list of launches that a backend runs.

mod access;
pub mod backend;
pub mod bounds;
mod build;
pub mod compile;
pub mod expr;
pub mod function;
pub mod inspect;
pub mod interp;
mod lower;
pub mod memory;
pub mod named;
pub mod ops;
pub mod passes;
pub mod plan;
pub mod reference;
#[doc(hidden)]
pub mod testing;
pub mod text;
pub mod transform;
pub mod verify;

pub use build::broadcast_shapes;
pub use compile::compile;
pub use expr::{Expr, Type, at_source, in_path};
pub use function::Function;
pub use interp::{eval, interpret};
pub use named::Named;
pub use transform::{grad, vjp};
