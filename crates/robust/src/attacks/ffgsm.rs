//! The fast gradient sign method from a random start.

use crate::{Attack, Victim};
use rhyton_graph::Expr;
use rhyton_tensor::Result;

rhyton_nn::object! {
    /// One step along the sign of the gradient from a random point within `eps` (Wong, Rice, Kolter 2020).
    pub struct Ffgsm {
        /// The largest change of a value.
        eps: f64 = 8.0 / 255.0,
        /// The length of the step.
        step_size: f64 = 10.0 / 255.0,
        /// Labels are the classes that samples are to be taken for.
        targeted: bool = false,
    }
}

impl Attack for Ffgsm {
    fn is_targeted(&self) -> bool {
        self.targeted
    }

    fn perturb(&self, victim: &mut Victim) -> Result<Expr> {
        let once = victim.once();
        let noise = victim.random_signed(&once);
        let start = victim.clip(&(victim.x() + noise * self.eps as f32));
        Ok(victim.step_linf(&start, &victim.ascent(&start), self.step_size, self.eps))
    }
}
