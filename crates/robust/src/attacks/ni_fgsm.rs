//! The iterative fast gradient sign method with Nesterov's momentum.

use crate::norm::{per_sample, sample_axes};
use crate::{Attack, Victim};
use rhyton_graph::Expr;
use rhyton_tensor::Result;

rhyton_nn::object! {
    /// [`MiFgsm`](super::MiFgsm) with gradients taken where the momentum would lead, `x + decay step_size m` (Lin et al.
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
        let x = victim.x();
        let none = x.zeros_like();
        let end = victim.repeat(self.steps, &[x, none], |v, state, _| {
            let ahead = &state[0] + &state[1] * (self.decay * self.step_size) as f32;
            let g = v.ascent(&ahead);
            let size = per_sample(&g.abs().mean(&sample_axes(&g)), &g);
            let g = size.greater(&Expr::scalar(0.0f32)).select(&(&g / size), &g);
            let momentum = g + &state[1] * self.decay as f32;
            vec![v.step_linf(&state[0], &momentum, self.step_size, self.eps), momentum]
        });
        Ok(end[0].clone())
    }
}
