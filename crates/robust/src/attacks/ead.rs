//! The elastic-net attack.

use crate::{Attack, Victim};
use rhyton_graph::Expr;
use rhyton_model::program::{per_sample, sample_axes};
use rhyton_tensor::{Result, Tensor};

rhyton_nn::object! {
    /// The least `|d|_2^2 + beta |d|_1` that fools, by fast iterative shrinkage and a binary search for what fooling
    /// counts (Chen et al. 2018).
    pub struct Ead {
        /// What the sum of changes counts.
        beta: f64 = 0.001,
        /// By how much another logit is to be above the label's.
        kappa: f64 = 0.0,
        /// The learning rate.
        lr: f64 = 0.01,
        /// The number of steps for each count.
        steps: usize = 100,
        /// The number of counts tried.
        search_steps: usize = 9,
        /// What fooling counts first.
        initial_const: f64 = 0.001,
        /// Labels are the classes that samples are to be taken for.
        targeted: bool = false,
    }
}

impl Attack for Ead {
    fn is_targeted(&self) -> bool {
        self.targeted
    }

    fn perturb(&self, victim: &mut Victim) -> Result<Expr> {
        let x = victim.x();
        let far = Expr::full([victim.batch()], 1e10);
        let count = far.full_like(self.initial_const);
        // what fooling counts, its bounds; the best input and its size.
        let state = [count, far.zeros_like(), far.clone(), x.clone(), far.clone()];
        let end = victim.repeat(self.search_steps.max(1), &state, |v, s, _| {
            let inner = self.shrinkage(v, &s[0]);
            let found = inner[3].less(&far);
            let better = inner[3].less(&s[4]);
            let (low, high) =
                (found.select(&s[1], &s[0].maximum(&s[1])), found.select(&s[0].minimum(&s[2]), &s[2]));
            let bounded = high.less(&Expr::scalar(1e9f32));
            let next = bounded.select(&((&low + &high) * 0.5), &(&s[0] * 10.0));
            vec![next, low, high, v.choose(&better, &inner[2], &s[3]), better.select(&inner[3], &s[4])]
        });
        Ok(end[3].clone())
    }
}

impl Ead {
    /// The steps for one count of fooling: point, momentum point, best input and its size.
    fn shrinkage(&self, victim: &mut Victim, count: &Expr) -> Vec<Expr> {
        let (x, beta) = (victim.x(), self.beta as f32);
        let steps = self.steps.max(1);
        let rate = |i: usize| (self.lr * (1.0 - i as f64 / steps as f64).sqrt()) as f32;
        let rates = Expr::constant(&Tensor::vector((0..steps).map(rate).collect::<Vec<f32>>()));
        let momentum = (0..steps).map(|i| i as f32 / (i as f32 + 3.0)).collect::<Vec<f32>>();
        let sequences = [rates, Expr::constant(&Tensor::vector(momentum))];
        let far = count.full_like(1e10);
        victim.repeat_over(&sequences, &[x.clone(), x.clone(), x.clone(), far], |v, s, turn| {
            let hinge = |v: &Victim, z: &Expr| {
                let margin = if v.is_targeted() { -v.margin(z) } else { v.margin(z) };
                (margin + self.kappa as f32).maximum(&Expr::scalar(0.0f32))
            };
            let slope = v.slope(&s[1], |z| hinge(v, z) * count) + (&s[1] - &x) * 2.0;
            let moved = &s[1] - slope * &turn[0] - &x;
            // What is small becomes 0, the rest shrinks by beta.
            let kept = (moved.abs() - beta).maximum(&Expr::scalar(0.0f32)) * moved.sign();
            let next = v.clip(&(&x + kept));
            let ahead = &next + (&next - &s[0]) * &turn[1];
            let delta = &next - &x;
            let axes = sample_axes(&delta);
            let size = (&delta * &delta).sum(&axes) + delta.abs().sum(&axes) * beta;
            let better = v.fooled(&v.logits(&next)).and(&size.less(&s[3]));
            let best = per_sample(&better, &next).select(&next, &s[2]);
            vec![next, ahead, best, better.select(&size, &s[3])]
        })
    }
}
