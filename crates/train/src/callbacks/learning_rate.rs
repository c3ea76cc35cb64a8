//! [`LearningRateScheduler`].

use super::Callback;
use crate::Training;
use rhyton_tensor::Result;

/// Sets the learning rate at the start of every epoch. Adds `learning_rate` to the logs.
pub struct LearningRateScheduler<F> {
    schedule: F,
    verbose: bool,
}

impl<F: FnMut(usize, f64) -> f64> LearningRateScheduler<F> {
    /// `schedule` gets the epoch, from 0, and the learning rate, and returns the new one.
    pub fn new(schedule: F) -> Self {
        LearningRateScheduler { schedule, verbose: false }
    }

    /// Says what it sets.
    pub fn verbose(mut self, yes: bool) -> Self {
        self.verbose = yes;
        self
    }
}

impl<F: FnMut(usize, f64) -> f64> Callback for LearningRateScheduler<F> {
    fn on_epoch_begin(&mut self, epoch: usize, cx: &mut Training<'_>) -> Result<()> {
        let rate = (self.schedule)(epoch, cx.model.learning_rate()?);
        cx.model.set_learning_rate(rate).map_err(|e| e.place("LearningRateScheduler"))?;
        if self.verbose {
            let epoch = epoch + 1;
            cx.print(&format!("\nEpoch {epoch}: LearningRateScheduler setting learning rate to {rate}."));
        }
        Ok(())
    }

    fn on_epoch_end(&mut self, _: usize, cx: &mut Training<'_>) -> Result<()> {
        let rate = cx.model.learning_rate()?;
        cx.log("learning_rate", rate);
        Ok(())
    }
}
