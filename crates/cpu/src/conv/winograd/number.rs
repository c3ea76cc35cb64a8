//! What images and kernels hold.

use crate::gemm::{MatView, Steps};
use crate::isa::{Isa, Loops};
use crate::simd::{Element, Simd};

/// A float32, or the bits of a bfloat16, as a side of a product.
pub(crate) trait Number: Element + 'static {
    /// Whether products take two of them at once, neighbours along the summed axis.
    const PAIRS: bool;

    /// A matrix of contiguous columns as float32: itself, or a copy at `to`, without gaps.
    ///
    /// # Safety
    /// `from` must be valid for `rows` by `cols` elements, `to` for so many numbers.
    unsafe fn floats(isa: Isa, from: MatView<Self>, rows: usize, cols: usize, to: *mut f32) -> MatView;
}

impl Number for f32 {
    const PAIRS: bool = false;

    unsafe fn floats(_: Isa, from: MatView, _: usize, _: usize, _: *mut f32) -> MatView {
        from
    }
}

impl Number for u16 {
    const PAIRS: bool = true;

    unsafe fn floats(isa: Isa, from: MatView<u16>, rows: usize, cols: usize, to: *mut f32) -> MatView {
        isa.run(Widen { from, rows, cols, to });
        MatView { ptr: to, rs: 1, cs: rows as isize, batch: Steps::NONE }
    }
}

/// Copies a matrix of contiguous columns.
struct Widen {
    from: MatView<u16>,
    rows: usize,
    cols: usize,
    to: *mut f32,
}

impl Loops for Widen {
    #[inline(always)]
    fn run<S: Simd>(self) {
        for col in 0..self.cols {
            for row in (0..self.rows).step_by(S::LANES) {
                // SAFETY: the maker vouches for both matrices.
                unsafe {
                    let from = self.from.ptr.offset(col as isize * self.from.cs).add(row);
                    let x = u16::load::<S>(from, self.rows - row);
                    S::store_first(self.to.add(col * self.rows + row), x, self.rows - row);
                }
            }
        }
    }
}
