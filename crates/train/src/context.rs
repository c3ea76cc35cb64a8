//! [`Training`]: what callbacks see and may change.

use super::progress::Console;
use super::{Compiled, Logs};
use rhyton_tensor::{Error, Result};

/// The course of `fit` or `evaluate`, as callbacks see it.
pub struct Training<'a> {
    /// The model: weights, optimizer state and learning rate can be read and set.
    pub model: &'a mut Compiled,
    /// Last epoch asked for.
    pub epochs: usize,
    /// Steps of an epoch, where known.
    pub steps: Option<usize>,
    pub(crate) logs: Logs,
    pub(crate) stopping: bool,
    pub(crate) interrupted: bool,
    pub(crate) validates: bool,
    pub(crate) console: Console<'a>,
}

impl<'a> Training<'a> {
    pub(crate) fn new(model: &'a mut Compiled, console: Console<'a>) -> Training<'a> {
        Training {
            model,
            epochs: 0,
            steps: None,
            logs: Logs::default(),
            stopping: false,
            interrupted: false,
            validates: false,
            console,
        }
    }

    /// The figures of the epoch that just ended; empty before the end of the first.
    pub fn logs(&self) -> &Logs {
        &self.logs
    }

    /// Adds a figure to the logs of this epoch, and so to the history.
    pub fn log(&mut self, name: &str, value: f64) {
        self.logs.set(name, value);
    }

    /// The figures of the running epoch or evaluation up to this batch.
    pub fn batch_logs(&self) -> Logs {
        self.model.logs().sorted()
    }

    /// Whether no loss of this epoch so far was NaN or infinite.
    pub fn loss_is_finite(&self) -> bool {
        self.model.losses_are_finite()
    }

    /// Ends training after this batch or epoch.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// Whether training is to end.
    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Ends `fit`, `evaluate` or `predict_with` with an error after the step that runs, for a signal or a limit of
    /// time. Callbacks that keep the state of training get it as of that step
    /// ([`SavePoint::Interrupt`](crate::callbacks::SavePoint::Interrupt)), so that training can go on later as if
    /// nothing had happened; [`stop`](Training::stop) ends training for good.
    pub fn interrupt(&mut self) {
        self.interrupted = true;
    }

    /// Writes a line where progress is shown.
    pub fn print(&mut self, line: &str) {
        self.console.print(line);
    }

    /// What a callback does whose figure is not in the logs of an epoch: nothing where validation may have been left
    /// out this time.
    ///
    /// # Errors
    /// When the figure cannot appear.
    pub fn missing(&self, callback: &str, figure: &str) -> Result<()> {
        if self.validates && figure.strip_prefix("val_").is_some_and(|f| self.logs.get(f).is_some()) {
            return Ok(());
        }
        let error = Error::new(format!("there is no figure '{figure}' to watch"))
            .place(callback)
            .expected(format!("one of {}", self.logs.names().join(", ")));
        if figure.starts_with("val_") && !self.validates {
            return Err(error.fix("give fit validation data, or watch a figure of training"));
        }
        Err(error)
    }
}
