//! [`Compiled`]: a model with its optimizer, figures and compiled steps.

use super::objective::{Figure, Objective};
use super::programs::{Kind, Parts, Signature, beside};
use super::warnings::End;
use super::{Batch, Compile};
use crate::backend::Program;
use crate::layer::Variable;
use crate::model::{Model, Summary};
use crate::optimizers::Pipeline;
use rhyton_graph::backend::LaunchTime;
use rhyton_graph::{Type, at_source};
use rhyton_tensor::{DType, Error, Problem, Result, Tensor};
use std::ops::{Deref, Range};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A compiled model: it can be fitted and evaluated. It dereferences to its [`Model`].
///
/// Its state is one list of tensors - weights, figures, optimizer, random key - of which prediction takes the
/// weights, evaluation a longer prefix, and training all.
pub struct Compiled {
    pub(super) model: Model,
    arguments: Compile,
    pub(crate) objective: Objective,
    pub(crate) pipeline: Pipeline,
    pub(super) outputs: Vec<Type>,
    pub(super) figures: Vec<Figure>,
    pub(super) figure_tensors: usize,
    programs: Vec<(Kind, Signature, Program)>,
    results: Vec<Tensor>,
    /// Passes over training data so far: each has a permutation of its own.
    pub(crate) passes: usize,
    /// Seed of shuffling.
    pub(crate) seed: u64,
    when_saved: Mutex<Vec<WhenSaved>>,
    /// What the outputs end in.
    pub(super) ends: Vec<End>,
    /// Warnings said already.
    pub(super) warned: Vec<String>,
    /// Whether a loss was not finite: steps go on regardless from then on.
    diverged: bool,
    /// What was found out about that loss, until it is told.
    finding: Option<String>,
}

type WhenSaved = Box<dyn FnOnce() -> Result<()> + Send>;

impl Model {
    /// The model with an optimizer, a loss and metrics.
    ///
    /// # Errors
    /// Everything that is wrong at once: unknown names, settings out of range, outputs that do not exist, no loss.
    pub fn compile(self, arguments: Compile) -> Result<Compiled> {
        let mut problems: Vec<Problem> = vec![];
        let objective = Objective::new(&arguments, &self.definition().output_names(), &mut problems);
        let variables: Vec<Variable> = self.variables().iter().filter(|v| v.trainable).cloned().collect();
        let pipeline = Pipeline::new(&arguments.optimizer, &variables);
        let pipeline = match pipeline {
            Ok(p) if problems.is_empty() => p,
            other => {
                problems.extend(other.err().into_iter().flat_map(|e| e.place("compile").problems));
                let e = Error::from_problems(problems).unwrap_or_else(|| Error::new("compile failed"));
                return Err(e.place("compile").source(arguments.source));
            }
        };
        let traced = self.trace(false)?;
        let outputs = traced.outputs.iter().map(|v| v.expr.ty().clone()).collect();
        let ends = traced.outputs.iter().map(|v| End::of(&v.expr)).collect();
        let mut compiled = Compiled {
            model: self,
            arguments,
            objective,
            pipeline,
            outputs,
            figures: vec![],
            figure_tensors: 0,
            programs: vec![],
            results: vec![],
            passes: 0,
            seed: 0,
            when_saved: Mutex::default(),
            ends,
            warned: vec![],
            diverged: false,
            finding: None,
        };
        compiled.start_optimizer()?;
        Ok(compiled)
    }
}

impl Compiled {
    fn start_optimizer(&mut self) -> Result<()> {
        let trained: Vec<Tensor> =
            self.trained().into_iter().map(|i| self.model.weights()[i].clone()).collect();
        let start = self.pipeline.start(&trained)?;
        let weights = self.model.weights().len();
        let state = self.model.state_mut();
        state.truncate(weights);
        state.extend(start);
        state.push(Tensor::vector(vec![0i32, 0]));
        Ok(())
    }

