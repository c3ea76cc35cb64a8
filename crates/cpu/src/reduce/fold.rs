//! Folds a tile: vectors first, then double precision.

use super::How;
use crate::isa::{Isa, Loops};
use crate::simd::Simd;
use crate::tile::math::{max_nan, min_nan};
use crate::tile::run::Operand;
use rhyton_graph::ops::Fold;
use rhyton_graph::plan::Reduction;

/// A fold in progress.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acc {
    /// Sum or extreme so far.
    pub value: f64,
    /// Position of the first largest so far; -1 before the first.
    pub index: i32,
}

impl Acc {
    /// Nothing folded yet.
    pub fn start(how: How) -> Acc {
        Acc { value: how.fold().start(), index: if how.reduction == Reduction::ArgMax { -1 } else { 0 } }
    }

    #[inline(always)]
    fn push(&mut self, fold: Fold, x: f64) {
        match fold {
            Fold::Sum => self.value += x,
            Fold::Max => {
                if x > self.value || x.is_nan() {
                    self.value = x;
                }
            }
            Fold::Min => {
                if x < self.value || x.is_nan() {
                    self.value = x;
                }
            }
        }
    }

    /// The first largest; NaN counts as largest.
    #[inline(always)]
    fn push_at(&mut self, x: f64, index: i32) {
        if self.index < 0 || x > self.value || (x.is_nan() && !self.value.is_nan()) {
            (self.value, self.index) = (x, index);
        }
    }

    /// Joins a later part.
    pub fn join(&mut self, how: How, later: &Acc) {
        match how.reduction {
            Reduction::Fold(f) => self.push(f, later.value),
            Reduction::ArgMax if later.index >= 0 => self.push_at(later.value, later.index),
            Reduction::ArgMax => {}
        }
    }
}

/// Element `c` of row `r` as a double.
#[inline(always)]
unsafe fn get(o: Operand, float: bool, r: usize, c: usize) -> f64 {
    // SAFETY: the caller promises that the operand covers the element.
    unsafe {
        let p = o.ptr.offset(r as isize * o.row).add(c * o.step * 4);
        if float {
            f64::from(p.cast::<f32>().read_unaligned())
        } else {
            f64::from(p.cast::<i32>().read_unaligned())
        }
    }
}

#[inline(always)]
unsafe fn step<S: Simd>(fold: Fold, a: S::F, b: S::F) -> S::F {
    // SAFETY: the caller promises the instruction set.
    unsafe {
        match fold {
            Fold::Sum => S::add(a, b),
            Fold::Max => max_nan::<S>(a, b),
            Fold::Min => min_nan::<S>(a, b),
        }
    }
}

/// Folds `n` floats into one: four vectors in turn, then their lanes in double precision, in halves.
#[inline(always)]
unsafe fn line<S: Simd>(fold: Fold, p: *const f32, n: usize, acc: &mut Acc) {
    // SAFETY: the caller promises `n` valid floats and the instruction set.
    unsafe {
        let start = S::splat(fold.start() as f32);
        let mut v = [start; 4];
        let (wide, whole) = (n - n % (4 * S::LANES), n - n % S::LANES);
        let mut i = 0;
        while i < wide {
            for (k, x) in v.iter_mut().enumerate() {
                *x = step::<S>(fold, *x, S::load(p.add(i + k * S::LANES)));
            }
            i += 4 * S::LANES;
        }
        while i < whole {
            v[0] = step::<S>(fold, v[0], S::load(p.add(i)));
            i += S::LANES;
        }
        if whole > 0 {
            let mut lanes = [0f32; 16];
            let all = step::<S>(fold, step::<S>(fold, v[0], v[1]), step::<S>(fold, v[2], v[3]));
            S::store(lanes.as_mut_ptr(), all);
            let mut lanes = lanes.map(|x| Acc { value: f64::from(x), index: 0 });
            let mut half = S::LANES / 2;
            while half > 0 {
                let (low, high) = lanes.split_at_mut(half);
                low.iter_mut().zip(high).for_each(|(a, b)| a.push(fold, b.value));
                half /= 2;
            }
            acc.push(fold, lanes[0].value);
        }
        (whole..n).for_each(|i| acc.push(fold, f64::from(*p.add(i))));
    }
}

