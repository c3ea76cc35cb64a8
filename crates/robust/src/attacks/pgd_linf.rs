//! Projected gradient descent, the largest change bounded.

use crate::{Attack, Norm, Victim};
use rhyton_graph::Expr;
use rhyton_tensor::Result;

rhyton_nn::object! {
    /// Steps along the sign of the gradient from a random point within `eps` (Madry et al. 2018).
    pub struct PgdLinf {
        /// The largest change of a value.
        eps: f64 = 8.0 / 255.0,
        /// The length of a step.
        step_size: f64 = 2.0 / 255.0,
        /// The number of steps.
        steps: usize = 10,
        /// Whether it begins at a random point; otherwise at the clean input.
        random_start: bool = true,
        /// How often it is tried on samples that withstand.
        restarts: usize = 1,
        /// Labels are the classes that samples are to be taken for.
        targeted: bool = false,
    }
}

impl Attack for PgdLinf {
    fn is_targeted(&self) -> bool {
        self.targeted
    }

    fn rounds(&self, _: usize) -> usize {
        self.restarts
    }

    fn perturb(&self, victim: &mut Victim) -> Result<Expr> {
        let mut start = victim.x();
        if self.random_start {
            let once = victim.once();
            let noise = victim.random_signed(&once);
            start = victim.clip(&(start + noise * self.eps as f32));
        }
        Ok(victim.climb(Norm::Inf, start, self.steps, self.step_size, self.eps))
    }
}
