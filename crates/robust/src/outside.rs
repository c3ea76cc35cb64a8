//! Scores of how far a sample is from what a model knows: larger is further.

use crate::Victim;
use rhyton_graph::{Expr, grad};
use rhyton_model::Model;
use rhyton_model::program::{Build, class_labels, logits};
use rhyton_nn::functions::log_softmax;
use rhyton_tensor::statistics::Cholesky;
use rhyton_tensor::{DType, Dim, Error, Result, Tensor};

fn rows(t: &Tensor) -> Vec<Vec<f64>> {
    let n = (t.len() / t.shape().first().copied().unwrap_or(1).max(1)).max(1);
    t.to_vec::<f64>().chunks(n).map(<[f64]>::to_vec).collect()
}

fn log_sum_exp(z: &[f64]) -> f64 {
    let most = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    most + z.iter().map(|z| (z - most).exp()).sum::<f64>().ln()
}

/// Minus the largest probability of softmax (Hendrycks, Gimpel 2017), from logits `[samples, classes]`.
pub fn max_softmax(logits: &Tensor) -> Vec<f64> {
    let of = |z: Vec<f64>| -(z.iter().copied().fold(f64::NEG_INFINITY, f64::max) - log_sum_exp(&z)).exp();
    rows(logits).into_iter().map(of).collect()
}

/// The energy `-t log sum exp(z / t)` (Liu et al. 2020), from logits.
pub fn energy(logits: &Tensor, temperature: f64) -> Vec<f64> {
    let of = |z: Vec<f64>| -temperature * log_sum_exp(&z.iter().map(|z| z / temperature).collect::<Vec<_>>());
    rows(logits).into_iter().map(of).collect()
}

/// The distance to the `k`-th nearest of known features, all of length 1 (Sun et al. 2022).
///
/// # Errors
/// When there are fewer than `k`, or `k` is 0.
pub fn nearest(known: &Tensor, features: &Tensor, k: usize) -> Result<Vec<f64>> {
    let unit = |v: Vec<f64>| {
        let length = v.iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-12);
        v.into_iter().map(|x| x / length).collect::<Vec<f64>>()
    };
    let known: Vec<Vec<f64>> = rows(known).into_iter().map(unit).collect();
    if k == 0 || k > known.len() {
        return Err(
            Error::new(format!("k={k} of {} known samples", known.len())).expected("from 1 to their number")
        );
    }
    let features = rows(features);
    same_width(&features, known[0].len())?;
    let of = |x: Vec<f64>| {
        let x = unit(x);
        let mut all: Vec<f64> =
            known.iter().map(|v| v.iter().zip(&x).map(|(a, b)| (a - b) * (a - b)).sum()).collect();
        all.select_nth_unstable_by(k - 1, f64::total_cmp).1.sqrt()
    };
    Ok(features.into_iter().map(of).collect())
}

/// Means of classes and their common covariance (Lee et al. 2018).
#[derive(Clone, Debug)]
pub struct Mahalanobis {
    means: Vec<Vec<f64>>,
    /// The lower triangle of the covariance's Cholesky factor.
    factor: Cholesky,
}

impl Mahalanobis {
    /// From features `[samples, n]` of known samples and their classes.
    ///
    /// # Errors
    /// When shapes do not fit, or a label is none of the classes.
    pub fn fit(features: &Tensor, labels: &Tensor, classes: usize) -> Result<Mahalanobis> {
        let known = rows(features);
        let labels = class_labels(labels, known.len(), classes)?.to_vec::<i32>();
        let n = known.first().map_or(0, Vec::len);
        let mut means = vec![vec![0.0; n]; classes];
        let mut counts = vec![0.0f64; classes];
        for (x, c) in known.iter().zip(&labels) {
            counts[*c as usize] += 1.0;
            means[*c as usize].iter_mut().zip(x).for_each(|(m, x)| *m += x);
        }
        for (mean, count) in means.iter_mut().zip(&counts) {
            mean.iter_mut().for_each(|m| *m /= count.max(1.0));
        }
        // A class without samples is near to nothing.
        let seen = means.iter().zip(&counts).filter(|(_, c)| **c > 0.0).map(|(m, _)| m.clone()).collect();
        let mut covariance = vec![0.0; n * n];
        for (x, c) in known.iter().zip(&labels) {
            let d: Vec<f64> = x.iter().zip(&means[*c as usize]).map(|(x, m)| x - m).collect();
            for i in 0..n {
                (0..=i).for_each(|j| covariance[i * n + j] += d[i] * d[j] / known.len() as f64);
            }
        }
        let trace: f64 = (0..n).map(|i| covariance[i * n + i]).sum();
        (0..n).for_each(|i| covariance[i * n + i] += 1e-6 * trace / n.max(1) as f64 + 1e-12);
        let factor = Cholesky::new(n, &covariance)
            .ok_or_else(|| Error::new("the features of the known samples do not tell anything apart"))?;
        Ok(Mahalanobis { means: seen, factor })
    }

