//! [`ModelCheckpoint`].

use super::name;
use crate::{files, save_keras, save_weights};
use rhyton_tensor::{Error, Result};
use rhyton_train::Training;
use rhyton_train::callbacks::{Callback, CallbackState, Monitor, Monitoring};
use serde_json::json;
use std::path::Path;

/// Saves the model, or its weights alone, after every epoch or only when a figure is the best so far.
///
/// ```
/// use rhyton_io::callbacks::ModelCheckpoint;
/// use rhyton_train::Fit;
/// Fit::epochs(10).callback(ModelCheckpoint::new("best.keras").save_best_only(true));
/// Fit::epochs(10).callback(ModelCheckpoint::new("{epoch:02d}-{val_loss:.3f}.weights.h5"));
/// ```
#[derive(Clone, Debug)]
pub struct ModelCheckpoint {
    pattern: String,
    monitor: Monitor,
    best_only: bool,
    batches: Option<usize>,
    verbose: bool,
    seen: usize,
    epoch: usize,
}

impl ModelCheckpoint {
    /// Saves to this file, the whole model where it ends in `.keras`, otherwise the weights. `{epoch}`, `{batch}` and
    /// the names of figures are filled in, with Python's formats: `{epoch:02d}-{val_loss:.3f}.keras`.
    pub fn new(path: impl Into<String>) -> ModelCheckpoint {
        ModelCheckpoint {
            pattern: path.into(),
            monitor: Monitor::new("val_loss"),
            best_only: false,
            batches: None,
            verbose: false,
            seen: 0,
            epoch: 0,
        }
    }

    /// The figure that says which model is the best; `val_loss` otherwise.
    pub fn monitor(mut self, figure: &str) -> Self {
        self.monitor.name = figure.into();
        self
    }

    /// Only models better than this value count.
    pub fn initial_value_threshold(mut self, value: f64) -> Self {
        self.monitor.best = Some(value);
        self
    }

    /// Saves only when the figure is the best so far.
    pub fn save_best_only(mut self, yes: bool) -> Self {
        self.best_only = yes;
        self
    }

    /// Saves after every `n` batches instead of every epoch.
    pub fn save_freq(mut self, n: usize) -> Self {
        self.batches = Some(n);
        self
    }

    /// Says when it saves.
    pub fn verbose(mut self, yes: bool) -> Self {
        self.verbose = yes;
        self
    }

    /// Whether the model is to be saved now, and why, in Keras's words.
    fn decide(&mut self, current: Option<f64>, cx: &Training<'_>) -> Result<Option<String>> {
        if !self.best_only {
            return Ok(Some("saving model to".into()));
        }
        let Some(current) = current else {
            return cx.missing("ModelCheckpoint", &self.monitor.name).map(|()| None);
        };
        self.monitor.settle("ModelCheckpoint", cx)?;
        let (name, best) = (&self.monitor.name, self.monitor.best);
        let from = best.map_or("None".into(), |b| format!("{b:.5}"));
        let why = format!("{name} improved from {from} to {current:.5}, saving model to");
        Ok(self.monitor.improved(current).then_some(why))
    }

    fn save(&mut self, epoch: usize, batch: Option<usize>, cx: &mut Training<'_>) -> Result<()> {
        let logs = if batch.is_some() { cx.batch_logs() } else { cx.logs().clone() };
        let path = name::fill(&self.pattern, |name| match name {
            "epoch" => Some((epoch + 1) as f64),
            "batch" => batch.map(|b| (b + 1) as f64),
            figure => logs.get(figure),
        })
        .map_err(|e| e.place("ModelCheckpoint"))?;
        let current = logs.get(&self.monitor.name);
        match self.decide(current, cx)? {
            Some(why) => {
                self.say(cx, &format!("\nEpoch {}: {why} {path}", epoch + 1));
                let path = Path::new(&path);
                if path.extension().is_some_and(|e| e == "keras") {
                    save_keras(&*cx.model, path)?;
                } else {
                    save_weights(cx.model, path)?;
                }
                self.say(cx, &format!("\nEpoch {}: finished saving model to {}", epoch + 1, path.display()));
            }
            None if self.best_only && self.monitor.best.is_some() => {
                let (name, best) = (&self.monitor.name, self.monitor.best.unwrap_or_default());
                self.say(cx, &format!("\nEpoch {}: {name} did not improve from {best:.5}", epoch + 1));
            }
            None => {}
        }
        Ok(())
    }

    /// Makes a file where models will go, as far as that is known by now.
    fn try_target(&self) -> Result<()> {
        let (folder, name) = self.pattern.rsplit_once('/').unwrap_or((".", &self.pattern));
        match (folder.contains('{'), name.contains('{')) {
            (true, _) => Ok(()),
            (false, true) => files::try_target(Path::new(folder).join("model"), 0),
            (false, false) => files::try_target(&self.pattern, 0),
        }
        .map_err(|e| e.place("ModelCheckpoint"))
    }

    fn say(&self, cx: &mut Training<'_>, text: &str) {
        if self.verbose {
            cx.print(text);
        }
    }
}

impl Monitoring for ModelCheckpoint {
    fn monitor_mut(&mut self) -> &mut Monitor {
        &mut self.monitor
    }
}

impl Callback for ModelCheckpoint {
    /// Refuses at once what would only fail at the end of an epoch.
    fn on_train_begin(&mut self, _: &mut Training<'_>) -> Result<()> {
        let known = [".keras", ".weights.h5", ".safetensors", ".npz"];
        if !known.iter().any(|end| self.pattern.ends_with(end)) {
            return Err(Error::new(format!("the name '{}' does not say what to save", self.pattern))
                .place("ModelCheckpoint")
                .expected(
                    "a name that ends in .keras for the whole model, or in .weights.h5 for its weights",
                ));
        }
        if self.batches == Some(0) {
            return Err(Error::new("save_freq=0").place("ModelCheckpoint").expected("at least 1"));
        }
        self.try_target()
    }

    fn on_epoch_begin(&mut self, epoch: usize, _: &mut Training<'_>) -> Result<()> {
        self.epoch = epoch;
        Ok(())
    }

    fn on_train_batch_end(&mut self, batch: usize, cx: &mut Training<'_>) -> Result<()> {
        let Some(every) = self.batches else { return Ok(()) };
        self.seen += 1;
        if self.seen.is_multiple_of(every.max(1)) { self.save(self.epoch, Some(batch), cx) } else { Ok(()) }
    }

    fn on_epoch_end(&mut self, epoch: usize, cx: &mut Training<'_>) -> Result<()> {
        if self.batches.is_none() { self.save(epoch, None, cx) } else { Ok(()) }
    }

    fn state(&self) -> CallbackState {
        json!({ "best": self.monitor.to_json(), "seen": self.seen, "epoch": self.epoch }).into()
    }

    fn restore(&mut self, state: &CallbackState) -> Result<()> {
        self.monitor.restore(&state.json["best"]);
        let number = |key: &str| state.json[key].as_u64().unwrap_or(0) as usize;
        (self.seen, self.epoch) = (number("seen"), number("epoch"));
        Ok(())
    }
}
