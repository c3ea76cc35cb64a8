//! The loops: training epochs and evaluation passes, with callbacks between the steps.

use super::conditions::Conditions;
use super::context::Training;
use super::feed::{Feed, empty};
use super::fit::Epochs;
use super::progress::Progress;
use super::state::{Position, TrainingState};
use super::steps::StepKind;
use super::{Batch, Compiled, History, Logs};
use crate::callbacks::{Callback, SavePoint};
use rhyton_tensor::{Error, Result};

/// Callbacks and what they see.
pub(crate) struct Run<'f> {
    pub(crate) cx: Training<'f>,
    pub(crate) callbacks: Vec<Box<dyn Callback + 'f>>,
}

/// One call of `fit` after its arguments are understood.
pub(crate) struct FitRun<'f> {
    pub(crate) run: Run<'f>,
    pub(crate) feed: Feed<'f>,
    pub(crate) validation: Option<(Feed<'f>, Epochs)>,
    pub(crate) history: History,
    pub(crate) position: Position,
    pub(crate) conditions: Conditions,
}

impl<'f> Run<'f> {
    pub(crate) fn each(
        &mut self,
        mut hook: impl FnMut(&mut (dyn Callback + 'f), &mut Training<'f>) -> Result<()>,
    ) -> Result<()> {
        for c in &mut self.callbacks {
            hook(&mut **c, &mut self.cx)?;
        }
        Ok(())
    }

    /// Says a warning, unless it was said before.
    pub(crate) fn warn(&mut self, warning: &str) -> Result<()> {
        if !self.cx.model.is_news(warning) {
            return Ok(());
        }
        self.cx.console.warn(warning);
        self.each(|c, cx| c.on_warning(warning, cx))
    }

    /// The next step; false when the data is over.
    fn step(&mut self, kind: StepKind, feed: &mut Feed<'_>) -> Result<bool> {
        let Some(batch) = feed.batches.next()? else { return Ok(false) };
        feed.seen += 1;
        let conformed: Option<Batch> = if feed.foreign { self.cx.model.conform(batch)? } else { None };
        self.cx.model.step(kind, conformed.as_ref().unwrap_or(batch))?;
        Ok(true)
    }

    /// An error when a callback interrupts `what`.
    pub(crate) fn go_on(&self, what: &str) -> Result<()> {
        if self.cx.interrupted { Err(Error::new(format!("the {what} was interrupted"))) } else { Ok(()) }
    }

    /// One pass of evaluation.
    pub(crate) fn test(&mut self, feed: &mut Feed<'_>, mut progress: Option<&mut Progress>) -> Result<Logs> {
        self.cx.model.reset_figures(StepKind::Test)?;
        self.each(|c, cx| c.on_test_begin(cx))?;
        feed.begin_epoch()?;
        let mut step = 0;
        while feed.has_step(step) {
            self.each(|c, cx| c.on_test_batch_begin(step, cx))?;
            if !self.step(StepKind::Test, feed)? {
                break;
            }
            self.each(|c, cx| c.on_test_batch_end(step, cx))?;
            step += 1;
            if let Some(p) = &mut progress {
                p.step(step, &self.cx.console, || self.cx.model.logs());
            }
            self.go_on("evaluation")?;
        }
        if step == 0 {
            return Err(empty("evaluate"));
        }
        feed.end_epoch(true);
        let logs = self.cx.model.logs();
        if let Some(p) = progress {
            p.finish(step, &mut self.cx.console, &logs.sorted());
        }
        self.each(|c, cx| c.on_test_end(cx))?;
        Ok(logs)
    }
}

impl FitRun<'_> {
    /// All epochs.
    pub(crate) fn train(&mut self) -> Result<()> {
        // An epoch in which a callback said stop still has its end, also when the run was cut off in between.
        while self.position.epoch < self.run.cx.epochs && (!self.run.cx.stopping || self.position.step > 0) {
            self.epoch()?;
        }
        // Also where nothing was left to do: a run that was cut off after its last epoch did not come to this.
        if self.run.cx.epochs > 0 {
            self.run.cx.model.take_averages()?;
        }
        self.run.each(|c, cx| c.on_train_end(cx))
    }

    /// Says that there is nothing left to do: whoever wanted a new training would wonder.
    pub(crate) fn say_if_over(&mut self) {
        let (p, cx) = (&self.position, &mut self.run.cx);
        if p.step == 0 && (cx.stopping || p.epoch >= cx.epochs) && !cx.console.is_silent() {
            cx.print(&format!(
                "Training goes on from its end, after {} epochs: nothing is left to do.",
                p.epoch
            ));
        }
    }

