//! [`Compiled`]: a model with its optimizer, figures and compiled steps.

use super::objective::{Figure, Objective, What};
use super::programs::{Kind, Parts, Signature, beside};
use super::{Batch, Compile, Logs};
use crate::backend::Program;
use crate::layer::Variable;
use crate::metrics::{mean_result, mean_start};
use crate::model::{Model, Summary};
use crate::optimizers::Pipeline;
use rhyton_graph::plan::LaunchTime;
use rhyton_graph::{Type, at_source};
use rhyton_tensor::{DType, Error, Problem, Result, Tensor};
use std::ops::{Deref, Range};

/// A compiled model: it can be fitted and evaluated. It dereferences to its [`Model`].
///
/// Its state is one list of tensors - weights, figures, optimizer, random key - of which prediction takes the
/// weights, evaluation a longer prefix, and training all.
pub struct Compiled {
    model: Model,
    arguments: Compile,
    pub(crate) objective: Objective,
    pub(crate) pipeline: Pipeline,
    outputs: Vec<Type>,
    figures: Vec<Figure>,
    figure_tensors: usize,
    programs: Vec<(Kind, Signature, Program)>,
    results: Vec<Tensor>,
    /// Passes over training data so far: each has a permutation of its own.
    pub(crate) passes: usize,
    /// Seed of shuffling.
    pub(crate) seed: u64,
}

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

    /// Replaces all weights.
    ///
    /// # Errors
    /// When the number or a shape differs; then nothing is changed.
    pub fn set_weights(&mut self, values: &[Tensor]) -> Result<()> {
        self.model.set_weights(values)
    }

    fn figures_at(&self) -> Range<usize> {
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
        let new: Vec<Tensor> = old.iter().zip(values).map(|(o, v)| v.cast(o.dtype())).collect();
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

    /// The figures' tensors.
    pub(crate) fn figure_state(&self) -> &[Tensor] {
        &self.model.state()[self.figures_at()]
    }

    /// Replaces the figures' tensors, whatever there was: how training resumes within an epoch.
    pub(crate) fn set_figure_state(&mut self, tensors: Vec<Tensor>) {
        let at = self.figures_at();
        self.figure_tensors = tensors.len();
        self.model.state_mut().splice(at, tensors);
    }

    /// Weights overwritten by their running averages, where the optimizer keeps any for the end of training.
    pub(crate) fn take_averages(&mut self) {
        let common = self.pipeline.common();
        let Some(averages) = self.pipeline.averages().filter(|_| common.ema_overwrite_frequency.is_none())
        else {
            return;
        };
        let first = self.optimizer_at().start;
        for (weight, average) in self.trained().into_iter().zip(averages) {
            let state = self.model.state_mut();
            state[weight] = state[first + average].clone();
        }
    }

    /// Sets all figures to their start.
    pub(crate) fn reset_figures(&mut self) {
        let starts = self.figure_starts();
        let at = self.figures_at();
        if starts.len() == self.figure_tensors {
            for (slot, start) in self.model.state_mut()[at].iter_mut().zip(starts) {
                *slot = start;
            }
        } else {
            // Restored before any program said what figures there are: nothing of it is wanted.
            self.set_figure_state(vec![]);
        }
    }

    fn figure_starts(&self) -> Vec<Tensor> {
        let start = |f: &Figure| match &f.what {
            What::Metric { output, metric, .. } => metric.start(&self.outputs[*output]),
            _ => mean_start(),
        };
        self.figures.iter().flat_map(start).collect()
    }

    /// The figures so far, in the order of `evaluate`'s results.
    pub(crate) fn logs(&self) -> Logs {
        let mut at = 0;
        let state = self.figure_state();
        let result = |f: &Figure| {
            let own = state.get(at..at + f.tensors).unwrap_or_default();
            at += f.tensors;
            let value = match &f.what {
                What::Metric { metric, .. } => metric.result(own),
                _ => mean_result(own),
            };
            (f.name.clone(), value)
        };
        self.figures.iter().map(result).collect()
    }

    /// Whether this figure is the loss of one output.
    pub(crate) fn is_output_loss(&self, name: &str) -> bool {
        self.figures.iter().any(|f| f.name == name && matches!(f.what, What::OutputLoss(_)))
    }

    /// The total of all losses so far: NaN or infinite as soon as one was.
    pub(crate) fn loss_total(&self) -> f64 {
        self.figure_state().first().filter(|t| !t.is_empty()).map_or(0.0, |t| t.data().get_f64(0))
    }

    /// Whether larger values of this figure are better, where that is known.
    pub fn larger_is_better(&self, name: &str) -> Option<bool> {
        let name = name.strip_prefix("val_").unwrap_or(name);
        let figure = self.figures.iter().find(|f| f.name == name)?;
        match &figure.what {
            What::Metric { metric, .. } => metric.larger_is_better(),
            _ => Some(false),
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
        self.programs[at].2.run(state, &batch.tensors, &mut self.results)
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
    fn prepare(&mut self, kind: Kind, batch: &Batch) -> Result<usize> {
        at_source(self.arguments.source, || self.prepare_here(kind, batch))
    }

    fn prepare_here(&mut self, kind: Kind, batch: &Batch) -> Result<usize> {
        let signature = self.signature(batch)?;
        if self.figures.is_empty() {
            self.figures = self.objective.figures(&signature.targets, &self.outputs)?;
            let starts = self.figure_starts();
            let restored = self.figure_state();
            let same = restored.len() == starts.len()
                && restored.iter().zip(&starts).all(|(a, b)| a.shape() == b.shape());
            if !same {
                self.set_figure_state(starts);
            }
        }
        let types = |t: &Tensor| Type::new(t.dtype(), t.shape().to_vec());
        let parts = Parts {
            model: &self.model,
            objective: &self.objective,
            pipeline: &self.pipeline,
            figures: &self.figures,
            figure_types: self.figure_state().iter().map(types).collect(),
            signature: &signature,
        };
        let program = parts.compile(kind).map_err(|e| e.source(self.arguments.source))?;
        self.programs.push((kind, signature, program));
        Ok(self.programs.len() - 1)
    }

    fn signature(&self, batch: &Batch) -> Result<Signature> {
        let given = super::checks::targets_of(batch.y().len(), &self.objective)?;
        let of = |(y, output): (&Option<usize>, &Type)| {
            y.and_then(|i| batch.y().get(i)).map(|t| beside(t, t.dtype(), Some(output)))
        };
        let targets = given.iter().zip(&self.outputs).map(of).collect();
        let weights = batch.weights().iter().enumerate();
        let weights = weights.map(|(i, w)| beside(w, DType::F32, self.outputs.get(i))).collect();
        Ok(Signature { targets, weights })
    }

    /// Parts of the state by name, for checkpoints.
    pub(crate) fn named_state(&self) -> Vec<(String, Tensor)> {
        let pair = |prefix: &str, names: Vec<String>, tensors: &[Tensor]| -> Vec<(String, Tensor)> {
            names.iter().zip(tensors).map(|(n, t)| (format!("{prefix}/{n}"), t.clone())).collect()
        };
        let numbered = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>();
        let paths = self.model.variables().iter().map(|v| v.path.clone()).collect();
        let mut all = pair("weights", paths, self.model.weights());
        let figures = self.figure_state();
        all.extend(pair("figures", numbered(figures.len()), figures));
        let optimizer = self.optimizer_state();
        all.extend(pair("optimizer", numbered(optimizer.len()), optimizer));
        all.extend(self.key().map(|k| ("key".to_string(), k.clone())));
        all
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
