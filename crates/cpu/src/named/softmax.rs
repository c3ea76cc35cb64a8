//! Softmax and its logarithm over the last axis: three passes over a row that stays in the cache.

use super::Kernel;
use crate::Shared;
use crate::exec::Setting;
use crate::exec::resolve::Lane;
use crate::exec::task::Context;
use crate::isa::Loops;
use crate::simd::Simd;
use crate::tile::math;
use rhyton_graph::Function;
use rhyton_tensor::{DType, Result};

/// One float32 parameter with axes, one result like it, over the last axis and nothing else set.
pub(super) fn accepts(f: &Function) -> bool {
    let plain = f.attrs.as_object().is_some_and(|a| {
        a.len() == 1 && a.get("axis").and_then(|x| x.as_i64()).is_some_and(|axis| axis == -1)
    });
    match (&f.params[..], &f.results[..]) {
        ([x], [y]) => plain && x.dtype() == DType::F32 && x.rank() > 0 && x.ty() == y.ty(),
        _ => false,
    }
}

/// Softmax.
pub(super) fn plain(f: &Function, setting: &Setting) -> Result<Kernel> {
    prepare(f, setting, false)
}

/// Its logarithm.
pub(super) fn logarithm(f: &Function, setting: &Setting) -> Result<Kernel> {
    prepare(f, setting, true)
}

fn prepare(f: &Function, setting: &Setting, log: bool) -> Result<Kernel> {
    let sizes = setting.sizes(f.params[0].shape())?;
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
            for r in t * each..((t + 1) * each).min(rows) {
                let (x, y) = (x.get().wrapping_add(r * n), y.get().wrapping_add(r * n));
                cx.isa.run(Row { log, x, y, n });
            }
        };
        let tasks = rows.div_ceil(each);
        if tasks == 1 { task(0) } else { cx.pool.run(tasks, &task) }
    }))
}

/// One row: `n` numbers from `x` to `y`.
struct Row {
    log: bool,
    x: *const f32,
    y: *mut f32,
    n: usize,
}

impl Loops for Row {
    #[inline(always)]
    fn run<S: Simd>(self) {
        // SAFETY: rows are inside both sides; tasks have disjoint rows.
        unsafe { go::<S>(self.log, self.x, self.y, self.n) }
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
#[inline(always)]
unsafe fn go<S: Simd>(log: bool, x: *const f32, y: *mut f32, n: usize) {
    // SAFETY: the caller promises the instruction set and `n` valid numbers on both sides.
    unsafe {
        let parts = || (0..n).step_by(S::LANES).map(|i| (i, S::LANES.min(n - i)));
        let get =
            |p: *const f32, k: usize| if k == S::LANES { S::load(p) } else { S::load_part(p, S::part(k)) };
        let put = |p: *mut f32, k: usize, v| {
            if k == S::LANES { S::store(p, v) } else { S::store_part(p, v, S::part(k)) }
        };
        let mut largest = f32::NEG_INFINITY;
        let mut most = S::splat(f32::NEG_INFINITY);
        for (i, k) in parts() {
            if k == S::LANES {
                most = math::max_nan::<S>(most, get(x.add(i), k));
            } else {
                largest = lanes::<S>(get(x.add(i), k), k, larger);
            }
        }
        let largest = S::splat(larger(largest, lanes::<S>(most, S::LANES, larger)));
        let mut sum = S::splat(0.0);
        let mut rest = 0.0;
        for (i, k) in parts() {
            let d = S::sub(get(x.add(i), k), largest);
            let e = math::exp::<S>(d);
            put(y.add(i), k, if log { d } else { e });
            if k == S::LANES {
                sum = S::add(sum, e);
            } else {
                rest = lanes::<S>(e, k, |a, b| a + b);
            }
        }
        let total = lanes::<S>(sum, S::LANES, |a, b| a + b) + rest;
        let by = if log { math::log::<S>(S::splat(total)) } else { S::splat(1.0 / total) };
        for (i, k) in parts() {
            let v = get(y.add(i), k);
            put(y.add(i), k, if log { S::sub(v, by) } else { S::mul(v, by) });
        }
    }
}

#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a.is_nan() || a > b { a } else { b }
}
