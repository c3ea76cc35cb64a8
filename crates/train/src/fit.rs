//! `fit`: its arguments, and what happens before the first step.

use super::checks::check_samples;
use super::conditions::Conditions;
use super::context::Training;
use super::data::Source;
use super::evaluate::BATCH_SIZE;
use super::feed::{Feed, weigh_classes};
use super::progress::{Console, Verbose};
use super::run::{FitRun, Run};
use super::state::{Position, TrainingState};
use super::warnings::before_training;
use super::{Compiled, History};
use crate::callbacks::Callback;
use rhyton_tensor::{Error, Problem, Result, Tensor};
use std::io::Write;

/// The arguments of [`Compiled::fit`](super::Compiled::fit).
///
/// ```
/// use rhyton_train::callbacks::EarlyStopping;
/// use rhyton_train::Fit;
/// Fit::epochs(10).batch_size(64).validation_split(0.2).callback(EarlyStopping::new("val_loss").patience(3));
/// ```
pub struct Fit<'f> {
    pub(crate) epochs: usize,
    pub(crate) initial_epoch: usize,
    pub(crate) batch_size: Option<usize>,
    pub(crate) shuffle: bool,
    pub(crate) seed: Option<u64>,
    pub(crate) validation: Option<Source<'f>>,
    pub(crate) validation_split: f64,
    pub(crate) validation_batch_size: Option<usize>,
    pub(crate) validation_steps: Option<usize>,
    pub(crate) validation_epochs: Epochs,
    pub(crate) steps_per_epoch: Option<usize>,
    pub(crate) class_weight: Vec<(i64, f64)>,
    pub(crate) sample_weight: Vec<Tensor>,
    pub(crate) callbacks: Vec<Box<dyn Callback + 'f>>,
    pub(crate) resume: Option<TrainingState>,
    pub(crate) resume_anyway: bool,
    pub(crate) verbose: Verbose,
    pub(crate) warnings: bool,
    pub(crate) output: Option<Box<dyn Write + 'f>>,
}

/// After which epochs, counted from 1.
pub(crate) enum Epochs {
    Every(usize),
    These(Vec<usize>),
}

impl Epochs {
    /// Whether this epoch, from 0, is one of them.
    pub(crate) fn contains(&self, epoch: usize) -> bool {
        match self {
            Epochs::Every(n) => (epoch + 1).is_multiple_of(*n),
            Epochs::These(list) => list.contains(&(epoch + 1)),
        }
    }
}

