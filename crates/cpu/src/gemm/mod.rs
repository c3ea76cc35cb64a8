//! Matrix products of strided operands.

use crate::isa::Isa;
use crate::pool::Pool;

/// What is done to a finished block of a product before it is final.
pub trait Epilogue: Sync {
    /// The block covers rows `row..row + rows` and columns `col..col + cols` of product number `batch`. `tile`
    /// points at its first element, `ld` is the distance between its rows; it is still in the cache. Every
    /// element is in exactly one block; blocks come in any order, from several threads at once.
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
}

/// Where the matrices of an operand are: element (i, j) of number `n` is at `ptr + n * batch + i * rs + j * cs`.
#[derive(Clone, Copy, Debug)]
pub struct MatView {
    /// First element.
    pub ptr: *const f32,
    /// Distance between rows.
    pub rs: isize,
    /// Distance between columns.
    pub cs: isize,
    /// Distance between matrices.
    pub batch: isize,
}

/// A product `c = a b` of `batch` matrices `m x k` and `k x n`.
pub struct GemmArgs<'a> {
    /// Instruction set.
    pub isa: Isa,
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
    pub a: MatView,
    /// Right side, `k x n`.
    pub b: MatView,
    /// Result: first element, distance between rows, distance between matrices. Without it the product lives
    /// in blocks of scratch memory, and only the epilogue sees it.
    pub c: Option<(*mut f32, usize, usize)>,
    /// Called with every finished block.
    pub epilogue: Option<&'a dyn Epilogue>,
    /// At least [`scratch_len`] numbers, of any value.
    pub scratch: &'a mut [f32],
}

/// Numbers of scratch memory that [`gemm`] needs.
pub fn scratch_len(_batch: usize, m: usize, n: usize, _k: usize, _threads: usize) -> usize {
    m * n
}

/// Computes the product.
///
/// # Safety
/// All elements that the views name must be valid for reading, those of `c` for writing, and nothing else may
/// use those of `c` meanwhile.
pub unsafe fn gemm(args: GemmArgs) {
    let GemmArgs { batch, m, n, k, a, b, c, epilogue, scratch, .. } = args;
    for q in 0..batch {
        let (tile, ld) = match c {
            // SAFETY: the caller vouches for `c`.
            Some((c, ld, step)) => (unsafe { c.add(q * step) }, ld),
            None => (scratch.as_mut_ptr(), n),
        };
        for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
            let mut sum = 0.0;
            for p in 0..k {
                let (q, i, j, p) = (q as isize, i as isize, j as isize, p as isize);
                // SAFETY: the caller vouches for the views.
                sum += unsafe {
                    *a.ptr.offset(q * a.batch + i * a.rs + p * a.cs)
                        * *b.ptr.offset(q * b.batch + p * b.rs + j * b.cs)
                };
            }
            // SAFETY: `tile` has `m` rows of distance `ld`.
            unsafe { *tile.add(i * ld + j) = sum };
        }
        if let (Some(e), true) = (epilogue, m * n > 0) {
            e.block(q, 0, m, 0, n, tile, ld);
        }
    }
}
