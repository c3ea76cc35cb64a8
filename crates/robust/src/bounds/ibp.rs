//! Interval bound propagation.

use super::crown::interval;
use super::{Ball, Bound, Interval};
use rhyton_graph::Expr;
use rhyton_tensor::Result;

rhyton_nn::object! {
    /// Interval arithmetic from the inputs to the output (Gowal et al. 2019): fast, and tight only for networks that
    /// were trained for it.
    pub struct Ibp {}
}

impl Bound for Ibp {
    fn least(&self, ball: &Ball, output: &Expr, factors: &Expr) -> Result<Expr> {
        let Interval(low, high) = interval(ball, output)?;
        let none = factors.zeros_like();
        let sums =
            factors.maximum(&none) * low.expand_dims(&[0]) + factors.minimum(&none) * high.expand_dims(&[0]);
        Ok(sums.sum(&[2]).transpose(&[1, 0]))
    }
}
