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
        self.value = two(fold, self.value, x);
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

#[inline(always)]
fn two(fold: Fold, a: f64, b: f64) -> f64 {
    match fold {
        Fold::Sum => a + b,
        Fold::Max => {
            if b > a || b.is_nan() {
                b
            } else {
                a
            }
        }
        Fold::Min => {
            if b < a || b.is_nan() {
                b
            } else {
                a
            }
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

/// What is folded: the elements of an operand, or their products with those of another one.
#[derive(Clone, Copy)]
pub(crate) struct Folded {
    pub a: Operand,
    pub times: Option<Operand>,
}

/// Element (0, 0) of a row, and how far its elements are apart: 0 where one is repeated for a vector.
type Row = (*const f32, usize);

fn row(o: Operand, r: usize) -> Row {
    (o.ptr.wrapping_offset(r as isize * o.row).cast(), o.step)
}

/// Element `c` of row `r`, an integer, as a double.
#[inline(always)]
unsafe fn get(o: Operand, r: usize, c: usize) -> f64 {
    let p = row(o, r).0.wrapping_add(c * o.step);
    // SAFETY: the caller promises that the operand covers the element.
    f64::from(unsafe { p.cast::<i32>().read_unaligned() })
}

/// How vectors are folded: the second operand's are not read where there is none.
trait Way: Copy {
    const FOLD: Fold;
    const PAIRS: bool = false;
    unsafe fn next<S: Simd>(v: S::F, a: S::F, b: S::F) -> S::F;
    fn number(a: f32, b: f32) -> f64;
}

#[derive(Clone, Copy)]
struct Products;

impl Way for Products {
    const FOLD: Fold = Fold::Sum;
    const PAIRS: bool = true;
    #[inline(always)]
    unsafe fn next<S: Simd>(v: S::F, a: S::F, b: S::F) -> S::F {
        // SAFETY: the caller promises the instruction set.
        unsafe { S::fma(a, b, v) }
    }
    #[inline(always)]
    fn number(a: f32, b: f32) -> f64 {
        f64::from(a) * f64::from(b)
    }
}

macro_rules! plain {
    ($($name:ident)*) => {$(
        #[derive(Clone, Copy)]
        struct $name;
        impl Way for $name {
            const FOLD: Fold = Fold::$name;
            #[inline(always)]
            unsafe fn next<S: Simd>(v: S::F, a: S::F, _: S::F) -> S::F {
                // SAFETY: the caller promises the instruction set.
                unsafe { step::<S>(Fold::$name, v, a) }
            }
            #[inline(always)]
            fn number(a: f32, _: f32) -> f64 {
                f64::from(a)
            }
        }
    )*};
}
plain!(Sum Max Min);

/// Four vectors into one, in halves.
#[inline(always)]
unsafe fn four<S: Simd, W: Way>(v: [S::F; 4]) -> [f64; 16] {
    let mut lanes = [0f32; 16];
    // SAFETY: the caller promises the instruction set; no vector is longer.
    unsafe {
        let all = step::<S>(W::FOLD, step::<S>(W::FOLD, v[0], v[1]), step::<S>(W::FOLD, v[2], v[3]));
        S::store(lanes.as_mut_ptr(), all);
    }
    lanes.map(f64::from)
}

/// Folds `n` floats into one: four vectors in turn, then their lanes in double precision, in halves.
#[inline(always)]
unsafe fn line<S: Simd, W: Way>((a, sa): Row, (b, sb): Row, n: usize, acc: &mut f64) {
    // SAFETY: the caller promises `n` valid floats and the instruction set.
    unsafe {
        let next = |v: S::F, i: usize| {
            let x = S::load(a.add(i * sa));
            W::next::<S>(v, x, if W::PAIRS { S::load(b.add(i * sb)) } else { x })
        };
        let mut v = [S::splat(W::FOLD.start() as f32); 4];
        let (wide, whole) = (n - n % (4 * S::LANES), n - n % S::LANES);
        let mut i = 0;
        while i < wide {
            for (k, x) in v.iter_mut().enumerate() {
                *x = next(*x, i + k * S::LANES);
            }
            i += 4 * S::LANES;
        }
        while i < whole {
            v[0] = next(v[0], i);
            i += S::LANES;
        }
        if whole > 0 {
            let mut lanes = four::<S, W>(v);
            let mut half = S::LANES / 2;
            while half > 0 {
                let (low, high) = lanes.split_at_mut(half);
                low.iter_mut().zip(high).for_each(|(a, b)| *a = two(W::FOLD, *a, *b));
                half /= 2;
            }
            *acc = two(W::FOLD, *acc, lanes[0]);
        }
        for i in whole..n {
            let x = *a.add(i * sa);
            *acc = two(W::FOLD, *acc, W::number(x, if W::PAIRS { *b.add(i * sb) } else { x }));
        }
    }
}

/// Folds the rows of a tile of floats into one, column by column, four rows in turn.
#[inline(always)]
unsafe fn down<S: Simd, W: Way>(tile: Folded, rows: usize, cols: usize, accs: &mut [Acc]) {
    let other = tile.times.unwrap_or(tile.a);
    // SAFETY: the caller promises that the operands cover the tile, and the instruction set.
    unsafe {
        for c in (0..cols).step_by(S::LANES) {
            let n = S::LANES.min(cols - c);
            let part = S::part(n);
            let load = |o: Operand, r: usize| {
                let p = row(o, r).0.wrapping_add(c * o.step);
                if n == S::LANES { S::load(p) } else { S::load_part(p, part) }
            };
            let next = |v: S::F, r: usize| {
                let x = load(tile.a, r);
                W::next::<S>(v, x, if W::PAIRS { load(other, r) } else { x })
            };
            let mut v = [S::splat(W::FOLD.start() as f32); 4];
            let whole = rows - rows % 4;
            for r in (0..whole).step_by(4) {
                for (k, v) in v.iter_mut().enumerate() {
                    *v = next(*v, r + k);
                }
            }
            for r in whole..rows {
                v[0] = next(v[0], r);
            }
            for (acc, x) in accs[c..c + n].iter_mut().zip(four::<S, W>(v)) {
                acc.push(W::FOLD, x);
            }
        }
    }
}

/// The position of the first largest of `n` floats; NaN counts as largest.
#[inline(always)]
unsafe fn largest<S: Simd>((p, step): Row, n: usize) -> (f32, usize) {
    let mut all = f64::NEG_INFINITY;
    // SAFETY: the caller promises `n` valid floats and the instruction set.
    unsafe {
        line::<S, Max>((p, step), (p, step), n, &mut all);
        let all = all as f32;
        let at = |i: &usize| *p.add(i * step) == all || (all.is_nan() && (*p.add(i * step)).is_nan());
        (all, (0..n).find(at).unwrap_or(0))
    }
}

/// The rows of a tile that is folded row by row; `each` of them belong to one kept element.
#[derive(Clone, Copy)]
pub(crate) struct Lines {
    /// Number of the first one, counted from the first of the first kept element.
    pub first: usize,
    pub count: usize,
    pub each: usize,
    /// First column, number of columns, columns of a whole row.
    pub cols: (usize, usize, usize),
}

/// A tile of floats, row by row or column by column.
struct Job<'a> {
    reduction: Reduction,
    tile: Folded,
    over: Over,
    accs: &'a mut [Acc],
}

#[derive(Clone, Copy)]
enum Over {
    Lines(Lines),
    Columns { rows: usize, cols: usize },
}

impl Job<'_> {
    #[inline(always)]
    unsafe fn way<S: Simd, W: Way>(self) {
        let tile = self.tile;
        // SAFETY: the frame's contract, 2 and 6.
        unsafe {
            match self.over {
                Over::Columns { rows, cols } => down::<S, W>(tile, rows, cols, self.accs),
                Over::Lines(lines) => {
                    let other = tile.times.unwrap_or(tile.a);
                    self.each_line(lines, |r, acc| {
                        line::<S, W>(row(tile.a, r), row(other, r), lines.cols.1, &mut acc.value)
                    });
                }
            }
        }
    }

    /// Row `i` goes to `accs[(first + i) / each]`.
    #[inline(always)]
    fn each_line(self, lines: Lines, mut f: impl FnMut(usize, &mut Acc)) {
        let (mut at, mut left) = (lines.first / lines.each, lines.each - lines.first % lines.each);
        for r in 0..lines.count {
            f(r, &mut self.accs[at]);
            left -= 1;
            if left == 0 {
                (at, left) = (at + 1, lines.each);
            }
        }
    }
}

impl Loops for Job<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        // SAFETY: the caller of `fold` vouches for the operands.
        unsafe {
            match (self.reduction, self.tile.times, self.over) {
                (Reduction::Fold(Fold::Sum), None, _) => self.way::<S, Sum>(),
                (Reduction::Fold(Fold::Sum), Some(_), _) => self.way::<S, Products>(),
                (Reduction::Fold(Fold::Max), ..) => self.way::<S, Max>(),
                (Reduction::Fold(Fold::Min), ..) => self.way::<S, Min>(),
                (Reduction::ArgMax, _, Over::Lines(lines)) => {
                    let (a, (col, cols, all)) = (self.tile.a, lines.cols);
                    self.each_line(lines, |r, acc| {
                        let (x, at) = largest::<S>(row(a, r), cols);
                        let before = (lines.first + r) % lines.each * all + col;
                        acc.push_at(f64::from(x), (before + at) as i32);
                    });
                }
                // The first largest of a column is never asked for.
                (Reduction::ArgMax, _, Over::Columns { .. }) => {}
            }
        }
    }
}

