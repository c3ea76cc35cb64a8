//! The fast adaptive boundary attack.

use super::apgd_t::other_class;
use crate::{Attack, Norm, Victim};
use rhyton_graph::Expr;
use rhyton_model::program::{per_sample, sample_axes};
use rhyton_tensor::{DType, Result};

rhyton_nn::object! {
    /// The nearest point of a class's linearised border, again and again, with a bias to the clean input (Croce, Hein
    /// 2020), towards the likeliest other class, then the next; the largest change counts.
    pub struct FabT {
        /// The largest change of a value.
        eps: f64 = 8.0 / 255.0,
        /// The number of steps.
        steps: usize = 100,
        /// The most that a step leans to the clean input.
        alpha_max: f64 = 0.1,
        /// How far beyond the border a step goes.
        eta: f64 = 1.05,
        /// The share of the way to the border that is kept on the far side of it.
        beta: f64 = 0.9,
        /// How many classes are tried.
        target_classes: usize = 9,
    }
}

/// The least largest change of `at`, within the bounds, after which `w x` is `b`, `[batch]`. All that can be done where
/// that is not enough.
fn onto_border(victim: &mut Victim, at: &Expr, w: &Expr, b: &Expr) -> Expr {
    let (low, high) = victim.bounds();
    let axes = sample_axes(at);
    let missing = b - (w * at).sum(&axes);
    let direction = w.sign() * per_sample(&missing.sign(), w);
    let up = direction.greater(&direction.zeros_like());
    let room = up.select(&(high - at), &(at - low));
    let (missing, size) = (missing.abs(), w.abs());
    // How much is reached by changes of at most r grows with r: halved until it is known.
    let zero = missing.zeros_like();
    let found = victim.repeat(24, &[zero.clone(), zero.full_like(f64::from(high - low))], |_, ends, _| {
        let r = (&ends[0] + &ends[1]) * 0.5;
        let reached = (&size * room.minimum(&per_sample(&r, &room))).sum(&axes);
        let enough = reached.greater_equal(&missing);
        vec![enough.select(&ends[0], &r), enough.select(&r, &ends[1])]
    });
    at + direction * room.minimum(&per_sample(&found[1], at))
}

impl Attack for FabT {
    fn spares_fooled(&self) -> bool {
        true
    }

    fn rounds(&self, classes: usize) -> usize {
        self.target_classes.min(classes - 1)
    }

    fn perturb(&self, victim: &mut Victim) -> Result<Expr> {
        let (x, axes) = (victim.x(), sample_axes(&victim.x()));
        let apart = victim.one_hot() - other_class(victim);
        let height = |logits: &Expr| (logits * &apart).sum(&[1]);
        let far = Expr::full([victim.batch()], 1e10);
        let end = victim.repeat(self.steps, &[x.clone(), x.clone(), far], |v, s, _| {
            let (at, best, nearest) = (&s[0], &s[1], &s[2]);
            let f = height(&v.logits(at));
            let w = v.slope(at, height);
            // The border through the linearisation at this point: w x' = w x - f.
            let b = (&w * at).sum(&axes) - f;
            let (from_here, from_clean) = (onto_border(v, at, &w, &b), onto_border(v, &x, &w, &b));
            let (a1, a2) = (Norm::Inf.of(&(&from_here - at)), Norm::Inf.of(&(&from_clean - &x)));
            let lean = (&a1 / (&a1 + a2 + 1e-12)).minimum(&Expr::scalar(self.alpha_max as f32));
            let lean = per_sample(&lean, at);
            let eta = self.eta as f32;
            let here = at + (from_here - at) * eta;
            let clean = &x + (from_clean - &x) * eta;
            let next = v.clip(&(here * (1.0 - &lean) + clean * &lean));
            let fooled = v.fooled(&v.logits(&next));
            let size = Norm::Inf.of(&(&next - &x));
            let better = fooled.and(&size.less(nearest));
            let best = v.choose(&better, &next, best);
            let nearest = better.select(&size, nearest);
            // On the far side of the border it goes back towards the clean input.
            let back = &x + (&next - &x) * self.beta as f32;
            vec![v.choose(&fooled, &back, &next), best, nearest]
        });
        let reached = end[2].less_equal(&Expr::scalar(self.eps as f32 * (1.0 + 1e-6))).cast(DType::Bool);
        Ok(victim.choose(&reached, &end[1], &x))
    }
}
