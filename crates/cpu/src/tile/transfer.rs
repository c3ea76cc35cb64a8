//! Moves values between memory and tile registers where they do not lie as tile code wants them.

use super::code::LANE;
use super::run::Operand;
use crate::isa::{Isa, Loops};
use crate::simd::{SPLAT, Simd};

/// Where a tile lies in memory: distances in elements.
#[derive(Clone, Copy)]
pub struct Layout {
    /// First element; null for a count, whose value is its own offset `start`.
    pub ptr: *mut u8,
    /// Offset of the first element.
    pub start: isize,
    /// From row to row.
    pub row: isize,
    /// From column to column.
    pub col: isize,
    /// Bytes of an element: 1, 4, or 2 for bfloat16, which registers hold as float32.
    pub bytes: usize,
}

impl Layout {
    /// The element at an offset, as bits.
    ///
    /// # Safety
    /// The offset must be inside the buffer.
    #[inline(always)]
    unsafe fn get(&self, at: isize) -> u32 {
        // SAFETY: the caller promises that the element exists.
        unsafe {
            if self.ptr.is_null() {
                at as i32 as u32
            } else if self.bytes == 1 {
                u32::from(*self.ptr.offset(at))
            } else if self.bytes == 2 {
                u32::from(self.ptr.cast::<u16>().offset(at).read_unaligned()) << 16
            } else {
                self.ptr.cast::<u32>().offset(at).read_unaligned()
            }
        }
    }
}

/// Fills a vector's worth of room with one value.
///
/// # Safety
/// `to` must have room for [`LANE`] bytes.
#[inline(always)]
pub unsafe fn replicate(to: *mut u8, bytes: usize, bits: u32) {
    // SAFETY: the caller promises the room; 16 elements of at most 4 bytes fit.
    unsafe {
        if bytes == 1 {
            std::ptr::write_bytes(to, bits as u8, SPLAT);
        } else {
            to.cast::<[u32; SPLAT]>().write_unaligned([bits; SPLAT]);
        }
    }
}

/// One value, replicated.
///
/// # Safety
/// `from` must lie inside its buffer, `to` have room for [`LANE`] bytes.
pub unsafe fn load_one(to: *mut u8, from: Layout) {
    // SAFETY: the frame's contract, 2 and 6.
    unsafe { replicate(to, from.bytes, from.get(from.start)) }
}

/// One value a row, each replicated.
///
/// # Safety
/// As for [`load_one`], for every row.
pub unsafe fn load_rows(to: *mut u8, from: Layout, rows: usize) {
    for r in 0..rows {
        // SAFETY: the frame's contract, 2 and 6.
        unsafe { replicate(to.add(r * LANE), from.bytes, from.get(from.start + r as isize * from.row)) };
    }
}

/// The first row, again and again without gaps.
///
/// # Safety
/// The row must lie inside its buffer, `to` have room for `rows` of them.
pub unsafe fn repeat_row(to: *mut u8, from: Layout, rows: usize, cols: usize) {
    let bytes = cols * from.bytes;
    // SAFETY: the frame's contract, 2 and 6; `from` is neither a count nor strided, and registers are no buffers.
    unsafe {
        let row = from.ptr.offset(from.start * from.bytes as isize);
        (0..rows).for_each(|r| std::ptr::copy_nonoverlapping(row, to.add(r * bytes), bytes));
    }
}

/// Every element, into rows without gaps.
///
/// # Safety
/// The tile must lie inside its buffer, `to` have room for it.
pub unsafe fn load_all(isa: Isa, to: *mut u8, from: Layout, rows: usize, cols: usize) {
    // SAFETY: the frame's contract, 2 and 6.
    unsafe {
        if from.bytes == 2 && from.col == 1 {
            let memory = from.ptr.cast::<u16>().offset(from.start);
            isa.run(Widen { memory, row: from.row, to: to.cast(), rows, cols });
            return;
        }
        if from.bytes == 1 {
            for r in 0..rows {
                let start = from.start + r as isize * from.row;
                for c in 0..cols {
                    *to.add(r * cols + c) = from.get(start + c as isize * from.col) as u8;
                }
            }
            return;
        }
        let to = to.cast::<u32>();
        // Along the axis whose neighbours are closer in memory.
        if from.row.abs() < from.col.abs() {
            for c in 0..cols {
                let start = from.start + c as isize * from.col;
                for r in 0..rows {
                    to.add(r * cols + c).write_unaligned(from.get(start + r as isize * from.row));
                }
            }
        } else {
            for r in 0..rows {
                let start = from.start + r as isize * from.row;
                for c in 0..cols {
                    to.add(r * cols + c).write_unaligned(from.get(start + c as isize * from.col));
                }
            }
        }
    }
}

/// Every element of an operand to where it belongs.
///
/// # Safety
/// The operand must be valid over the tile, and the tile lie inside the buffer of `to`.
pub unsafe fn store_all(isa: Isa, from: Operand, to: Layout, rows: usize, cols: usize) {
    if to.bytes == 2 {
        // SAFETY: the frame's contract, 2 and 6.
        return unsafe {
            isa.run(Narrow { from, memory: to.ptr.cast::<u16>().offset(to.start), to, rows, cols })
        };
    }
    for r in 0..rows {
        // SAFETY: the frame's contract, 2 and 6.
        unsafe {
            let source = from.ptr.offset(r as isize * from.row);
            let start = to.start + r as isize * to.row;
            for c in 0..cols {
                let s = source.add(c * from.step * to.bytes);
                let d = to.ptr.offset((start + c as isize * to.col) * to.bytes as isize);
                if to.bytes == 1 {
                    *d = *s;
                } else {
                    d.cast::<u32>().write_unaligned(s.cast::<u32>().read_unaligned());
                }
            }
        }
    }
}

/// Rows of bfloat16 side by side in memory, to float32 without gaps.
struct Widen {
    memory: *const u16,
    row: isize,
    to: *mut f32,
    rows: usize,
    cols: usize,
}

impl Loops for Widen {
    #[inline(always)]
    fn run<S: Simd>(self) {
        for r in 0..self.rows {
            // SAFETY: as for `load_all`.
            unsafe {
                let (from, to) = (self.memory.offset(r as isize * self.row), self.to.add(r * self.cols));
                for c in (0..self.cols).step_by(S::LANES) {
                    let n = S::LANES.min(self.cols - c);
                    S::store_first(to.add(c), S::widen(from.add(c), n), n);
                }
            }
        }
    }
}

/// An operand of float32, rounded to bfloat16.
struct Narrow {
    from: Operand,
    /// Where the first element goes.
    memory: *mut u16,
    to: Layout,
    rows: usize,
    cols: usize,
}

impl Loops for Narrow {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Narrow { from, to, .. } = self;
        for r in 0..self.rows {
            // SAFETY: as for `store_all`; a replicated value fills a vector.
            unsafe {
                let source = from.ptr.offset(r as isize * from.row).cast::<f32>();
                let target = self.memory.offset(r as isize * to.row);
                for c in (0..self.cols).step_by(S::LANES) {
                    let n = S::LANES.min(self.cols - c);
                    let at = source.add(c * from.step);
                    let x = S::load_first(at, n);
                    if to.col == 1 {
                        S::narrow(target.add(c), x, n);
                        continue;
                    }
                    let mut some = [0u16; SPLAT];
                    S::narrow(some.as_mut_ptr(), x, S::LANES);
                    for (i, x) in some[..n].iter().enumerate() {
                        target.offset((c + i) as isize * to.col).write_unaligned(*x);
                    }
                }
            }
        }
    }
}
