//! AutoAttack's standard ensemble.

use super::{ApgdCe, ApgdT, FabT, Square};
use crate::{Attack, AttackRef, Victim};
use rhyton_graph::Expr;
use rhyton_tensor::Result;

rhyton_nn::object! {
    /// Auto-PGD on the crossentropy and towards classes, FAB, Square, each on the samples that withstood those before
    /// (Croce, Hein 2020).
    pub struct AutoAttack {
        /// The largest change of a value.
        eps: f64 = 8.0 / 255.0,
        /// The number of steps of those with gradients.
        steps: usize = 100,
        /// The number of queries of Square.
        n_queries: usize = 5000,
    }
}

impl Attack for AutoAttack {
    fn spares_fooled(&self) -> bool {
        true
    }

    fn stages(&self) -> Vec<AttackRef> {
        let (eps, steps) = (self.eps, self.steps);
        vec![
            ApgdCe::default().eps(eps).steps(steps).into(),
            ApgdT::default().eps(eps).steps(steps).into(),
            FabT::default().eps(eps).steps(steps).into(),
            Square::default().eps(eps).n_queries(self.n_queries).into(),
        ]
    }

    /// The first of them: a training step has room for one.
    fn perturb(&self, victim: &mut Victim) -> Result<Expr> {
        ApgdCe::default().eps(self.eps).steps(self.steps).perturb(victim)
    }
}
