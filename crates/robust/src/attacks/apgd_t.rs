//! Auto-PGD towards each of the other classes.

use super::apgd::{Apgd, targeted_ratio};
use crate::{Attack, Victim};
use rhyton_graph::Expr;
use rhyton_tensor::Result;

rhyton_nn::object! {
    /// Auto-PGD on the difference of logits ratio, towards the likeliest other class, then the next (Croce, Hein 2020).
    pub struct ApgdT {
        /// The largest change of a value.
        eps: f64 = 8.0 / 255.0,
        /// The number of steps.
        steps: usize = 100,
        /// The share of steps that have to gain.
        rho: f64 = 0.75,
        /// How many classes are tried.
        target_classes: usize = 9,
    }
}

/// The class (one-hot) that is in place `round` among the others by the clean logits.
pub(super) fn other_class(victim: &Victim) -> Expr {
    let (x, n) = (victim.x(), victim.classes());
    let others = victim.logits(&x) - victim.one_hot() * f32::MAX;
    let (_, order) = others.top_k(n);
    let place = victim.round().reshape([1, 1]).broadcast_to([victim.batch(), 1.into()]);
    order.take_along_axis(1, &place).entry(1, 0).one_hot(n).stop_gradient()
}

impl Attack for ApgdT {
    fn spares_fooled(&self) -> bool {
        true
    }

    fn rounds(&self, classes: usize) -> usize {
        self.target_classes.min(classes - 1)
    }

    fn perturb(&self, victim: &mut Victim) -> Result<Expr> {
        let wanted = other_class(victim);
        let apgd = Apgd { eps: self.eps, steps: self.steps, rho: self.rho };
        Ok(apgd.run(victim, |v, logits| targeted_ratio(v, logits, &wanted)))
    }
}
