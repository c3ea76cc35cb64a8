//! The compiled steps: forward, loss, backward, update and figures as one program.

use super::objective::{Figure, Objective, What};
use crate::backend::Program;
use crate::layer::Variable;
use crate::losses::loss_value;
use crate::metrics::merged_weight;
use crate::model::{Model, Traced};
use crate::optimizers::Pipeline;
use rhyton_graph::{Expr, Type, grad};
use rhyton_tensor::{DType, Dim, Result, Tensor};

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
}

impl Parts<'_> {
    /// Compiles a step. Its state is a prefix of the model's: weights and figures for testing; optimizer and random
    /// key as well for training.
    pub(crate) fn compile(&self, kind: Kind) -> Result<Program> {
        let traced = self.model.trace(kind == Kind::Train)?;
        let weights = traced.trace.params();
        let figures = params("figure", &self.figure_types);
        let mut draft = Draft { params: [&weights[..], &figures].concat(), results: vec![], updates: vec![] };
        let optimizer = params("optimizer", &self.pipeline.types());
        if kind == Kind::Train {
            draft.params.extend(optimizer.iter().cloned());
            draft.params.extend(traced.trace.key.clone());
        }
        let state = draft.params.len();
        let given: Vec<Type> = self.signature.targets.iter().flatten().cloned().collect();
        let (targets, sample_weights) = (params("target", &given), params("weight", &self.signature.weights));
        draft.params.extend(traced.inputs.iter().chain(&targets).chain(&sample_weights).cloned());
        let goals = self.goals(&traced, &targets, &sample_weights);
        let loss = self.total_loss(&traced, &goals);
        self.update_state(&traced, &mut draft);
        if kind == Kind::Train {
            self.update_weights(&traced, &loss, &optimizer, &mut draft);
        }
        self.update_figures(&goals, &loss, &figures, &traced, weights.len(), &mut draft);
        let name = if kind == Kind::Train { "train_step" } else { "test_step" };
        Program::compile(name, draft.params, state, draft.results, &draft.updates)
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
        first: usize,
        draft: &mut Draft,
    ) {
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
    types.iter().enumerate().map(|(i, t)| Expr::param(&format!("{name}.{i}"), t.clone())).collect()
}

/// Indices of the weights that training changes.
pub(crate) fn trained(variables: &[(Variable, Expr)]) -> Vec<usize> {
    variables.iter().enumerate().filter(|(_, (v, _))| v.trainable).map(|(i, _)| i).collect()
}