    /// Indices of the weights that training changes.
    fn trained(&self) -> Vec<usize> {
        let variables = self.model.variables().iter().enumerate();
        variables.filter(|(_, v)| v.trainable).map(|(i, _)| i).collect()
    }

    /// The layers with their output shapes and numbers of weights, and the size of the optimizer's state.
    pub fn summary(&self) -> String {
        self.summarize().to_string()
    }

    /// The summary, to be set up and printed.
    pub fn summarize(&self) -> Summary<'_> {
        self.model.summarize().optimizer(self.optimizer_state().iter().map(Tensor::len).sum())
    }

    /// Starts (afresh) or stops measuring every launch of the training steps compiled so far.
    pub fn profile(&mut self, on: bool) {
        self.programs.iter_mut().filter(|(k, ..)| *k == Kind::Train).for_each(|(.., p)| p.profile(on));
    }

    /// The measurements of the training steps since the last call, in the order of the launches.
    pub fn take_profile(&mut self) -> Vec<LaunchTime> {
        let trained = self.programs.iter_mut().filter(|(k, ..)| *k == Kind::Train);
        trained.flat_map(|(.., p)| p.take_profile()).collect()
    }

    /// The arguments of `compile`.
    pub fn arguments(&self) -> &Compile {
        &self.arguments
    }

    /// The model without what training needs.
    pub fn into_model(mut self) -> Model {
        let weights = self.model.weights().len();
        self.model.state_mut().truncate(weights);
        self.model
    }

    /// Does `then` once the model is safe in a file, such as removing what was kept in case that training is cut off.
    /// Nothing is done when training begins anew before that.
    pub fn when_saved(&mut self, then: impl FnOnce() -> Result<()> + Send + 'static) {
        self.waiting().push(Box::new(then));
    }

    /// For those who write files: the model is safe in one.
    ///
    /// # Errors
    /// When something that [`when_saved`](Compiled::when_saved) was told cannot be done.
    pub fn saved(&self) -> Result<()> {
        let waiting: Vec<WhenSaved> = self.waiting().drain(..).collect();
        waiting.into_iter().try_for_each(|then| then())
    }

    pub(super) fn forget_waiting(&mut self) {
        self.waiting().clear();
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<WhenSaved>> {
        self.when_saved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces all weights.
    ///
    /// # Errors
    /// When the number or a shape differs; then nothing is changed.
    pub fn set_weights(&mut self, values: &[Tensor]) -> Result<()> {
        self.model.set_weights(values)
    }

    pub(super) fn figures_at(&self) -> Range<usize> {
        let first = self.model.weights().len();
        first..first + self.figure_tensors
    }

    fn optimizer_at(&self) -> Range<usize> {
        self.figures_at().end..self.model.state().len() - 1
    }

    /// Names of the optimizer's tensors, in the order of Keras's files.
    pub fn optimizer_names(&self) -> Vec<String> {
        self.pipeline.names()
    }

    /// The optimizer's tensors, in the order of Keras's files.
    pub fn optimizer_state(&self) -> &[Tensor] {
        &self.model.state()[self.optimizer_at()]
    }

    /// Replaces the optimizer's tensors.
    ///
    /// # Errors
    /// When the number or a shape differs; then nothing is changed.
    pub fn set_optimizer_state(&mut self, values: &[Tensor]) -> Result<()> {
        let old = self.optimizer_state();
        if old.len() != values.len() {
            return Err(Error::new(format!("{} tensors of optimizer state", values.len()))
                .place("optimizer")
                .expected(old.len().to_string()));
        }
        for ((name, old), new) in self.pipeline.names().iter().zip(old).zip(values) {
            if old.shape() != new.shape() {
                return Err(Error::new(format!("'{name}' has the shape {:?}", new.shape()))
                    .place("optimizer")
                    .expected(format!("{:?}", old.shape())));
            }
        }
        let new = old.iter().zip(values).map(|(o, v)| v.try_cast(o.dtype())).collect::<Result<Vec<_>>>()?;
        let at = self.optimizer_at();
        self.model.state_mut()[at].clone_from_slice(&new);
        Ok(())
    }

    /// Updates so far.
    pub fn iterations(&self) -> u64 {
        self.optimizer_state().first().map_or(0, |t| t.data().get_f64(0) as u64)
    }

    /// The learning rate of the next step.
    ///
    /// # Errors
    /// When a schedule of one's own cannot be computed.
    pub fn learning_rate(&self) -> Result<f64> {
        self.pipeline.learning_rate(self.optimizer_state())
    }

    /// Sets the learning rate.
    ///
    /// # Errors
    /// When it is negative or not finite, or the optimizer follows a schedule.
    pub fn set_learning_rate(&mut self, rate: f64) -> Result<()> {
        if !(rate.is_finite() && rate >= 0.0) {
            return Err(
                Error::new(format!("a learning rate of {rate}")).expected("a finite number of at least 0")
            );
        }
        let Some(at) = self.pipeline.learning_rate_at() else {
            return Err(Error::new("the learning rate follows a schedule and cannot be set")
                .place("optimizer")
                .fix("compile with a number as learning rate"));
        };
        let at = self.optimizer_at().start + at;
        if let Some(slot) = self.model.state_mut().get_mut(at) {
            *slot = Tensor::scalar(rate as f32);
        }
        Ok(())
    }

    /// The random key: seed and step.
    pub(crate) fn key(&self) -> Option<&Tensor> {
        self.model.state().last()
    }

    pub(crate) fn set_key(&mut self, key: Tensor) {
        if let Some(last) = self.model.state_mut().last_mut() {
            *last = key;
        }
    }

    /// Types of the outputs.
    pub(crate) fn output_types(&self) -> &[Type] {
        &self.outputs
    }

    /// Weights overwritten by their running averages, where the optimizer keeps any: the end of training in Keras,
    /// however often they were overwritten on the way. Constraints do not apply to averages.
    pub(crate) fn take_averages(&mut self) {
        // Averages are zero before the first step.
        let Some(averages) = self.pipeline.averages().filter(|_| self.iterations() > 0) else { return };
        let first = self.optimizer_at().start;
        for (weight, average) in self.trained().into_iter().zip(averages) {
            let state = self.model.state_mut();
            state[weight] = state[first + average].clone();
        }
    }

    /// Runs one step.
    pub(crate) fn step(&mut self, kind: Kind, batch: &Batch) -> Result<()> {
        let at = match self.programs.iter().position(|(k, s, _)| *k == kind && self.takes(s, batch)) {
            Some(at) => at,
            None => self.prepare(kind, batch)?,
        };
        let end = if kind == Kind::Train { self.model.state().len() } else { self.figures_at().end };
        let state = &mut self.model.state_mut()[..end];
        self.programs[at].2.run(state, &batch.tensors, &mut self.results)?;
        let loss = self.results.first().filter(|_| kind == Kind::Train && !self.diverged);
        match loss.map(|t| t.data().get_f64(0)) {
            Some(loss) if !loss.is_finite() => self.go_on(loss, batch),
            _ => Ok(()),
        }
    }

    /// After a step that left all as it was, because its loss was not finite: finds out why, and does it again.
    fn go_on(&mut self, loss: f64, batch: &Batch) -> Result<()> {
        let value = if loss.is_nan() { "NaN" } else { "infinite" };
        self.finding = Some(format!("turned {value}, {}", self.first_not_finite(batch)?));
        self.hold(false);
        self.step(Kind::Train, batch)
    }

    /// Whether training steps stop at a loss that is not finite, to find out why.
    pub(super) fn hold(&mut self, yes: bool) {
        if self.diverged == yes {
            self.diverged = !yes;
            self.programs.retain(|(kind, ..)| *kind != Kind::Train);
        }
    }

    /// Whether no step was done yet.
    pub(super) fn is_untried(&self) -> bool {
        self.programs.is_empty()
    }

    /// What was found out about a loss that was not finite, once.
    pub(super) fn take_finding(&mut self) -> Option<String> {
        self.finding.take()
    }

    /// Whether this warning is a new one.
    pub(super) fn is_news(&mut self, warning: &str) -> bool {
        let news = !self.warned.iter().any(|w| w == warning);
        if news {
            self.warned.push(warning.into());
        }
        news
    }

    /// Whether a program for `signature` takes this batch, judged by types and numbers of axes: the program itself
    /// checks sizes.
    fn takes(&self, signature: &Signature, batch: &Batch) -> bool {
        let like = |t: &Type, x: &Tensor| {
            let fits = |axis: usize, n: usize| t.shape[axis].as_fixed().is_none_or(|d| d == n);
            t.dtype == x.dtype()
                && t.shape.rank() == x.rank()
                && x.shape().iter().enumerate().all(|(axis, n)| fits(axis, *n))
        };
        let targets = signature.targets.iter().flatten();
        let (y, w) = (batch.y(), batch.weights());
        targets.clone().count() == y.len()
            && signature.weights.len() == w.len()
            && targets.zip(y).all(|(t, x)| like(t, x))
            && signature.weights.iter().zip(w).all(|(t, x)| like(t, x))
    }

    /// Compiles the program for batches like this one. What does not fit is blamed on the call of `compile`.
    pub(crate) fn prepare(&mut self, kind: Kind, batch: &Batch) -> Result<usize> {
        if kind == Kind::Train {
            self.check_trainable()?;
        }
        at_source(self.arguments.source, || self.prepare_here(kind, batch))
    }

    fn prepare_here(&mut self, kind: Kind, batch: &Batch) -> Result<usize> {
        let signature = self.signature(batch)?;
        if self.figures.is_empty() {
            self.figures = self.objective.figures(&signature.targets, &self.outputs)?;
            let starts = self.figure_starts()?;
            let restored = self.figure_state();
            let same = restored.len() == starts.len()
                && restored.iter().zip(&starts).all(|(a, b)| a.shape() == b.shape());
            if !same {
                self.set_figure_state(starts);
            }
        }
        let program = self.parts(&signature).compile(kind).map_err(|e| e.source(self.arguments.source))?;
        self.programs.push((kind, signature, program));
        Ok(self.programs.len() - 1)
    }

    pub(super) fn parts<'a>(&'a self, signature: &'a Signature) -> Parts<'a> {
        let types = |t: &Tensor| Type::new(t.dtype(), t.shape().to_vec());
        Parts {
            model: &self.model,
            objective: &self.objective,
            pipeline: &self.pipeline,
            figures: &self.figures,
            figure_types: self.figure_state().iter().map(types).collect(),
            signature,
            holds: !self.diverged,
        }
    }

    pub(super) fn signature(&self, batch: &Batch) -> Result<Signature> {
        let given = super::checks::targets_of(batch.y().len(), &self.objective)?;
        let of = |(y, output): (&Option<usize>, &Type)| {
            y.and_then(|i| batch.y().get(i)).map(|t| beside(t, t.dtype(), Some(output)))
        };
        let targets = given.iter().zip(&self.outputs).map(of).collect();
        let weights = batch.weights().iter().enumerate();
        let weights = weights.map(|(i, w)| beside(w, DType::F32, self.outputs.get(i))).collect();
        Ok(Signature { targets, weights })
    }
}

impl Deref for Compiled {
    type Target = Model;
    fn deref(&self) -> &Model {
        &self.model
    }
}

impl std::fmt::Debug for Compiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}, compiled", self.model)
    }
}

impl AsRef<Model> for Compiled {
    fn as_ref(&self) -> &Model {
        &self.model
    }
}
