//! Auto-PGD on the crossentropy.

use super::apgd::Apgd;
use crate::{Attack, Victim};
use rhyton_graph::Expr;
use rhyton_tensor::Result;

rhyton_nn::object! {
    /// Projected gradient descent on the crossentropy that halves its step where it stops gaining (Croce, Hein 2020).
    pub struct ApgdCe {
        /// The largest change of a value.
        eps: f64 = 8.0 / 255.0,
        /// The number of steps.
        steps: usize = 100,
        /// The share of steps that have to gain.
        rho: f64 = 0.75,
        /// How often it is tried on samples that withstand.
        restarts: usize = 1,
    }
}

impl Attack for ApgdCe {
    fn spares_fooled(&self) -> bool {
        true
    }

    fn rounds(&self, _: usize) -> usize {
        self.restarts
    }

    fn perturb(&self, victim: &mut Victim) -> Result<Expr> {
        let apgd = Apgd { eps: self.eps, steps: self.steps, rho: self.rho };
        Ok(apgd.run(victim, |v, logits| v.gain(logits)))
    }
}
