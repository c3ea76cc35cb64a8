//! Warnings: what is legal and almost surely a mistake. Each is one line, never an error, and said once.
//!
//! What can be seen before training is a row of [`CHECKS`]: a function from what is known to its lines. A loss that is
//! no number any more is seen while training (see `diverged.rs`). Warnings go to standard error, or where the output
//! of `fit` goes, and to [`Callback::on_warning`](crate::callbacks::Callback::on_warning); `verbose` does not silence
//! them, as in Keras, [`Fit::warnings`](super::Fit::warnings) does.

use super::Compiled;
use super::checks::targets_of;
use super::data::Samples;
use super::steps::beside;
use rhyton_graph::ops::{Binary, Control, Elementwise, Movement, Op};
use rhyton_graph::{Expr, Type, named};
use rhyton_nn::losses::Loss;
use rhyton_nn::optimizers::OptimizerRef;
use serde_json::Value as Json;
use std::sync::Arc;

/// What is known before training.
struct Known<'a> {
    model: &'a Compiled,
    /// Unless a source makes the batches.
    samples: Option<&'a Samples>,
    class_weight: &'a [(i64, f64)],
}

/// All checks made before training.
const CHECKS: &[fn(&Known) -> Vec<String>] =
    &[labels_of_one_unit, softmax_of_one_unit, linear_probabilities, absent_classes, decays];

/// The warnings before training.
pub(crate) fn before_training(
    model: &Compiled,
    samples: Option<&Samples>,
    class_weight: &[(i64, f64)],
) -> Vec<String> {
    let known = Known { model, samples, class_weight };
    CHECKS.iter().flat_map(|check| check(&known)).collect()
}

/// What an output ends in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// Between 0 and 1 each.
    Sigmoid,
    /// Sums to 1 over so many units, where that is known.
    Softmax(Option<usize>),
    /// A product with weights, and a bias perhaps.
    Linear,
    /// Anything else.
    Other,
}

impl End {
    /// What the output `e` of a model ends in, as far as conversions and reshapes do not matter.
    pub(crate) fn of(e: &Expr) -> End {
        let mut e = e;
        loop {
            let next = match e.op() {
                Op::Control(Control::Call(f)) if f.named == Some(&named::SIGMOID) => return End::Sigmoid,
                Op::Control(Control::Call(f)) if f.named == Some(&named::SOFTMAX) => {
                    return End::Softmax(e.shape().last().and_then(|d| d.as_fixed()));
                }
                Op::Contract(_) => return End::Linear,
                Op::Elementwise(Elementwise::Cast(_)) | Op::Movement(Movement::Reshape { .. }) => 0,
                Op::Elementwise(Elementwise::Binary(Binary::Add)) if is_weight(&e.inputs()[1]) => 0,
                _ => return End::Other,
            };
            let Some(under) = e.inputs().get(next) else { return End::Other };
            e = under;
        }
    }
}

/// Whether a value is a parameter in another shape or type.
fn is_weight(e: &Expr) -> bool {
    match e.op() {
        Op::Control(Control::Param { .. }) => true,
        Op::Movement(_) | Op::Elementwise(Elementwise::Cast(_)) => e.inputs().iter().all(is_weight),
        _ => false,
    }
}

/// An output with what is wanted of it.
struct Goal<'a> {
    name: &'a str,
    ty: &'a Type,
    end: End,
    target: Option<&'a rhyton_tensor::Tensor>,
    loss: Option<Arc<dyn Loss>>,
}

impl Known<'_> {
    fn goals(&self) -> Vec<Goal<'_>> {
        let objective = &self.model.objective;
        let targets = self.samples.map_or(&[][..], |s| &s.y);
        let given = targets_of(targets.len(), objective).unwrap_or_default();
        let mut goals = vec![];
        for (i, (goal, ty)) in objective.goals.iter().zip(self.model.output_types()).enumerate() {
            let target = given.get(i).copied().flatten().and_then(|at| targets.get(at));
            let like = target.map_or_else(|| ty.clone(), |t| beside(t, t.dtype(), Some(ty)));
            let loss = goal.loss.as_ref().map(|l| l.get(&like, ty));
            let end = self.model.ends.get(i).copied().unwrap_or(End::Other);
            goals.push(Goal { name: &goal.name, ty, end, target, loss });
        }
        goals
    }
}