/// Folds each row of a tile.
///
/// # Safety
/// The operands must cover the tile, `accs` have an entry for each kept element; the machine must have `isa`.
pub(crate) unsafe fn fold_rows(isa: Isa, how: How, tile: Folded, lines: Lines, accs: &mut [Acc]) {
    let job = Job { reduction: how.reduction, tile, over: Over::Lines(lines), accs };
    if how.float {
        isa.run(job);
        return;
    }
    let (col, cols, all) = lines.cols;
    job.each_line(lines, |r, acc| {
        let at = (lines.first + r) % lines.each * all + col;
        for c in 0..cols {
            // SAFETY: the frame's contract, 2 and 6.
            let x = unsafe { get(tile.a, r, c) };
            match how.reduction {
                Reduction::Fold(f) => acc.push(f, x),
                Reduction::ArgMax => acc.push_at(x, (at + c) as i32),
            }
        }
    });
}

/// Folds the rows of a tile, column by column.
///
/// # Safety
/// The operands must cover the tile, `accs` have an entry for each column; the machine must have `isa`.
pub(crate) unsafe fn fold_cols(
    isa: Isa,
    how: How,
    tile: Folded,
    (rows, cols): (usize, usize),
    accs: &mut [Acc],
) {
    if how.float {
        isa.run(Job { reduction: how.reduction, tile, over: Over::Columns { rows, cols }, accs });
        return;
    }
    for r in 0..rows {
        for (c, acc) in accs.iter_mut().enumerate().take(cols) {
            // SAFETY: the frame's contract, 2 and 6.
            acc.push(how.fold(), unsafe { get(tile.a, r, c) });
        }
    }
}
