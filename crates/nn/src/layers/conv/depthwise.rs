//! Convolutions of every channel by itself, alone or followed by a mixture of the channels.

use super::Convolution;
use crate::activations::Activation;
use crate::constraints::Constraint;
use crate::initializers::Initializer;
use crate::layers::windows::Windows;
use crate::layers::{Sizes, check, parameter};
use crate::regularizers::Regularizer;
use crate::{Args, Cx, Layer, Object, Outputs, Setting};
use rhyton_graph::Expr;
use rhyton_tensor::Result;

impl Convolution<'_> {
    /// Every channel by itself, with `kernel` `[window.., channels, multiplier]`; result channel
    /// `c * multiplier + m` comes from channel `c`.
    fn each_channel(&self, x: &Expr, kernel: &Expr, channels: usize, multiplier: usize) -> Result<Expr> {
        let grouped = kernel.reshape(self.kernel_shape(1, channels * multiplier));
        self.apply(x, &grouped, channels)
    }
}

macro_rules! depthwise {
    ($name:ident, $n:literal, $doc:literal) => {
        convolution! {
            #[doc = $doc]
            $name, $n, causal: false,
            {
                /// Results per input channel.
                depth_multiplier: usize = 1,
            }
            {}
            {}
            {
                "the kernel" "[window.., channels, depth_multiplier]":
                    depthwise_initializer, depthwise_regularizer, depthwise_constraint;
            }
            {}
        }

        impl $name {
            /// Windows of `kernel_size` over every channel.
            #[track_caller]
            pub fn new(kernel_size: impl Setting<Sizes<$n>>) -> $name {
                $name::default().kernel_size(kernel_size)
            }

            fn convolve(&self, cx: &mut Cx<'_>, x: &Expr, conv: &Convolution) -> Result<(Expr, usize)> {
                let multiplier = self.depth_multiplier;
                check::positive(self.class_name(), "depth_multiplier", multiplier)?;
                let channels = conv.channels(x, &self.data_format)?;
                let of_kernel =
                    (&self.depthwise_initializer, &self.depthwise_regularizer, &self.depthwise_constraint);
                let kernel = parameter(cx, "kernel", conv.kernel_shape(channels, multiplier), of_kernel);
                Ok((conv.each_channel(x, &kernel, channels, multiplier)?, channels * multiplier))
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
            $name, $n, causal: $n == 1,
            {
                /// Results per input channel of the first half.
                depth_multiplier: usize = 1,
                /// Number of output channels.
                filters: usize = 0,
            }
            {}
            {}
            {
                "the first kernel" "[window.., channels, depth_multiplier]":
                    depthwise_initializer, depthwise_regularizer, depthwise_constraint;
                "the second kernel" "[1.., channels * depth_multiplier, filters]":
                    pointwise_initializer, pointwise_regularizer, pointwise_constraint;
            }
            {}
        }

        impl $name {
            /// `filters` output channels from windows of `kernel_size`.
            #[track_caller]
            pub fn new(filters: usize, kernel_size: impl Setting<Sizes<$n>>) -> $name {
                $name::default().filters(filters).kernel_size(kernel_size)
            }

            fn convolve(&self, cx: &mut Cx<'_>, x: &Expr, conv: &Convolution) -> Result<(Expr, usize)> {
                let (class, multiplier) = (self.class_name(), self.depth_multiplier);
                check::positive(class, "filters", self.filters)?;
                check::positive(class, "depth_multiplier", multiplier)?;
                let channels = conv.channels(x, &self.data_format)?;
                let of_depthwise =
                    (&self.depthwise_initializer, &self.depthwise_regularizer, &self.depthwise_constraint);
                let depthwise =
                    parameter(cx, "depthwise_kernel", conv.kernel_shape(channels, multiplier), of_depthwise);
                let of_pointwise =
                    (&self.pointwise_initializer, &self.pointwise_regularizer, &self.pointwise_constraint);
                let mut shape = vec![1; $n];
                shape.extend([channels * multiplier, self.filters]);
                let pointwise = parameter(cx, "pointwise_kernel", shape, of_pointwise)
                    .reshape([channels * multiplier, self.filters]);
                let y = conv.each_channel(x, &depthwise, channels, multiplier)?.matmul(&pointwise);
                Ok((y, self.filters))
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
