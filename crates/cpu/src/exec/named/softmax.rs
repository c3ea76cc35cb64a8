//! Softmax and its logarithm over the last axis: three passes over a row that stays in the cache.

use super::Kernel;
use crate::Shared;
use crate::exec::Setting;
use crate::exec::resolve::Lane;
use crate::exec::task::Context;
use crate::isa::Loops;
use crate::simd::Simd;
use crate::tile::math;
use rhyton_graph::plan::NamedCall;
use rhyton_tensor::{DType, Result};

/// One float32 parameter with axes, one result like it, over the last axis and nothing else set.
pub(super) fn accepts(f: &NamedCall) -> bool {
    let plain = f.attrs.as_object().is_some_and(|a| {
        a.len() == 1 && a.get("axis").and_then(|x| x.as_i64()).is_some_and(|axis| axis == -1)
    });
    match (&f.inputs[..], &f.results[..]) {
        ([x], [y]) => plain && x.dtype == DType::F32 && x.shape.rank() > 0 && x == y,
        _ => false,
    }
}

/// Softmax.
pub(super) fn plain(f: &NamedCall, setting: &Setting) -> Result<Kernel> {
    prepare(f, setting, false)
}

/// Its logarithm.
pub(super) fn logarithm(f: &NamedCall, setting: &Setting) -> Result<Kernel> {
    prepare(f, setting, true)
}

fn prepare(f: &NamedCall, setting: &Setting, log: bool) -> Result<Kernel> {
    let sizes = setting.sizes(&f.inputs[0].shape)?;
    let n = sizes[sizes.len() - 1];
    let rows: usize = sizes[..sizes.len() - 1].iter().product();
    Ok(Box::new(move |cx: Context, reads: &[Lane], writes: &[Lane]| {
        if rows * n == 0 {
            return;
        }
        // SAFETY: the plan's views are contiguous and inside their buffers.
        let (x, y) = unsafe { (Shared(cx.at::<f32>(&reads[0])), Shared(cx.at::<f32>(&writes[0]))) };
        let each = (8192 / n).clamp(1, rows);
        let task = |t: usize| {
            let (first, end) = (t * each, ((t + 1) * each).min(rows));
            let (x, y) = (x.get().wrapping_add(first * n), y.get().wrapping_add(first * n));
            cx.isa.run(Rows { log, x, y, n, rows: end - first });
        };
        let tasks = rows.div_ceil(each);
        cx.pool.run(tasks, &task);
    }))
}

/// `rows` rows of `n` numbers from `x` to `y`.
struct Rows {
    log: bool,
    x: *const f32,
    y: *mut f32,
    n: usize,
    rows: usize,
}

/// Rows that take each pass together: folding lanes in order is a chain of waits, and those of several rows overlap.
const TOGETHER: usize = 4;
/// Longest rows that do so: they stay in the first-level cache.
const SHORT: usize = 512;

impl Loops for Rows {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Rows { log, x, y, n, rows } = self;
        let together = if n <= SHORT { rows - rows % TOGETHER } else { 0 };
        let row = |r: usize| Row { x: x.wrapping_add(r * n), y: y.wrapping_add(r * n), n };
        // SAFETY: rows are inside both sides; tasks have disjoint rows.
        unsafe {
            for r in (0..together).step_by(TOGETHER) {
                go::<S, TOGETHER>(log, std::array::from_fn(|i| row(r + i)));
            }
            for r in together..rows {
                go::<S, 1>(log, [row(r)]);
            }
        }
    }
}

/// The lanes of a vector folded in order.
#[inline(always)]
unsafe fn lanes<S: Simd>(v: S::F, n: usize, f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut all = [0f32; 16];
    // SAFETY: the widest vector has 16 lanes.
    unsafe { S::store(all.as_mut_ptr(), v) };
    all[1..n].iter().fold(all[0], |a, b| f(a, *b))
}

/// With m the largest x: e^(x-m) / sum e^(x-m), or x - m - log sum e^(x-m). NaN anywhere makes the row NaN.
///
/// # Safety
/// The machine has the instruction set; so for all methods of rows.
#[inline(always)]
unsafe fn go<S: Simd, const R: usize>(log: bool, rows: [Row; R]) {
    // SAFETY: the frame's contract, 2 and 8.
    unsafe {
        // Plain loops: closures need not be compiled for the set.
        let (mut largest, mut total) = ([0.0; R], [0.0; R]);
        for (row, largest) in rows.iter().zip(&mut largest) {
            *largest = row.largest::<S>();
        }
        for ((row, largest), total) in rows.iter().zip(largest).zip(&mut total) {
            *total = row.exponentials::<S>(log, largest);
        }
        for (row, total) in rows.iter().zip(total) {
            row.finish::<S>(log, total);
        }
    }
}

/// One row: `n` valid numbers on both sides.
struct Row {
    x: *const f32,
    y: *mut f32,
    n: usize,
}

impl Row {
    /// Positions of vectors and how many of their lanes count.
    #[inline(always)]
    fn parts<S: Simd>(&self) -> impl Iterator<Item = (usize, usize)> {
        let n = self.n;
        (0..n).step_by(S::LANES).map(move |i| (i, S::LANES.min(n - i)))
    }

    #[inline(always)]
    unsafe fn largest<S: Simd>(&self) -> f32 {
        // SAFETY: the frame's contract, 2 and 8.
        unsafe {
            let mut largest = f32::NEG_INFINITY;
            let mut most = S::splat(f32::NEG_INFINITY);
            for (i, k) in self.parts::<S>() {
                let x = S::load_first(self.x.add(i), k);
                if k == S::LANES {
                    most = math::max_nan::<S>(most, x);
                } else {
                    largest = lanes::<S>(x, k, larger);
                }
            }
            larger(largest, lanes::<S>(most, S::LANES, larger))
        }
    }

    /// Stores e^(x-m), or x - m, and adds up e^(x-m).
    #[inline(always)]
    unsafe fn exponentials<S: Simd>(&self, log: bool, largest: f32) -> f32 {
        // SAFETY: the frame's contract, 2 and 8.
        unsafe {
            let (mut sum, mut rest) = (S::splat(0.0), 0.0);
            for (i, k) in self.parts::<S>() {
                let d = S::sub(S::load_first(self.x.add(i), k), S::splat(largest));
                let e = math::exp::<S>(d);
                S::store_first(self.y.add(i), if log { d } else { e }, k);
                if k == S::LANES {
                    sum = S::add(sum, e);
                } else {
                    rest = lanes::<S>(e, k, |a, b| a + b);
                }
            }
            lanes::<S>(sum, S::LANES, |a, b| a + b) + rest
        }
    }

    #[inline(always)]
    unsafe fn finish<S: Simd>(&self, log: bool, total: f32) {
        // SAFETY: the frame's contract, 2 and 8.
        unsafe {
            let by = if log { math::log::<S>(S::splat(total)) } else { S::splat(1.0 / total) };
            for (i, k) in self.parts::<S>() {
                let v = S::load_first(self.y.add(i), k);
                S::store_first(self.y.add(i), if log { S::sub(v, by) } else { S::mul(v, by) }, k);
            }
        }
    }
}

#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a.is_nan() || a > b { a } else { b }
}
