//! `fit`, `evaluate` and single batches on a compiled model.

use super::checks::check_samples;
use super::conditions::Conditions;
use super::context::Training;
use super::data::{Samples, Source};
use super::feed::{Feed, weigh_classes};
use super::fit::Fit;
use super::programs::Kind;
use super::progress::{Console, Progress, Verbose};
use super::run::{FitRun, Run};
use super::state::{Position, TrainingState};
use super::warnings::before_training;
use super::{Batches, Compiled, History, Logs};
use crate::callbacks::Callback;
use rhyton_tensor::{Error, Result, Tensor};
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
    /// Trains on `data`: `(&x, &y)`, `(&x, &y, &sample_weight)` or a source of batches. Returns what every epoch
    /// reached.
    ///
    /// # Errors
    /// Before anything runs: arguments that make no sense, data that does not fit the model or its losses, NaN,
    /// labels out of range. Later: what callbacks and sources of batches report.
    #[track_caller]
    pub fn fit<'f>(&'f mut self, data: impl Into<Source<'f>>, fit: Fit<'f>) -> Result<History> {
        let here = rhyton_tensor::Source(std::panic::Location::caller());
        self.fit_run(data.into(), fit).map_err(|e| e.source(here))
    }

    fn fit_run<'f>(&'f mut self, data: Source<'f>, mut fit: Fit<'f>) -> Result<History> {
        fit.check()?;
        self.forget_waiting();
        let mut resume = fit.resume.take();
        for c in &mut fit.callbacks {
            let state = c.resume()?;
            resume = resume.or(state);
        }
        let conditions = Conditions::new(&fit, &data);
        if let Some(state) = &resume {
            state.check_format()?;
            if !fit.resume_anyway {
                conditions.check(state, self)?;
            }
        }
        let seed = self.begin_seed(&fit, resume.as_ref());
        let (mut feed, validation, warnings) = self.feeds(data, &mut fit, seed)?;
        self.hold(true);
        let mut position = Position { epoch: fit.initial_epoch, seed, ..Position::default() };
        feed.pass = self.passes;
        let mut history = History::default();
        if let Some(state) = &resume {
            state.apply(self)?;
            position = Position { seed, ..state.position() };
            if seed != state.position().seed {
                self.set_key(self.key_of(seed));
            }
            history = state.history();
            feed.go_to(position.pass, position.seen, self)?;
        }
        let mut console = Console::new(fit.verbose, fit.output.take());
        console.warns = fit.warnings;
        let mut cx = Training::new(self, console);
        (cx.epochs, cx.steps, cx.stopping) = (fit.epochs, feed.steps(), position.stopped);
        cx.validates = validation.is_some();
        (history.epochs, history.steps) = (cx.epochs, cx.steps);
        let validation = validation.map(|v| (v, fit.validation_epochs));
        let run = Run { cx, callbacks: fit.callbacks };
        let mut fit = FitRun { run, feed, validation, history, position, conditions };
        fit.run.each(|c, cx| c.on_train_begin(cx))?;
        if let Some(state) = &resume {
            state.restore(&mut fit.run.callbacks)?;
            fit.say_if_over();
        }
        warnings.iter().try_for_each(|w| fit.run.warn(w))?;
        let done = fit.train();
        fit.run.cx.model.passes = fit.feed.place().0;
        done.map(|()| fit.history)
    }

    /// Sets random numbers and passes to where this call of `fit` begins.
    fn begin_seed(&mut self, fit: &Fit<'_>, resume: Option<&TrainingState>) -> u64 {
        if let Some(state) = resume {
            self.seed = fit.seed.unwrap_or(state.position().seed);
        } else if let Some(seed) = fit.seed {
            self.seed = seed;
            self.passes = fit.initial_epoch;
            self.set_key(self.key_of(seed));
        }
        self.seed
    }

    /// The random key of the next step.
    fn key_of(&self, seed: u64) -> Tensor {
        let folded = (seed as u32) ^ ((seed >> 32) as u32).rotate_left(16);
        Tensor::vector(vec![folded as i32, self.iterations() as i32])
    }

    fn feeds<'f>(
        &self,
        data: Source<'f>,
        fit: &mut Fit<'f>,
        seed: u64,
    ) -> Result<(Feed<'f>, Option<Feed<'f>>, Vec<String>)> {
        let (size, steps) = (fit.batch_size, fit.steps_per_epoch);
        let validation_size = fit.validation_batch_size.or(size).unwrap_or(BATCH_SIZE);
        let given =
            fit.validation.take().map(|v| Feed::in_order(v, self, validation_size, fit.validation_steps));
        let given = given.transpose().map_err(|e| e.place("validation data"))?;
        let mut samples = match data {
            Source::Samples(s) => s,
            Source::Batches(b) => {
                let arguments = [
                    ("class_weight", !fit.class_weight.is_empty()),
                    ("sample_weight", !fit.sample_weight.is_empty()),
                    ("validation_split", fit.validation_split > 0.0),
                    ("batch_size", size.is_some()),
                ];
                if let Some((name, _)) = arguments.iter().find(|(_, given)| *given) {
                    return Err(Error::new(format!("{name} needs tensors, not a source of batches"))
                        .place("fit")
                        .fix("let the source make batches of the right size, with weights"));
                }
                return Ok((Feed::new(b, true, steps), given, before_training(self, None, &[])));
            }
        };
        if !fit.sample_weight.is_empty() {
            samples.weights = std::mem::take(&mut fit.sample_weight);
        }
        let validated = check_samples(&samples, self, &self.objective, self.output_types())?;
        let n = validated.len();
        let split = if given.is_some() || fit.validation_split == 0.0 {
            n
        } else {
            (n as f64 * (1.0 - fit.validation_split)).floor() as usize
        };
        if split == 0 || split == n && given.is_none() && fit.validation_split > 0.0 {
            return Err(Error::new(format!(
                "a validation_split of {} leaves no samples",
                fit.validation_split
            ))
            .place("fit")
            .expected(format!("at least one of {n} samples in each part")));
        }
        let warnings = before_training(self, Some(&validated), &fit.class_weight);
        let mut training = validated.clone();
        if !fit.class_weight.is_empty() {
            weigh_classes(&mut training, &fit.class_weight, &self.objective)?;
        }
        let size = size.or(steps.map(|s| n.div_ceil(s))).unwrap_or(BATCH_SIZE);
        let train = Feed::over(&training, self, 0..split, size, fit.shuffle.then_some(seed))?;
        let train = Feed::new(Box::new(train), false, steps);
        if split == n {
            return Ok((train, given, warnings));
        }
        let rest = Feed::over(&validated, self, split..n, validation_size, None)?;
        Ok((train, Some(Feed::new(Box::new(rest), false, fit.validation_steps)), warnings))
    }

    /// Loss and metrics on `data`, in Keras's order, 32 samples at a time.
    ///
    /// # Errors
    /// When the data does not fit the model or its losses.
    #[track_caller]
    pub fn evaluate<'f>(&'f mut self, data: impl Into<Source<'f>>) -> Result<Logs> {
        let here = rhyton_tensor::Source(std::panic::Location::caller());
        self.evaluate_with(data, Evaluate::new()).map_err(|e| e.source(here))
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
        let here = rhyton_tensor::Source(std::panic::Location::caller());
        self.on_batch(Kind::Train, data.into()).map_err(|e| e.source(here))
    }

    /// Loss and metrics of one batch.
    ///
    /// # Errors
    /// When the data does not fit the model or its losses.
    #[track_caller]
    pub fn test_on_batch<'f>(&'f mut self, data: impl Into<Source<'f>>) -> Result<Logs> {
        let here = rhyton_tensor::Source(std::panic::Location::caller());
        self.on_batch(Kind::Test, data.into()).map_err(|e| e.source(here))
    }

    fn on_batch(&mut self, kind: Kind, data: Source<'_>) -> Result<Logs> {
        let samples: Samples = match data {
            Source::Samples(s) => check_samples(&s, self, &self.objective, self.output_types())?,
            Source::Batches(_) => {
                return Err(Error::new("one step needs one batch").expected("tensors: (&x, &y)"));
            }
        };
        let mut console = Console::new(Verbose::Silent, None);
        if kind == Kind::Train && self.is_untried() {
            let warnings = before_training(self, Some(&samples), &[]);
            warnings.iter().filter(|w| self.is_news(w)).for_each(|w| console.warn(w));
        }
        let n = samples.len();
        let mut batches = Feed::over(&samples, self, 0..n, n, None)?;
        batches.start(0)?;
        self.reset_figures()?;
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
