//! The 36 matrices between the transforms: one for each pair of points.

use super::lines::{Line, square};
use super::number::Number;
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

/// What a number of a matrix is.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Form {
    /// A float32.
    Whole,
    /// Two bfloat16, neighbours in a row.
    Columns,
    /// Two bfloat16, neighbours in a column.
    Rows,
}

impl Form {
    /// The form with `pairs`, or without.
    pub fn of(pairs: bool, form: Form) -> Form {
        if pairs { form } else { Form::Whole }
    }
}

/// Room for 36 matrices of the same size, cut in panels of columns that are apart in memory.
#[derive(Clone, Copy)]
pub(super) struct TransformedTiles {
    form: Form,
    ptr: *mut f32,
    rows: usize,
    width: usize,
    panel: usize,
}

impl TransformedTiles {
    /// Matrices whose rows are whole. Sizes count numbers of the form.
    pub fn rows(form: Form, ptr: *mut f32, rows: usize, cols: usize) -> TransformedTiles {
        TransformedTiles { form, ptr, rows, width: odd_lines(cols), panel: odd_lines(cols) }
    }

    /// Matrices as the tiles read a right side.
    pub fn panels(form: Form, ptr: *mut f32, rows: usize, cols: usize) -> TransformedTiles {
        TransformedTiles { form, ptr, rows, width: cols.next_multiple_of(16), panel: PANEL }
    }

    /// Numbers of all matrices.
    pub fn len(&self) -> usize {
        SQUARE * self.step()
    }

    /// The tiles of the same size that are `number` places further on.
    pub fn sibling(&self, number: usize) -> TransformedTiles {
        TransformedTiles { ptr: self.ptr.wrapping_add(number * self.len()), ..*self }
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
pub(super) struct InputTransform<F, L, const N: usize> {
    /// Where the pixels of a square start.
    pub from: F,
    /// The map along an axis.
    pub line: L,
    /// Squares, and the row of the first: in numbers of the tiles' form.
    pub count: usize,
    pub row: usize,
    pub channels: usize,
    pub to: TransformedTiles,
}

impl<T: Number, F: Fn(usize) -> [[*const T; N]; N], L: Line<N, POINTS>, const N: usize> Loops
    for InputTransform<F, L, N>
{
    #[inline(always)]
    fn run<S: Simd>(self) {
        for i in 0..self.count {
            let from = (self.from)(i);
            for j in (0..self.channels).step_by(S::LANES) {
                // SAFETY: the maker vouches for all pixels and rows; their rows are padded to whole vectors.
                unsafe {
                    let mut x = [[S::splat(0.0); N]; N];
                    for (x, from) in x.iter_mut().zip(&from) {
                        for (x, from) in x.iter_mut().zip(from) {
                            *x = T::load::<S>(from.add(j), self.channels - j);
                        }
                    }
                    self.put::<S>(square::<S, L, N, POINTS>(self.line, x), i, j);
                }
            }
        }
    }
}

impl<F, L, const N: usize> InputTransform<F, L, N> {
    #[inline(always)]
    unsafe fn put<S: Simd>(&self, x: [[S::F; POINTS]; POINTS], square: usize, col: usize) {
        let (TransformedTiles { form, .. }, step) = (self.to, self.to.step());
        let row = self.row + if form == Form::Rows { square / 2 } else { square };
        // SAFETY: the frame's contract, 2 and 6.
        unsafe {
            match form {
                Form::Whole => {
                    let to = self.to.at(0, row, col);
                    each(x, |i, x| S::store(to.add(i * step), x));
                }
                Form::Columns => {
                    let to = self.to.at(0, row, 0).cast::<u16>().add(col);
                    each(x, |i, x| S::store_halves(to.add(2 * i * step), nearest::<S>(x), S::LANES));
                }
                // The first of a pair comes before the second, which may not exist.
                Form::Rows if square.is_multiple_of(2) => {
                    let (to, low) = (self.to.at(0, row, col), S::isplat(0xffff));
                    each(x, |i, x| {
                        let first = S::iand(S::sar::<16>(nearest::<S>(x)), low);
                        S::store(to.add(i * step), S::float(first));
                    });
                }
                Form::Rows => {
                    let (to, high) = (self.to.at(0, row, col), S::isplat(!0xffff));
                    each(x, |i, x| {
                        let (second, to) = (S::iand(nearest::<S>(x), high), to.add(i * step));
                        S::store(to, S::float(S::ior(second, S::bits(S::load(to)))));
                    });
                }
            }
        }
    }
}

/// Hands on each of 36 vectors. (Short loops one in the other are unrolled, and the vectors stay in registers.)
#[inline(always)]
fn each<X>(x: [[X; POINTS]; POINTS], mut f: impl FnMut(usize, X)) {
    for (i, line) in x.into_iter().enumerate() {
        for (j, x) in line.into_iter().enumerate() {
            f(i * POINTS + j, x);
        }
    }
}

/// Bits whose upper halves are the nearest bfloat16, halves away from zero. What comes from bfloat16 has no NaN that
/// this would carry beyond NaN.
#[inline(always)]
unsafe fn nearest<S: Simd>(x: S::F) -> S::I {
    // SAFETY: the frame's contract, 2 and 6.
    unsafe { S::iadd(S::bits(x), S::isplat(0x8000)) }
}

/// Transforms rows of the matrices to squares of `N` by `N` pixels.
pub(super) struct OutputTransform<F, L, const N: usize> {
    pub from: TransformedTiles,
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

impl<F: Fn(usize) -> [[*mut f32; N]; N], L: Line<POINTS, N>, const N: usize> Loops
    for OutputTransform<F, L, N>
{
    #[inline(always)]
    fn run<S: Simd>(self) {
        for i in 0..self.count {
            let to = (self.to)(i);
            for j in (0..self.channels).step_by(S::LANES) {
                // SAFETY: the maker vouches for all rows and pixels; their rows are padded to whole vectors.
                unsafe {
                    let (from, step) = (self.from.at(0, self.row + i, j), self.from.step());
                    let y = if self.parts == 1 {
                        square::<S, L, POINTS, N>(self.line, self.rows::<S>(from, step))
                    } else {
                        square::<S, L, POINTS, N>(self.line, self.total::<S>(from, step))
                    };
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

impl<F, L, const N: usize> OutputTransform<F, L, N> {
    /// A vector of each matrix, `step` apart.
    #[inline(always)]
    unsafe fn rows<S: Simd>(&self, from: *const f32, step: usize) -> [[S::F; POINTS]; POINTS] {
        // SAFETY: the frame's contract, 2 and 6.
        unsafe {
            let mut x = [[S::splat(0.0); POINTS]; POINTS];
            for (i, line) in x.iter_mut().enumerate() {
                for (j, x) in line.iter_mut().enumerate() {
                    *x = S::load(from.add((i * POINTS + j) * step));
                }
            }
            x
        }
    }

    /// The same of all parts, added in their order. (They do not fit the registers: a single part is better read when
    /// it is needed.)
    #[inline(always)]
    unsafe fn total<S: Simd>(&self, from: *const f32, step: usize) -> [[S::F; POINTS]; POINTS] {
        // SAFETY: the frame's contract, 2 and 6.
        unsafe {
            let mut x = self.rows::<S>(from, step);
            for part in 1..self.parts {
                let more = self.rows::<S>(from.add(part * self.from.len()), step);
                for (x, more) in x.as_flattened_mut().iter_mut().zip(more.as_flattened()) {
                    *x = S::add(*x, *more);
                }
            }
            x
        }
    }
}
