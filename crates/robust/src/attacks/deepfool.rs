//! DeepFool.

use crate::{Attack, Norm, Victim};
use rhyton_graph::Expr;
use rhyton_graph::transform::vjp;
use rhyton_model::program::per_sample;
use rhyton_tensor::{Result, Tensor};

rhyton_nn::object! {
    /// Steps over the nearest border of a class, as if logits were linear (Moosavi-Dezfooli, Fawzi, Frossard 2016):
    /// `(1 + overshoot) |f_k - f_y| / |w_k - w_y|^2 (w_k - w_y)` for the class k whose border is nearest.
    pub struct DeepFool {
        /// The largest number of steps.
        steps: usize = 50,
        /// How far beyond the border a step goes.
        overshoot: f64 = 0.02,
    }
}

impl Attack for DeepFool {
    fn rounds(&self, _: usize) -> usize {
        self.steps
    }

    fn perturb(&self, victim: &mut Victim) -> Result<Expr> {
        let (at, n) = (victim.start(), victim.classes());
        let logits = victim.logits(&at);
        let one_hot = victim.one_hot();
        let classes: Vec<f32> = (0..n * n).map(|i| if i / n == i % n { 1.0 } else { 0.0 }).collect();
        let classes = Expr::constant(&Tensor::new([n, n], classes)?);
        let far = Expr::full([victim.batch()], f32::MAX);
        let state = [far.clone(), at.zeros_like()];
        let nearest = victim.repeat_over(&[classes], &state, |v, best, class| {
            let apart = class[0].expand_dims(&[0]) - &one_hot;
            let height = (&logits * &apart).sum(&[1]).abs();
            let back = vjp(std::slice::from_ref(&logits), &[Some(apart.clone())], std::slice::from_ref(&at));
            let w = back.into_iter().flatten().next().unwrap_or_else(|| at.zeros_like());
            let length = Norm::L2.of(&w);
            let is_own = (&class[0].expand_dims(&[0]) * &one_hot).sum(&[1]).greater(&Expr::scalar(0.0f32));
            let distance = is_own.select(&far, &(&height / &length));
            let nearer = distance.less(&best[0]);
            let step = &w * per_sample(&(height / (&length * &length)), &w);
            vec![nearer.select(&distance, &best[0]), v.choose(&nearer, &step, &best[1])]
        });
        let next = victim.clip(&(&at + &nearest[1] * (1.0 + self.overshoot) as f32));
        let fooled = victim.fooled(&logits);
        Ok(victim.choose(&fooled, &at, &next))
    }
}
