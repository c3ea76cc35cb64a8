//! Convolutions whose groups have one input channel each: no sums over channels, so vectors run along them.

use super::axis::Axis;
use super::{ConvArgs, ConvShape, volume};
use crate::isa::Loops;
use crate::simd::Simd;
use rhyton_graph::ops::ConvKind;

/// Rows of a task: a row of the result image, or a tap of the kernel.
fn row_len(s: &ConvShape) -> usize {
    match s.kind {
        ConvKind::Forward => s.y[2] * s.c_out,
        ConvKind::InputGrad => s.x[2] * s.c_in,
        ConvKind::KernelGrad => s.c_out,
    }
}

pub(super) fn scratch_len(s: &ConvShape, threads: usize) -> usize {
    16 + threads * row_len(s).next_multiple_of(16)
}

pub(super) unsafe fn run(args: &ConvArgs) {
    let (s, len) = (args.s, row_len(args.s));
    let (rows, cols) = s.result();
    let tasks = rows * cols / len;
    let axes = Axis::all(s);
    args.run(tasks, &|worker, task| {
        let own = args.scratch().wrapping_add(worker * len.next_multiple_of(16));
        let row = task * (len / cols);
        let to = args.rows_at(row, own);
        // SAFETY: a task writes one row of the result.
        let line = unsafe { std::slice::from_raw_parts_mut(to, len) };
        args.isa.run(Row { args, axes: &axes, task, line });
        args.finish(row, len / cols, to);
    });
}

/// One task: a row of the result image, or a tap of the kernel.
struct Row<'a> {
    args: &'a ConvArgs<'a>,
    axes: &'a [Axis; 3],
    task: usize,
    line: &'a mut [f32],
}

impl Loops for Row<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        self.line.fill(0.0);
        // SAFETY: the caller of `conv` vouches for the sides; all positions read are inside them.
        unsafe {
            match self.args.s.kind {
                ConvKind::KernelGrad => tap_gradient(self.args, self.axes, self.task, self.line),
                _ => line_of_pixels(self.args, self.axes, self.task, self.line),
            }
        }
    }
}

/// One row of y (forward) or of x (input gradient).
#[inline(always)]
unsafe fn line_of_pixels(args: &ConvArgs, axes: &[Axis; 3], row: usize, line: &mut [f32]) {
    let s = args.s;
    let forward = s.kind == ConvKind::Forward;
    let (out, src) = (axes.map(|a| a.out), axes.map(|a| a.src));
    let depth = if forward { s.c_in } else { s.c_out };
    let (image, plane, y) = (row / out[1] / out[0], row / out[1] % out[0], row % out[1]);
    let channels = line.len() / out[2];
    for (kz, ky) in (0..s.k[0]).flat_map(|z| (0..s.k[1]).map(move |y| (z, y))) {
        let (Some(z), Some(y)) = (axes[0].source(plane, kz), axes[1].source(y, ky)) else { continue };
        let first = ((image * src[0] + z) * src[1] + y) * src[2];
        for kx in 0..s.k[2] {
            let tap = (kz * s.k[1] + ky) * s.k[2] + kx;
            let tap = if forward { tap } else { volume(s.k) - 1 - tap };
            let pairs = axes[2].pairs(kx);
            // SAFETY: the tap is inside the kernel.
            let w = unsafe { std::slice::from_raw_parts(args.b.add(tap * s.c_out), s.c_out) };
            for i in 0..pairs.count {
                let pixel = &mut line[(pairs.first + i * axes[2].div) * channels..][..channels];
                let at = (first + pairs.source + i * axes[2].mul) * depth;
                // SAFETY: pairs are inside both sides.
                let from = unsafe { std::slice::from_raw_parts(args.a.add(at), depth) };
                if forward { multiply_add(pixel, from, w) } else { fold_add(pixel, from, w) }
            }
        }
    }
}

/// One tap of the kernel: the sum over all pixels, in order.
#[inline(always)]
unsafe fn tap_gradient(args: &ConvArgs, axes: &[Axis; 3], tap: usize, line: &mut [f32]) {
    let s = args.s;
    let (kz, ky) = (tap / s.k[2] / s.k[1], tap / s.k[2] % s.k[1]);
    let pairs = axes[2].pairs(tap % s.k[2]);
    for row in 0..s.batch * s.y[0] * s.y[1] {
        let (image, plane, y) = (row / s.y[1] / s.y[0], row / s.y[1] % s.y[0], row % s.y[1]);
        let (Some(z), Some(y)) = (axes[0].source(plane, kz), axes[1].source(y, ky)) else { continue };
        let first = ((image * s.x[0] + z) * s.x[1] + y) * s.x[2];
        for i in 0..pairs.count {
            let from = (first + pairs.source + i * s.stride[2]) * s.c_in;
            let pixel = row * s.y[2] + pairs.first + i;
            // SAFETY: pairs are inside both sides.
            unsafe {
                let x = std::slice::from_raw_parts(args.a.add(from), s.c_in);
                let y = std::slice::from_raw_parts(args.b.add(pixel * s.c_out), s.c_out);
                multiply_add(line, x, y);
            }
        }
    }
}

/// `to[f] += x[f / multiplier] * w[f]`.
#[inline(always)]
fn multiply_add(to: &mut [f32], x: &[f32], w: &[f32]) {
    if to.len() == x.len() {
        to.iter_mut().zip(x).zip(w).for_each(|((to, x), w)| *to += x * w);
        return;
    }
    let multiplier = to.len() / x.len();
    for ((to, x), w) in to.chunks_exact_mut(multiplier).zip(x).zip(w.chunks_exact(multiplier)) {
        to.iter_mut().zip(w).for_each(|(to, w)| *to += x * w);
    }
}

/// `to[c] += sum of y[f] * w[f] over the outputs f of channel c`.
#[inline(always)]
fn fold_add(to: &mut [f32], y: &[f32], w: &[f32]) {
    if to.len() == y.len() {
        return multiply_add(to, y, w);
    }
    let multiplier = y.len() / to.len();
    for ((to, y), w) in to.iter_mut().zip(y.chunks_exact(multiplier)).zip(w.chunks_exact(multiplier)) {
        y.iter().zip(w).for_each(|(y, w)| *to += y * w);
    }
}
