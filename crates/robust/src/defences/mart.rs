//! MART.

use super::trades::divergence;
use super::{Defence, forward_at, labels, scores, victim};
use crate::Attack;
use crate::attacks::PgdLinf;
use rhyton_graph::Expr;
use rhyton_nn::functions::softmax;
use rhyton_tensor::Result;
use rhyton_train::TrainStep;

rhyton_nn::object! {
    /// `-log p'_y - log(1 - max of the others of p') + beta KL(p, p') (1 - p_y)` for answers p to clean and p' to
    /// adversarial samples (Wang et al. 2020).
    pub struct Mart {
        /// What the divergence counts.
        beta: f64 = 5.0,
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

/// Keeps logarithms finite.
const TINY: f32 = 1e-12;

impl Defence for Mart {
    fn step(&self, s: &mut TrainStep<'_>) -> Result<()> {
        let attack = PgdLinf::default().eps(self.eps).step_size(self.step_size).steps(self.steps);
        let mut victim = victim(s, (self.low, self.high))?;
        let at = attack.perturb(&mut victim)?.stop_gradient();
        let outputs = s.forward(true);
        let (clean, adversarial) = (scores(&outputs), scores(&forward_at(s, &at)));
        let own = labels(s, victim.classes())?.one_hot(victim.classes());
        let (p, q) = (softmax(&clean), softmax(&adversarial));
        let of_label = |p: &Expr| (p * &own).sum(&[1]);
        let others = (&q * (1.0 - &own)).max(&[1]);
        let boosted = -(of_label(&q) + TINY).log() - (1.0 - others + TINY).log();
        let apart = divergence(&clean, &adversarial) * (1.0 - of_label(&p));
        // The usual loss of clean samples is not in it, but its penalties of weights are.
        let loss = (boosted + apart * self.beta as f32).mean_all() + s.penalties(0);
        s.loss(&outputs);
        s.descend(&loss);
        s.metrics(&outputs, &loss);
        Ok(())
    }
}
