//! [`EarlyStopping`].

use super::{Callback, CallbackState, Monitor, Monitoring};
use crate::Training;
use rhyton_tensor::{Result, Tensor};
use serde_json::json;

/// Stops when a figure has not improved for some epochs.
#[derive(Clone, Debug)]
pub struct EarlyStopping {
    monitor: Monitor,
    patience: usize,
    baseline: Option<f64>,
    restore_best_weights: bool,
    start_from_epoch: usize,
    verbose: bool,
    wait: usize,
    best_epoch: usize,
    best_weights: Option<Vec<Tensor>>,
    /// The epoch at whose end training stopped.
    pub stopped_epoch: Option<usize>,
}

impl EarlyStopping {
    /// Watches a figure: `val_loss`.
    pub fn new(monitor: &str) -> EarlyStopping {
        EarlyStopping {
            monitor: Monitor::new(monitor),
            patience: 0,
            baseline: None,
            restore_best_weights: false,
            start_from_epoch: 0,
            verbose: false,
            wait: 0,
            best_epoch: 0,
            best_weights: None,
            stopped_epoch: None,
        }
    }

    /// Epochs without improvement after which training stops.
    pub fn patience(mut self, epochs: usize) -> Self {
        self.patience = epochs;
        self
    }

    /// Only values better than this reset the waiting.
    pub fn baseline(mut self, value: f64) -> Self {
        self.baseline = Some(value);
        self
    }

    /// At the end, takes back the weights of the best epoch.
    pub fn restore_best_weights(mut self, yes: bool) -> Self {
        self.restore_best_weights = yes;
        self
    }

    /// Epochs before this one do not count.
    pub fn start_from_epoch(mut self, epoch: usize) -> Self {
        self.start_from_epoch = epoch;
        self
    }

    /// Says when it stops.
    pub fn verbose(mut self, yes: bool) -> Self {
        self.verbose = yes;
        self
    }
}

impl Monitoring for EarlyStopping {
    fn monitor_mut(&mut self) -> &mut Monitor {
        &mut self.monitor
    }
}

impl Callback for EarlyStopping {
    fn on_train_begin(&mut self, _: &mut Training<'_>) -> Result<()> {
        (self.wait, self.best_epoch, self.monitor.best) = (0, 0, None);
        (self.best_weights, self.stopped_epoch) = (None, None);
        Ok(())
    }

    fn on_epoch_end(&mut self, epoch: usize, cx: &mut Training<'_>) -> Result<()> {
        let Some(current) = self.monitor.value(cx) else {
            return cx.missing("EarlyStopping", &self.monitor.name);
        };
        self.monitor.settle("EarlyStopping", cx)?;
        if epoch < self.start_from_epoch {
            return Ok(());
        }
        if self.restore_best_weights && self.best_weights.is_none() {
            // Without any improvement the weights of the first epoch are the best.
            self.best_weights = Some(cx.model.weights().to_vec());
            self.best_epoch = epoch;
        }
        self.wait += 1;
        if self.monitor.improved(current) {
            self.best_epoch = epoch;
            if self.restore_best_weights {
                self.best_weights = Some(cx.model.weights().to_vec());
            }
            if self.baseline.is_none_or(|b| self.monitor.is_better(current, b)) {
                self.wait = 0;
            }
            return Ok(());
        }
        if self.wait >= self.patience && epoch > 0 {
            self.stopped_epoch = Some(epoch);
            cx.stop();
        }
        Ok(())
    }

    fn on_train_end(&mut self, cx: &mut Training<'_>) -> Result<()> {
        if let (Some(epoch), true) = (self.stopped_epoch, self.verbose) {
            cx.print(&format!("Epoch {}: early stopping", epoch + 1));
        }
        if let Some(weights) = self.best_weights.take() {
            if self.verbose {
                let epoch = self.best_epoch + 1;
                cx.print(&format!("Restoring model weights from the end of the best epoch: {epoch}."));
            }
            cx.model.set_weights(&weights)?;
        }
        Ok(())
    }

    fn state(&self) -> CallbackState {
        let tensors = self.best_weights.iter().flatten().enumerate();
        CallbackState {
            json: json!({
                "wait": self.wait,
                "best": self.monitor.to_json(),
                "best_epoch": self.best_epoch,
                "stopped_epoch": self.stopped_epoch,
            }),
            tensors: tensors.map(|(i, t)| (i.to_string(), t.clone())).collect(),
        }
    }

    fn restore(&mut self, state: &CallbackState) -> Result<()> {
        let at = |key: &str| state.json[key].as_u64().map(|n| n as usize);
        self.wait = at("wait").unwrap_or(0);
        self.best_epoch = at("best_epoch").unwrap_or(0);
        self.stopped_epoch = at("stopped_epoch");
        self.monitor.restore(&state.json["best"]);
        let weights: Vec<Tensor> = state.tensors.iter().map(|(_, t)| t.clone()).collect();
        self.best_weights = (!weights.is_empty()).then_some(weights);
        Ok(())
    }
}
