//! Quantization of rows to int8: the largest magnitude of a row, then its rounded numbers while it is in the cache.

use super::Kernel;
use crate::Shared;
use crate::exec::Setting;
use crate::exec::resolve::Lane;
use crate::exec::task::Context;
use crate::isa::Loops;
use crate::simd::Simd;
use crate::tile::math;
use crate::tile::run::to_int;
use rhyton_graph::plan::NamedCall;
use rhyton_tensor::{DType, Result};

/// Numbers that a task should have at least.
const TASK: usize = 1 << 14;

/// The number of leading axes that are kept, when the axes of a row are all behind them.
fn kept(f: &NamedCall) -> Option<usize> {
    let axes = f.attrs.as_object().filter(|a| a.len() == 1)?.get("axes")?.as_array()?;
    let rank = f.inputs.first()?.shape.rank();
    let kept = rank.checked_sub(axes.len())?;
    axes.iter().map(|a| a.as_u64()).eq((kept..rank).map(|a| Some(a as u64))).then_some(kept)
}

/// One float32 parameter; its rounded numbers and the scales of its rows.
pub(super) fn accepts(f: &NamedCall) -> bool {
    match (&f.inputs[..], &f.results[..]) {
        ([x], [q, s]) => {
            let types = [x.dtype, q.dtype, s.dtype] == [DType::F32, DType::I8, DType::F32];
            types && q.shape == x.shape && kept(f).is_some()
        }
        _ => false,
    }
}

/// The kernel.
pub(super) fn prepare(f: &NamedCall, setting: &Setting) -> Result<Kernel> {
    let sizes = setting.sizes(&f.inputs[0].shape)?;
    let (outer, inner) = sizes.split_at(kept(f).unwrap_or(0).min(sizes.len()));
    let [rows, n]: [usize; 2] = [outer, inner].map(|s| s.iter().product());
    let each = (TASK / n.max(1)).clamp(1, rows.max(1));
    Ok(Box::new(move |cx: Context, reads: &[Lane], writes: &[Lane]| {
        // SAFETY: the plan's views are contiguous and inside their buffers.
        let (x, q, s) = unsafe {
            (
                Shared(cx.at::<f32>(&reads[0])),
                Shared(cx.at::<u8>(&writes[0])),
                Shared(cx.at::<f32>(&writes[1])),
            )
        };
        let task = |t: usize| {
            for r in t * each..((t + 1) * each).min(rows) {
                let (x, q) = (x.get().wrapping_add(r * n), q.get().wrapping_add(r * n));
                cx.isa.run(Row { x, q, s: s.get().wrapping_add(r), n });
            }
        };
        let tasks = rows.div_ceil(each);
        cx.pool.run(tasks, &task);
    }))
}

/// One row: `n` numbers from `x` to `q`, their scale to `s`.
struct Row {
    x: *const f32,
    q: *mut u8,
    s: *mut f32,
    n: usize,
}

impl Loops for Row {
    #[inline(always)]
    fn run<S: Simd>(self) {
        // SAFETY: rows are inside all sides; tasks have disjoint rows.
        unsafe {
            let scale = 127.0 / (self.largest::<S>() + 1e-7);
            *self.s = scale;
            self.round::<S>(scale);
        }
    }
}

impl Row {
    /// The largest magnitude; NaN if there is one.
    #[inline(always)]
    unsafe fn largest<S: Simd>(&self) -> f32 {
        // SAFETY: the caller promises the instruction set and the row.
        unsafe {
            // Several at once: one would wait for itself.
            let mut most = [S::splat(0.0); 4];
            let step = 4 * S::LANES;
            let whole = self.n / step * step;
            for i in (0..whole).step_by(step) {
                for (j, m) in most.iter_mut().enumerate() {
                    *m = math::max_nan::<S>(*m, math::abs::<S>(S::load(self.x.add(i + j * S::LANES))));
                }
            }
            for i in (whole..self.n).step_by(S::LANES) {
                let v = S::load_first(self.x.add(i), self.n - i);
                most[0] = math::max_nan::<S>(most[0], math::abs::<S>(v));
            }
            let [a, b, c, d] = most;
            let all = math::max_nan::<S>(math::max_nan::<S>(a, b), math::max_nan::<S>(c, d));
            let mut lanes = [0f32; 16];
            S::store(lanes.as_mut_ptr(), all);
            lanes.into_iter().fold(0.0, |a, b| if a.is_nan() || a > b { a } else { b })
        }
    }

    #[inline(always)]
    unsafe fn round<S: Simd>(&self, scale: f32) {
        // SAFETY: the caller promises the instruction set and the row.
        unsafe {
            let scale = S::splat(scale);
            let whole = self.n / S::LANES * S::LANES;
            for i in (0..whole).step_by(S::LANES) {
                S::store_bytes(self.q.add(i), S::LANES, rounded::<S>(S::load(self.x.add(i)), scale));
            }
            if whole < self.n {
                let rest = self.n - whole;
                let v = S::load_part(self.x.add(whole), S::part(rest));
                S::store_bytes(self.q.add(whole), rest, rounded::<S>(v, scale));
            }
        }
    }
}

/// `v * scale` as the nearest whole number from -127 to 127; 0 for NaN.
// Not a closure: those are not compiled into their caller for sure, and then not for its instruction set.
#[inline(always)]
unsafe fn rounded<S: Simd>(v: S::F, scale: S::F) -> S::I {
    // SAFETY: the caller promises the instruction set.
    unsafe {
        let whole = to_int::<S>(S::round(S::mul(v, scale)));
        S::imax(S::isplat(-127), S::imin(S::isplat(127), whole))
    }
}
