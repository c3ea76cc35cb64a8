//! Projected gradient descent, the Euclidean distance bounded.

use crate::{Attack, Norm, Victim};
use rhyton_graph::Expr;
use rhyton_graph::ops::Distribution;
use rhyton_model::program::per_sample;
use rhyton_tensor::Result;

rhyton_nn::object! {
    /// Steps along the gradient from a random point within a Euclidean distance `eps` (Madry et al. 2018).
    pub struct PgdL2 {
        /// The largest distance.
        eps: f64 = 1.0,
        /// The length of a step.
        step_size: f64 = 0.2,
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

impl Attack for PgdL2 {
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
            let direction = victim.random(Distribution::Normal, &once, start.shape().clone());
            let radius = victim.random(Distribution::Uniform, &once, [victim.batch()]) * self.eps as f32;
            let length = radius / Norm::L2.of(&direction);
            start = victim.clip(&(start + &direction * per_sample(&length, &direction)));
        }
        Ok(victim.climb(Norm::L2, start, self.steps, self.step_size, self.eps))
    }
}
