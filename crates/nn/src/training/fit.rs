//! [`Fit`]: the arguments of `fit`.

use super::data::Source;
use super::progress::Verbose;
use super::state::TrainingState;
use crate::callbacks::Callback;
use rhyton_tensor::{Error, Problem, Result, Tensor};
use std::io::Write;

/// The arguments of [`Compiled::fit`](super::Compiled::fit).
///
/// ```
/// use rhyton_nn::callbacks::EarlyStopping;
/// use rhyton_nn::training::Fit;
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
