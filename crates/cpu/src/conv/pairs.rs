//! Convolutions of bfloat16. Winograd's way takes them as they are; the others walk images whose numbers are pairs.
//! What is summed is paired: channels of the source in a forward convolution and an input gradient, neighbouring
//! pixels in a kernel gradient.

use super::{ConvArgs, ConvShape, conv, conv_scratch_len, volume, winograd};
use crate::gemm::pairs::{Interleave, pad_lines};
use crate::isa::Isa;
use crate::pool::Pool;
use rhyton_graph::ops::ConvKind;

/// How a side becomes pairs.
#[derive(Clone, Debug)]
enum Layout {
    /// It lies in memory as pairs.
    AsIs,
    /// Lines of this many numbers, padded.
    Lines(usize, usize),
    /// Lines interleaved.
    Interleaved(Interleave),
}

impl Layout {
    fn lines(lines: usize, len: usize, aligned: bool) -> Layout {
        if aligned && len.is_multiple_of(2) { Layout::AsIs } else { Layout::Lines(lines, len) }
    }

    /// Numbers of scratch memory.
    fn len(&self) -> usize {
        let numbers = match self {
            Layout::AsIs => 0,
            Layout::Lines(lines, len) => lines * len.div_ceil(2),
            Layout::Interleaved(w) => w.pairs(),
        };
        numbers.next_multiple_of(16)
    }

    /// The side as pairs: itself, or a copy at `to`.
    unsafe fn prepare(&self, isa: Isa, pool: &Pool, from: *const u16, to: &mut [f32]) -> *const f32 {
        // SAFETY: the frame's contract, 2 and 6.
        unsafe {
            match self {
                Layout::AsIs => return from.cast(),
                Layout::Lines(lines, len) => pad_lines(pool, from, *lines, *len, to.as_mut_ptr()),
                Layout::Interleaved(lines) => lines.run(isa, pool, from, to.as_mut_ptr()),
            }
        }
        to.as_ptr()
    }
}

/// A convolution of bfloat16, as one of pairs where there are sides.
#[derive(Clone, Debug)]
pub(crate) struct Paired {
    shape: ConvShape,
    sides: Option<[Layout; 2]>,
}

impl Paired {
    /// `aligned`: each side begins at a multiple of four bytes. There are no groups.
    pub fn new(s: &ConvShape, aligned: [bool; 2]) -> Paired {
        let mut shape = *s;
        if winograd::fits(s) {
            return Paired { shape, sides: None };
        }
        let sides = match s.kind {
            ConvKind::Forward => {
                shape.c_in = s.c_in.div_ceil(2);
                let w = Interleave::neighbours(volume(s.k), s.c_in, s.c_out);
                [Layout::lines(s.batch * volume(s.x), s.c_in, aligned[0]), Layout::Interleaved(w)]
            }
            ConvKind::InputGrad => {
                shape.c_out = s.c_out.div_ceil(2);
                let w = Layout::lines(volume(s.k) * s.c_in, s.c_out, aligned[1]);
                [Layout::lines(s.batch * volume(s.y), s.c_out, aligned[0]), w]
            }
            ConvKind::KernelGrad if s.is_product() => {
                let pixels = s.batch * volume(s.x);
                let size = [1, 1, pixels.div_ceil(2)];
                (shape.batch, shape.x, shape.y) = (1, size, size);
                [s.c_in, s.c_out]
                    .map(|channels| Layout::Interleaved(Interleave::neighbours(1, pixels, channels)))
            }
            ConvKind::KernelGrad => {
                // Taps begin at any pixel: each is paired with the one that its right neighbour in y reads.
                let (stride, before) = (s.stride[2], s.stride[2].min(s.pad_lo[2]));
                let mut x = Interleave::neighbours(s.batch * s.x[0] * s.x[1], s.x[2], s.c_in);
                (x.count, x.step, x.before, x.distance) = (s.x[2] + before, 1, before, stride);
                let y = Interleave::neighbours(s.batch * s.y[0] * s.y[1], s.y[2], s.c_out);
                (shape.x[2], shape.y[2]) = (x.count, y.count);
                (shape.stride[2], shape.pad_lo[2]) = (2 * stride, s.pad_lo[2] - before);
                [Layout::Interleaved(x), Layout::Interleaved(y)]
            }
        };
        Paired { shape, sides: Some(sides) }
    }

    /// Numbers of scratch memory that [`Paired::run`] needs.
    pub fn scratch_len(&self, threads: usize) -> usize {
        let Some(sides) = &self.sides else {
            return winograd::scratch_len(true, &self.shape, threads);
        };
        sides.iter().map(Layout::len).sum::<usize>() + conv_scratch_len(true, &self.shape, threads)
    }

    /// Computes the convolution of bfloat16 that `args` describe.
    ///
    /// # Safety
    /// As for [`conv`].
    pub unsafe fn run(&self, args: ConvArgs<u16>) {
        let Some(sides) = &self.sides else {
            assert!(
                args.scratch.len() >= self.scratch_len(args.pool.threads()),
                "scratch memory is too small"
            );
            // SAFETY: the frame's contract, 2 and 6.
            return unsafe { winograd::run(&args) };
        };
        let ConvArgs { isa, pool, out, epilogue, scratch, .. } = args;
        // SAFETY: the frame's contract, 6.
        let scratch = unsafe { &mut *scratch };
        let [first, second] = sides.each_ref().map(Layout::len);
        let (to_a, rest) = scratch.split_at_mut(first);
        let (to_b, scratch) = rest.split_at_mut(second);
        // SAFETY: the frame's contract, 2 and 6; the scratch memory is split as `scratch_len` counts it.
        unsafe {
            let a = sides[0].prepare(isa, pool, args.a, to_a);
            let b = sides[1].prepare(isa, pool, args.b, to_b);
            let s = &self.shape;
            conv(ConvArgs { isa, pairs: true, pool, s, a, b, out, epilogue, scratch });
        }
    }
}
