//! Transposed convolutions: they undo the change of size of a convolution.

use super::ConvSettings;
use crate::activations::Activation;
use crate::constraints::Constraint;
use crate::initializers::Initializer;
use crate::layers::windows::Windows;
use crate::layers::{Sizes, check, parameter};
use crate::regularizers::Regularizer;
use crate::{Args, Cx, Layer, Object, Outputs, Setting};
use rhyton_graph::Expr;
use rhyton_graph::ops::ConvKind;
use rhyton_tensor::{Dim, Error, Result};

impl ConvSettings<'_, 1> {
    /// Size of the result along `axis` for an input of `n`, and how many positions of the full result lie
    /// before it, by Keras's rules.
    fn transposed_axis(&self, n: &Dim, axis: usize, extra: Option<usize>) -> Result<(Dim, usize)> {
        let (extent, stride) = (self.windows.extent(axis), self.windows.strides[axis]);
        if let Some(extra) = extra.filter(|e| *e >= stride) {
            let what = format!("{} got output_padding {extra} with strides {stride}", self.windows.class);
            return Err(Error::new(what).expected("an output_padding below the strides"));
        }
        let full = (n.clone() - 1usize) * stride;
        match self.padding.to_lowercase().as_str() {
            "valid" => {
                let more = extra.unwrap_or(extent.max(stride) - extent);
                Ok((full + extent + more, 0))
            }
            "same" => {
                let (size, padding) = match extra {
                    None => (n.clone() * stride, (stride + extent) as i64 - 2),
                    Some(e) => (full + extent % 2 + e, (extent + extent % 2 + e) as i64 - 2),
                };
                let left = (padding / 2 + padding % 2).clamp(0, extent as i64 - 1) as usize;
                Ok((size, extent - 1 - left))
            }
            other => Err(Error::new(format!("{} got padding '{other}'", self.windows.class))
                .expected("'valid' or 'same'")),
        }
    }

    /// Every pixel of `x` spreads over a window.
    fn transposed(
        &self,
        cx: &mut Cx<'_>,
        x: &Expr,
        filters: usize,
        output_padding: Option<&[usize]>,
    ) -> Result<Expr> {
        check::positive(self.windows.class, "filters", filters)?;
        let channels = self.channels(x)?;
        let kernel = parameter(cx, "kernel", self.kernel_shape(filters, channels), self.kernels[0]);
        let (mut sizes, mut before) = (vec![], vec![]);
        for axis in 0..self.windows.kernel.len() {
            let extra = output_padding.map(|p| p[axis]);
            let (size, cut) = self.transposed_axis(&x.shape()[axis + 1], axis, extra)?;
            sizes.push(size);
            before.push(Dim::fixed(cut));
        }
        let w = &self.windows;
        let y = x.conv(&kernel, ConvKind::InputGrad, &sizes, w.strides, w.dilation, &before, 1);
        Ok(self.finish(cx, y, filters))
    }
}

macro_rules! transposed {
    ($name:ident, $n:literal, $doc:literal) => {
        convolution! {
            #[doc = $doc]
            /// The result is `strides` times larger than the input.
            pub struct $name<$n> {
                first {
                    /// Number of output channels.
                    filters: usize = 0,
                }
                padding {
                    /// Positions added at the end; chosen by the padding when not set.
                    output_padding: Option<Sizes<$n>> = None,
                }
                dilation_rate {}
                kernels {
                    "the kernel" "[window.., filters, channels]":
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
                let output_padding = self.output_padding.as_deref();
                self.settings().transposed(cx, &args.x(), self.filters, output_padding).into()
            }
        }
    };
}
transposed!(Conv1DTranspose, 1, "Transposed convolution over time.");
transposed!(Conv2DTranspose, 2, "Transposed convolution of images.");
transposed!(Conv3DTranspose, 3, "Transposed convolution of volumes.");
