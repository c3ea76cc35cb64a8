//! TRADES.

use super::{Defence, forward_at, scores, victim};
use crate::Victim;
use rhyton_graph::Expr;
use rhyton_graph::ops::Distribution;
use rhyton_nn::functions::log_softmax;
use rhyton_tensor::Result;
use rhyton_train::TrainStep;

rhyton_nn::object! {
    /// The loss of clean samples plus `beta` times the divergence of the answers to adversarial ones from theirs, which
    /// the attack lets grow (Zhang et al. 2019).
    pub struct Trades {
        /// What the divergence counts.
        beta: f64 = 6.0,
        /// The largest change of a value.
        eps: f64 = 8.0 / 255.0,
        /// The length of a step of the attack.
        step_size: f64 = 2.0 / 255.0,
        /// The number of its steps.
        steps: usize = 10,
        /// Least value of an input.
        low: f64 = 0.0,
        /// Largest value of an input.
        high: f64 = 1.0,
    }
}

/// `sum of p (log p - log q)`, `[batch]`, of softmaxes of logits.
pub(super) fn divergence(clean: &Expr, other: &Expr) -> Expr {
    let (p, q) = (log_softmax(clean), log_softmax(other));
    (p.exp() * (&p - q)).sum(&[1])
}

impl Trades {
    fn adversarial(&self, v: &mut Victim) -> Expr {
        let (x, once) = (v.x(), v.once());
        let clean = v.logits(&x).stop_gradient();
        // The divergence has no slope at the clean input: a little noise moves off it.
        let noise = v.random(Distribution::Normal, &once, x.shape().clone()) * 0.001;
        let start = v.clip(&(&x + noise));
        let end = v.repeat(self.steps, &[start], |v, at, _| {
            let slope = v.slope(&at[0], |logits| divergence(&clean, logits));
            vec![v.step_linf(&at[0], &slope, self.step_size, self.eps)]
        });
        end[0].stop_gradient()
    }
}

impl Defence for Trades {
    fn step(&self, s: &mut TrainStep<'_>) -> Result<()> {
        let at = self.adversarial(&mut victim(s, (self.low, self.high))?);
        let clean = s.forward(true);
        let adversarial = forward_at(s, &at);
        let apart = divergence(&scores(&clean), &scores(&adversarial)).mean_all();
        let loss = s.loss(&clean) + apart * self.beta as f32;
        s.descend(&loss);
        s.metrics(&clean, &loss);
        Ok(())
    }
}
