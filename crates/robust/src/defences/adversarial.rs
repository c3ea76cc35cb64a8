//! Adversarial training.

use super::{Defence, attacked, forward_at};
use crate::AttackRef;
use crate::attacks::PgdLinf;
use rhyton_tensor::Result;
use rhyton_train::TrainStep;

rhyton_nn::object! {
    /// The loss of adversarial samples in place of clean ones: Madry et al. 2018 with [`PgdLinf`], Wong, Rice, Kolter 2020
    /// with [`Ffgsm`](crate::attacks::Ffgsm).
    pub struct AdversarialTraining {
        /// The attack.
        attack: AttackRef = PgdLinf::default().into(),
        /// Least value of an input.
        low: f64 = 0.0,
        /// Largest value of an input.
        high: f64 = 1.0,
    }
}

impl Defence for AdversarialTraining {
    fn step(&self, s: &mut TrainStep<'_>) -> Result<()> {
        let x = attacked(s, &**self.attack.get()?, (self.low, self.high))?;
        let outputs = forward_at(s, &x);
        let loss = s.loss(&outputs);
        s.descend(&loss);
        s.metrics(&outputs, &loss);
        Ok(())
    }
}
