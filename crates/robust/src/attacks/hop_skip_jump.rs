//! HopSkipJump.

use super::decision::Walk;
use crate::{Attack, Norm, Victim};
use rhyton_graph::Expr;
use rhyton_graph::ops::Distribution;
use rhyton_model::program::per_sample;
use rhyton_tensor::{DType, Dim, Result};

rhyton_nn::object! {
    /// Steps along a direction that predicted classes of points near the border show, back to the border after each
    /// (Chen, Jordan, Wainwright 2020); the Euclidean distance falls.
    pub struct HopSkipJump {
        /// The number of steps.
        steps: usize = 64,
        /// The points that show a direction.
        evaluations: usize = 100,
        /// The halvings that find the border.
        halvings: usize = 20,
        /// Labels are the classes that samples are to be taken for.
        targeted: bool = false,
    }
}

impl Attack for HopSkipJump {
    fn is_targeted(&self) -> bool {
        self.targeted
    }

    fn perturb(&self, victim: &mut Victim) -> Result<Expr> {
        let (x, walk) = (victim.x(), Walk::new(self.halvings));
        let start = walk.start(victim);
        let n: usize = x.shape()[1..].iter().filter_map(Dim::as_fixed).product();
        let end = victim.repeat(self.steps, &[start], |v, s, turn| {
            let (at, distance) = (&s[0], Norm::L2.of(&(&s[0] - &x)));
            let width = &distance * (1.0 / (n as f32).sqrt());
            let direction = self.direction(v, at, &width, turn);
            // As long as the distance over the root of the turn, halved until it fools.
            let length = &distance / (turn.float() + 1.0).sqrt();
            let far = v.repeat(12, &[at.clone(), length], |v, t, _| {
                let next = v.clip(&(at + &direction * per_sample(&t[1], at)));
                let moved = Norm::L2.of(&(&t[0] - at)).greater(&Expr::scalar(0.0f32));
                let fools = v.fooled(&v.logits(&next)).and(&moved.not());
                vec![v.choose(&fools, &next, &t[0]), &t[1] * 0.5]
            });
            let next = walk.to_border(v, &far[0]);
            let nearer = Norm::L2.of(&(&next - &x)).less(&distance);
            vec![v.choose(&nearer, &next, at)]
        });
        Ok(end[0].clone())
    }
}

impl HopSkipJump {
    /// Where points near `at` fool more often: the mean of random directions, each with the sign of whether it does,
    /// counted from their mean.
    fn direction(&self, victim: &mut Victim, at: &Expr, width: &Expr, turn: &Expr) -> Expr {
        let count = self.evaluations.max(2);
        let none = Expr::full([victim.batch()], 0.0);
        let state = [at.zeros_like(), at.zeros_like(), none];
        let outer = turn * Expr::scalar(count as i32);
        let sums = victim.repeat(count, &state, |v, s, i| {
            let u = v.random(Distribution::Normal, &(&outer + i), at.shape().clone());
            let u = &u / per_sample(&(Norm::L2.of(&u) + 1e-12), &u);
            let fools = v.fooled(&v.logits(&v.clip(&(at + &u * per_sample(width, at)))));
            let sign = fools.cast(DType::F32) * 2.0 - 1.0;
            vec![&s[0] + &u * per_sample(&sign, &u), &s[1] + u, &s[2] + sign]
        });
        let mean = &sums[2] * (1.0 / count as f32);
        let direction = &sums[0] - &sums[1] * per_sample(&mean, at);
        // Where all agree, their number says no more than the sum.
        let agreed = mean.abs().greater_equal(&Expr::scalar(1.0f32));
        let direction = victim.choose(&agreed, &sums[0], &direction);
        &direction / per_sample(&(Norm::L2.of(&direction) + 1e-12), &direction)
    }
}
