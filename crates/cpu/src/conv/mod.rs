//! Convolutions over channels-last images and their two transposes.

use crate::gemm::Epilogue;
use crate::isa::Isa;
use crate::pool::Pool;
use rhyton_graph::ops::ConvKind;

/// Sizes of a convolution: x `[batch, x.., c_in]`, w `[k.., c_in / groups, c_out]`, y `[batch, y.., c_out]`. Leading
/// spatial dims that are not used are 1 (their stride and dilation too, their padding 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvShape {
    /// Number of images.
    pub batch: usize,
    /// Spatial sizes of x.
    pub x: [usize; 3],
    /// Window.
    pub k: [usize; 3],
    /// Spatial sizes of y.
    pub y: [usize; 3],
    /// Step of the window.
    pub stride: [usize; 3],
    /// Distance between window entries.
    pub dilation: [usize; 3],
    /// Zeros before x.
    pub pad_lo: [usize; 3],
    /// Channel groups.
    pub groups: usize,
    /// Channels of x, all groups together.
    pub c_in: usize,
    /// Channels of y, all groups together.
    pub c_out: usize,
}

/// Numbers of scratch memory that [`conv`] needs.
pub fn conv_scratch_len(kind: ConvKind, s: &ConvShape, _threads: usize) -> usize {
    let product = |d: [usize; 3]| d.iter().product::<usize>();
    match kind {
        ConvKind::Forward => s.batch * product(s.y) * s.c_out,
        ConvKind::InputGrad => s.batch * product(s.x) * s.c_in,
        ConvKind::KernelGrad => product(s.k) * s.c_in / s.groups.max(1) * s.c_out,
    }
}

/// Computes one side from the other two: `Forward` (x, w) to y, `InputGrad` (y, w) to x, `KernelGrad` (x, y) to w.
/// Without `out` the result lives in scratch memory, and only the epilogue sees it; its rows are the flattened
/// leading axes of the result, its columns the last axis, its batch 0.
///
/// # Safety
/// `a`, `b` and `out` must be valid for the contiguous sides that `kind` names, `out` for writing.
pub unsafe fn conv(
    kind: ConvKind,
    _isa: Isa,
    pool: &Pool,
    s: &ConvShape,
    a: *const f32,
    b: *const f32,
    out: Option<*mut f32>,
    epilogue: Option<&dyn Epilogue>,
    scratch: &mut [f32],
) {
    let len = conv_scratch_len(kind, s, pool.threads());
    let to = out.unwrap_or(scratch.as_mut_ptr());
    // SAFETY: see the caller's promise.
    unsafe {
        std::slice::from_raw_parts_mut(to, len).fill(0.0);
        naive(kind, s, a, b, to);
    }
    let cols = if kind == ConvKind::InputGrad { s.c_in } else { s.c_out };
    if let (Some(e), true) = (epilogue, len > 0) {
        e.block(0, 0, len / cols, 0, cols, to, cols);
    }
}

unsafe fn naive(kind: ConvKind, s: &ConvShape, a: *const f32, b: *const f32, out: *mut f32) {
    let grid = |d: [usize; 3]| {
        (0..d[0]).flat_map(move |i| (0..d[1]).flat_map(move |j| (0..d[2]).map(move |k| [i, j, k])))
    };
    let (per_in, per_out) = (s.c_in / s.groups, s.c_out / s.groups);
    let flat = |size: [usize; 3], at: [usize; 3]| (at[0] * size[1] + at[1]) * size[2] + at[2];
    for n in 0..s.batch {
        for (o, k) in grid(s.y).flat_map(|o| grid(s.k).map(move |k| (o, k))) {
            let i = [0, 1, 2].map(|d| (o[d] * s.stride[d] + k[d] * s.dilation[d]).wrapping_sub(s.pad_lo[d]));
            if (0..3).any(|d| i[d] >= s.x[d]) {
                continue;
            }
            let px = n * s.x.iter().product::<usize>() + flat(s.x, i);
            let py = n * s.y.iter().product::<usize>() + flat(s.y, o);
            for (f, c) in (0..s.c_out).flat_map(|f| (0..per_in).map(move |c| (f, c))) {
                let x = px * s.c_in + f / per_out * per_in + c;
                let w = (flat(s.k, k) * per_in + c) * s.c_out + f;
                let y = py * s.c_out + f;
                // SAFETY: all positions are inside their side.
                unsafe {
                    match kind {
                        ConvKind::Forward => *out.add(y) += *a.add(x) * *b.add(w),
                        ConvKind::InputGrad => *out.add(x) += *a.add(y) * *b.add(w),
                        ConvKind::KernelGrad => *out.add(w) += *a.add(x) * *b.add(y),
                    }
                }
            }
        }
    }
}
