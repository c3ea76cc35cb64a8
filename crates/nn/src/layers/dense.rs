//! Dense.

use crate::activations::Activation;
use crate::constraints::Constraint;
use crate::initializers::Initializer;
use crate::layers::{check, parameter};
use crate::quantizers::{self, Quantization, QuantizationConfig};
use crate::regularizers::Regularizer;
use crate::{Args, Cx, Layer, Object, Outputs};
use rhyton_graph::Expr;
use rhyton_tensor::Result;
use std::sync::Arc;

crate::layer! {
    /// `activation(x . kernel + bias)` over the last axis of `[batch, .., features]`; the result is
    /// `[batch, .., units]`.
    pub struct Dense {
        /// Width of the result.
        units: usize = 0,
        /// Applied to the result.
        activation: Activation = "linear".into(),
        /// Adds a bias.
        use_bias: bool = true,
        /// How the kernel `[features, units]` starts.
        kernel_initializer: Initializer = "glorot_uniform".into(),
        /// How the bias `[units]` starts.
        bias_initializer: Initializer = "zeros".into(),
        /// Penalty of the kernel.
        kernel_regularizer: Option<Regularizer> = None,
        /// Penalty of the bias.
        bias_regularizer: Option<Regularizer> = None,
        /// Projection of the kernel.
        kernel_constraint: Option<Constraint> = None,
        /// Projection of the bias.
        bias_constraint: Option<Constraint> = None,
        /// Which quantizers the layer uses once it is quantized.
        quantization_config: Option<QuantizationConfig> = None,
    }
}

impl Dense {
    /// `units` outputs.
    #[track_caller]
    pub fn new(units: usize) -> Dense {
        Dense::default().units(units)
    }

    fn output(&self, cx: &mut Cx<'_>, x: &Expr) -> Result<Expr> {
        let class = self.class_name();
        check::positive(class, "units", self.units)?;
        let features = check::features(class, x)?;
        let of_kernel = (&self.kernel_initializer, &self.kernel_regularizer, &self.kernel_constraint);
        let shape = [features, self.units];
        let mut y = if self.base.quantization.is_some() {
            let (row, config) = ([x.rank() - 1], self.quantization_config.as_ref());
            quantizers::product(cx, x, &shape, &row, config, |x, kernel| Ok(x.matmul(kernel)))?
        } else {
            x.float().matmul(&parameter(cx, "kernel", shape, of_kernel))
        };
        if self.use_bias {
            let of_bias = (&self.bias_initializer, &self.bias_regularizer, &self.bias_constraint);
            y = y + parameter(cx, "bias", [self.units], of_bias);
        }
        Ok(self.activation.apply(&y))
    }
}

impl Layer for Dense {
    fn call(&self, cx: &mut Cx<'_>, args: &Args) -> Outputs {
        self.output(cx, &args.x()).into()
    }

    fn supports_masking(&self) -> bool {
        true
    }

    fn quantized(&self, mode: Quantization) -> Option<Arc<dyn Layer>> {
        quantizers::in_mode(self, mode)
    }
}
