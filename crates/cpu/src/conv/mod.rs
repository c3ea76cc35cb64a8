//! Convolutions over channels-last images and their two transposes. No patches are ever written out: the inner
//! kernel walks an image, with zeros around it, as a matrix whose rows overlap. Windows of 3 x 3 over enough channels go
//! by Winograd's way.

mod axis;
mod bytes;
mod depthwise;
mod kernel_grad;
pub(crate) mod pairs;
mod slide;
#[cfg(test)]
mod tests;
mod winograd;

use crate::gemm::{Epilogue, GemmArgs, MatView, Steps, gemm, scratch_len};
use crate::isa::Isa;
use crate::pool::Pool;
use rhyton_graph::ops::ConvKind;

/// A convolution or one of its transposes: one side from the other two, `Forward` (x, w) to y, `InputGrad` (y, w) to x,
/// `KernelGrad` (x, y) to w. The sides are x `[batch, x.., c_in]`, w `[k.., c_in / groups, c_out]`,
/// y `[batch, y.., c_out]`. Leading spatial dims that are not used are 1 (their stride and dilation too, their padding 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvShape {
    /// Which side is computed.
    pub kind: ConvKind,
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

fn volume(size: [usize; 3]) -> usize {
    size.iter().product()
}

impl ConvShape {
    /// Channels of x in a group.
    fn per_in(&self) -> usize {
        self.c_in / self.groups.max(1)
    }

    /// Channels of y in a group.
    fn per_out(&self) -> usize {
        self.c_out / self.groups.max(1)
    }

    /// Operations of any of the three kinds.
    fn work(&self) -> f64 {
        let pixels = (self.batch * volume(self.y)) as f64;
        2.0 * pixels * (volume(self.k) * self.per_in()) as f64 * self.c_out as f64
    }

    /// Rows and columns of the result: its leading axes, its last.
    fn result(&self) -> (usize, usize) {
        match self.kind {
            ConvKind::Forward => (self.batch * volume(self.y), self.c_out),
            ConvKind::InputGrad => (self.batch * volume(self.x), self.c_in),
            ConvKind::KernelGrad => (volume(self.k) * self.per_in(), self.c_out),
        }
    }

    /// True when every output pixel is a product of one input pixel: a plain matrix product.
    fn is_product(&self) -> bool {
        self.k == [1; 3]
            && self.stride == [1; 3]
            && self.pad_lo == [0; 3]
            && self.groups == 1
            && self.x == self.y
    }

    /// True when every group has one input channel.
    fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.per_in() == 1
    }

    /// Rows, columns and summed size of the product, if it is one.
    fn product_sizes(&self) -> [usize; 3] {
        let pixels = self.batch * volume(self.x);
        match self.kind {
            ConvKind::Forward => [pixels, self.c_out, self.c_in],
            ConvKind::InputGrad => [pixels, self.c_in, self.c_out],
            ConvKind::KernelGrad => [self.c_in, self.c_out, pixels],
        }
    }
}

/// Numbers of scratch memory that [`conv`] needs; `pairs` as in [`ConvArgs`].
pub fn conv_scratch_len(pairs: bool, s: &ConvShape, threads: usize) -> usize {
    let winograd = !pairs && winograd::fits(s);
    let [m, n, k] = s.product_sizes();
    match s.kind {
        _ if s.is_product() => scratch_len(1, m, n, k, threads),
        _ if s.is_depthwise() => depthwise::scratch_len(s, threads),
        _ if winograd => winograd::scratch_len(false, s, threads),
        ConvKind::KernelGrad => kernel_grad::scratch_len(s, threads),
        _ => slide::scratch_len(s, threads),
    }
}

/// What [`conv`] takes.
#[derive(Clone, Copy)]
pub struct ConvArgs<'a, T = f32> {
    /// Instruction set.
    pub isa: Isa,
    /// The numbers of both sides are pairs of bfloat16, neighbours along what is summed; sizes count pairs.
    pub pairs: bool,
    /// Threads.
    pub pool: &'a Pool,
    /// Sizes.
    pub s: &'a ConvShape,
    /// The first side given, contiguous.
    pub a: *const T,
    /// The second side given, contiguous.
    pub b: *const T,
    /// The result, contiguous. Without it the result lives in blocks of scratch memory, and only the epilogue sees it;
    /// its rows are the flattened leading axes of the result, its columns the last axis, its batch 0.
    pub out: Option<*mut f32>,
    /// Called with every finished block.
    pub epilogue: Option<&'a dyn Epilogue>,
    /// At least [`conv_scratch_len`] numbers, of any value.
    pub scratch: *mut [f32],
}

// SAFETY: tasks read the operands, which nobody writes, and write disjoint parts of the result and of the
// scratch memory.
unsafe impl<T> Sync for ConvArgs<'_, T> {}

