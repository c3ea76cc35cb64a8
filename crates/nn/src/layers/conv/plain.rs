//! Conv1D, Conv2D, Conv3D.

use super::Convolution;
use crate::activations::Activation;
use crate::constraints::Constraint;
use crate::initializers::Initializer;
use crate::layers::windows::Windows;
use crate::layers::{Sizes, check, parameter};
use crate::quantizers::{self, Quantization};
use crate::regularizers::Regularizer;
use crate::{Args, Cx, Layer, Object, Outputs, Setting};
use rhyton_graph::Expr;
use rhyton_tensor::{Error, Result};
use serde_json::Value as Json;
use std::sync::Arc;

/// That channels and filters can be split into groups.
fn check_groups(class: &str, groups: usize, channels: usize, filters: usize) -> Result<()> {
    check::positive(class, "groups", groups)?;
    for (what, n) in [("channels of its input", channels), ("filters", filters)] {
        if n % groups != 0 {
            return Err(Error::new(format!("{class} cannot split the {n} {what} into {groups} groups"))
                .expected("groups that divide the input's channels and the filters"));
        }
    }
    Ok(())
}

macro_rules! convolution {
    ($name:ident, $n:literal, $doc:literal) => {
        crate::layer! {
            #[doc = $doc]
            ///
            /// `y[o, f] = activation(bias[f] + sum over k, c of x[o * strides + k * dilation_rate - padding,
            /// c] * kernel[k, c, f])`, as in Keras without turning the kernel around.
            pub struct $name {
                /// Number of output channels.
                filters: usize = 0,
                /// Sizes of the window.
                kernel_size: Sizes<$n> = 1usize.into(),
                /// Steps between windows.
                strides: Sizes<$n> = 1usize.into(),
                /// `valid` stays inside the input, `same` keeps its size at stride 1; Conv1D knows `causal`
                /// too.
                padding: String = "valid".into(),
                /// `channels_last`.
                data_format: String = "channels_last".into(),
                /// Distances between the entries of the window.
                dilation_rate: Sizes<$n> = 1usize.into(),
                /// Channels and filters are split into so many groups that do not see each other.
                groups: usize = 1,
                /// Applied to the result.
                activation: Activation = "linear".into(),
                /// Adds a bias.
                use_bias: bool = true,
                /// How the kernel `[window.., channels / groups, filters]` starts.
                kernel_initializer: Initializer = "glorot_uniform".into(),
                /// How the bias `[filters]` starts.
                bias_initializer: Initializer = "zeros".into(),
                /// Penalty of the kernel.
                kernel_regularizer: Option<Regularizer> = None,
                /// Penalty of the bias.
                bias_regularizer: Option<Regularizer> = None,
                /// Projection of the kernel.
                kernel_constraint: Option<Constraint> = None,
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
                check::positive(class, "filters", self.filters)?;
                let channels = conv.channels(x, &self.data_format)?;
                check_groups(class, self.groups, channels, self.filters)?;
                let shape = conv.kernel_shape(channels / self.groups, self.filters);
                let of_kernel = (&self.kernel_initializer, &self.kernel_regularizer, &self.kernel_constraint);
                let mut y = if self.base.quantization.is_some() && quantizers::pays(&shape) {
                    let sample: Vec<usize> = (1..x.rank()).collect();
                    let apply = |x: &Expr, kernel: &Expr| conv.apply(x, kernel, self.groups);
                    quantizers::product(cx, x, &shape, &sample, &Json::Null, apply)?
                } else {
                    conv.apply(x, &parameter(cx, "kernel", shape, of_kernel), self.groups)?
                };
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
            fn quantized(&self, mode: Quantization) -> Option<Arc<dyn Layer>> {
                quantizers::in_mode(self, mode)
            }
        }
    };
}
convolution!(
    Conv1D,
    1,
    "Convolution over time: `[batch, steps, channels]` to `[batch, new_steps, filters]`."
);
convolution!(
    Conv2D,
    2,
    "Convolution of images: `[batch, height, width, channels]` to `[batch, .., filters]`."
);
convolution!(
    Conv3D,
    3,
    "Convolution of volumes: `[batch, depth, height, width, channels]` to `[batch, .., filters]`."
);
