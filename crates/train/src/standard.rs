//! What a step of training and one of evaluation compute: two short bodies over [`TrainStep`], which a body of the
//! user's own can use as well.

use super::Compiled;
use super::figures::{Figure, What};
use super::steps::{Signature, StepKind};
use rhyton_graph::{Expr, Type};
use rhyton_model::program::Build;
use rhyton_nn::layer::Value;
use rhyton_nn::losses::loss_value;
use rhyton_nn::metrics::{mean_start, merged_weight};
use rhyton_tensor::{DType, Error, Result, Tensor};
use std::ops::{Deref, DerefMut};

/// A step of training: forward, loss, gradients, update, figures.
pub(super) fn train(s: &mut TrainStep<'_>) {
    let outputs = s.forward(true);
    let loss = s.loss(&outputs);
    s.descend(&loss);
    s.metrics(&outputs, &loss);
}

/// A step of evaluation.
pub(super) fn test(s: &mut TrainStep<'_>) {
    let outputs = s.forward(false);
    let loss = s.loss(&outputs);
    s.metrics(&outputs, &loss);
}

/// A step under [`fit`](super::Compiled::fit): a [`Build`] over the compiled model, which has the number 0, and the
/// models given with [`Compile::models`](super::Compile::models), together with the batch and what `compile` asked for.
pub struct TrainStep<'a> {
    build: Build,
    compiled: &'a Compiled,
    kind: StepKind,
    inputs: Vec<Expr>,
    targets: Vec<Option<Expr>>,
    sample_weights: Vec<Expr>,
    /// The loss of each output, once it is known.
    losses: Vec<Option<Expr>>,
    figures: Vec<Figure>,
}

