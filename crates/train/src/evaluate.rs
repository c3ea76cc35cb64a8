//! `evaluate` and single batches on a compiled model.

use super::checks::check_samples;
use super::context::Training;
use super::data::{Samples, Source};
use super::feed::Feed;
use super::progress::{Console, Progress, Verbose};
use super::run::Run;
use super::steps::StepKind;
use super::warnings::before_training;
use super::{Batches, Compiled, Logs};
use crate::callbacks::Callback;
use rhyton_tensor::{Error, Result};
use std::io::Write;

/// Samples of a step when nothing is said.
pub(super) const BATCH_SIZE: usize = 32;

/// The arguments of [`Compiled::evaluate_with`] and [`Compiled::predict_with`].
#[derive(Default)]
pub struct Evaluate<'f> {
    pub(super) batch_size: Option<usize>,
    pub(super) steps: Option<usize>,
    callbacks: Vec<Box<dyn Callback + 'f>>,
    verbose: Verbose,
    output: Option<Box<dyn Write + 'f>>,
}

impl<'f> Evaluate<'f> {
    /// 32 samples a step, progress shown.
    pub fn new() -> Self {
        Self::default()
    }

    /// Samples of a step.
    pub fn batch_size(mut self, samples: usize) -> Self {
        self.batch_size = Some(samples);
        self
    }

    /// At most so many steps.
    pub fn steps(mut self, steps: usize) -> Self {
        self.steps = Some(steps);
        self
    }

    /// Code that runs between steps.
    pub fn callback(mut self, callback: impl Callback + 'f) -> Self {
        self.callbacks.push(Box::new(callback));
        self
    }

    /// How much to say; also Keras's 0, 1, 2.
    pub fn verbose(mut self, verbose: impl Into<Verbose>) -> Self {
        self.verbose = verbose.into();
        self
    }

    /// Writes progress here instead of standard output.
    pub fn output(mut self, sink: impl Write + 'f) -> Self {
        self.output = Some(Box::new(sink));
        self
    }

    pub(super) fn run(self, model: &'f mut Compiled) -> Run<'f> {
        let cx = Training::new(model, Console::new(self.verbose, self.output));
        Run { cx, callbacks: self.callbacks }
    }
}

impl Compiled {
    /// Loss and metrics on `data`, in Keras's order, 32 samples at a time.
    ///
    /// # Errors
    /// When the data does not fit the model or its losses.
    #[track_caller]
    pub fn evaluate<'f>(&'f mut self, data: impl Into<Source<'f>>) -> Result<Logs> {
        let here = rhyton_tensor::Source::here();
        self.evaluate_with(data, Evaluate::new()).map_err(|e| e.source(&here))
    }

    /// [`evaluate`](Compiled::evaluate) with arguments.
    ///
    /// # Errors
    /// When the data does not fit the model or its losses, or a callback fails.
    pub fn evaluate_with<'f>(&'f mut self, data: impl Into<Source<'f>>, how: Evaluate<'f>) -> Result<Logs> {
        how.check("evaluate")?;
        let mut feed = Feed::in_order(data.into(), self, how.batch_size.unwrap_or(BATCH_SIZE), how.steps)?;
        let mut run = how.run(self);
        let mut progress = Progress::begin(feed.steps(), &mut run.cx.console);
        let logs = run.test(&mut feed, Some(&mut progress))?;
        Ok(run.cx.model.in_order(logs))
    }

    /// With several outputs Keras lists losses first and the rest by name.
    fn in_order(&self, logs: Logs) -> Logs {
        let losses = if self.objective.goals.len() < 2 {
            logs.len()
        } else {
            1 + logs.names().iter().filter(|n| self.is_output_loss(n)).count()
        };
        let (first, rest): (Vec<_>, Vec<_>) = logs.iter().enumerate().partition(|(i, _)| *i < losses);
        let rest = Logs::from_iter(rest.into_iter().map(|(_, p)| p)).sorted();
        first.into_iter().map(|(_, p)| p).chain(rest.iter()).collect()
    }

    /// One training step on one batch; the figures are of this batch alone.
    ///
    /// # Errors
    /// When the data does not fit the model or its losses.
    #[track_caller]
    pub fn train_on_batch<'f>(&'f mut self, data: impl Into<Source<'f>>) -> Result<Logs> {
        let here = rhyton_tensor::Source::here();
        self.on_batch(StepKind::Train, data.into()).map_err(|e| e.source(&here))
    }

    /// Loss and metrics of one batch.
    ///
    /// # Errors
    /// When the data does not fit the model or its losses.
    #[track_caller]
    pub fn test_on_batch<'f>(&'f mut self, data: impl Into<Source<'f>>) -> Result<Logs> {
        let here = rhyton_tensor::Source::here();
        self.on_batch(StepKind::Test, data.into()).map_err(|e| e.source(&here))
    }

    fn on_batch(&mut self, kind: StepKind, data: Source<'_>) -> Result<Logs> {
        let samples: Samples = match data {
            Source::Samples(s) => check_samples(&s, self, &self.objective, self.output_types())?,
            Source::Batches(_) => {
                return Err(Error::new("one step needs one batch").expected("tensors: (&x, &y)"));
            }
        };
        let mut console = Console::new(Verbose::Silent, None);
        if kind == StepKind::Train && self.is_untried() {
            let warnings = before_training(self, Some(&samples), &[]);
            warnings.iter().filter(|w| self.is_news(w)).for_each(|w| console.warn(w));
        }
        let n = samples.len();
        let mut batches = Feed::over(&samples, self, 0..n, n, None)?;
        batches.start(0)?;
        self.reset_figures(kind)?;
        if let Some(batch) = batches.next()? {
            self.step(kind, batch)?;
        }
        if let Some(finding) = self.take_finding() {
            console.warn(&format!("the loss {finding}"));
        }
        let logs = self.logs();
        Ok(self.in_order(logs))
    }
}
