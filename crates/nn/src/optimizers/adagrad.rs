//! Adagrad and Adadelta.

use super::{Moment, Optimizer, Slot, Start};
use crate::layer::Variable;
use rhyton_graph::Expr;

crate::optimizer! {
    /// `a += g^2` and `w -= rate * g / sqrt(a + epsilon)` (Duchi et al. 2011).
    pub struct Adagrad("adagrad", 0.001) {
        /// Where the sums of squares start.
        initial_accumulator_value: f64 = 0.1,
        /// Keeps the root from 0.
        epsilon: f64 = 1e-7,
    }
}

impl Optimizer for Adagrad {
    fn slots(&self, _: &Variable) -> Vec<Slot> {
        let start = Start::Value(self.initial_accumulator_value as f32);
        vec![Slot { start, ..Slot::new("accumulator") }]
    }

    fn update(&self, at: &Moment, g: &Expr, w: &Expr, slots: &[Expr]) -> (Expr, Vec<Expr>) {
        let [a] = slots else { return (w.clone(), slots.to_vec()) };
        let a = a + g * g;
        (w - g * &at.learning_rate / (&a + self.epsilon as f32).sqrt(), vec![a])
    }
}

crate::optimizer! {
    /// Running means of squared gradients `a` and squared changes `d` (Zeiler 2012):
    /// `change = -sqrt(d + epsilon) / sqrt(a + epsilon) * g` and `w += rate * change`.
    pub struct Adadelta("adadelta", 0.001) {
        /// Decay of the running means.
        rho: f64 = 0.95,
        /// Keeps the roots from 0.
        epsilon: f64 = 1e-7,
    }
}

impl Optimizer for Adadelta {
    fn slots(&self, _: &Variable) -> Vec<Slot> {
        vec![Slot::new("accumulated_grad"), Slot::new("accumulated_delta_var")]
    }

    fn update(&self, at: &Moment, g: &Expr, w: &Expr, slots: &[Expr]) -> (Expr, Vec<Expr>) {
        let [a, d] = slots else { return (w.clone(), slots.to_vec()) };
        let (rho, rest, epsilon) = (self.rho as f32, (1.0 - self.rho) as f32, self.epsilon as f32);
        let a = a * rho + g * g * rest;
        let change = -((d + epsilon).sqrt() * g / (&a + epsilon).sqrt());
        let d = d * rho + &change * &change * rest;
        (w + change * &at.learning_rate, vec![a, d])
    }
}
