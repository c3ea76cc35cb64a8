//! [`Compiled`]: a model with its optimizer, figures and compiled steps.

use super::Compile;
use super::figures::Figure;
use super::objective::Objective;
use super::steps::{Compilation, StepKind};
use super::warnings::End;
use rhyton_graph::Type;
use rhyton_model::program::Build;
use rhyton_model::{Model, Summary};
use rhyton_nn::layer::Variable;
use rhyton_nn::optimizers::Pipeline;
use rhyton_tensor::{Error, Problem, Result, Tensor};
use std::ops::Deref;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A compiled model: it can be fitted and evaluated. It dereferences to its [`Model`], whose
/// [`values`](Model::values) hold what training keeps as well.
pub struct Compiled {
    pub(super) model: Model,
    /// Further models of a training step of the user's own, as they were when training began.
    pub(super) others: Vec<Model>,
    arguments: Compile,
    pub(crate) objective: Objective,
    pub(crate) pipeline: Pipeline,
    /// Where the optimizer's tensors lie, in the order of the pipeline's.
    optimizer: Vec<String>,
    pub(super) outputs: Vec<Type>,
    pub(super) steps: Vec<Compilation>,
    /// Of training and of evaluation; none before the first step of its kind.
    pub(super) figures: [Vec<Figure>; 2],
    /// The kind of step that is running, whose figures the logs show.
    pub(super) counting: StepKind,
    pub(super) results: Vec<Tensor>,
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
    pub(super) diverged: bool,
    /// What was found out about that loss, until it is told.
    pub(super) finding: Option<String>,
}

type WhenSaved = Box<dyn FnOnce() -> Result<()> + Send>;

/// What training adds to a [`Model`].
pub trait ModelExt {
    /// The model with an optimizer, a loss and metrics.
    ///
    /// # Errors
    /// Everything that is wrong at once: unknown names, settings out of range, outputs that do not exist, no loss.
    fn compile(self, arguments: Compile) -> Result<Compiled>;
}

impl ModelExt for Model {
    fn compile(self, mut arguments: Compile) -> Result<Compiled> {
        let mut problems: Vec<Problem> = vec![];
        let objective = Objective::new(&arguments, &self.definition().output_names(), &mut problems);
        let variables: Vec<Variable> = self.variables().iter().filter(|v| v.trainable).cloned().collect();
        let pipeline = Pipeline::new(&arguments.optimizer, &variables);
        let pipeline = match pipeline {
            Ok(p) if problems.is_empty() => p,
            other => {
                problems.extend(other.err().into_iter().flat_map(|e| e.place("compile").problems));
                let e = Error::from_problems(problems).unwrap_or_else(|| Error::new("compile failed"));
                return Err(e.place("compile").source(&arguments.source));
            }
        };
        let traced = self.trace(false)?;
        let outputs = traced.outputs.iter().map(|v| v.expr.ty().clone()).collect();
        let ends = traced.outputs.iter().map(|v| End::of(&v.expr)).collect();
        let model = match arguments.backend.take() {
            Some(backend) => self.on(&backend)?,
            None => self,
        };
        let mut compiled = Compiled {
            others: std::mem::take(&mut arguments.models),
            model,
            arguments,
            objective,
            pipeline,
            optimizer: vec![],
            outputs,
            steps: vec![],
            figures: [vec![], vec![]],
            counting: StepKind::Train,
            results: vec![],
            passes: 0,
            seed: 0,
            when_saved: Mutex::default(),
            ends,
            warned: vec![],
            diverged: false,
            finding: None,
        };
        compiled.begin()?;
        Ok(compiled)
    }
}

impl Compiled {
    /// Puts what training begins with beside the weights: those of further models, the optimizer's state, the random
    /// key.
    fn begin(&mut self) -> Result<()> {
        self.model.values_mut().retain(|name| name.starts_with("model.0/"))?;
        let models: Vec<&Model> = std::iter::once(&self.model).chain(&self.others).collect();
        let mut build = Build::new(&models, true);
        let optimizer = build.with_pipeline(0, self.pipeline.clone());
        self.optimizer = build.optimizer_slots(optimizer);
        build.fill(self.model.values_mut())
    }

