//! Copies of operands in the order in which the tiles read them.

use super::tile::MicroKernel;
use super::{MatView, Steps};

/// A copy of rows `0..rows` and columns `0..cols` of `from`, free of the strides at which cache lines collide.
///
/// # Safety
/// `from` must be valid for these elements and `to` for [`block_len`] numbers.
pub(crate) unsafe fn copy_block(from: MatView, rows: usize, cols: usize, to: *mut f32) -> MatView {
    let by_column = from.rs == 1 && from.cs != 1;
    let (lines, len, step) = if by_column { (cols, rows, from.cs) } else { (rows, cols, from.rs) };
    let ld = odd_lines(len);
    for line in 0..lines {
        // SAFETY: see above; `lines * ld <= block_len`.
        unsafe {
            let (src, dst) = (from.ptr.offset(line as isize * step), to.add(line * ld));
            if by_column || from.cs == 1 {
                std::ptr::copy_nonoverlapping(src, dst, len);
            } else {
                (0..len).for_each(|i| *dst.add(i) = *src.offset(i as isize * from.cs));
            }
        }
    }
    let (rs, cs) = if by_column { (1, ld as isize) } else { (ld as isize, 1) };
    MatView { ptr: to, rs, cs, batch: Steps::NONE }
}

/// Numbers that [`copy_block`] writes at most.
pub(crate) fn block_len(rows: usize, cols: usize) -> usize {
    (rows * odd_lines(cols)).max(cols * odd_lines(rows))
}

/// At least `len` numbers in an odd number of cache lines: neighbouring rows then fall in different sets.
fn odd_lines(len: usize) -> usize {
    (len.div_ceil(16) | 1) * 16
}

/// Row distance of a packed panel of `cols` columns.
pub(crate) fn panel_ld(kernel: &MicroKernel, cols: usize) -> usize {
    cols.next_multiple_of(kernel.lanes)
}

/// Copies rows `0..rows` and columns `0..cols` of `from` to a panel with row distance `ld`.
///
/// # Safety
/// `from` must be valid for these elements and `to` for the panel; the machine has the kernel's set.
pub(crate) unsafe fn pack_panel(
    kernel: &MicroKernel,
    from: MatView,
    rows: usize,
    cols: usize,
    ld: usize,
    to: *mut f32,
) {
    // SAFETY: all positions are below `rows` and `cols`.
    unsafe {
        if from.cs == 1 {
            for k in 0..rows {
                std::ptr::copy_nonoverlapping(from.ptr.offset(k as isize * from.rs), to.add(k * ld), cols);
            }
            return;
        }
        let side = kernel.square;
        let squares = if from.rs == 1 { [rows / side, cols / side] } else { [0; 2] };
        for (k, j) in (0..squares[0]).flat_map(|k| (0..squares[1]).map(move |j| (k * side, j * side))) {
            let src = from.ptr.add(k).offset(j as isize * from.cs);
            (kernel.transpose)(src, from.cs, to.add(k * ld + j), ld);
        }
        let [rows_done, cols_done] = squares.map(|n| n * side);
        let one = |k: usize, j: usize| {
            *to.add(k * ld + j) = *from.ptr.offset(k as isize * from.rs + j as isize * from.cs);
        };
        (cols_done..cols).for_each(|j| (0..rows_done).for_each(|k| one(k, j)));
        (0..cols).for_each(|j| (rows_done..rows).for_each(|k| one(k, j)));
    }
}
