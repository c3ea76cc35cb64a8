//! Convolutions whose groups have one input channel each: no sums over channels, so vectors run along them.

use super::axis::Axis;
use super::{ConvShape, Job, volume};
use crate::isa::Loops;
use rhyton_graph::ops::ConvKind;

/// Rows of a task: a row of the result image, or a tap of the kernel.
fn row_len(kind: ConvKind, s: &ConvShape) -> usize {
    match kind {
        ConvKind::Forward => s.y[2] * s.c_out,
        ConvKind::InputGrad => s.x[2] * s.c_in,
        ConvKind::KernelGrad => s.c_out,
    }
}

pub(super) fn scratch_len(kind: ConvKind, s: &ConvShape, threads: usize) -> usize {
    16 + threads * row_len(kind, s).next_multiple_of(16)
}

pub(super) unsafe fn run(job: &Job) {
    let (s, len) = (job.s, row_len(job.kind, job.s));
    let (rows, cols) = s.result(job.kind);
    let tasks = rows * cols / len;
    let axes = Axis::all(s, job.kind == ConvKind::InputGrad);
    job.run(tasks, &|worker, task| {
        let own = job.scratch.wrapping_add(worker * len.next_multiple_of(16));
        let row = task * (len / cols);
        let to = job.rows_at(row, own);
        // SAFETY: a task writes one row of the result.
        let line = unsafe { std::slice::from_raw_parts_mut(to, len) };
        job.isa.run(Row { job, axes: &axes, task, line });
        job.finish(row, len / cols, to);
    });
}

/// One task: a row of the result image, or a tap of the kernel.
struct Row<'a> {
    job: &'a Job<'a>,
    axes: &'a [Axis; 3],
    task: usize,
    line: &'a mut [f32],
}

impl Loops for Row<'_> {
    #[inline(always)]
    fn run(self) {
        self.line.fill(0.0);
        // SAFETY: the caller of `conv` vouches for the sides; all positions read are inside them.
        unsafe {
            match self.job.kind {
                ConvKind::KernelGrad => tap_gradient(self.job, self.axes, self.task, self.line),
                _ => line_of_pixels(self.job, self.axes, self.task, self.line),
            }
        }
    }
}

/// The source position that result `at` reads through `tap`.
fn meet(axes: &[Axis; 3], at: [usize; 3], tap: [usize; 3]) -> Option<[usize; 3]> {
    let mut source = [0; 3];
    for d in 0..3 {
        let (base, phase) = axes[d].base(at[d]);
        let (offset, wanted) = axes[d].tap(tap[d]);
        source[d] = usize::try_from(base + offset).ok().filter(|i| *i < axes[d].src && phase == wanted)?;
    }
    Some(source)
}

fn split(mut at: usize, size: [usize; 3]) -> [usize; 3] {
    let mut out = [0; 3];
    for d in (0..3).rev() {
        out[d] = at % size[d];
        at /= size[d];
    }
    out
}

fn flat(at: [usize; 3], size: [usize; 3]) -> usize {
    (at[0] * size[1] + at[1]) * size[2] + at[2]
}

/// One row of y (forward) or of x (input gradient).
#[inline(always)]
unsafe fn line_of_pixels(job: &Job, axes: &[Axis; 3], row: usize, line: &mut [f32]) {
    let s = job.s;
    let forward = job.kind == ConvKind::Forward;
    let (out, src) = (axes.map(|a| a.out), axes.map(|a| a.src));
    let source_channels = if forward { s.c_in } else { s.c_out };
    let (image, plane, y) = (row / out[1] / out[0], row / out[1] % out[0], row % out[1]);
    let channels = line.len() / out[2];
    for (x, pixel) in line.chunks_exact_mut(channels).enumerate() {
        for tap in 0..volume(s.k) {
            let at = split(tap, s.k);
            let Some(source) = meet(axes, [plane, y, x], at) else { continue };
            let tap = if forward { tap } else { volume(s.k) - 1 - tap };
            let first = (image * volume(src) + flat(source, src)) * source_channels;
            // SAFETY: `source` is inside the image, `tap` inside the kernel.
            let (from, w) = unsafe {
                let from = std::slice::from_raw_parts(job.a.add(first), source_channels);
                (from, std::slice::from_raw_parts(job.b.add(tap * s.c_out), s.c_out))
            };
            if forward {
                multiply_add(pixel, from, w);
            } else {
                fold_add(pixel, from, w);
            }
        }
    }
}

/// One tap of the kernel: the sum over all pixels, in order.
#[inline(always)]
unsafe fn tap_gradient(job: &Job, axes: &[Axis; 3], tap: usize, line: &mut [f32]) {
    let s = job.s;
    let tap = split(tap, s.k);
    for pixel in 0..s.batch * volume(s.y) {
        let (image, at) = (pixel / volume(s.y), split(pixel % volume(s.y), s.y));
        let Some(source) = meet(axes, at, tap) else { continue };
        let first = (image * volume(s.x) + flat(source, s.x)) * s.c_in;
        // SAFETY: `source` is inside the image, `pixel` inside y.
        unsafe {
            let x = std::slice::from_raw_parts(job.a.add(first), s.c_in);
            let y = std::slice::from_raw_parts(job.b.add(pixel * s.c_out), s.c_out);
            multiply_add(line, x, y);
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
