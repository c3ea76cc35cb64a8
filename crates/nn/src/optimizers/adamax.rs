//! Adamax.

use super::{Moment, Optimizer, Slot, moved};
use crate::layer::Variable;
use rhyton_graph::Expr;

crate::optimizer! {
    /// Adam with the infinity norm (Kingma and Ba 2014): `u = max(beta_2 * u, |g|)` and
    /// `w -= rate / (1 - beta_1^t) * m / (u + epsilon)`.
    pub struct Adamax("adamax", 0.001) {
        /// Decay of the first moment.
        beta_1: f64 = 0.9,
        /// Decay of the norm.
        beta_2: f64 = 0.999,
        /// Keeps the divisor from 0.
        epsilon: f64 = 1e-7,
    }
}

impl Optimizer for Adamax {
    fn slots(&self, _: &Variable) -> Vec<Slot> {
        vec![Slot::new("momentum"), Slot::new("norm")]
    }

    fn update(&self, at: &Moment, g: &Expr, w: &Expr, slots: &[Expr]) -> (Expr, Vec<Expr>) {
        let [m, u] = slots else { return (w.clone(), slots.to_vec()) };
        let m = moved(m, g, self.beta_1);
        let u = (u * self.beta_2 as f32).maximum(&g.abs());
        let rate = &at.learning_rate / at.correction(self.beta_1);
        (w - &m * rate / (&u + self.epsilon as f32), vec![m, u])
    }
}
