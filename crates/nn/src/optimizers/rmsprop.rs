//! RMSprop.

use super::{Moment, Optimizer, Slot};
use crate::layer::Variable;
use rhyton_graph::Expr;

crate::optimizer! {
    /// `v = rho * v + (1 - rho) * g^2` and `w -= rate * g / sqrt(v + epsilon)` (Tieleman and Hinton 2012), with
    /// the running mean of `g` subtracted where `centered`, and with momentum.
    pub struct RMSprop("rm_sprop", 0.001) {
        /// Decay of the running means.
        rho: f64 = 0.9,
        /// The part of the last change that is kept.
        momentum: f64 = 0.0,
        /// Keeps the root from 0.
        epsilon: f64 = 1e-7,
        /// Divides by the variance instead of the mean square.
        centered: bool = false,
    }
}

impl Optimizer for RMSprop {
    fn slots(&self, _: &Variable) -> Vec<Slot> {
        let mut slots = vec![Slot::new("velocity")];
        if self.momentum > 0.0 {
            slots.push(Slot { group: 1, ..Slot::new("momentum") });
        }
        if self.centered {
            slots.push(Slot { group: 2, ..Slot::new("average_gradient") });
        }
        slots
    }

    fn update(&self, at: &Moment, g: &Expr, w: &Expr, slots: &[Expr]) -> (Expr, Vec<Expr>) {
        let (rho, rest) = (self.rho as f32, (1.0 - self.rho) as f32);
        let mut slots = slots.iter();
        let mut next = || slots.next().cloned().unwrap_or_else(|| g.zeros_like());
        let v = next() * rho + g * g * rest;
        let m = (self.momentum > 0.0).then(&mut next);
        let average = self.centered.then(|| next() * rho + g * rest);
        let spread = match &average {
            Some(a) => &v - a * a,
            None => v.clone(),
        };
        let change = g * &at.learning_rate / (spread + self.epsilon as f32).sqrt();
        let m = m.map(|m| m * self.momentum as f32 + &change);
        let w = w - m.as_ref().unwrap_or(&change);
        (w, [Some(v), m, average].into_iter().flatten().collect())
    }
}
