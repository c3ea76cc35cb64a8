//! Convolutions over channels-last inputs with one, two or three spatial axes.

#[macro_use]
mod declare;
mod depthwise;
mod plain;
mod transposed;

pub use depthwise::{DepthwiseConv1D, DepthwiseConv2D, SeparableConv1D, SeparableConv2D};
pub use plain::{Conv1D, Conv2D, Conv3D};
pub use transposed::{Conv1DTranspose, Conv2DTranspose, Conv3DTranspose};

use crate::Cx;
use crate::activations::Activation;
use crate::layers::windows::Windows;
use crate::layers::{Tuning, check, parameter};
use rhyton_graph::Expr;
use rhyton_graph::ops::ConvKind;
use rhyton_tensor::Result;

/// The settings that convolutional layers with `K` kernels share.
struct ConvSettings<'a, const K: usize> {
    windows: Windows<'a>,
    padding: &'a str,
    /// Whether the layer knows causal padding.
    causal: bool,
    data_format: &'a str,
    activation: &'a Activation,
    kernels: [Tuning<'a>; K],
    use_bias: bool,
    bias: Tuning<'a>,
}

impl<const K: usize> ConvSettings<'_, K> {
    /// The number of input channels, after checking rank, order and window.
    fn channels(&self, x: &Expr) -> Result<usize> {
        let class = self.windows.class;
        check::channels_last(class, self.data_format)?;
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

    /// The layer's result from that of its `channels` filters.
    fn finish(&self, cx: &mut Cx<'_>, mut y: Expr, channels: usize) -> Expr {
        if self.use_bias {
            y = y + parameter(cx, "bias", [channels], self.bias);
        }
        self.activation.apply(&y)
    }

    /// The shape of a kernel: window, then `inner` and `outer`.
    fn kernel_shape(&self, inner: usize, outer: usize) -> Vec<usize> {
        self.windows.kernel.iter().copied().chain([inner, outer]).collect()
    }
}