impl<'f> Fit<'f> {
    /// Trains up to this many epochs.
    pub fn epochs(epochs: usize) -> Fit<'f> {
        Fit {
            epochs,
            initial_epoch: 0,
            batch_size: None,
            shuffle: true,
            seed: None,
            validation: None,
            validation_split: 0.0,
            validation_batch_size: None,
            validation_steps: None,
            validation_epochs: Epochs::Every(1),
            steps_per_epoch: None,
            class_weight: vec![],
            sample_weight: vec![],
            callbacks: vec![],
            resume: None,
            resume_anyway: false,
            verbose: Verbose::Auto,
            warnings: true,
            output: None,
        }
    }

    /// Samples of a step; 32 when not given.
    pub fn batch_size(mut self, samples: usize) -> Self {
        self.batch_size = Some(samples);
        self
    }

    /// Epochs that an earlier call of `fit` did.
    pub fn initial_epoch(mut self, epoch: usize) -> Self {
        self.initial_epoch = epoch;
        self
    }

    /// Whether every epoch has an order of its own (it has unless this says no).
    pub fn shuffle(mut self, yes: bool) -> Self {
        self.shuffle = yes;
        self
    }

    /// Starts shuffling and the random numbers of layers from this seed. The same seed gives the same bits.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Data to evaluate after every epoch: `(&x, &y)`, `(&x, &y, &weights)` or a source of batches.
    pub fn validation(mut self, data: impl Into<Source<'f>>) -> Self {
        self.validation = Some(data.into());
        self
    }

    /// Keeps this part of the samples, the last ones before any shuffling, for validation.
    pub fn validation_split(mut self, part: f64) -> Self {
        self.validation_split = part;
        self
    }

    /// Samples of a validation step; as in training when not given.
    pub fn validation_batch_size(mut self, samples: usize) -> Self {
        self.validation_batch_size = Some(samples);
        self
    }

    /// At most so many validation steps.
    pub fn validation_steps(mut self, steps: usize) -> Self {
        self.validation_steps = Some(steps);
        self
    }

    /// Validates only after every `n` epochs.
    pub fn validation_freq(mut self, n: usize) -> Self {
        self.validation_epochs = Epochs::Every(n);
        self
    }

    /// Validates only after these epochs, counted from 1.
    pub fn validation_epochs(mut self, epochs: &[usize]) -> Self {
        self.validation_epochs = Epochs::These(epochs.to_vec());
        self
    }

    /// Steps of an epoch. When the data has more, the next epoch goes on with the rest.
    pub fn steps_per_epoch(mut self, steps: usize) -> Self {
        self.steps_per_epoch = Some(steps);
        self
    }

    /// Weights of the losses of samples by their class; 1 for classes that are not named.
    pub fn class_weight(mut self, weights: impl IntoIterator<Item = (i64, f64)>) -> Self {
        self.class_weight = weights.into_iter().collect();
        self
    }

    /// Weights of the losses of samples (`[n]`) or of their time steps (`[n, time]`).
    pub fn sample_weight(mut self, weights: &Tensor) -> Self {
        self.sample_weight = vec![weights.clone()];
        self
    }

    /// Code that runs between steps; `&mut callback` to look at it afterwards.
    pub fn callback(mut self, callback: impl Callback + 'f) -> Self {
        self.callbacks.push(Box::new(callback));
        self
    }

    /// Goes on from a state saved earlier, with the same data, arguments and callbacks: ends in the same bits as if
    /// training had never stopped.
    pub fn resume(mut self, state: TrainingState) -> Self {
        self.resume = Some(state);
        self
    }

    /// Goes on even where seed, batch size, order, data, model, optimizer or loss are not those that training began
    /// with: from here on with what is given now. Otherwise that is an error, which names every difference.
    pub fn resume_anyway(mut self, yes: bool) -> Self {
        self.resume_anyway = yes;
        self
    }

    /// How much to say; also Keras's 0, 1, 2.
    pub fn verbose(mut self, verbose: impl Into<Verbose>) -> Self {
        self.verbose = verbose.into();
        self
    }

    /// Whether warnings are written (they are unless this says no), whatever `verbose` says: lines about what is legal
    /// and almost surely a mistake. Callbacks get them in any case.
    pub fn warnings(mut self, yes: bool) -> Self {
        self.warnings = yes;
        self
    }

    /// Writes progress, messages and warnings here instead of standard output and standard error.
    pub fn output(mut self, sink: impl Write + 'f) -> Self {
        self.output = Some(Box::new(sink));
        self
    }

    /// Arguments that make no sense, all at once.
    pub(crate) fn check(&self) -> Result<()> {
        let mut problems: Vec<Problem> = vec![];
        let mut add = |e: Error| problems.extend(e.place("fit").problems);
        if self.epochs < self.initial_epoch {
            let what = format!("epochs={} is less than initial_epoch={}", self.epochs, self.initial_epoch);
            add(Error::new(what).expected("the number of the last epoch, counted from the very first").fix(
                format!("for {} more epochs give epochs={}", self.epochs, self.initial_epoch + self.epochs),
            ));
        }
        let counts = [
            ("batch_size", self.batch_size),
            ("validation_batch_size", self.validation_batch_size),
            ("steps_per_epoch", self.steps_per_epoch),
            ("validation_steps", self.validation_steps),
        ];
        for (name, _) in counts.iter().filter(|(_, n)| *n == Some(0)) {
            add(Error::new(format!("{name}=0")).expected("at least 1"));
        }
        if matches!(self.validation_epochs, Epochs::Every(0)) {
            add(Error::new("validation_freq=0").expected("at least 1"));
        }
        if !(0.0..1.0).contains(&self.validation_split) {
            add(Error::new(format!("validation_split={}", self.validation_split))
                .expected("at least 0 and below 1: the part of the samples to validate on"));
        }
        Error::from_problems(problems).map_or(Ok(()), Err)
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
        let here = rhyton_tensor::Source::here();
        self.fit_run(data.into(), fit).map_err(|e| e.source(&here))
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
        let seed = self.begin_seed(&fit, resume.as_ref())?;
        let (mut feed, validation, warnings) = self.feeds(data, &mut fit, seed)?;
        self.hold(true);
        let mut position = Position { epoch: fit.initial_epoch, seed, ..Position::default() };
        feed.pass = self.passes;
        let mut history = History::default();
        if let Some(state) = &resume {
            state.apply(self)?;
            position = Position { seed, ..state.position() };
            if seed != state.position().seed {
                self.set_key(&self.key_of(seed))?;
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
    fn begin_seed(&mut self, fit: &Fit<'_>, resume: Option<&TrainingState>) -> Result<u64> {
        if let Some(state) = resume {
            self.seed = fit.seed.unwrap_or(state.position().seed);
        } else if let Some(seed) = fit.seed {
            self.seed = seed;
            self.passes = fit.initial_epoch;
            self.set_key(&self.key_of(seed))?;
        }
        Ok(self.seed)
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
}
