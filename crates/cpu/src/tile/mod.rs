//! Elementwise programs over tiles that stay in the first-level cache.

mod assemble;
pub mod code;
pub mod math;
pub mod nest;
pub mod run;
pub mod space;
mod transfer;
pub(crate) mod walk;

#[cfg(test)]
mod math_tests;
