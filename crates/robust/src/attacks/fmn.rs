//! The fast minimum-norm attack.

use crate::{Attack, Norm, Victim};
use rhyton_graph::Expr;
use rhyton_model::program::per_sample;
use rhyton_tensor::{DType, Result, Tensor};

rhyton_nn::object! {
    /// The least change that fools: steps down the margin inside a ball that grows until a sample is fooled and shrinks
    /// from then on (Pintor et al. 2021).
    pub struct Fmn {
        /// What a change is measured in.
        norm: Norm = Norm::Inf,
        /// The number of steps.
        steps: usize = 100,
        /// The length of the first step; the last is a hundredth of it. Both fall along a cosine.
        step_size: f64 = 1.0,
        /// By which share the ball first grows and shrinks; at the end by a thousandth.
        gamma: f64 = 0.05,
        /// Labels are the classes that samples are to be taken for.
        targeted: bool = false,
    }
}

impl Attack for Fmn {
    fn is_targeted(&self) -> bool {
        self.targeted
    }

    fn perturb(&self, victim: &mut Victim) -> Result<Expr> {
        let (x, norm) = (victim.x(), self.norm);
        let steps = self.steps.max(1);
        let along = |from: f64, to: f64| {
            let at = |i: usize| {
                to + (from - to) * (1.0 + (std::f64::consts::PI * i as f64 / steps as f64).cos()) / 2.0
            };
            Expr::constant(&Tensor::vector((0..steps).map(|i| at(i) as f32).collect::<Vec<f32>>()))
        };
        let schedule = [along(self.step_size, self.step_size / 100.0), along(self.gamma, 0.001)];
        let far = Expr::full([victim.batch()], 1e10);
        let none = far.zeros_like();
        let dual = match norm {
            Norm::Inf => Norm::L1,
            Norm::L2 => Norm::L2,
            Norm::L1 => Norm::Inf,
        };
        // change; size allowed; best change and its size; whether it was fooled ever.
        let state = [x.zeros_like(), far.clone(), x.zeros_like(), far, none];
        let end = victim.repeat_over(&schedule, &state, |v, s, turn| {
            let at = &x + &s[0];
            let logits = v.logits(&at);
            let margin = |v: &Victim, z: &Expr| if v.is_targeted() { -v.margin(z) } else { v.margin(z) };
            let (height, slope) = (margin(v, &logits).abs(), v.slope(&at, |z| margin(v, z)));
            let (fooled, size) = (v.fooled(&logits), norm.of(&s[0]));
            let better = fooled.and(&size.less_equal(&s[3]));
            let best = v.choose(&better, &s[0], &s[2]);
            let least = better.select(&size, &s[3]);
            let ever = fooled.cast(DType::F32).maximum(&s[4]);
            let reach = &size + height / (dual.of(&slope) + 1e-12);
            let grown = ever.greater(&Expr::scalar(0.0f32)).select(&(&s[1] * (1.0 + &turn[1])), &reach);
            let allowed = fooled.select(&(&s[1] * (1.0 - &turn[1])).minimum(&least), &grown);
            let length = Norm::L2.of(&slope) + 1e-12;
            let delta = &s[0] - &slope / per_sample(&length, &slope) * &turn[0];
            let delta = norm.shrink(&delta, &allowed);
            vec![v.clip(&(&x + delta)) - &x, allowed, best, least, ever]
        });
        Ok(victim.clip(&(&x + &end[2])))
    }
}
