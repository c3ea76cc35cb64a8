//! Nadam.

use super::adam::{Moments, moment_slots};
use super::{Moment, Optimizer, Slot};
use crate::layer::Variable;
use rhyton_graph::Expr;

crate::optimizer! {
    /// Adam with Nesterov momentum (Dozat 2016). The momentum follows `u(t) = beta_1 * (1 - 0.96^t / 2)`, whose
    /// product over all steps is kept once for all weights.
    pub struct Nadam("nadam", 0.001) {
        /// Decay of the first moment.
        beta_1: f64 = 0.9,
        /// Decay of the second moment.
        beta_2: f64 = 0.999,
        /// Added to the root of the second moment.
        epsilon: f64 = 1e-7,
    }
}

impl Nadam {
    fn momentum(&self, step: &Expr) -> Expr {
        self.beta_1 as f32 * (1.0 - 0.5 * Expr::scalar(0.96f32).pow(step))
    }
}

impl Optimizer for Nadam {
    fn slots(&self, _: &Variable) -> Vec<Slot> {
        moment_slots()
    }

    fn shared(&self) -> Vec<f32> {
        vec![1.0]
    }

    fn advance(&self, at: &Moment) -> Vec<Expr> {
        at.shared.iter().map(|product| product * self.momentum(&at.step)).collect()
    }

    fn update(&self, at: &Moment, g: &Expr, w: &Expr, slots: &[Expr]) -> (Expr, Vec<Expr>) {
        let ([m, v], [product]) = (slots, &at.shared[..]) else { return (w.clone(), slots.to_vec()) };
        let moments = Moments { beta_1: self.beta_1, beta_2: self.beta_2, epsilon: self.epsilon };
        let (m, v) = moments.moved(g, m, v);
        let (now, next) = (self.momentum(&at.step), self.momentum(&(&at.step + 1.0)));
        let ahead = &m * &next / (1.0 - product * &next) + g * (1.0 - now) / (1.0 - product);
        let root = (&v / at.correction(self.beta_2)).sqrt();
        (w - ahead * &at.learning_rate / (root + self.epsilon as f32), vec![m, v])
    }
}