impl<T> ConvArgs<'_, T> {
    fn is_empty(&self) -> bool {
        let (rows, cols) = self.s.result();
        rows * cols == 0
    }

    /// Scratch memory, from its first cache line on.
    fn scratch(&self) -> *mut f32 {
        crate::gemm::cache_line(self.scratch)
    }

    /// Runs tasks on the threads if the work is worth a split.
    fn run(&self, tasks: usize, task: &(dyn Fn(usize, usize) + Sync)) {
        self.pool.run_if(self.s.work() >= crate::gemm::SPLIT, tasks, task);
    }

    /// Memory for `rows` of the result from `row` on: the result itself, or `own` where it is not wanted.
    fn rows_at(&self, row: usize, own: *mut f32) -> *mut f32 {
        let cols = self.s.result().1;
        self.out.map_or(own, |out| out.wrapping_add(row * cols))
    }

    /// Hands finished rows to the epilogue.
    fn finish(&self, row: usize, rows: usize, tile: *mut f32) {
        let cols = self.s.result().1;
        if let (Some(e), true) = (self.epilogue, rows * cols > 0) {
            e.block(0, row, rows, 0, cols, tile, cols);
        }
    }

    /// The kernel's matrix of one tap for a group, from column `col` on: its rows are channels of the source, its
    /// columns those of the result. w is [tap, channel of x, channel of y]; taps of a transpose count from the last.
    fn tap(&self, group: usize, tap: usize, col: usize) -> MatView<T> {
        let (s, all) = (self.s, self.s.c_out);
        let (at, rs, cs) = if s.kind == ConvKind::Forward {
            (tap * s.per_in() * all + group * s.per_out() + col, all as isize, 1)
        } else {
            let tap = volume(s.k) - 1 - tap;
            ((tap * s.per_in() + col) * all + group * s.per_out(), 1, all as isize)
        };
        MatView { ptr: self.b.wrapping_add(at), rs, cs, batch: Steps::NONE }
    }
}

/// Computes the convolution.
///
/// # Safety
/// `a`, `b` and `out` must be valid for the sides that the kind names, `out` and `scratch` for writing, and nothing else
/// may use these two meanwhile.
pub unsafe fn conv(args: ConvArgs) {
    let ConvArgs { pairs, s, .. } = args;
    if args.is_empty() {
        return;
    }
    let need = conv_scratch_len(pairs, s, args.pool.threads());
    assert!(args.scratch.len() >= need, "scratch memory is too small");
    if s.is_product() {
        // SAFETY: the frame's contract, 2 and 6.
        return unsafe { product(args) };
    }
    let winograd = !pairs && winograd::fits(s);
    // SAFETY: the frame's contract, 2 and 6.
    unsafe {
        match s.kind {
            _ if s.is_depthwise() => depthwise::run(&args),
            _ if winograd => winograd::run(&args),
            ConvKind::KernelGrad => kernel_grad::run(&args),
            _ => slide::run(&args),
        }
    }
}

/// Numbers of scratch memory that [`conv_bytes`] needs.
pub fn conv_bytes_scratch_len(s: &ConvShape, threads: usize) -> usize {
    bytes::scratch_len(s, threads)
}

/// The convolution of int8 sides, the forward one only; its numbers are int32, handed out like those of [`conv`].
///
/// # Safety
/// As for [`conv`].
pub unsafe fn conv_bytes(args: ConvArgs<i8>) {
    assert!(args.s.kind == ConvKind::Forward, "there are no gradients of int8 convolutions");
    if args.is_empty() {
        return;
    }
    let need = conv_bytes_scratch_len(args.s, args.pool.threads());
    assert!(args.scratch.len() >= need, "scratch memory is too small");
    // SAFETY: the frame's contract, 2 and 6.
    unsafe { bytes::run(&args) }
}

unsafe fn product(args: ConvArgs) {
    let ConvArgs { isa, pairs, pool, s, a, b, out, epilogue, scratch } = args;
    let [m, n, k] = s.product_sizes();
    let rows = |ptr, ld: usize| MatView { ptr, rs: ld as isize, cs: 1, batch: Steps::NONE };
    let columns = |ptr, ld: usize| MatView { ptr, rs: 1, cs: ld as isize, batch: Steps::NONE };
    let (a, b) = match s.kind {
        ConvKind::Forward => (rows(a, k), rows(b, n)),
        ConvKind::InputGrad => (rows(a, k), columns(b, k)),
        ConvKind::KernelGrad => (columns(a, m), rows(b, n)),
    };
    let c = out.map(|out| (out, n, Steps::NONE));
    // SAFETY: the frame's contract, 2 and 6; nobody else uses the scratch memory.
    unsafe {
        let scratch = &mut *scratch;
        gemm(GemmArgs { isa, pairs, pool, batch: 1, m, n, k, a, b, c, epilogue, scratch })
    }
}
