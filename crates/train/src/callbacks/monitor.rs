//! [`Monitor`]: whether a figure improved.

use crate::{Training, from_number, number};
use rhyton_tensor::{Error, Result};
use serde_json::Value as Json;

/// Which way a figure gets better.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// As the figure itself knows: losses and errors get smaller, accuracies larger.
    #[default]
    Auto,
    /// Smaller is better.
    Min,
    /// Larger is better.
    Max,
}

/// A figure that is watched, and its best value so far.
#[derive(Clone, Debug)]
pub struct Monitor {
    /// Its name in the logs: `val_loss`.
    pub name: String,
    /// Which way it gets better.
    pub mode: Mode,
    /// Smaller changes are no improvement.
    pub min_delta: f64,
    /// The best value so far.
    pub best: Option<f64>,
}

/// Setters of callbacks that watch a figure.
pub trait Monitoring: Sized {
    /// The figure.
    fn monitor_mut(&mut self) -> &mut Monitor;

    /// Which way the figure gets better.
    fn mode(mut self, mode: Mode) -> Self {
        self.monitor_mut().mode = mode;
        self
    }

    /// Smaller changes are no improvement.
    fn min_delta(mut self, delta: f64) -> Self {
        self.monitor_mut().min_delta = delta;
        self
    }
}

impl Monitor {
    /// Watches a figure of the logs.
    pub fn new(name: &str) -> Monitor {
        Monitor { name: name.into(), mode: Mode::Auto, min_delta: 0.0, best: None }
    }

    /// The figure in the logs of this epoch; `None` when it is not there, as in epochs without validation.
    pub fn value(&self, cx: &Training<'_>) -> Option<f64> {
        cx.logs().get(&self.name)
    }

    /// Finds out which way is better, where that is not said.
    ///
    /// # Errors
    /// When the figure is unknown or does not know which way it gets better.
    pub fn settle(&mut self, callback: &str, cx: &Training<'_>) -> Result<()> {
        if self.mode != Mode::Auto {
            return Ok(());
        }
        self.mode = match cx.model.larger_is_better(&self.name) {
            Some(true) => Mode::Max,
            Some(false) => Mode::Min,
            None => {
                let names = cx.logs().names().join(", ");
                return Err(Error::new(format!(
                    "it is not known whether larger values of '{}' are better",
                    self.name
                ))
                .place(callback)
                .expected(format!("one of the figures {names}"))
                .fix("say mode(Mode::Min) or mode(Mode::Max), or monitor another figure"));
            }
        };
        Ok(())
    }

    /// Whether `value` is better than `reference` by more than `min_delta`.
    pub fn is_better(&self, value: f64, reference: f64) -> bool {
        let delta = self.min_delta.abs();
        if self.mode == Mode::Max { value - delta > reference } else { value + delta < reference }
    }

    /// Whether `value` is the best so far, which it then becomes. The first value is.
    pub fn improved(&mut self, value: f64) -> bool {
        let improved = self.best.is_none_or(|best| self.is_better(value, best));
        if improved {
            self.best = Some(value);
        }
        improved
    }

    /// For the state of a callback.
    pub fn to_json(&self) -> Json {
        self.best.map_or(Json::Null, number)
    }

    /// What [`to_json`](Monitor::to_json) gave.
    pub fn restore(&mut self, best: &Json) {
        self.best = from_number(best);
    }
}
