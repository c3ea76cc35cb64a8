//! Random signs before steps along the sign of the gradient.

use crate::{Attack, Norm, Victim};
use rhyton_graph::Expr;
use rhyton_graph::ops::Distribution;
use rhyton_tensor::Result;

rhyton_nn::object! {
    /// Steps along the sign of the gradient after one along random signs (Tramer et al. 2018).
    pub struct Rfgsm {
        /// The largest change of a value.
        eps: f64 = 8.0 / 255.0,
        /// The length of a step, the random one too.
        step_size: f64 = 2.0 / 255.0,
        /// The number of steps.
        steps: usize = 10,
        /// Labels are the classes that samples are to be taken for.
        targeted: bool = false,
    }
}

impl Attack for Rfgsm {
    fn is_targeted(&self) -> bool {
        self.targeted
    }

    fn perturb(&self, victim: &mut Victim) -> Result<Expr> {
        let (x, once) = (victim.x(), victim.once());
        let signs = victim.random(Distribution::Normal, &once, x.shape().clone()).sign();
        let start = victim.clip(&(x + signs * self.step_size as f32));
        Ok(victim.climb(Norm::Inf, start, self.steps, self.step_size, self.eps))
    }
}
