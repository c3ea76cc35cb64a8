//! The iterative fast gradient sign method with Nesterov's momentum.

use super::MiFgsm;
use crate::{Attack, Victim};
use rhyton_graph::Expr;
use rhyton_tensor::Result;

rhyton_nn::object! {
    /// [`MiFgsm`] with gradients taken where the momentum would lead, `x + decay step_size m` (Lin et al.
    /// 2020).
    pub struct NiFgsm {
        /// The largest change of a value.
        eps: f64 = 8.0 / 255.0,
        /// The length of a step.
        step_size: f64 = 2.0 / 255.0,
        /// The number of steps.
        steps: usize = 10,
        /// How much of the momentum is kept.
        decay: f64 = 1.0,
        /// Labels are the classes that samples are to be taken for.
        targeted: bool = false,
    }
}

impl Attack for NiFgsm {
    fn is_targeted(&self) -> bool {
        self.targeted
    }

    fn perturb(&self, victim: &mut Victim) -> Result<Expr> {
        let NiFgsm { eps, step_size, steps, decay, targeted } = *self;
        let steps = MiFgsm { eps, step_size, steps, decay, targeted };
        Ok(steps.with_gradients_at(victim, decay * step_size))
    }
}
