//! Convolutions by 3 x 3 windows after Winograd: squares of 4 x 4 results, and the 6 x 6 pixels that they read, are
//! polynomials in two variables, multiplied at 6 x 6 points. That takes 36 products a channel where the definition
//! takes 144. Over all channels and squares they are 36 matrix products, between transforms that are sums of a few
//! vectors along the channels.
//!
//! The sides may be bfloat16: the maps then work in float32 and round what they make to bfloat16, of which products
//! take pairs. Over random numbers the root of the mean squared error is 0.9% of that of the results, and 1.1% for
//! gradients of the kernel, where rounding the sides, which happened before, has cost 0.23%. Squares of 2 x 2 would
//! have 0.3%, but twice the products and numbers to move.
//!
//! The gradient of the kernel is the transpose of the same three maps. Infinities and NaN spread to the whole
//! square.

mod kernel_grad;
mod lines;
mod number;
mod slide;
mod tiles;
mod transforms;

use super::{ConvArgs, ConvShape};
use number::Number;
use rhyton_graph::ops::ConvKind;
use tiles::Tiles;

/// Fewest channels of either side, and fewest squares, for which the transforms pay.
const CHANNELS: usize = 16;
const SQUARES: usize = 48;

/// Whether this way is the faster one.
pub(super) fn fits(s: &ConvShape) -> bool {
    let flat = s.k == [1, 3, 3] && s.stride == [1; 3] && s.dilation == [1; 3] && s.groups == 1;
    if !flat || s.pad_lo[0] != 0 || s.x[0] != s.y[0] || s.c_in.min(s.c_out) < CHANNELS {
        return false;
    }
    let tiles = Tiles::new(s);
    let results = tiles.images * tiles.out[0] * tiles.out[1];
    // Squares that stick out of the image are lost.
    tiles.count() >= SQUARES && results >= 9 * tiles.count()
}

/// `pairs`: the sides are bfloat16.
pub(super) fn scratch_len(pairs: bool, s: &ConvShape, threads: usize) -> usize {
    match s.kind {
        ConvKind::KernelGrad => kernel_grad::scratch_len(pairs, s, threads),
        _ => slide::scratch_len(pairs, s, threads),
    }
}

/// # Safety
/// As for [`super::conv`].
pub(super) unsafe fn run<T: Number>(args: &ConvArgs<T>) {
    // SAFETY: the frame's contract, 2 and 6.
    unsafe {
        match args.s.kind {
            ConvKind::KernelGrad => kernel_grad::run(args),
            _ => slide::run(args),
        }
    }
}
