//! F scores.

use super::confusion::numbers;
use super::{Metric, metric, poisoned, zeros};
use crate::losses::check::mismatch;
use rhyton_graph::{Expr, Type};
use rhyton_tensor::{DType, Error, Result, Tensor};

const EPSILON: f64 = 1e-7;

/// What both classes are.
struct FScore<'a> {
    average: Option<&'a str>,
    beta: f64,
    threshold: Option<f64>,
}

impl FScore<'_> {
    fn start(&self, y_pred: &Type) -> Result<Vec<Tensor>> {
        if self.average == Some("micro") {
            return zeros(&[&[][..]; 4]);
        }
        let classes = y_pred.shape.last().and_then(|d| d.as_fixed()).unwrap_or(0);
        zeros(&[&[classes][..]; 4])
    }

    fn update(&self, state: &[Expr], t: &Expr, p: &Expr, weight: Option<&Expr>) -> Vec<Expr> {
        if p.rank() != 2 || t.shape() != p.shape() {
            let error = mismatch("the F score", t, p).expected("[batch, classes] for both");
            return poisoned(state, Expr::poison(error));
        }
        let t = t.cast(DType::F32);
        let yes = match self.threshold {
            Some(x) => p.greater(&Expr::scalar(x as f32)),
            None => {
                let best = p.max(&[1]).expand_dims(&[1]);
                p.greater_equal(&best).and(&p.abs().greater(&Expr::scalar(1e-9f32)))
            }
        };
        let yes = yes.cast(DType::F32);
        let weight = weight.map(|w| {
            let w = w.cast(DType::F32);
            if w.rank() == 1 { w.expand_dims(&[1]) } else { w }
        });
        let axes: &[usize] = if self.average == Some("micro") { &[0, 1] } else { &[0] };
        let sum = |e: Expr| match &weight {
            Some(w) => (e * w).sum(axes),
            None => e.sum(axes),
        };
        let counts = [&yes * &t, &yes * (1.0 - &t), (1.0 - &yes) * &t, t.clone()];
        state.iter().zip(counts).map(|(old, count)| old + sum(count)).collect()
    }

    fn result(&self, state: &[Tensor]) -> f64 {
        let [tp, fp, fne, w] = [0, 1, 2, 3].map(|i| numbers(state, i));
        let squared = self.beta * self.beta;
        let scores: Vec<f64> = (0..tp.len())
            .map(|i| {
                let precision = tp[i] / (tp[i] + fp[i] + EPSILON);
                let recall = tp[i] / (tp[i] + fne[i] + EPSILON);
                (1.0 + squared) * precision * recall / (squared * precision + recall + EPSILON)
            })
            .collect();
        if self.average == Some("weighted") {
            let total = w.iter().sum::<f64>() + EPSILON;
            return scores.iter().zip(&w).map(|(s, w)| s * w / total).sum();
        }
        scores.iter().sum::<f64>() / scores.len().max(1) as f64
    }

    fn check(&self, class: &str) -> Result<()> {
        if !matches!(self.average, None | Some("micro" | "macro" | "weighted")) {
            let what = format!("{class} got average='{}'", self.average.unwrap_or_default());
            return Err(Error::new(what).expected("micro, macro or weighted"));
        }
        if self.beta.is_nan() || self.beta <= 0.0 {
            return Err(Error::new(format!("{class} got beta={}", self.beta)).expected("more than 0"));
        }
        if let Some(x) = self.threshold.filter(|x| !(*x > 0.0 && *x <= 1.0)) {
            let what = format!("{class} got threshold={x}");
            return Err(Error::new(what).expected("more than 0 and at most 1, or nothing"));
        }
        Ok(())
    }
}

macro_rules! f_scores {
    ($($class:ident, |$s:ident| $beta:expr;)*) => { $(
        impl $class {
            fn score(&self) -> FScore<'_> {
                let $s = self;
                FScore { average: self.average.as_deref(), beta: $beta, threshold: self.threshold }
            }
        }
        impl Metric for $class {
            fn name(&self) -> String {
                self.name.clone()
            }
            fn start(&self, y_pred: &Type) -> Result<Vec<Tensor>> {
                self.score().start(y_pred)
            }
            fn update(&self, state: &[Expr], t: &Expr, p: &Expr, weight: Option<&Expr>) -> Vec<Expr> {
                self.score().update(state, t, p, weight)
            }
            fn result(&self, state: &[Tensor]) -> f64 {
                self.score().result(state)
            }
            fn larger_is_better(&self) -> Option<bool> {
                Some(true)
            }
            fn check(&self) -> Result<()> {
                self.score().check(stringify!($class))
            }
        }
    )* };
}
f_scores! {
    FBetaScore, |s| s.beta;
    F1Score, |_s| 1.0;
}

metric! {
    /// `(1 + beta^2) precision recall / (beta^2 precision + recall)` of one-hot targets. Without an `average` it is
    /// the mean over classes, where Keras shows a figure for each.
    pub struct FBetaScore("fbeta_score") {
        /// `micro` (over all decisions), `macro` (mean of classes) or `weighted` (by their targets).
        average: Option<String> = None,
        /// How much more recall counts than precision.
        beta: f64 = 1.0,
        /// Larger predictions are a yes; only the largest of a sample when nothing is set.
        threshold: Option<f64> = None,
    }
}

metric! {
    /// `2 precision recall / (precision + recall)` of one-hot targets. Without an `average` it is the mean over
    /// classes, where Keras shows a figure for each.
    pub struct F1Score("f1_score") {
        /// `micro` (over all decisions), `macro` (mean of classes) or `weighted` (by their targets).
        average: Option<String> = None,
        /// Larger predictions are a yes; only the largest of a sample when nothing is set.
        threshold: Option<f64> = None,
    }
}
