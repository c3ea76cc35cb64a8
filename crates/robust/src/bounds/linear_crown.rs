//! CROWN.

use super::crown::Crown as Walk;
use super::{Ball, Bound};
use rhyton_graph::Expr;
use rhyton_graph::function::for_each;
use rhyton_tensor::Result;

rhyton_nn::object! {
    /// Linear bounds of the output by the input, with straight lines below and above every curve (Zhang et al. 2018).
    /// The lines are laid between bounds of values on the way, which are linear bounds too unless `fast`.
    pub struct Crown {
        /// Whether intervals are to do for values on the way (CROWN-IBP, Zhang et al. 2020).
        fast: bool = false,
    }
}

impl Bound for Crown {
    fn least(&self, ball: &Ball, output: &Expr, factors: &Expr) -> Result<Expr> {
        let walk = Walk::new(ball, self.fast);
        let z = walk.linear(output)?;
        let least = for_each("crown", std::slice::from_ref(factors), |c| vec![walk.least(&z, &c[0])]);
        Ok(least[0].transpose(&[1, 0]))
    }
}
