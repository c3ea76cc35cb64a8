//! Whether data fits the model and its losses, before anything runs.

use super::data::{Samples, target_type};
use super::objective::Objective;
use super::steps::beside;
use super::{Batch, Compiled};
use rhyton_graph::{Expr, Type};
use rhyton_model::{Model, Tensors, converts, reject_nan};
use rhyton_nn::indices::Among;
use rhyton_tensor::{DType, Error, Result, Tensor};

/// Samples in the shapes of the model.
///
/// # Errors
/// When numbers, shapes or types do not fit, values are NaN, labels are out of range, or there are no samples.
pub(crate) fn check_samples(
    samples: &Samples,
    model: &Model,
    objective: &Objective,
    outputs: &[Type],
) -> Result<Samples> {
    let x = model.conform_inputs(Tensors(samples.x.iter().collect()))?;
    let n = x.first().map_or(0, |t| t.shape()[0]);
    let names: Vec<&String> = objective.goals.iter().map(|g| &g.name).collect();
    let given = targets_of(samples.y.len(), objective)?;
    for (i, y) in samples.y.iter().enumerate() {
        let output = given.iter().position(|g| *g == Some(i)).unwrap_or(i);
        let place = format!("targets of '{}'", names[output]);
        check_target(y, n).map_err(|e| e.place(&*place))?;
        check_labels(y, objective, outputs, output).map_err(|e| e.place(place))?;
    }
    if !matches!(samples.weights.len(), 0 | 1) && samples.weights.len() != names.len() {
        return Err(Error::new(format!("{} sample weights", samples.weights.len()))
            .expected(format!("none, one tensor for all outputs, or one for each of {}", names.len())));
    }
    for w in &samples.weights {
        check_target(w, n).map_err(|e| e.place("sample_weight"))?;
    }
    Ok(Samples { x, y: samples.y.clone(), weights: samples.weights.clone() })
}

/// For each output, which of `given` targets is its own.
///
/// # Errors
/// When there are neither as many targets as outputs, nor as many as outputs with a loss or metric.
pub(crate) fn targets_of(given: usize, objective: &Objective) -> Result<Vec<Option<usize>>> {
    let n = objective.goals.len();
    if given == n {
        return Ok((0..n).map(Some).collect());
    }
    let mut next = 0..given;
    let needed = (0..n).filter(|i| objective.needs_target(*i)).count();
    if given == needed {
        let take = |i| if objective.needs_target(i) { next.next() } else { None };
        return Ok((0..n).map(take).collect());
    }
    let names: Vec<&str> = objective.goals.iter().map(|g| g.name.as_str()).collect();
    Err(Error::new(format!("{given} tensors of targets for a model with {n} outputs"))
        .expected(format!("targets for {}", names.join(", ")))
        .fix("give the targets as a list in the order of the outputs"))
}

fn check_target(t: &Tensor, samples: usize) -> Result<()> {
    match t.shape().first() {
        Some(n) if *n == samples => reject_nan(t).and_then(|()| converts(t, target_type(t.dtype()))),
        Some(n) => Err(Error::new(format!("{n} samples, but the inputs have {samples}"))
            .fix("give as many targets and weights as inputs")),
        None => Err(Error::new("a single number").expected("one entry for each sample")),
    }
}

/// What the labels of an output are checked against before anything runs, for losses that take labels.
fn labels_of(y: &Type, objective: &Objective, outputs: &[Type], output: usize) -> Option<Among> {
    let p = outputs.get(output)?;
    objective.goals.get(output)?.loss.as_ref()?.get(y, p).labels(p)
}

/// An error when a label is no class, for losses that take labels.
fn check_labels(y: &Tensor, objective: &Objective, outputs: &[Type], output: usize) -> Result<()> {
    let ty = beside(y, y.dtype(), outputs.get(output));
    match labels_of(&ty, objective, outputs, output) {
        Some(among) => among.check(y, y.shape().first().copied().unwrap_or(0), 0),
        None => Ok(()),
    }
}

impl Compiled {
    /// The targets whose labels are checked before anything runs: steps need not look at them again.
    pub(super) fn checked_targets(&self, targets: &[Option<Expr>]) -> Vec<Expr> {
        let given = targets.iter().enumerate().filter_map(|(i, t)| Some((i, t.clone()?)));
        let is_checked =
            |(i, t): &(usize, Expr)| labels_of(t.ty(), &self.objective, &self.outputs, *i).is_some();
        given.filter(is_checked).map(|(_, t)| t).collect()
    }
}

/// A batch that a user's source made, in the types of the model; `None` when it has them.
///
/// # Errors
/// As [`check_samples`].
pub(crate) fn check_batch(
    batch: &Batch,
    model: &Model,
    objective: &Objective,
    outputs: &[Type],
) -> Result<Option<Batch>> {
    let samples = Samples { x: batch.x().to_vec(), y: batch.y().to_vec(), weights: batch.weights().to_vec() };
    let checked = check_samples(&samples, model, objective, outputs)?;
    let x = model.definition().input_types.iter().map(|t| t.dtype);
    let y = checked.y.iter().map(|t| target_type(t.dtype()));
    let types: Vec<DType> = x.chain(y).chain(checked.weights.iter().map(|_| DType::F32)).collect();
    let tensors = [checked.x, checked.y, checked.weights].concat();
    let same =
        |(t, (old, dtype)): (&Tensor, (&Tensor, &DType))| t.dtype() == *dtype && t.shape() == old.shape();
    if tensors.iter().zip(batch.tensors.iter().zip(&types)).all(same) {
        return Ok(None);
    }
    let tensors = tensors.iter().zip(&types).map(|(t, d)| t.try_cast(*d)).collect::<Result<_>>()?;
    Ok(Some(Batch { tensors, inputs: batch.inputs, targets: batch.targets }))
}
