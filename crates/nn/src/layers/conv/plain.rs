//! Conv1D, Conv2D, Conv3D.

use super::ConvSettings;
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

impl ConvSettings<'_, 1> {
    /// Windows over the channels of each group.
    fn plain(
        &self,
        cx: &mut Cx<'_>,
        x: &Expr,
        [filters, groups]: [usize; 2],
        quantized: bool,
    ) -> Result<Expr> {
        let class = self.windows.class;
        check::positive(class, "filters", filters)?;
        let channels = self.channels(x)?;
        check_groups(class, groups, channels, filters)?;
        let shape = self.kernel_shape(channels / groups, filters);
        let y = if quantized && quantizers::pays(&shape) {
            let sample: Vec<usize> = (1..x.rank()).collect();
            let apply = |x: &Expr, kernel: &Expr| self.apply(x, kernel, groups);
            quantizers::product(cx, x, &shape, &sample, None, apply)?
        } else {
            self.apply(x, &parameter(cx, "kernel", shape, self.kernels[0]), groups)?
        };
        Ok(self.finish(cx, y, filters))
    }
}

macro_rules! plain {
    ($name:ident, $n:literal, $doc:literal) => {
        convolution! {
            #[doc = $doc]
            ///
            /// `y[o, f] = activation(bias[f] + sum over k, c of x[o * strides + k * dilation_rate - padding,
            /// c] * kernel[k, c, f])`, as in Keras without turning the kernel around.
            pub struct $name<$n> {
                first {
                    /// Number of output channels.
                    filters: usize = 0,
                }
                padding {}
                dilation_rate {
                    /// Channels and filters are split into so many groups that do not see each other.
                    groups: usize = 1,
                }
                kernels {
                    "the kernel" "[window.., channels / groups, filters]":
                        kernel_initializer, kernel_regularizer, kernel_constraint;
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
                let quantized = self.base.quantization.is_some();
                settings.plain(cx, &args.x(), [self.filters, self.groups], quantized).into()
            }
            fn quantized(&self, mode: Quantization) -> Option<Arc<dyn Layer>> {
                quantizers::in_mode(self, mode)
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
