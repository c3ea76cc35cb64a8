//! Lion.

use super::{Moment, Optimizer, Slot};
use crate::layer::Variable;
use rhyton_graph::Expr;

crate::optimizer! {
    /// `w -= rate * sign(beta_1 * m + (1 - beta_1) * g)`, then `m = beta_2 * m + (1 - beta_2) * g`
    /// (Chen et al. 2023).
    pub struct Lion("lion", 0.001) {
        /// How much of the momentum the step sees.
        beta_1: f64 = 0.9,
        /// Decay of the momentum.
        beta_2: f64 = 0.99,
    }
}

impl Optimizer for Lion {
    fn slots(&self, _: &Variable) -> Vec<Slot> {
        vec![Slot::new("momentum")]
    }

    fn update(&self, at: &Moment, g: &Expr, w: &Expr, slots: &[Expr]) -> (Expr, Vec<Expr>) {
        let [m] = slots else { return (w.clone(), slots.to_vec()) };
        let mixed = |beta: f64| m * beta as f32 + g * (1.0 - beta) as f32;
        (w - mixed(self.beta_1).sign() * &at.learning_rate, vec![mixed(self.beta_2)])
    }
}
