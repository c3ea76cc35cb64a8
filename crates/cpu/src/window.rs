//! Pooling over channels-last windows.

use crate::isa::Isa;
use crate::pool::Pool;
use rhyton_graph::ops::PoolKind;

/// Sizes of a pooling: full side `[batch, full.., channels]`, pooled side `[batch, pooled.., channels]`. Leading
/// spatial dims that are not used are 1 (their window and stride too, their padding 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolShape {
    /// Number of images.
    pub batch: usize,
    /// Channels.
    pub channels: usize,
    /// Spatial sizes of the full side.
    pub full: [usize; 3],
    /// Spatial sizes of the pooled side.
    pub pooled: [usize; 3],
    /// Window.
    pub window: [usize; 3],
    /// Steps between windows.
    pub stride: [usize; 3],
    /// Positions before the full side that the first window covers.
    pub pad_lo: [usize; 3],
}

/// Pools: see [`PoolKind`] for what `a` and `b` are (`b` is not used by kinds with one input).
///
/// # Safety
/// `a`, `b` and `out` must be valid for the contiguous sides that `kind` names, `out` for writing.
pub unsafe fn pool(
    kind: PoolKind,
    _isa: Isa,
    _threads: &Pool,
    s: &PoolShape,
    a: *const f32,
    b: *const f32,
    out: *mut f32,
) {
    let grid = |d: [usize; 3]| {
        (0..d[0]).flat_map(move |i| (0..d[1]).flat_map(move |j| (0..d[2]).map(move |k| [i, j, k])))
    };
    let flat = |size: [usize; 3], at: [usize; 3]| (at[0] * size[1] + at[1]) * size[2] + at[2];
    let volume = |d: [usize; 3]| d.iter().product::<usize>();
    let c = s.channels;
    // SAFETY: the caller vouches for the sides, all positions are inside them.
    unsafe {
        let size = if kind.result_full() { s.full } else { s.pooled };
        std::slice::from_raw_parts_mut(out, s.batch * volume(size) * c).fill(0.0);
        for (n, o, ch) in
            (0..s.batch).flat_map(|n| grid(s.pooled).flat_map(move |o| (0..c).map(move |h| (n, o, h))))
        {
            let p = (n * volume(s.pooled) + flat(s.pooled, o)) * c + ch;
            let positions = || {
                grid(s.window).filter_map(move |k| {
                    let i = [0, 1, 2].map(|d| (o[d] * s.stride[d] + k[d]).wrapping_sub(s.pad_lo[d]));
                    let inside = (0..3).all(|d| i[d] < s.full[d]);
                    inside.then(|| (n * volume(s.full) + flat(s.full, i)) * c + ch)
                })
            };
            let better = |x: f32, best: f32| x > best || (x.is_nan() && !best.is_nan());
            let largest =
                || positions().reduce(|best, i| if better(*a.add(i), *a.add(best)) { i } else { best });
            match kind {
                PoolKind::Max => *out.add(p) = largest().map_or(f32::NEG_INFINITY, |i| *a.add(i)),
                PoolKind::MaxSpread => {
                    if let Some(i) = largest() {
                        *out.add(i) += *b.add(p);
                    }
                }
                PoolKind::MaxTake => *out.add(p) = largest().map_or(0.0, |i| *b.add(i)),
                PoolKind::Sum => *out.add(p) = positions().map(|i| *a.add(i)).sum(),
                PoolKind::SumSpread => positions().for_each(|i| *out.add(i) += *a.add(p)),
            }
        }
    }
}
