//! The compiled steps: forward, loss, backward, update and figures as one program.

use super::objective::{Figure, Objective, What};
use crate::backend::Program;
use crate::layer::Variable;
use crate::losses::loss_value;
use crate::metrics::merged_weight;
use crate::model::{Model, Traced};
use crate::optimizers::Pipeline;
use rhyton_graph::compile::Watch;
use rhyton_graph::{Expr, Type, grad};
use rhyton_tensor::{DType, Dim, Result, Tensor};
use std::ops::Range;

/// Which step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Forward, backward, update.
    Train,
    /// Forward only.
    Test,
}

/// Types of targets and sample weights; a program is compiled for each.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Signature {
    /// One for each output; `None` where no target is given.
    pub(crate) targets: Vec<Option<Type>>,
    /// None, one for all outputs, or one for each.
    pub(crate) weights: Vec<Type>,
}

/// What a program is made from.
pub(crate) struct Parts<'a> {
    pub(crate) model: &'a Model,
    pub(crate) objective: &'a Objective,
    pub(crate) pipeline: &'a Pipeline,
    pub(crate) figures: &'a [Figure],
    /// Types of the figures' state.
    pub(crate) figure_types: Vec<Type>,
    pub(crate) signature: &'a Signature,
    /// Whether a training step leaves all state as it was where the loss is not finite.
    pub(crate) holds: bool,
}

/// The type of a target or weight beside an output: sizes that the model leaves open stay open.
pub(crate) fn beside(t: &Tensor, dtype: DType, output: Option<&Type>) -> Type {
    let open = |axis: usize| output.and_then(|o| o.shape.get(axis)).filter(|d| d.as_fixed().is_none());
    let sizes = t.shape().iter().enumerate().map(|(axis, n)| match open(axis) {
        Some(d) => d.clone(),
        None if axis == 0 => Dim::symbol("batch"),
        None => Dim::fixed(*n),
    });
    Type::new(dtype, sizes.collect::<Vec<Dim>>())
}

/// A step as expressions.
struct Draft {
    params: Vec<Expr>,
    results: Vec<Expr>,
    /// (result, parameter).
    updates: Vec<(usize, usize)>,
}

impl Draft {
    fn update(&mut self, parameter: usize, value: Expr) {
        self.updates.push((self.results.len(), parameter));
        self.results.push(value);
    }

    /// Lets every update but those of `waiting` parameters happen only where the loss is finite.
    fn hold(&mut self, loss: &Expr, waiting: &[usize]) {
        let finite = loss.is_finite();
        for (result, parameter) in self.updates.iter().filter(|(_, p)| !waiting.contains(p)) {
            self.results[*result] = finite.select(&self.results[*result], &self.params[*parameter]);
        }
    }

    /// The weights and what the optimizer keeps of each: their updates are large, and come last anyway.
    fn large(&self, trained: &[usize], optimizer: &Range<usize>) -> Vec<usize> {
        let wide = |p: &usize| self.params[*p].rank() > 0;
        let updated = self.updates.iter().map(|(_, p)| *p);
        updated.filter(|p| (trained.contains(p) || optimizer.contains(p)) && wide(p)).collect()
    }
}

/// A step up to its loss.
pub(super) struct Body {
    traced: Traced,
    figures: Vec<Expr>,
    optimizer: Vec<Expr>,
    goals: Vec<GoalValues>,
    pub(super) loss: Expr,
    pub(super) params: Vec<Expr>,
    /// The first of the parameters are state.
    pub(super) state: usize,
}

