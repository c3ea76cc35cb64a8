//! A warning of catastrophic overfitting.

use crate::attacks::{Fgsm, PgdLinf};
use crate::{AttackRef, Attacker};
use rhyton_tensor::{Result, Tensor};
use rhyton_train::Training;
use rhyton_train::callbacks::{Callback, CallbackState};
use serde_json::json;

/// Looks at the end of each epoch at the accuracy under one step and under many steps of an attack, logs both, and warns
/// when the one rises while the other falls: then the model only learns to make one step miss (Wong, Rice, Kolter 2020).
pub struct CatastrophicOverfitting {
    x: Tensor,
    labels: Tensor,
    eps: f64,
    bounds: (f32, f32),
    before: Option<(f64, f64)>,
}

/// A fall of accuracy that is no chance.
const FALL: f64 = 0.1;

impl CatastrophicOverfitting {
    /// Looks at these samples, which training does not see, under changes of at most `eps`.
    pub fn new(x: &Tensor, labels: &Tensor, eps: f64) -> CatastrophicOverfitting {
        CatastrophicOverfitting {
            x: x.clone(),
            labels: labels.clone(),
            eps,
            bounds: (0.0, 1.0),
            before: None,
        }
    }

    /// Least and largest value of an input.
    pub fn bounds(mut self, low: f32, high: f32) -> Self {
        self.bounds = (low, high);
        self
    }
}

impl Callback for CatastrophicOverfitting {
    fn on_epoch_end(&mut self, epoch: usize, cx: &mut Training<'_>) -> Result<()> {
        let accuracy = |attack: AttackRef| {
            let attacker = Attacker::new(cx.model).bounds(self.bounds.0, self.bounds.1);
            attacker.attack(attack, &self.x, &self.labels).map(|found| found.robust_accuracy())
        };
        let one = accuracy(Fgsm::default().eps(self.eps).into())?;
        let many = accuracy(PgdLinf::default().eps(self.eps).step_size(self.eps / 4.0).steps(10).into())?;
        cx.log("fgsm_accuracy", one);
        cx.log("pgd_accuracy", many);
        if let Some((one_before, many_before)) = self.before
            && many < many_before - FALL
            && one > one_before
        {
            cx.print(&format!(
                "warning: catastrophic overfitting in epoch {}: accuracy under ten steps fell from {many_before:.3} to \
                 {many:.3} while under one it rose to {one:.3}; go back to the weights before it, or attack in more steps",
                epoch + 1
            ));
        }
        self.before = Some((one, many));
        Ok(())
    }

    fn state(&self) -> CallbackState {
        json!(self.before).into()
    }

    fn restore(&mut self, state: &CallbackState) -> Result<()> {
        self.before = serde_json::from_value(state.json.clone()).unwrap_or_default();
        Ok(())
    }
}
