//! Matrix products of strided operands.

mod byte_rows;
#[cfg(test)]
mod byte_tests;
pub(crate) mod byte_tile;
mod bytes;
mod drive;
mod long;
pub(crate) mod pack;
pub(crate) mod pairs;
#[cfg(test)]
mod tests;
pub(crate) mod tile;

pub use bytes::{gemm_bytes, scratch_len_bytes};
pub(crate) use drive::{SPLIT, cache_line};
pub use drive::{gemm, scratch_len};

use crate::isa::Isa;
use crate::pool::Pool;

/// What is done to a finished block of a product before it is final.
pub trait Epilogue: Sync {
    /// The block, of float32 or of int32 if it is a product of int8, covers rows `row..row + rows` and columns
    /// `col..col + cols` of product number `batch`. `tile` points at its first element, `ld` is the distance between
    /// its rows; it is still in the cache. Every element is in exactly one block; blocks come in any order, from
    /// several threads at once.
    fn block(
        &self,
        batch: usize,
        row: usize,
        rows: usize,
        col: usize,
        cols: usize,
        tile: *mut f32,
        ld: usize,
    );

    /// A part of a block will soon be finished: what its finish touches in memory may be fetched meanwhile.
    fn prefetch(&self, _batch: usize, _rows: [usize; 2], _cols: [usize; 2]) {}
}

/// Distances between the matrices of an operand: two axes, the inner one of size `inner`, so that the heads of an
/// attention layer, which lie between each other, are products of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    /// Size of the inner axis.
    pub inner: usize,
    /// Distance along the inner axis.
    pub near: isize,
    /// Distance along the outer axis.
    pub far: isize,
}

impl Steps {
    /// The same matrix for all.
    pub const NONE: Steps = Steps { inner: 1, near: 0, far: 0 };

    /// Matrices at equal distances.
    pub const fn every(step: isize) -> Steps {
        Steps { inner: 1, near: 0, far: step }
    }

    /// Where matrix number `n` is.
    pub fn at(self, n: usize) -> isize {
        (n / self.inner) as isize * self.far + (n % self.inner) as isize * self.near
    }

    /// Whether all products share one matrix.
    pub(crate) fn is_shared(self) -> bool {
        self.near == 0 && self.far == 0
    }
}

/// Where the matrices of an operand are: element (i, j) of number `n` is at `ptr + batch.at(n) + i * rs + j * cs`.
#[derive(Clone, Copy, Debug)]
pub struct MatView<T = f32> {
    /// First element.
    pub ptr: *const T,
    /// Distance between rows.
    pub rs: isize,
    /// Distance between columns.
    pub cs: isize,
    /// Distances between matrices.
    pub batch: Steps,
}

/// A product `c = a b` of `batch` matrices `m x k` and `k x n`; of int8 operands the result is int32.
pub struct GemmArgs<'a, T = f32> {
    /// Instruction set.
    pub isa: Isa,
    /// The numbers of both sides are pairs of bfloat16, neighbours along the summed axis; `k` counts pairs.
    pub pairs: bool,
    /// Threads.
    pub pool: &'a Pool,
    /// Number of products.
    pub batch: usize,
    /// Rows of the result.
    pub m: usize,
    /// Columns of the result.
    pub n: usize,
    /// Summed size.
    pub k: usize,
    /// Left side, `m x k`.
    pub a: MatView<T>,
    /// Right side, `k x n`.
    pub b: MatView<T>,
    /// Result: first element, distance between rows, distances between matrices. Without it the product lives
    /// in blocks of scratch memory, and only the epilogue sees it.
    pub c: Option<(*mut f32, usize, Steps)>,
    /// Called with every finished block.
    pub epilogue: Option<&'a dyn Epilogue>,
    /// At least [`scratch_len`] numbers, of any value.
    pub scratch: &'a mut [f32],
}