impl Parts<'_> {
    /// A step up to its loss. Its state is a prefix of the model's: weights and figures for testing; optimizer and
    /// random key as well for training.
    pub(super) fn body(&self, kind: Kind) -> Result<Body> {
        let traced = self.model.trace(kind == Kind::Train)?;
        let figures = params("figure", &self.figure_types);
        let optimizer = params("optimizer", &self.pipeline.types());
        let mut all = [traced.trace.params(), figures.clone()].concat();
        if kind == Kind::Train {
            all.extend(optimizer.iter().cloned());
            all.extend(traced.trace.key.clone());
        }
        let state = all.len();
        let given: Vec<Type> = self.signature.targets.iter().flatten().cloned().collect();
        let (targets, sample_weights) = (params("target", &given), params("weight", &self.signature.weights));
        all.extend(traced.inputs.iter().chain(&targets).chain(&sample_weights).cloned());
        let goals = self.goals(&traced, &targets, &sample_weights);
        let loss = self.total_loss(&traced, &goals);
        Ok(Body { traced, figures, optimizer, goals, loss, params: all, state })
    }

    /// Compiles a step. The one result of a training step that is no update is the loss. A step that holds ends before
    /// the updates of weights where the loss is not finite; small state is held by choosing between old and new.
    pub(crate) fn compile(&self, kind: Kind) -> Result<Program> {
        let program = self.compile_holding(kind, true)?;
        if kind == Kind::Test || !self.holds || program.stops {
            return Ok(program);
        }
        self.compile_holding(kind, false)
    }

    fn compile_holding(&self, kind: Kind, by_stopping: bool) -> Result<Program> {
        let Body { traced, figures, optimizer, goals, loss, params, state } = self.body(kind)?;
        let mut draft = Draft { params, results: vec![], updates: vec![] };
        self.update_state(&traced, &mut draft);
        if kind == Kind::Train {
            self.update_weights(&traced, &loss, &optimizer, &mut draft);
        }
        self.update_figures(&goals, &loss, &figures, &traced, &mut draft);
        let mut held = vec![];
        if kind == Kind::Train {
            if self.holds {
                let first = traced.trace.variables.len() + figures.len();
                let optimizer = first..first + optimizer.len();
                held = draft.large(&trained(&traced.trace.variables), &optimizer);
                draft.hold(&loss, if by_stopping { &held } else { &[] });
            }
            draft.results.push(loss);
        }
        let watch = Watch { result: draft.results.len().saturating_sub(1), held: &held };
        let watch = Some(&watch).filter(|w| by_stopping && !w.held.is_empty());
        let name = if kind == Kind::Train { "train_step" } else { "test_step" };
        let (params, results, checked) = (draft.params, draft.results, &traced.inputs);
        Program::compile_given(name, params, state, results, &draft.updates, checked, watch)
    }

    fn goals(&self, traced: &Traced, targets: &[Expr], weights: &[Expr]) -> Vec<GoalValues> {
        let mut given = targets.iter();
        let outputs = traced.outputs.iter().zip(&self.objective.goals).enumerate();
        outputs
            .map(|(i, (output, goal))| {
                let target = self.signature.targets[i].as_ref().and_then(|_| given.next().cloned());
                let weight = weights.get(if weights.len() == 1 { 0 } else { i }).cloned();
                let loss = match (&goal.loss, &target) {
                    (Some(loss), Some(y)) => {
                        let loss = loss.get(y.ty(), output.expr.ty());
                        Some(loss_value(&*loss, y, &output.expr, output.mask.as_ref(), weight.as_ref()))
                    }
                    _ => None,
                };
                GoalValues {
                    prediction: output.expr.clone(),
                    mask: output.mask.clone(),
                    target,
                    weight,
                    loss,
                }
            })
            .collect()
    }

    /// The weighted sum of the losses, penalties of trained weights and of activities.
    fn total_loss(&self, traced: &Traced, goals: &[GoalValues]) -> Expr {
        let weighted = goals.iter().zip(&self.objective.goals).filter_map(|(values, goal)| {
            let loss = values.loss.clone()?;
            Some(match goal.weight {
                Some(w) => loss * w as f32,
                None => loss,
            })
        });
        let trained = traced.trace.variables.iter().filter(|(v, _)| v.trainable);
        let penalties = trained.filter_map(|(v, w)| {
            let regularizer = v.weight.regularizer.as_ref()?;
            Some(regularizer.get().map_or_else(Expr::poison, |r| r.penalty(w)))
        });
        let terms = weighted.chain(penalties).chain(traced.trace.losses.iter().cloned());
        terms.reduce(|a, b| a + b).unwrap_or_else(|| Expr::scalar(0.0f32))
    }

    /// New values of state that layers keep; the last update of a shared layer stands.
    fn update_state(&self, traced: &Traced, draft: &mut Draft) {
        let updates = &traced.trace.updates;
        for (at, (variable, value)) in updates.iter().enumerate() {
            if !updates[at + 1..].iter().any(|(later, _)| later == variable) {
                draft.update(*variable, value.clone());
            }
        }
    }

    fn update_weights(&self, traced: &Traced, loss: &Expr, optimizer: &[Expr], draft: &mut Draft) {
        let trained: Vec<usize> = trained(&traced.trace.variables);
        let weights: Vec<Expr> = trained.iter().map(|i| traced.trace.variables[*i].1.clone()).collect();
        let gradients = grad(&self.pipeline.scale_loss(loss, optimizer), &weights);
        let step = self.pipeline.apply(optimizer, &weights, &gradients);
        for (i, w) in trained.into_iter().zip(step.weights) {
            draft.update(i, w);
        }
        let first = traced.trace.variables.len() + self.figure_types.len();
        let n = step.state.len();
        for (i, s) in step.state.into_iter().enumerate() {
            draft.update(first + i, s);
        }
        if let Some(key) = &traced.trace.key {
            draft.update(first + n, key + Expr::constant(&Tensor::vector(vec![0i32, 1])));
        }
    }

    fn update_figures(
        &self,
        goals: &[GoalValues],
        loss: &Expr,
        state: &[Expr],
        traced: &Traced,
        draft: &mut Draft,
    ) {
        let first = traced.trace.variables.len();
        let samples = traced.inputs.first().and_then(|x| x.shape().first().cloned()).unwrap_or_default();
        let samples = Expr::size(&samples);
        let mut at = 0;
        for figure in self.figures {
            let old = &state[at..at + figure.tensors];
            let mean = |value: &Expr| vec![&old[0] + value * &samples, &old[1] + &samples];
            let new = match &figure.what {
                What::Loss => mean(loss),
                What::OutputLoss(i) => goals[*i].loss.as_ref().map(mean).unwrap_or_else(|| old.to_vec()),
                What::Metric { output, metric, weighted } => {
                    let g = &goals[*output];
                    let mask = g.mask.as_ref().filter(|_| metric.heeds_masks());
                    let weight = merged_weight(mask, g.weight.as_ref().filter(|_| *weighted));
                    match &g.target {
                        Some(y) => metric.update(old, y, &g.prediction.cast(DType::F32), weight.as_ref()),
                        None => old.to_vec(),
                    }
                }
            };
            for (i, value) in new.into_iter().enumerate() {
                draft.update(first + at + i, value);
            }
            at += figure.tensors;
        }
    }
}

/// What one output has in a step.
struct GoalValues {
    prediction: Expr,
    mask: Option<Expr>,
    target: Option<Expr>,
    weight: Option<Expr>,
    loss: Option<Expr>,
}

fn params(name: &str, types: &[Type]) -> Vec<Expr> {
    let numbered = |i: usize| if types.len() == 1 { name.into() } else { format!("{name}.{i}") };
    types.iter().enumerate().map(|(i, t)| Expr::param(&numbered(i), t.clone())).collect()
}

/// Indices of the weights that training changes.
pub(crate) fn trained(variables: &[(Variable, Expr)]) -> Vec<usize> {
    variables.iter().enumerate().filter(|(_, (v, _))| v.trainable).map(|(i, _)| i).collect()
}