/// [`line`] for each row of a tile: row `i` goes to `accs[(first + i) / each]`.
#[inline(always)]
unsafe fn lines<S: Simd>(fold: Fold, tile: Operand, cols: usize, rows: Lines, accs: &mut [Acc]) {
    let (mut at, mut left) = (rows.first / rows.each, rows.each - rows.first % rows.each);
    for r in 0..rows.count {
        let p = tile.ptr.wrapping_offset(r as isize * tile.row).cast::<f32>();
        // SAFETY: the caller promises that the operand covers the tile, and the instruction set.
        unsafe { line::<S>(fold, p, cols, &mut accs[at]) };
        left -= 1;
        if left == 0 {
            (at, left) = (at + 1, rows.each);
        }
    }
}

/// Folds the rows of a tile of floats into one, column by column.
#[inline(always)]
unsafe fn down<S: Simd>(fold: Fold, tile: Operand, rows: usize, cols: usize, accs: &mut [Acc]) {
    let whole = cols - cols % S::LANES;
    // SAFETY: the caller promises that the operand covers the tile, and the instruction set.
    unsafe {
        for c in (0..cols).step_by(S::LANES) {
            let n = S::LANES.min(cols - c);
            let mut v = S::splat(fold.start() as f32);
            for r in 0..rows {
                let p = tile.ptr.offset(r as isize * tile.row).add(c * 4).cast::<f32>();
                let x = if c < whole { S::load(p) } else { S::load_part(p, S::part(n)) };
                v = step::<S>(fold, v, x);
            }
            let mut lanes = [0f32; 16];
            S::store(lanes.as_mut_ptr(), v);
            for (acc, x) in accs[c..c + n].iter_mut().zip(lanes) {
                acc.push(fold, f64::from(x));
            }
        }
    }
}

/// [`lines`] or [`down`] of a tile.
enum Job<'a> {
    Lines(Fold, Operand, usize, Lines, &'a mut [Acc]),
    Down(Fold, Operand, usize, usize, &'a mut [Acc]),
}

impl Loops for Job<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        // SAFETY: the callers of `fold_rows` and `fold_cols` vouch for the operands.
        unsafe {
            match self {
                Job::Lines(fold, tile, cols, rows, accs) => lines::<S>(fold, tile, cols, rows, accs),
                Job::Down(fold, tile, rows, cols, accs) => down::<S>(fold, tile, rows, cols, accs),
            }
        }
    }
}

/// The rows of a tile that is folded row by row; `each` of them belong to one kept element.
#[derive(Clone, Copy)]
pub(crate) struct Lines {
    /// Number of the first one, counted from the first of the first kept element.
    pub first: usize,
    pub count: usize,
    pub each: usize,
}

/// Folds each row of a tile, whose first column is number `col` of the `all` of a row.
///
/// # Safety
/// The operand must cover the tile, `accs` have an entry for each kept element; the machine must have `isa`.
pub(crate) unsafe fn fold_rows(
    isa: Isa,
    how: How,
    tile: Operand,
    rows: Lines,
    (col, cols, all): (usize, usize, usize),
    accs: &mut [Acc],
) {
    if let (Reduction::Fold(f), true, 1) = (how.reduction, how.float, tile.step) {
        isa.run(Job::Lines(f, tile, cols, rows, accs));
        return;
    }
    for r in 0..rows.count {
        let row = rows.first + r;
        let (acc, at) = (&mut accs[row / rows.each], row % rows.each * all + col);
        for c in 0..cols {
            // SAFETY: passed on.
            let x = unsafe { get(tile, how.float, r, c) };
            match how.reduction {
                Reduction::Fold(f) => acc.push(f, x),
                Reduction::ArgMax => acc.push_at(x, (at + c) as i32),
            }
        }
    }
}

/// Folds the rows of a tile, column by column.
///
/// # Safety
/// The operand must cover the tile, `accs` have an entry for each column; the machine must have `isa`.
pub(crate) unsafe fn fold_cols(
    isa: Isa,
    how: How,
    tile: Operand,
    rows: usize,
    cols: usize,
    accs: &mut [Acc],
) {
    let fold = how.fold();
    // SAFETY: passed on.
    unsafe {
        if how.float && tile.step == 1 {
            isa.run(Job::Down(fold, tile, rows, cols, accs));
            return;
        }
        for r in 0..rows {
            for (c, acc) in accs.iter_mut().enumerate().take(cols) {
                acc.push(fold, get(tile, how.float, r, c));
            }
        }
    }
}
