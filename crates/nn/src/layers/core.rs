//! Dense.

use crate::initializers::Initializer;
use crate::{Args, Cx, Layer, Outputs};

crate::layer! {
    /// `x . kernel + bias` over the last axis of `[batch, .., in]`; the result is `[batch, .., units]`.
    pub struct Dense {
        /// Width of the result.
        units: usize = 0,
        /// Adds a bias.
        use_bias: bool = true,
        /// How the kernel starts.
        kernel_initializer: Initializer = "zeros".into(),
    }
}

impl Dense {
    /// `units` outputs.
    #[track_caller]
    pub fn new(units: usize) -> Dense {
        Dense::default().units(units)
    }
}

impl Layer for Dense {
    fn call(&self, cx: &mut Cx<'_>, args: &Args) -> Outputs {
        let x = args.x();
        let width = x.shape().last().cloned().unwrap_or_default();
        let kernel = cx.weight("kernel", vec![width, self.units.into()], &self.kernel_initializer);
        x.matmul(&kernel).into()
    }
}
