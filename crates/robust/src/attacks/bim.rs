//! The basic iterative method.

use crate::{Attack, Norm, Victim};
use rhyton_graph::Expr;
use rhyton_tensor::Result;

rhyton_nn::object! {
    /// Steps along the sign of the gradient, within `eps` of the clean input (Kurakin, Goodfellow, Bengio 2017).
    pub struct Bim {
        /// The largest change of a value.
        eps: f64 = 8.0 / 255.0,
        /// The length of a step.
        step_size: f64 = 2.0 / 255.0,
        /// The number of steps.
        steps: usize = 10,
        /// Labels are the classes that samples are to be taken for.
        targeted: bool = false,
    }
}

impl Attack for Bim {
    fn is_targeted(&self) -> bool {
        self.targeted
    }

    fn perturb(&self, victim: &mut Victim) -> Result<Expr> {
        let x = victim.x();
        Ok(victim.climb(Norm::Inf, x, self.steps, self.step_size, self.eps))
    }
}
