//! Projected gradient descent, the sum of changes bounded.

use crate::{Attack, Norm, Victim};
use rhyton_graph::Expr;
use rhyton_model::program::per_sample;
use rhyton_tensor::Result;

rhyton_nn::object! {
    /// Steps along the gradient, each of the same sum of changes, within a sum `eps`, as Foolbox's `L1PGD`.
    pub struct PgdL1 {
        /// The largest sum of changes.
        eps: f64 = 10.0,
        /// The sum of changes of a step.
        step_size: f64 = 0.5,
        /// The number of steps.
        steps: usize = 50,
        /// Whether it begins at a random point; otherwise at the clean input.
        random_start: bool = true,
        /// How often it is tried on samples that withstand.
        restarts: usize = 1,
        /// Labels are the classes that samples are to be taken for.
        targeted: bool = false,
    }
}

impl Attack for PgdL1 {
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
            // The differences of logarithms of uniform numbers, over their sum: even over the surface of the ball.
            let (a, b) = (victim.random_signed(&once), victim.random_signed(&once));
            let log = |u: Expr| (u * 0.4999995 + 0.5).log();
            let direction = log(a) - log(b);
            let length = Expr::scalar(self.eps as f32) / Norm::L1.of(&direction);
            start = victim.clip(&(start + &direction * per_sample(&length, &direction)));
        }
        Ok(victim.climb(Norm::L1, start, self.steps, self.step_size, self.eps))
    }
}
