//! The boundary attack.

use super::decision::Walk;
use crate::{Attack, Norm, Victim};
use rhyton_graph::Expr;
use rhyton_graph::ops::Distribution;
use rhyton_model::program::per_sample;
use rhyton_model::program::sample_axes;
use rhyton_tensor::{DType, Result};

rhyton_nn::object! {
    /// A walk along the border of a class from a far point, by random steps around the clean input and small ones towards
    /// it, that asks for nothing but the predicted class (Brendel, Rauber, Bethge 2018).
    pub struct Boundary {
        /// The number of steps.
        steps: usize = 1000,
        /// The first length of a step around the clean input, as a share of the distance.
        spherical_step: f64 = 0.01,
        /// The first length of a step towards it.
        source_step: f64 = 0.01,
        /// Labels are the classes that samples are to be taken for.
        targeted: bool = false,
    }
}

impl Attack for Boundary {
    fn is_targeted(&self) -> bool {
        self.targeted
    }

    fn perturb(&self, victim: &mut Victim) -> Result<Expr> {
        let x = victim.x();
        let start = Walk::new(10).start(victim);
        let one = Expr::full([victim.batch()], 1.0);
        let state = [start, &one * self.spherical_step as f32, one * self.source_step as f32];
        let end = victim.repeat(self.steps, &state, |v, s, turn| {
            let way = &x - &s[0];
            let distance = Norm::L2.of(&way) + 1e-12;
            let noise = v.random(Distribution::Normal, turn, x.shape().clone());
            let axes = sample_axes(&x);
            // What is left of the noise across the way, as long as the step.
            let along = (&noise * &way).sum(&axes) / (&distance * &distance);
            let across = &noise - &way * per_sample(&along, &way);
            let length = &distance * &s[1] / (Norm::L2.of(&across) + 1e-12);
            let moved = &s[0] + &across * per_sample(&length, &across) - &x;
            let back = &distance / (Norm::L2.of(&moved) + 1e-12);
            let around = v.clip(&(&x + &moved * per_sample(&back, &moved)));
            let closer = v.clip(&(&around + (&x - &around) * per_sample(&s[2], &x)));
            let (holds, nearer) = (v.fooled(&v.logits(&around)), v.fooled(&v.logits(&closer)));
            // Steps grow while they succeed and shrink while they do not.
            let adapt = |step: &Expr, good: &Expr| step * (good.cast(DType::F32) * 0.2 + 0.9);
            let shorter = Norm::L2.of(&(&closer - &x)).less(&distance);
            let taken = v.choose(&nearer.and(&shorter), &closer, &s[0]);
            vec![
                taken,
                adapt(&s[1], &holds).minimum(&Expr::scalar(1.0f32)),
                adapt(&s[2], &nearer).minimum(&Expr::scalar(0.5f32)),
            ]
        });
        Ok(end[0].clone())
    }
}
