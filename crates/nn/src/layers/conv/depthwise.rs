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
        crate::layer! {
            #[doc = $doc]
            pub struct $name {
                /// Results per input channel.
                depth_multiplier: usize = 1,
                /// Sizes of the window.
                kernel_size: Sizes<$n> = 1usize.into(),
                /// Steps between windows.
                strides: Sizes<$n> = 1usize.into(),
                /// `valid` or `same`.
                padding: String = "valid".into(),
                /// `channels_last`.
                data_format: String = "channels_last".into(),
                /// Distances between the entries of the window.
                dilation_rate: Sizes<$n> = 1usize.into(),
                /// Applied to the result.
                activation: Activation = "linear".into(),
                /// Adds a bias.
                use_bias: bool = true,
                /// How the kernel `[window.., channels, depth_multiplier]` starts.
                depthwise_initializer: Initializer = "glorot_uniform".into(),
                /// How the bias starts.
                bias_initializer: Initializer = "zeros".into(),
                /// Penalty of the kernel.
                depthwise_regularizer: Option<Regularizer> = None,
                /// Penalty of the bias.
                bias_regularizer: Option<Regularizer> = None,
                /// Projection of the kernel.
                depthwise_constraint: Option<Constraint> = None,
                /// Projection of the bias.
                bias_constraint: Option<Constraint> = None,
            }
        }

        impl $name {
            /// Windows of `kernel_size` over every channel.
            #[track_caller]
            pub fn new(kernel_size: impl Setting<Sizes<$n>>) -> $name {
                $name::default().kernel_size(kernel_size)
            }

            fn output(&self, cx: &mut Cx<'_>, x: &Expr) -> Result<Expr> {
                let class = self.class_name();
                let (kernel, strides, dilation) =
                    (&self.kernel_size[..], &self.strides[..], &self.dilation_rate[..]);
                let windows = Windows { class, kernel, strides, dilation };
                let conv = Convolution { windows, padding: &self.padding, causal: false };
                let multiplier = self.depth_multiplier;
                check::positive(class, "depth_multiplier", multiplier)?;
                let channels = conv.channels(x, &self.data_format)?;
                let of_kernel =
                    (&self.depthwise_initializer, &self.depthwise_regularizer, &self.depthwise_constraint);
                let kernel = parameter(cx, "kernel", conv.kernel_shape(channels, multiplier), of_kernel);
                let mut y = conv.each_channel(x, &kernel, channels, multiplier)?;
                if self.use_bias {
                    let of_bias = (&self.bias_initializer, &self.bias_regularizer, &self.bias_constraint);
                    y = y + parameter(cx, "bias", [channels * multiplier], of_bias);
                }
                Ok(self.activation.apply(&y))
            }
        }

        impl Layer for $name {
            fn call(&self, cx: &mut Cx<'_>, args: &Args) -> Outputs {
                self.output(cx, &args.x()).into()
            }
            fn activity_regularizer_follows(&self) -> Option<&'static str> {
                Some("bias_regularizer")
            }
        }
    };
}
depthwise!(DepthwiseConv1D, 1, "Convolution over time of every channel by itself.");
depthwise!(DepthwiseConv2D, 2, "Convolution of images of every channel by itself.");

macro_rules! separable {
    ($name:ident, $n:literal, $doc:literal) => {
        crate::layer! {
            #[doc = $doc]
            pub struct $name {
                /// Results per input channel of the first half.
                depth_multiplier: usize = 1,
                /// Number of output channels.
                filters: usize = 0,
                /// Sizes of the window.
                kernel_size: Sizes<$n> = 1usize.into(),
                /// Steps between windows.
                strides: Sizes<$n> = 1usize.into(),
                /// `valid` or `same`; SeparableConv1D knows `causal` too.
                padding: String = "valid".into(),
                /// `channels_last`.
                data_format: String = "channels_last".into(),
                /// Distances between the entries of the window.
                dilation_rate: Sizes<$n> = 1usize.into(),
                /// Applied to the result.
                activation: Activation = "linear".into(),
                /// Adds a bias.
                use_bias: bool = true,
                /// How the kernel `[window.., channels, depth_multiplier]` starts.
                depthwise_initializer: Initializer = "glorot_uniform".into(),
                /// How the kernel `[1.., channels * depth_multiplier, filters]` starts.
                pointwise_initializer: Initializer = "glorot_uniform".into(),
                /// How the bias starts.
                bias_initializer: Initializer = "zeros".into(),
                /// Penalty of the first kernel.
                depthwise_regularizer: Option<Regularizer> = None,
                /// Penalty of the second kernel.
                pointwise_regularizer: Option<Regularizer> = None,
                /// Penalty of the bias.
                bias_regularizer: Option<Regularizer> = None,
                /// Projection of the first kernel.
                depthwise_constraint: Option<Constraint> = None,
                /// Projection of the second kernel.
                pointwise_constraint: Option<Constraint> = None,
                /// Projection of the bias.
                bias_constraint: Option<Constraint> = None,
            }
        }

        impl $name {
            /// `filters` output channels from windows of `kernel_size`.
            #[track_caller]
            pub fn new(filters: usize, kernel_size: impl Setting<Sizes<$n>>) -> $name {
                $name::default().filters(filters).kernel_size(kernel_size)
            }

            fn output(&self, cx: &mut Cx<'_>, x: &Expr) -> Result<Expr> {
                let class = self.class_name();
                let (kernel, strides, dilation) =
                    (&self.kernel_size[..], &self.strides[..], &self.dilation_rate[..]);
                let windows = Windows { class, kernel, strides, dilation };
                let conv = Convolution { windows, padding: &self.padding, causal: $n == 1 };
                let multiplier = self.depth_multiplier;
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
                let mut y = conv.each_channel(x, &depthwise, channels, multiplier)?.matmul(&pointwise);
                if self.use_bias {
                    let of_bias = (&self.bias_initializer, &self.bias_regularizer, &self.bias_constraint);
                    y = y + parameter(cx, "bias", [self.filters], of_bias);
                }
                Ok(self.activation.apply(&y))
            }
        }

        impl Layer for $name {
            fn call(&self, cx: &mut Cx<'_>, args: &Args) -> Outputs {
                self.output(cx, &args.x()).into()
            }
            fn activity_regularizer_follows(&self) -> Option<&'static str> {
                Some("bias_regularizer")
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
