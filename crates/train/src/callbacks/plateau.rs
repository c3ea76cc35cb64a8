//! [`ReduceLROnPlateau`].

use super::{Callback, CallbackState, Monitor, Monitoring};
use crate::Training;
use rhyton_tensor::{Error, Result};
use serde_json::json;

/// Lowers the learning rate when a figure has not improved for some epochs. Adds `learning_rate` to the logs.
#[derive(Clone, Debug)]
pub struct ReduceLROnPlateau {
    monitor: Monitor,
    factor: f64,
    patience: usize,
    cooldown: usize,
    min_lr: f64,
    verbose: bool,
    wait: usize,
    cooling: usize,
}

impl ReduceLROnPlateau {
    /// Watches a figure: `val_loss`.
    pub fn new(monitor: &str) -> ReduceLROnPlateau {
        let monitor = Monitor { min_delta: 1e-4, ..Monitor::new(monitor) };
        ReduceLROnPlateau {
            monitor,
            factor: 0.1,
            patience: 10,
            cooldown: 0,
            min_lr: 0.0,
            verbose: false,
            wait: 0,
            cooling: 0,
        }
    }

    /// The learning rate is multiplied by this; below 1.
    pub fn factor(mut self, factor: f64) -> Self {
        self.factor = factor;
        self
    }

    /// Epochs without improvement after which it is lowered.
    pub fn patience(mut self, epochs: usize) -> Self {
        self.patience = epochs;
        self
    }

    /// Epochs after lowering in which nothing counts.
    pub fn cooldown(mut self, epochs: usize) -> Self {
        self.cooldown = epochs;
        self
    }

    /// The smallest learning rate.
    pub fn min_lr(mut self, rate: f64) -> Self {
        self.min_lr = rate;
        self
    }

    /// Says when it lowers.
    pub fn verbose(mut self, yes: bool) -> Self {
        self.verbose = yes;
        self
    }
}

impl Monitoring for ReduceLROnPlateau {
    fn monitor_mut(&mut self) -> &mut Monitor {
        &mut self.monitor
    }
}

impl Callback for ReduceLROnPlateau {
    fn on_train_begin(&mut self, _: &mut Training<'_>) -> Result<()> {
        if !(0.0..1.0).contains(&self.factor) {
            return Err(Error::new(format!("ReduceLROnPlateau got factor={}", self.factor))
                .expected("at least 0 and below 1"));
        }
        (self.wait, self.cooling, self.monitor.best) = (0, 0, None);
        Ok(())
    }

    fn on_epoch_end(&mut self, epoch: usize, cx: &mut Training<'_>) -> Result<()> {
        let rate = cx.model.learning_rate()?;
        cx.log("learning_rate", rate);
        let Some(current) = self.monitor.value(cx) else {
            return cx.missing("ReduceLROnPlateau", &self.monitor.name);
        };
        self.monitor.settle("ReduceLROnPlateau", cx)?;
        if self.cooling > 0 {
            self.cooling -= 1;
            self.wait = 0;
        }
        if self.monitor.improved(current) {
            self.wait = 0;
            return Ok(());
        }
        if self.cooling > 0 {
            return Ok(());
        }
        self.wait += 1;
        // Compared in float32, which is what the rate is kept in.
        if self.wait < self.patience || rate as f32 <= self.min_lr as f32 {
            return Ok(());
        }
        let lower = (rate * self.factor).max(self.min_lr);
        cx.model.set_learning_rate(lower)?;
        if self.verbose {
            let epoch = epoch + 1;
            cx.print(&format!("\nEpoch {epoch}: ReduceLROnPlateau reducing learning rate to {lower}."));
        }
        (self.cooling, self.wait) = (self.cooldown, 0);
        Ok(())
    }

    fn state(&self) -> CallbackState {
        json!({ "wait": self.wait, "cooling": self.cooling, "best": self.monitor.to_json() }).into()
    }

    fn restore(&mut self, state: &CallbackState) -> Result<()> {
        let at = |key: &str| state.json[key].as_u64().map_or(0, |n| n as usize);
        (self.wait, self.cooling) = (at("wait"), at("cooling"));
        self.monitor.restore(&state.json["best"]);
        Ok(())
    }
}
