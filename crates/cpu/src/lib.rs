//! The CPU backend: kernels, threads and the executor of plans. It sees a [`rhyton_graph::plan::Plan`] and
//! nothing else.

mod backend;
pub mod conv;
pub mod counting;
mod denormals;
mod environment;
mod exec;
pub mod gemm;
pub mod isa;
pub mod pool;
pub mod primitives;
mod simd;
mod tile;
pub mod window;

pub use backend::CpuBackend;

/// A pointer that the tasks of one kernel share; each task uses its own part.
pub(crate) struct Shared<T>(pub(crate) *mut T);

// SAFETY: the kernels hand every task disjoint parts to write and only read what nobody writes.
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// The pointer. (A method, so that closures capture the whole struct.)
    pub(crate) fn get(&self) -> *mut T {
        self.0
    }
}

/// The blocks of this chapter are programs that run.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/internals.md")]
struct Internals;
