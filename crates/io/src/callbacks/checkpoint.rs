//! [`ModelCheckpoint`]: the model of every epoch, or the best so far.

use crate::{keras, weights};
use rhyton_nn::callbacks::{Callback, CallbackState, Mode, Monitor};
use rhyton_nn::training::Training;
use rhyton_tensor::{Error, Result};
use std::path::PathBuf;

/// Saves the model at the end of every epoch, or only when a figure is better than ever.
///
/// `{epoch}` (from 1, also `{epoch:02d}`) and figures like `{val_loss:.2f}` in the path are replaced.
///
/// ```no_run
/// use rhyton_io::ModelCheckpoint;
/// let best = ModelCheckpoint::new("best.keras").monitor("val_accuracy").save_best_only(true);
/// ```
pub struct ModelCheckpoint {
    path: String,
    monitor: Monitor,
    save_best_only: bool,
    save_weights_only: bool,
    verbose: bool,
}

impl ModelCheckpoint {
    /// Saves to this path: a whole model to `.keras`, weights alone to `.weights.h5`.
    pub fn new(path: impl Into<String>) -> ModelCheckpoint {
        ModelCheckpoint {
            path: path.into(),
            monitor: Monitor::new("val_loss"),
            save_best_only: false,
            save_weights_only: false,
            verbose: false,
        }
    }

    /// The figure that decides what is best; `val_loss` unless set.
    pub fn monitor(mut self, figure: &str) -> ModelCheckpoint {
        self.monitor.name = figure.into();
        self
    }

    /// Whether smaller or larger is better; known for Keras's figures.
    pub fn mode(mut self, mode: Mode) -> ModelCheckpoint {
        self.monitor.mode = mode;
        self
    }

    /// Saves only when the figure is better than ever.
    pub fn save_best_only(mut self, yes: bool) -> ModelCheckpoint {
        self.save_best_only = yes;
        self
    }

    /// Saves the weights alone.
    pub fn save_weights_only(mut self, yes: bool) -> ModelCheckpoint {
        self.save_weights_only = yes;
        self
    }

    /// Says what it does.
    pub fn verbose(mut self, yes: bool) -> ModelCheckpoint {
        self.verbose = yes;
        self
    }

    fn path_of(&self, epoch: usize, cx: &Training<'_>) -> Result<PathBuf> {
        let (mut out, mut rest) = (String::new(), self.path.as_str());
        while let Some((before, after)) = rest.split_once('{') {
            let Some((field, tail)) = after.split_once('}') else { break };
            let (name, format) = field.split_once(':').unwrap_or((field, ""));
            out.push_str(before);
            out.push_str(&match name {
                "epoch" => whole(epoch + 1, format),
                figure => {
                    let value = cx.logs().get(figure).ok_or_else(|| {
                        Error::new(format!("there is no figure '{figure}' for the name of the file"))
                            .place("ModelCheckpoint")
                            .expected(format!("epoch or one of {}", cx.logs().names().join(", ")))
                    })?;
                    let digits = format.trim_start_matches('.').trim_end_matches('f').parse().unwrap_or(4);
                    format!("{value:.digits$}")
                }
            });
            rest = tail;
        }
        Ok(PathBuf::from(out + rest))
    }
}

/// An epoch in Python's format, like `02d`.
fn whole(n: usize, format: &str) -> String {
    let width = format.trim_end_matches('d').trim_start_matches('0').parse().unwrap_or(0);
    format!("{n:0width$}")
}

impl Callback for ModelCheckpoint {
    fn on_epoch_end(&mut self, epoch: usize, cx: &mut Training<'_>) -> Result<()> {
        let path = self.path_of(epoch, cx)?;
        let mut line = format!("Epoch {}: saving model to {}", epoch + 1, path.display());
        if self.save_best_only {
            self.monitor.settle("ModelCheckpoint", cx)?;
            let Some(value) = self.monitor.value(cx) else {
                return cx.missing("ModelCheckpoint", &self.monitor.name);
            };
            let before = self.monitor.best.map_or("None".into(), |b| format!("{b:.5}"));
            let name = self.monitor.name.clone();
            if !self.monitor.improved(value) {
                if self.verbose {
                    cx.print(&format!("\nEpoch {}: {name} did not improve from {before}", epoch + 1));
                }
                return Ok(());
            }
            line = format!(
                "Epoch {}: {name} improved from {before} to {value:.5}, saving model to {}",
                epoch + 1,
                path.display()
            );
        }
        if self.verbose {
            cx.print(&format!("\n{line}"));
        }
        match self.save_weights_only {
            true => weights::save_weights(cx.model, &path)?,
            false => keras::save_compiled(cx.model, &path)?,
        }
        if self.verbose {
            cx.print(&format!("\nEpoch {}: finished saving model to {}", epoch + 1, path.display()));
        }
        Ok(())
    }

    fn state(&self) -> CallbackState {
        self.monitor.to_json().into()
    }

    fn restore(&mut self, state: &CallbackState) -> Result<()> {
        self.monitor.restore(&state.json);
        Ok(())
    }
}
