//! The fast gradient sign method.

use crate::{Attack, Victim};
use rhyton_graph::Expr;
use rhyton_tensor::Result;

rhyton_nn::object! {
    /// `x + eps sign(gradient of the crossentropy)` (Goodfellow, Shlens, Szegedy 2015).
    pub struct Fgsm {
        /// The largest change of a value.
        eps: f64 = 8.0 / 255.0,
        /// Labels are the classes that samples are to be taken for.
        targeted: bool = false,
    }
}

impl Attack for Fgsm {
    fn is_targeted(&self) -> bool {
        self.targeted
    }

    fn perturb(&self, victim: &mut Victim) -> Result<Expr> {
        let x = victim.x();
        Ok(victim.clip(&(&x + victim.ascent(&x).sign() * self.eps as f32)))
    }
}