impl<'a> TrainStep<'a> {
    pub(super) fn new(compiled: &'a Compiled, kind: StepKind, signature: &Signature) -> TrainStep<'a> {
        let models: Vec<_> = std::iter::once(&compiled.model).chain(&compiled.others).collect();
        let mut build = Build::new(&models, kind == StepKind::Train);
        if kind == StepKind::Train {
            build.with_pipeline(0, compiled.pipeline.clone());
        }
        let inputs = build.inputs_of(0);
        let given: Vec<Type> = signature.targets.iter().flatten().cloned().collect();
        let mut given = inputs_like(&mut build, "target", &given).into_iter();
        let mut target = |t: &Option<Type>| t.as_ref().and_then(|_| given.next());
        let targets: Vec<Option<Expr>> = signature.targets.iter().map(&mut target).collect();
        let sample_weights = inputs_like(&mut build, "weight", &signature.weights);
        build.trust(&inputs);
        build.trust(&compiled.checked_targets(&targets));
        TrainStep { build, compiled, kind, inputs, targets, sample_weights, losses: vec![], figures: vec![] }
    }

    /// The inputs of the batch, in the order of the model's inputs.
    pub fn inputs(&self) -> &[Expr] {
        &self.inputs
    }

    /// The targets of the batch, one for each output of the model; none where none was given.
    pub fn targets(&self) -> &[Option<Expr>] {
        &self.targets
    }

    /// The sample weights of the batch: none, one for all outputs, or one for each.
    pub fn sample_weights(&self) -> &[Expr] {
        &self.sample_weights
    }

    /// The outputs of the model for the inputs of the batch, with layers as in training or not.
    pub fn forward(&mut self, training: bool) -> Vec<Value> {
        let inputs: Vec<Value> = self.inputs.iter().cloned().map(Value::from).collect();
        self.build.call_masked(0, &inputs, training)
    }

    /// The weighted sum of the losses that `compile` named, of the penalties of trained weights, and of those of all
    /// activities so far.
    pub fn loss(&mut self, outputs: &[Value]) -> Expr {
        let goals = &self.compiled.objective.goals;
        let of = |(i, output): (usize, &Value)| {
            let (target, goal) = (self.targets.get(i)?.as_ref()?, goals.get(i)?);
            let loss = goal.loss.as_ref()?.get(target.ty(), output.expr.ty());
            Some(loss_value(&*loss, target, &output.expr, output.mask.as_ref(), self.weight_of(i)))
        };
        self.losses = outputs.iter().enumerate().map(of).collect();
        let weighted = self.losses.iter().zip(goals).filter_map(|(loss, goal)| {
            let loss = loss.clone()?;
            Some(goal.weight.map_or(loss.clone(), |w| loss * w as f32))
        });
        let terms = weighted.chain(self.build.penalty_terms(0));
        terms.reduce(|a, b| a + b).unwrap_or_else(|| Expr::scalar(0.0f32))
    }

    fn weight_of(&self, output: usize) -> Option<&Expr> {
        self.sample_weights.get(if self.sample_weights.len() == 1 { 0 } else { output })
    }

    /// One step of the optimizer that `compile` named against a loss, for the weights of the compiled model.
    pub fn descend(&mut self, loss: &Expr) {
        let gradients = self.build.gradients(loss, 0);
        // A sum over machines belongs here.
        self.build.step(0, &gradients);
    }

    /// Counts the figures that `compile` asked for: the loss, and metrics of these outputs of the model.
    pub fn metrics(&mut self, outputs: &[Value], loss: &Expr) {
        let types: Vec<Option<Type>> = self.targets.iter().map(|t| Some(t.as_ref()?.ty().clone())).collect();
        let asked = match self.compiled.objective.figures(&types, &self.compiled.outputs) {
            Ok(asked) => asked,
            Err(e) => return self.build.report(e),
        };
        for (name, what) in asked {
            match &what {
                What::Loss => self.mean(name, what, loss.clone()),
                What::OutputLoss(i) => {
                    if let Some(loss) = self.losses.get(*i).cloned().flatten() {
                        self.mean(name, what, loss);
                    }
                }
                What::Metric { .. } => self.metric(name, what, outputs),
            }
        }
    }

    /// Shows a number in logs and history: its mean over the samples of an epoch.
    pub fn log(&mut self, name: &str, value: &Expr) {
        if value.rank() > 0 {
            let what = format!("the log '{name}' has the shape {}", value.shape());
            let e = Error::new(what).expected("a single number").fix("log a mean: value.mean_all()");
            return self.build.report(e.source(&value.node().source));
        }
        self.mean(name.into(), What::Loss, value.cast(DType::F32));
    }

    fn mean(&mut self, name: String, what: What, value: Expr) {
        let samples = self.inputs.first().and_then(|x| x.shape().first().cloned()).unwrap_or_default();
        let samples = Expr::size(&samples);
        self.count(name, what, mean_start(), |old| vec![&old[0] + value * &samples, &old[1] + &samples]);
    }

    fn metric(&mut self, name: String, what: What, outputs: &[Value]) {
        let What::Metric { output, metric, weighted } = &what else { return };
        let (Some(y), Some(p)) = (self.targets.get(*output).cloned().flatten(), outputs.get(*output)) else {
            return;
        };
        let mask = p.mask.as_ref().filter(|_| metric.heeds_masks());
        let weight = merged_weight(mask, self.weight_of(*output).filter(|_| *weighted));
        let (start, metric) = (metric.start(&self.compiled.outputs[*output]), metric.clone());
        let prediction = p.expr.cast(DType::F32);
        self.count(name, what, start, |old| metric.update(old, &y, &prediction, weight.as_ref()));
    }

    /// Counts a figure, whose state lies in slots of its own.
    fn count(
        &mut self,
        name: String,
        what: What,
        start: Result<Vec<Tensor>>,
        update: impl FnOnce(&[Expr]) -> Vec<Expr>,
    ) {
        let start = match start {
            Ok(start) => start,
            Err(e) => return self.build.report(e.place(name)),
        };
        let slot = |(i, t): (usize, Tensor)| self.build.keep(format!("{}{name}/{i}", self.kind.prefix()), t);
        let old: Vec<Expr> = start.into_iter().enumerate().map(slot).collect();
        for (old, new) in old.iter().zip(update(&old)) {
            self.build.update(old, &new);
        }
        let slots = old.iter().filter_map(|e| self.build.slot_of(e)).map(String::from).collect();
        self.figures.push(Figure { name, what, slots });
    }

    pub(super) fn end(self) -> (Build, Vec<Figure>) {
        (self.build, self.figures)
    }
}

fn inputs_like(build: &mut Build, name: &str, types: &[Type]) -> Vec<Expr> {
    let numbered = |i: usize| if types.len() == 1 { name.into() } else { format!("{name}.{i}") };
    types.iter().enumerate().map(|(i, t)| build.typed_input(&numbered(i), t.clone())).collect()
}

impl Deref for TrainStep<'_> {
    type Target = Build;
    fn deref(&self) -> &Build {
        &self.build
    }
}

impl DerefMut for TrainStep<'_> {
    fn deref_mut(&mut self) -> &mut Build {
        &mut self.build
    }
}