    fn epoch(&mut self) -> Result<()> {
        let epoch = self.position.epoch;
        self.run.cx.model.counting = StepKind::Train;
        // An epoch that was interrupted has begun already: a schedule must not move the learning rate twice.
        if self.position.step == 0 {
            self.run.cx.model.reset_figures(StepKind::Train)?;
            self.run.each(|c, cx| c.on_epoch_begin(epoch, cx))?;
        }
        let (epochs, silent) = (self.run.cx.epochs, self.run.cx.console.is_silent());
        if epochs > 1 && !silent {
            self.run.cx.print(&format!("Epoch {}/{epochs}", epoch + 1));
        }
        self.feed.begin_epoch()?;
        let mut progress = Progress::begin(self.feed.steps(), &mut self.run.cx.console);
        let ended = self.steps(&mut progress)?;
        let steps = self.position.step;
        let cx = &mut self.run.cx;
        cx.logs = cx.model.logs().sorted();
        // Where to go on from when validation is interrupted.
        let before = (self.validation.is_some() && self.is_kept()).then(|| self.state()).transpose()?;
        self.feed.end_epoch(ended);
        self.validate(epoch, before)?;
        self.run.each(|c, cx| c.on_epoch_end(epoch, cx))?;
        let cx = &mut self.run.cx;
        progress.finish(steps, &mut cx.console, &cx.logs);
        self.history.push(epoch, &cx.logs);
        (self.position.epoch, self.position.step) = (epoch + 1, 0);
        let last = epoch + 1 >= epochs || self.run.cx.stopping;
        if self.run.cx.interrupted && !last {
            return self.interrupt();
        }
        self.save(SavePoint::Epoch(epoch))
    }

    /// The steps of an epoch, from where it stands. Whether the data ended before the steps did.
    fn steps(&mut self, progress: &mut Progress) -> Result<bool> {
        let mut ended = false;
        while self.feed.has_step(self.position.step) && !self.run.cx.stopping {
            let step = self.position.step;
            self.run.each(|c, cx| c.on_train_batch_begin(step, cx))?;
            if !self.run.step(StepKind::Train, &mut self.feed)? {
                ended = true;
                break;
            }
            if let Some(finding) = self.run.cx.model.take_finding() {
                let (epoch, step) = (self.position.epoch + 1, step + 1);
                self.run.warn(&format!("the loss of step {step} of epoch {epoch} {finding}"))?;
            }
            self.run.each(|c, cx| c.on_train_batch_end(step, cx))?;
            self.position.step += 1;
            progress.step(step + 1, &self.run.cx.console, || self.run.cx.model.logs());
            if self.run.cx.interrupted && !self.run.cx.stopping {
                return self.interrupt().map(|()| ended);
            }
            self.save(SavePoint::Batch(step + 1))?;
        }
        let steps = self.position.step;
        if steps == 0 {
            return Err(empty("fit"));
        }
        if let Some(wanted) = self.feed.steps.filter(|n| steps < *n && !self.run.cx.stopping) {
            self.run.warn(&format!("the data ended after {steps} of {wanted} steps of the epoch"))?;
        }
        Ok(ended)
    }

    /// Adds `val_` figures to the logs. When this is interrupted, training can go on from the state `before`.
    fn validate(&mut self, epoch: usize, before: Option<TrainingState>) -> Result<()> {
        let Some((feed, epochs)) = &mut self.validation else { return Ok(()) };
        if epochs.contains(epoch) {
            let logs = self.run.test(feed, None);
            if self.run.cx.interrupted {
                self.give(SavePoint::Interrupt, before)?;
                return Err(self.interruption());
            }
            for (name, value) in logs?.sorted().iter() {
                self.run.cx.log(&format!("val_{name}"), value);
            }
        }
        Ok(())
    }

    /// Ends training before its time.
    fn interrupt(&mut self) -> Result<()> {
        self.save(SavePoint::Interrupt)?;
        Err(self.interruption())
    }

    fn interruption(&self) -> Error {
        let (epoch, step) = (self.position.epoch, self.position.step);
        let after =
            if step == 0 { format!("epoch {epoch}") } else { format!("step {step} of epoch {}", epoch + 1) };
        Error::new(format!("training was interrupted after {after}"))
    }

    /// Whether a callback keeps the state of a training that is interrupted.
    fn is_kept(&mut self) -> bool {
        self.run.callbacks.iter_mut().any(|c| c.wants_state(SavePoint::Interrupt))
    }

    /// Gives the state of training to the callbacks that want it here.
    fn save(&mut self, at: SavePoint) -> Result<()> {
        self.give(at, None)
    }

    /// The same with a state that was taken before.
    fn give(&mut self, at: SavePoint, mut taken: Option<TrainingState>) -> Result<()> {
        for i in 0..self.run.callbacks.len() {
            if !self.run.callbacks[i].wants_state(at) {
                continue;
            }
            let state = match taken.take() {
                Some(state) => state,
                None => self.state()?,
            };
            self.run.callbacks[i].save(&state)?;
            taken = Some(state);
        }
        Ok(())
    }

    fn state(&self) -> Result<TrainingState> {
        let (pass, seen) = self.feed.place();
        let stopped = self.run.cx.stopping;
        let position = Position { pass, seen, stopped, ..self.position.clone() };
        let conditions = self.conditions.to_json(self.run.cx.model);
        TrainingState::capture(self.run.cx.model, &position, &self.history, &self.run.callbacks, conditions)
    }
}

impl Compiled {
    /// A batch from the user in the types of the model; `None` when it has them.
    ///
    /// # Errors
    /// When it does not fit the model or its losses.
    pub(crate) fn conform(&self, batch: &Batch) -> Result<Option<Batch>> {
        super::checks::check_batch(batch, self, &self.objective, self.output_types())
    }
}
