//! Gradient descent.

use super::{Moment, Optimizer, Slot, out_of_range};
use crate::layer::Variable;
use rhyton_graph::Expr;
use rhyton_tensor::Result;

crate::optimizer! {
    /// Gradient descent: `w -= rate * g`. With momentum `m = momentum * m - rate * g` and `w += m`, or with
    /// Nesterov's look-ahead `w += momentum * m - rate * g` (Sutskever et al. 2013).
    pub struct SGD("sgd", 0.01) {
        /// The part of the last change that is kept, between 0 and 1.
        momentum: f64 = 0.0,
        /// Looks ahead along the momentum.
        nesterov: bool = false,
    }
}

impl Optimizer for SGD {
    fn slots(&self, _: &Variable) -> Vec<Slot> {
        if self.momentum == 0.0 { vec![] } else { vec![Slot::new("momentum")] }
    }

    fn update(&self, at: &Moment, g: &Expr, w: &Expr, slots: &[Expr]) -> (Expr, Vec<Expr>) {
        let change = g * &at.learning_rate;
        let [m] = slots else { return (w - change, vec![]) };
        let momentum = self.momentum as f32;
        let m = m * momentum - &change;
        let w = if self.nesterov { w + (&m * momentum - change) } else { w + &m };
        (w, vec![m])
    }

    fn check(&self) -> Result<()> {
        if (0.0..=1.0).contains(&self.momentum) {
            return Ok(());
        }
        Err(out_of_range("SGD", "momentum", self.momentum, "a number between 0 and 1"))
    }
}
