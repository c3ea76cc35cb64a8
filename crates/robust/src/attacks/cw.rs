//! Carlini and Wagner's attack.

use crate::{Attack, Victim};
use rhyton_graph::{Expr, grad};
use rhyton_model::program::{per_sample, sample_axes};
use rhyton_tensor::Result;

rhyton_nn::object! {
    /// The least Euclidean change that fools, by Adam on `|x' - x|^2 + c max(z_y - max of the others, -kappa)` over the
    /// inverse hyperbolic tangent of the input (Carlini, Wagner 2017), with one `c` as in torchattacks.
    pub struct Cw {
        /// What fooling counts against the change.
        c: f64 = 1.0,
        /// By how much another logit is to be above the label's.
        kappa: f64 = 0.0,
        /// The number of steps.
        steps: usize = 50,
        /// The learning rate.
        lr: f64 = 0.01,
        /// Labels are the classes that samples are to be taken for.
        targeted: bool = false,
    }
}

/// Beyond it the hyperbolic tangent is 1 in float32.
const LAST: f32 = 20.0;

impl Attack for Cw {
    fn is_targeted(&self) -> bool {
        self.targeted
    }

    fn perturb(&self, victim: &mut Victim) -> Result<Expr> {
        let x = victim.x();
        let ((low, high), number) = (victim.bounds(), |x: f32| Expr::scalar(x));
        let unit = (&x - low) * (2.0 / (high - low)) - 1.0;
        let unit = unit.maximum(&number(-1.0)).minimum(&number(1.0));
        let w = (((&unit + 1.0) / (1.0 - &unit)).log() * 0.5).maximum(&number(-LAST)).minimum(&number(LAST));
        let none = w.zeros_like();
        let far = Expr::full([victim.batch()], 1e10);
        let (checked_every, lr) = ((self.steps / 10).max(1), self.lr as f32);
        // weight, its moments, their bias; the best input and its distance; cost at the last check, going on.
        let state =
            [w, none.clone(), none, number(1.0), number(1.0), x.clone(), far, number(1e10), number(1.0)];
        let end = victim.repeat(self.steps, &state, |v, s, turn| {
            let at = (s[0].tanh() + 1.0) * (0.5 * (high - low)) + low;
            let distance = ((&at - &x) * (&at - &x)).sum(&sample_axes(&x));
            let logits = v.logits(&at);
            let cost = (&distance + self.hinge(v, &logits) * self.c as f32).sum_all();
            let g = grad(&cost, std::slice::from_ref(&s[0])).swap_remove(0);
            let (m, n) = (&s[1] * 0.9 + &g * 0.1, &s[2] * 0.999 + &g * &g * 0.001);
            let (b1, b2) = (&s[3] * 0.9, &s[4] * 0.999);
            let next = &s[0] - &m * (lr / (1.0 - &b1)) / (n.sqrt() / (1.0 - &b2).sqrt() + 1e-8);
            let going = s[8].greater(&number(0.0));
            let better = v.fooled(&logits).and(&distance.less(&s[6])).and(&going);
            let best = per_sample(&better, &at).select(&at, &s[5]);
            let turn = turn.float();
            let checked =
                (&turn - (&turn / checked_every as f32 + 1e-4).floor() * checked_every as f32).abs();
            let checked = checked.less(&number(0.5));
            let stops = checked.and(&cost.greater(&s[7]));
            let last = checked.select(&cost, &s[7]);
            let nearest = better.select(&distance, &s[6]);
            vec![next, m, n, b1, b2, best, nearest, last, stops.select(&number(0.0), &s[8])]
        });
        Ok(end[5].clone())
    }
}

impl Cw {
    /// `max(z_y - max of the others, -kappa)`, where what is masked counts as 0, as in torchattacks.
    fn hinge(&self, victim: &Victim, logits: &Expr) -> Expr {
        let own = victim.one_hot();
        let others = (logits * (1.0 - &own)).max(&[1]);
        let own = (logits * own).max(&[1]);
        let gap = if victim.is_targeted() { others - own } else { own - others };
        gap.maximum(&Expr::scalar(-self.kappa as f32))
    }
}