/// Whether the loss compares with numbers from 0 to 1 for each unit.
fn is_binary(loss: &dyn Loss) -> bool {
    matches!(loss.class_name(), "BinaryCrossentropy" | "BinaryFocalCrossentropy")
}

fn labels_of_one_unit(known: &Known) -> Vec<String> {
    let text = |g: &Goal| {
        let one = g.ty.shape.last().is_some_and(|d| d.is(1));
        let binary = g.end == End::Sigmoid || g.loss.as_ref().is_some_and(|l| is_binary(&**l));
        let target = g.target.filter(|_| one && binary)?.data();
        let values = || (0..target.len()).map(|i| target.get_f64(i) as f32);
        let (low, high) = values().fold((0.0f32, 1.0f32), |(a, b), x| (a.min(x), b.max(x)));
        let classes = high as usize + 1;
        let fix = if low < 0.0 || values().any(|x| x.fract() != 0.0) || classes > 1000 {
            "bring the targets to 0 and 1".to_string()
        } else {
            format!(
                "for {classes} classes give it {classes} units with softmax, and the loss \
                 sparse_categorical_crossentropy"
            )
        };
        let reach = if low < 0.0 { format!("down to {low}") } else { format!("up to {high}") };
        let name = g.name;
        let what =
            format!("the targets of '{name}' go {reach}, but its one unit decides between 0 and 1: {fix}");
        (low < 0.0 || high > 1.0).then_some(what)
    };
    known.goals().iter().filter_map(text).collect()
}

fn softmax_of_one_unit(known: &Known) -> Vec<String> {
    let alone = |g: &&Goal| g.end == End::Softmax(Some(1));
    let text = |g: &Goal| {
        format!(
            "softmax over the one unit of '{}' is always 1: use sigmoid, or one unit for each class",
            g.name
        )
    };
    known.goals().iter().filter(alone).map(text).collect()
}

fn linear_probabilities(known: &Known) -> Vec<String> {
    let text = |g: &Goal| {
        let loss = g.loss.as_ref().filter(|_| g.end == End::Linear)?;
        let probabilities = loss.config().get("from_logits").and_then(Json::as_bool) == Some(false);
        let end = if is_binary(&**loss) { "sigmoid" } else { "softmax" };
        let what = format!(
            "the output '{}' is linear, but {} takes probabilities: end it with {end}, or give the loss \
             from_logits=true",
            g.name,
            loss.name()
        );
        probabilities.then_some(what)
    };
    known.goals().iter().filter_map(text).collect()
}

fn absent_classes(known: &Known) -> Vec<String> {
    let Some(y) = known.samples.and_then(|s| s.y.first()) else { return vec![] };
    let there: std::collections::HashSet<i64> = super::feed::classes_of(y).collect();
    let absent = known.class_weight.iter().filter(|(class, _)| !there.contains(class));
    let text = |(class, _): &(i64, f64)| {
        format!("class_weight has a weight for the class {class}, which does not occur in the targets")
    };
    absent.map(text).collect()
}

fn decays(known: &Known) -> Vec<String> {
    of_optimizer(known.model.pipeline.optimizer())
}

/// Settings of running averages.
const DECAYS: [&str; 4] = ["beta_1", "beta_2", "rho", "momentum"];

/// The warnings about an optimizer and the one inside.
pub(crate) fn of_optimizer(optimizer: &OptimizerRef) -> Vec<String> {
    let Ok(object) = optimizer.get() else { return vec![] };
    let config = object.config();
    let outside = |name: &&str| {
        let value = config.get(*name).and_then(Json::as_f64)?;
        let class = object.class_name();
        let what =
            format!("{class} got {name}={value}: a running average decays by at least 0 and less than 1");
        (!(0.0..1.0).contains(&value)).then_some(what)
    };
    let mut found: Vec<String> = DECAYS.iter().filter_map(outside).collect();
    found.extend(object.scaled().map(|s| of_optimizer(&s.inner_optimizer)).unwrap_or_default());
    found
}
