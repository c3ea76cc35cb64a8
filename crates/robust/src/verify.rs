//! [`verify`]: whether a property holds of a model.

use crate::Norm;
use crate::bounds::{Ball, BoundRef};
use crate::certifier::flat;
use crate::vnnlib::{Constraint, Property};
use rhyton_graph::function::scan;
use rhyton_graph::{Expr, grad};
use rhyton_model::Model;
use rhyton_model::program::Build;
use rhyton_model::program::per_sample;
use rhyton_tensor::rng::Stream;
use rhyton_tensor::{DType, Dim, Error, Result, Tensor};

/// What was found out about a property.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// No input violates it.
    Holds,
    /// This one does, `[1, ..]`.
    Violated(Tensor),
    /// Neither was shown.
    Unknown,
}

/// Inputs that a search for a counterexample begins with, and its steps.
const STARTS: usize = 64;
const STEPS: usize = 100;

/// Whether a property holds of a model with one input: by bounds of what the constraints compare and, where these are not
/// enough, by a search for a counterexample.
///
/// # Errors
/// When the model has other inputs or outputs than the property, or the method cannot bound an operation.
pub fn verify(model: &Model, method: impl Into<BoundRef>, property: &Property) -> Result<Verdict> {
    let sample: Option<Vec<usize>> = match &model.definition().input_types[..] {
        [one] if one.dtype.is_float() => one.shape[1..].iter().map(Dim::as_fixed).collect(),
        _ => None,
    };
    let sample =
        sample.filter(|s| s.iter().product::<usize>() == property.inputs.len()).ok_or_else(|| {
            Error::new(format!("the property is about {} inputs", property.inputs.len()))
                .expected("a model with one input of so many floating-point numbers")
        })?;
    let mut open = vec![];
    let sure = surely_violated(model, &method.into(), property, &sample)?;
    let mut at = 0;
    for group in &property.unsafe_if {
        // One constraint that no input meets is enough.
        if !sure[at..at + group.len()].iter().any(|s| *s) {
            open.push(group);
        }
        at += group.len();
    }
    for group in &open {
        if let Some(x) = counterexample(model, property, group, &sample)? {
            return Ok(Verdict::Violated(x));
        }
    }
    Ok(if open.is_empty() { Verdict::Holds } else { Verdict::Unknown })
}

/// The factors and limits of constraints, for `n` outputs.
fn factors(constraints: &[Constraint], n: usize) -> Result<(Expr, Vec<f32>)> {
    let mut all = vec![0f32; constraints.len() * n];
    for (row, one) in all.chunks_mut(n.max(1)).zip(constraints) {
        for (i, factor) in &one.factors {
            *row.get_mut(*i).ok_or_else(|| {
                Error::new(format!("the model has no output Y_{i}")).expected(format!("a number below {n}"))
            })? += *factor as f32;
        }
    }
    let limits = constraints.iter().map(|c| c.limit as f32).collect();
    Ok((Expr::constant(&Tensor::new([constraints.len(), 1, n], all)?), limits))
}

/// Of each constraint whether no input meets it.
fn surely_violated(
    model: &Model,
    method: &BoundRef,
    property: &Property,
    sample: &[usize],
) -> Result<Vec<bool>> {
    let constraints = property.unsafe_if.concat();
    if constraints.is_empty() {
        return Ok(vec![]);
    }
    let (mut build, mut inputs, output) = Build::predicting(model, 0)?;
    let x = inputs.swap_remove(0);
    let eps = build.typed_input("radius", x.ty().clone());
    let (output, n) = flat(&output.float())?;
    let (factors, limits) = factors(&constraints, n)?;
    let factors = factors.broadcast_to([Dim::fixed(limits.len()), x.shape()[0].clone(), Dim::fixed(n)]);
    let ball = Ball { x, eps, norm: Norm::Inf, bounds: None };
    let method = method.get()?;
    let least = method.least(&ball, &output, &factors).map_err(|e| e.place(method.class_name()))?;
    build.output("least", &least);
    let program = build.compile("verify", &model.backend()?)?;
    let part = |f: fn(&(f64, f64)) -> f64| {
        let values: Vec<f32> = property.inputs.iter().map(|b| f(b) as f32).collect();
        Tensor::new([&[1], sample].concat(), values)
    };
    let batch = [part(|(low, high)| (low + high) / 2.0)?, part(|(low, high)| (high - low) / 2.0)?];
    let mut results = vec![];
    program.infer(model.values(), &batch, &mut results)?;
    let least = results.first().map_or(vec![], |t| t.to_vec::<f32>());
    Ok(least.iter().zip(limits).map(|(least, limit)| *least > limit).collect())
}

/// An input that meets all constraints of a group, by steps along signs of gradients from random ones.
fn counterexample(
    model: &Model,
    property: &Property,
    group: &[Constraint],
    sample: &[usize],
) -> Result<Option<Tensor>> {
    let (mut build, mut inputs, output) = Build::predicting(model, 0)?;
    let x = inputs.swap_remove(0);
    let (output, n) = flat(&output.float())?;
    let (factors, limits) = factors(group, n)?;
    let limits = Expr::constant(&Tensor::vector(limits));
    // By how much the constraint that is furthest from being met is missed, [batch].
    let missed = |at: &Expr| {
        let replace = [(x.key(), at.clone())].into();
        let y = rhyton_graph::expr::substitute(std::slice::from_ref(&output), &replace).swap_remove(0);
        let sums = (y.expand_dims(&[1]) * factors.transpose(&[1, 0, 2])).sum(&[2]);
        (sums - &limits).max(&[1])
    };
    let bound = |f: fn(&(f64, f64)) -> f64| {
        let values: Vec<f32> = property.inputs.iter().map(|b| f(b) as f32).collect();
        Tensor::new([&[1], sample].concat(), values).map(|t| Expr::constant(&t))
    };
    let (low, high) = (bound(|b| b.0)?, bound(|b| b.1)?);
    let steps: Vec<f32> = (0..STEPS).map(|i| 0.25 * (1.0 - i as f32 / STEPS as f32)).collect();
    let far = missed(&x);
    let state = [x.clone(), x.clone(), far];
    let (end, _) = scan(
        "counterexample",
        &state,
        &[Expr::constant(&Tensor::vector(steps))],
        &[],
        false,
        |s, step, _| {
            let slope = grad(&missed(&s[0]).sum_all(), &s[..1]).swap_remove(0);
            let next = &s[0] - slope.sign() * (&high - &low) * &step[0];
            let next = next.maximum(&low).minimum(&high);
            let now = missed(&next);
            let better = now.less(&s[2]);
            (
                vec![
                    next.clone(),
                    per_sample(&better, &next).select(&next, &s[1]),
                    better.select(&now, &s[2]),
                ],
                vec![],
            )
        },
    );
    build.output("best", &end[1]);
    build.output("missed", &end[2]);
    let program = build.compile("counterexample", &model.backend()?)?;
    let mut random = Stream::new(0, 0, 0);
    let mut at = 0;
    let starts = Tensor::from_fn([&[STARTS], sample].concat(), |_| {
        let (low, high) = property.inputs[at % property.inputs.len()];
        at += 1;
        (low + (high - low) * f64::from(random.uniform())) as f32
    });
    let mut results = vec![];
    program.infer(model.values(), &[starts.cast(DType::F32)], &mut results)?;
    let [best, missed] = &results[..] else { return Ok(None) };
    match missed.to_vec::<f32>().iter().position(|m| *m <= 0.0) {
        Some(i) => Ok(Some(best.slice_rows(i..i + 1)?)),
        None => Ok(None),
    }
}
