//! The iterative fast gradient sign method with momentum.

use crate::{Attack, Victim};
use rhyton_graph::Expr;
use rhyton_model::program::{per_sample, sample_axes};
use rhyton_tensor::Result;

rhyton_nn::object! {
    /// Steps along the sign of `m = decay m + g / mean |g|` (Dong et al. 2018).
    pub struct MiFgsm {
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

impl Attack for MiFgsm {
    fn is_targeted(&self) -> bool {
        self.targeted
    }

    fn perturb(&self, victim: &mut Victim) -> Result<Expr> {
        Ok(self.with_gradients_at(victim, 0.0))
    }
}

impl MiFgsm {
    /// Its steps, with gradients taken so far ahead along the momentum.
    pub(super) fn with_gradients_at(&self, victim: &mut Victim, ahead: f64) -> Expr {
        let x = victim.x();
        let none = x.zeros_like();
        let end = victim.repeat(self.steps, &[x, none], |v, state, _| {
            let at = if ahead == 0.0 { state[0].clone() } else { &state[0] + &state[1] * ahead as f32 };
            let g = v.ascent(&at);
            let size = per_sample(&g.abs().mean(&sample_axes(&g)), &g);
            let g = size.greater(&Expr::scalar(0.0f32)).select(&(&g / size), &g);
            let momentum = g + &state[1] * self.decay as f32;
            vec![v.step_linf(&state[0], &momentum, self.step_size, self.eps), momentum]
        });
        end[0].clone()
    }
}
