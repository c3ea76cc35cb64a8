//! Convolutions over channels-last inputs with one, two or three spatial axes.

#[macro_use]
mod declare;
mod depthwise;
mod plain;
mod transposed;

pub use depthwise::{DepthwiseConv1D, DepthwiseConv2D, SeparableConv1D, SeparableConv2D};
pub use plain::{Conv1D, Conv2D, Conv3D};
pub use transposed::{Conv1DTranspose, Conv2DTranspose, Conv3DTranspose};

use crate::layers::check;
use crate::layers::windows::Windows;
use rhyton_graph::Expr;
use rhyton_graph::ops::ConvKind;
use rhyton_tensor::Result;

/// What convolutions share: windows over an input in channels-last order.
struct Convolution<'a> {
    windows: Windows<'a>,
    padding: &'a str,
    /// Whether the layer knows causal padding.
    causal: bool,
}

impl Convolution<'_> {
    /// The number of input channels, after checking rank, order and window.
    fn channels(&self, x: &Expr, data_format: &str) -> Result<usize> {
        let class = self.windows.class;
        check::channels_last(class, data_format)?;
        check::spatial(class, x, self.windows.kernel.len())?;
        self.windows.check()?;
        check::features(class, x)
    }

    /// The convolution of `x` with `kernel` `[window.., channels / groups, filters]`.
    fn apply(&self, x: &Expr, kernel: &Expr, groups: usize) -> Result<Expr> {
        let w = &self.windows;
        let placed = w.place(&x.shape()[1..x.rank() - 1], self.padding, self.causal)?;
        let kind = ConvKind::Forward;
        Ok(x.conv(kernel, kind, &placed.sizes, w.strides, w.dilation, &placed.before, groups))
    }

    /// The shape of a kernel: window, then `inner` and `outer`.
    fn kernel_shape(&self, inner: usize, outer: usize) -> Vec<usize> {
        self.windows.kernel.iter().copied().chain([inner, outer]).collect()
    }
}
