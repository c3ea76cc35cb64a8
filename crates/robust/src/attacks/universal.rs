//! A universal perturbation.

use crate::{Attack, Victim};
use rhyton_graph::Expr;
use rhyton_tensor::Result;

rhyton_nn::object! {
    /// One change for all samples that are computed together, by steps along the sign of the mean gradient of the
    /// crossentropy, cut where it is large (Shafahi et al. 2020).
    pub struct Universal {
        /// The largest change of a value.
        eps: f64 = 8.0 / 255.0,
        /// The length of a step.
        step_size: f64 = 1.0 / 255.0,
        /// The number of steps.
        steps: usize = 50,
        /// Crossentropies beyond it count no more, so that no sample outweighs the others.
        most: f64 = 9.0,
        /// Labels are the classes that samples are to be taken for.
        targeted: bool = false,
    }
}

impl Attack for Universal {
    fn is_targeted(&self) -> bool {
        self.targeted
    }

    fn perturb(&self, victim: &mut Victim) -> Result<Expr> {
        let (x, eps) = (victim.x(), Expr::scalar(self.eps as f32));
        let none = x.zeros_like().max(&[0]).expand_dims(&[0]);
        let end = victim.repeat(self.steps, &[none], |v, s, _| {
            let at = v.clip(&(&x + &s[0]));
            let slope = v.slope(&at, |z| v.gain(z).minimum(&Expr::scalar(self.most as f32)));
            let step = slope.sum(&[0]).expand_dims(&[0]).sign() * self.step_size as f32;
            vec![(&s[0] + step).maximum(&-&eps).minimum(&eps)]
        });
        Ok(victim.clip(&(&x + &end[0])))
    }
}
