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

macro_rules! plain {
    ($name:ident, $n:literal, $doc:literal) => {
        convolution! {
            #[doc = $doc]
            ///
            /// `y[o, f] = activation(bias[f] + sum over k, c of x[o * strides + k * dilation_rate - padding,
            /// c] * kernel[k, c, f])`, as in Keras without turning the kernel around.
            $name, $n, causal: $n == 1,
            {
                /// Number of output channels.
                filters: usize = 0,
            }
            {}
            {
                /// Channels and filters are split into so many groups that do not see each other.
                groups: usize = 1,
            }
            {
                "the kernel" "[window.., channels / groups, filters]":
                    kernel_initializer, kernel_regularizer, kernel_constraint;
            }
            {
                fn quantized(&self, mode: Quantization) -> Option<Arc<dyn Layer>> {
                    quantizers::in_mode(self, mode)
                }
            }
        }

        impl $name {
            /// `filters` output channels from windows of `kernel_size`.
            #[track_caller]
            pub fn new(filters: usize, kernel_size: impl Setting<Sizes<$n>>) -> $name {
                $name::default().filters(filters).kernel_size(kernel_size)
            }

            fn convolve(&self, cx: &mut Cx<'_>, x: &Expr, conv: &Convolution) -> Result<(Expr, usize)> {
                let class = self.class_name();
                check::positive(class, "filters", self.filters)?;
                let channels = conv.channels(x, &self.data_format)?;
                check_groups(class, self.groups, channels, self.filters)?;
                let shape = conv.kernel_shape(channels / self.groups, self.filters);
                let of_kernel = (&self.kernel_initializer, &self.kernel_regularizer, &self.kernel_constraint);
                let y = if self.base.quantization.is_some() && quantizers::pays(&shape) {
                    let sample: Vec<usize> = (1..x.rank()).collect();
                    let apply = |x: &Expr, kernel: &Expr| conv.apply(x, kernel, self.groups);
                    quantizers::product(cx, x, &shape, &sample, &Json::Null, apply)?
                } else {
                    conv.apply(x, &parameter(cx, "kernel", shape, of_kernel), self.groups)?
                };
                Ok((y, self.filters))
            }
        }
    };
}
plain!(Conv1D, 1, "Convolution over time: `[batch, steps, channels]` to `[batch, new_steps, filters]`.");
plain!(Conv2D, 2, "Convolution of images: `[batch, height, width, channels]` to `[batch, .., filters]`.");
plain!(
    Conv3D,
    3,
    "Convolution of volumes: `[batch, depth, height, width, channels]` to `[batch, .., filters]`."
);