    /// The layers with their output shapes and numbers of weights, and the size of the optimizer's state.
    pub fn summary(&self) -> String {
        self.summarize().to_string()
    }

    /// The summary, to be set up and printed.
    pub fn summarize(&self) -> Summary<'_> {
        self.model.summarize().optimizer(self.optimizer_state().iter().map(Tensor::len).sum())
    }

    /// The arguments of `compile`.
    pub fn arguments(&self) -> &Compile {
        &self.arguments
    }

    /// The model without what training needs.
    pub fn into_model(self) -> Model {
        self.model.clone()
    }

    /// The models given with [`Compile::models`], with the weights they have now.
    ///
    /// # Errors
    /// When the backend cannot give them.
    pub fn further_models(&self) -> Result<Vec<Model>> {
        let now = |(i, model): (usize, &Model)| {
            let mut model = model.clone();
            let paths = model.variables().iter().map(|v| format!("model.{}/{}", i + 1, v.path));
            let weights = paths.map(|slot| self.values().get(&slot)).collect::<Result<Vec<_>>>()?;
            model.set_weights(&weights)?;
            Ok(model)
        };
        self.others.iter().enumerate().map(now).collect()
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

    /// The optimizer's tensors, in the order of Keras's files.
    pub fn optimizer_state(&self) -> Vec<Tensor> {
        self.optimizer.iter().filter_map(|slot| self.values().get(slot).ok()).collect()
    }

    /// Replaces the optimizer's tensors.
    ///
    /// # Errors
    /// When the number or a shape differs; then nothing is changed.
    pub fn set_optimizer_state(&mut self, values: &[Tensor]) -> Result<()> {
        self.check_optimizer_state(values)?;
        let kept = self.model.values_mut();
        self.optimizer.iter().zip(values).try_for_each(|(slot, new)| kept.set(slot, new))
    }

    pub(super) fn check_optimizer_state(&self, values: &[Tensor]) -> Result<()> {
        let old = self.optimizer_state();
        if old.len() != values.len() {
            return Err(Error::new(format!("{} tensors of optimizer state", values.len()))
                .place("optimizer")
                .expected(old.len().to_string()));
        }
        for ((name, old), new) in self.pipeline.names().iter().zip(&old).zip(values) {
            if old.shape() != new.shape() {
                return Err(Error::new(format!("'{name}' has the shape {:?}", new.shape()))
                    .place("optimizer")
                    .expected(format!("{:?}", old.shape())));
            }
        }
        Ok(())
    }

    /// Updates so far.
    pub fn iterations(&self) -> u64 {
        let counter = self.optimizer.first().and_then(|slot| self.values().get(slot).ok());
        counter.map_or(0, |t| t.data().get_f64(0) as u64)
    }

    /// The learning rate of the next step.
    ///
    /// # Errors
    /// When a schedule of one's own cannot be computed.
    pub fn learning_rate(&self) -> Result<f64> {
        self.pipeline.learning_rate(&self.optimizer_state())
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
        self.model.values_mut().set(&self.optimizer[at], &Tensor::scalar(rate as f32))
    }

    /// Sets the random key: seed and step.
    pub(crate) fn set_key(&mut self, key: &Tensor) -> Result<()> {
        self.model.values_mut().set("key", key)
    }

    /// Types of the outputs.
    pub(crate) fn output_types(&self) -> &[Type] {
        &self.outputs
    }

    /// Weights overwritten by their running averages, where the optimizer keeps any: the end of training in Keras,
    /// however often they were overwritten on the way. Constraints do not apply to averages.
    pub(crate) fn take_averages(&mut self) -> Result<()> {
        // Averages are zero before the first step.
        let Some(averages) = self.pipeline.averages().filter(|_| self.iterations() > 0) else {
            return Ok(());
        };
        let trained =
            self.model.variables().iter().filter(|v| v.trainable).map(|v| format!("model.0/{}", v.path));
        let trained: Vec<String> = trained.collect();
        for (weight, average) in trained.iter().zip(averages) {
            let average = self.values().get(&self.optimizer[average])?;
            self.model.values_mut().set(weight, &average)?;
        }
        Ok(())
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
