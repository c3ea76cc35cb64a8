//! Convolutions of every channel by itself, alone or followed by a mixture of the channels.

use super::ConvSettings;
use crate::activations::Activation;
use crate::constraints::Constraint;
use crate::initializers::Initializer;
use crate::layers::windows::Windows;
use crate::layers::{Sizes, check, parameter};
use crate::regularizers::Regularizer;
use crate::{Args, Cx, Layer, Object, Outputs, Setting};
use rhyton_graph::Expr;
use rhyton_tensor::Result;

impl<const K: usize> ConvSettings<'_, K> {
    /// Every channel by itself, with `kernel` `[window.., channels, multiplier]`; result channel
    /// `c * multiplier + m` comes from channel `c`.
    fn each_channel(&self, x: &Expr, kernel: &Expr, channels: usize, multiplier: usize) -> Result<Expr> {
        let grouped = kernel.reshape(self.kernel_shape(1, channels * multiplier));
        self.apply(x, &grouped, channels)
    }
}

impl ConvSettings<'_, 1> {
    fn depthwise(&self, cx: &mut Cx<'_>, x: &Expr, multiplier: usize) -> Result<Expr> {
        check::positive(self.windows.class, "depth_multiplier", multiplier)?;
        let channels = self.channels(x)?;
        let kernel = parameter(cx, "kernel", self.kernel_shape(channels, multiplier), self.kernels[0]);
        let y = self.each_channel(x, &kernel, channels, multiplier)?;
        Ok(self.finish(cx, y, channels * multiplier))
    }
}

impl ConvSettings<'_, 2> {
    fn separable(&self, cx: &mut Cx<'_>, x: &Expr, filters: usize, multiplier: usize) -> Result<Expr> {
        check::positive(self.windows.class, "filters", filters)?;
        check::positive(self.windows.class, "depth_multiplier", multiplier)?;
        let channels = self.channels(x)?;
        let [of_depthwise, of_pointwise] = self.kernels;
        let depthwise =
            parameter(cx, "depthwise_kernel", self.kernel_shape(channels, multiplier), of_depthwise);
        let mut shape = vec![1; self.windows.kernel.len()];
        shape.extend([channels * multiplier, filters]);
        let pointwise =
            parameter(cx, "pointwise_kernel", shape, of_pointwise).reshape([channels * multiplier, filters]);
        let y = self.each_channel(x, &depthwise, channels, multiplier)?.matmul(&pointwise);
        Ok(self.finish(cx, y, filters))
    }
}

macro_rules! depthwise {
    ($name:ident, $n:literal, $doc:literal) => {
        convolution! {
            #[doc = $doc]
            pub struct $name<$n> {
                first {
                    /// Results per input channel.
                    depth_multiplier: usize = 1,
                }
                padding {}
                dilation_rate {}
                kernels {
                    "the kernel" "[window.., channels, depth_multiplier]":
                        depthwise_initializer, depthwise_regularizer, depthwise_constraint;
                }
            }
        }

        impl $name {
            /// Windows of `kernel_size` over every channel.
            #[track_caller]
            pub fn new(kernel_size: impl Setting<Sizes<$n>>) -> $name {
                $name::default().kernel_size(kernel_size)
            }
        }

        impl Layer for $name {
            fn call(&self, cx: &mut Cx<'_>, args: &Args) -> Outputs {
                self.settings().depthwise(cx, &args.x(), self.depth_multiplier).into()
            }
        }
    };
}
depthwise!(DepthwiseConv1D, 1, "Convolution over time of every channel by itself.");
depthwise!(DepthwiseConv2D, 2, "Convolution of images of every channel by itself.");

macro_rules! separable {
    ($name:ident, $n:literal, $doc:literal) => {
        convolution! {
            #[doc = $doc]
            pub struct $name<$n> {
                first {
                    /// Results per input channel of the first half.
                    depth_multiplier: usize = 1,
                    /// Number of output channels.
                    filters: usize = 0,
                }
                padding {}
                dilation_rate {}
                kernels {
                    "the first kernel" "[window.., channels, depth_multiplier]":
                        depthwise_initializer, depthwise_regularizer, depthwise_constraint;
                    "the second kernel" "[1.., channels * depth_multiplier, filters]":
                        pointwise_initializer, pointwise_regularizer, pointwise_constraint;
                }
            }
        }

        impl $name {
            /// `filters` output channels from windows of `kernel_size`.
            #[track_caller]
            pub fn new(filters: usize, kernel_size: impl Setting<Sizes<$n>>) -> $name {
                $name::default().filters(filters).kernel_size(kernel_size)
            }
        }

        impl Layer for $name {
            fn call(&self, cx: &mut Cx<'_>, args: &Args) -> Outputs {
                let settings = ConvSettings { causal: $n == 1, ..self.settings() };
                settings.separable(cx, &args.x(), self.filters, self.depth_multiplier).into()
            }
        }
    };
}
separable!(
    SeparableConv1D,
    1,
    "Convolution over time of every channel by itself, then a mixture of the channels."
);
separable!(
    SeparableConv2D,
    2,
    "Convolution of images of every channel by itself, then a mixture of the channels."
);
