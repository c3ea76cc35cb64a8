//! The 36 matrices between the transforms: one for each pair of points.

use super::lines::{Line, square};
use crate::isa::Loops;
use crate::simd::Simd;

/// Points along an axis, and of a square.
const POINTS: usize = 6;
pub(super) const SQUARE: usize = POINTS * POINTS;
/// Columns of a panel: what the widest tile of full height needs of a right side.
const PANEL: usize = 32;

/// At least `len` numbers in an odd number of cache lines: neighbours then fall in different sets.
fn odd_lines(len: usize) -> usize {
    (len.div_ceil(16) | 1) * 16
}

/// Room for 36 matrices of the same size, cut in panels of columns that are apart in memory.
#[derive(Clone, Copy)]
pub(super) struct Sheet {
    ptr: *mut f32,
    rows: usize,
    width: usize,
    panel: usize,
}

impl Sheet {
    /// Matrices whose rows are whole.
    pub fn rows(ptr: *mut f32, rows: usize, cols: usize) -> Sheet {
        Sheet { ptr, rows, width: odd_lines(cols), panel: odd_lines(cols) }
    }

    /// Matrices as the tiles read a right side.
    pub fn panels(ptr: *mut f32, rows: usize, cols: usize) -> Sheet {
        Sheet { ptr, rows, width: cols.next_multiple_of(16), panel: PANEL }
    }

    /// Numbers of all matrices.
    pub fn len(&self) -> usize {
        SQUARE * self.step()
    }

    /// The sheet of the same size that is `number` places further on.
    pub fn sibling(&self, number: usize) -> Sheet {
        Sheet { ptr: self.ptr.wrapping_add(number * self.len()), ..*self }
    }

    /// Distance between matrices.
    fn step(&self) -> usize {
        odd_lines(self.rows * self.width)
    }

    /// Columns that lie side by side.
    pub fn panel(&self) -> usize {
        self.panel
    }

    /// Distance between the rows of the panel in which `col` is.
    pub fn ld(&self, col: usize) -> usize {
        self.panel.min(self.width - col / self.panel * self.panel)
    }

    /// An element of a matrix.
    pub fn at(&self, matrix: usize, row: usize, col: usize) -> *mut f32 {
        let start = col / self.panel * self.panel;
        let inside = start * self.rows + row * self.ld(col) + (col - start);
        self.ptr.wrapping_add(matrix * self.step() + inside)
    }
}

/// Transforms squares of `N` by `N` pixels to rows of the matrices; vectors run along the channels.
pub(super) struct Spread<F, L, const N: usize> {
    /// Where the pixels of a square start.
    pub from: F,
    /// The map along an axis.
    pub line: L,
    /// Squares, and the row of the first.
    pub count: usize,
    pub row: usize,
    pub channels: usize,
    pub to: Sheet,
}

impl<F: Fn(usize) -> [[*const f32; N]; N], L: Line<N, POINTS>, const N: usize> Loops for Spread<F, L, N> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        for i in 0..self.count {
            let from = (self.from)(i);
            for j in (0..self.channels).step_by(S::LANES) {
                // SAFETY: the maker vouches for all pixels and rows; the sheet's rows are padded to whole vectors.
                unsafe {
                    let mut x = [[S::splat(0.0); N]; N];
                    for (x, from) in x.iter_mut().zip(&from) {
                        for (x, from) in x.iter_mut().zip(from) {
                            *x = S::load_first(from.add(j), self.channels - j);
                        }
                    }
                    self.put::<S>(square::<S, L, N, POINTS>(self.line, x), self.row + i, j);
                }
            }
        }
    }
}

impl<F, L, const N: usize> Spread<F, L, N> {
    #[inline(always)]
    unsafe fn put<S: Simd>(&self, x: [[S::F; POINTS]; POINTS], row: usize, col: usize) {
        let (to, step) = (self.to.at(0, row, col), self.to.step());
        for (i, line) in x.into_iter().enumerate() {
            for (j, x) in line.into_iter().enumerate() {
                // SAFETY: passed on to the caller.
                unsafe { S::store(to.add((i * POINTS + j) * step), x) };
            }
        }
    }
}

/// Transforms rows of the matrices to squares of `N` by `N` pixels.
pub(super) struct Gather<F, L, const N: usize> {
    pub from: Sheet,
    /// Sheets that follow one another from there on, and whose sum is transformed.
    pub parts: usize,
    /// The map along an axis.
    pub line: L,
    /// Squares, and the row of the first.
    pub count: usize,
    pub row: usize,
    pub channels: usize,
    /// Where the pixels of a square start; null for those that are not wanted.
    pub to: F,
}

impl<F: Fn(usize) -> [[*mut f32; N]; N], L: Line<POINTS, N>, const N: usize> Loops for Gather<F, L, N> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        for i in 0..self.count {
            let to = (self.to)(i);
            for j in (0..self.channels).step_by(S::LANES) {
                // SAFETY: the maker vouches for all rows and pixels; the sheet's rows are padded to whole vectors.
                unsafe {
                    let (from, step) = (self.from.at(0, self.row + i, j), self.from.step());
                    let mut x = self.rows::<S>(from, step);
                    for part in 1..self.parts {
                        let more = self.rows::<S>(from.add(part * self.from.len()), step);
                        for (x, more) in x.as_flattened_mut().iter_mut().zip(more.as_flattened()) {
                            *x = S::add(*x, *more);
                        }
                    }
                    let y = square::<S, L, POINTS, N>(self.line, x);
                    for (y, to) in y.into_iter().zip(to) {
                        for (y, to) in y.into_iter().zip(to) {
                            if !to.is_null() {
                                S::store_first(to.add(j), y, self.channels - j);
                            }
                        }
                    }
                }
            }
        }
    }
}

impl<F, L, const N: usize> Gather<F, L, N> {
    /// A vector of each matrix, `step` apart.
    #[inline(always)]
    unsafe fn rows<S: Simd>(&self, from: *const f32, step: usize) -> [[S::F; POINTS]; POINTS] {
        // SAFETY: passed on to the caller.
        unsafe {
            let mut x = [[S::splat(0.0); POINTS]; POINTS];
            for (i, x) in x.as_flattened_mut().iter_mut().enumerate() {
                *x = S::load(from.add(i * step));
            }
            x
        }
    }
}