    /// The squared distance to the nearest class.
    ///
    /// # Errors
    /// When samples have other numbers of features than the known ones.
    pub fn score(&self, features: &Tensor) -> Result<Vec<f64>> {
        let features = rows(features);
        same_width(&features, self.factor.size())?;
        let distance = |x: &[f64], mean: &[f64]| {
            let apart: Vec<f64> = x.iter().zip(mean).map(|(x, m)| x - m).collect();
            self.factor.half_solve(&apart).iter().map(|u| u * u).sum::<f64>()
        };
        let nearest = |x: Vec<f64>| self.means.iter().map(|m| distance(&x, m)).fold(f64::INFINITY, f64::min);
        Ok(features.into_iter().map(nearest).collect())
    }
}

fn same_width(features: &[Vec<f64>], n: usize) -> Result<()> {
    match features.iter().find(|x| x.len() != n) {
        Some(x) => Err(Error::new(format!("{} features of a sample", x.len()))
            .expected(format!("{n}, as of the known ones"))),
        None => Ok(()),
    }
}

/// ODIN (Liang, Li, Srikant 2018): minus the largest probability at a temperature, after a step of `eps` that raises it.
///
/// # Errors
/// When the input does not fit the model.
pub fn odin(model: &Model, x: &Tensor, temperature: f64, eps: f64) -> Result<Vec<f64>> {
    let inputs = model.check_inputs(x.into())?;
    let samples = inputs[0].shape()[0];
    let (mut build, given, output) = Build::predicting(model, 0)?;
    // The label is not asked for: what counts is the class that is likeliest.
    let label = logits(&output).float();
    let label = if label.shape().last().is_some_and(|d: &Dim| d.is(1)) {
        label.sum(&[1]).cast(DType::I32)
    } else {
        label.argmax(1)
    };
    let key = Expr::constant(&Tensor::vector(vec![0i32, 0]));
    let victim = Victim::new(&given[0], &output, &label, (f32::MIN, f32::MAX), &key)?;
    let best = |at: &Expr| log_softmax(&(victim.logits(at) * (1.0 / temperature) as f32)).max(&[1]);
    let slope = grad(&best(&given[0]).sum_all(), &given[..1]).swap_remove(0);
    let moved = &given[0] + slope.sign() * eps as f32;
    build.output("score", &-best(&moved).exp());
    let program = build.compile("odin", &model.backend()?)?;
    let scores = program.over_samples(model.values(), inputs, samples, 128)?.swap_remove(0);
    Ok(scores.to_vec())
}

/// How often a sample from outside scores above one from inside: the area under the ROC curve.
pub fn auroc(inside: &[f64], outside: &[f64]) -> f64 {
    let mut all: Vec<(f64, bool)> =
        inside.iter().map(|s| (*s, false)).chain(outside.iter().map(|s| (*s, true))).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut area, mut at) = (0.0, 0.0, 0);
    while at < all.len() {
        let end = at + all[at..].iter().take_while(|s| s.0 == all[at].0).count();
        let out = all[at..end].iter().filter(|s| s.1).count() as f64;
        let equal = (end - at) as f64 - out;
        area += out * (below + equal / 2.0);
        below += equal;
        at = end;
    }
    area / (inside.len().max(1) * outside.len().max(1)) as f64
}
