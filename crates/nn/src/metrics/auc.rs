//! Areas under curves over thresholds.

use super::confusion::{ALL, Decisions, few_thresholds, numbers, ratio};
use super::{Metric, metric, zeros};
use crate::object::Setting;
use rhyton_graph::{Expr, Type};
use rhyton_tensor::{Error, Result, Tensor};

impl Setting<Option<Vec<f64>>> for Vec<f64> {
    fn setting(self) -> Option<Vec<f64>> {
        Some(self)
    }
}

metric! {
    /// Area under the receiver operating (`ROC`) or precision-recall (`PR`, `PRGAIN`) curve, by thresholds.
    pub struct AUC("auc") {
        /// Number of thresholds, evenly from 0 to 1.
        num_thresholds: usize = 200,
        /// `ROC`, `PR` or `PRGAIN`.
        curve: String = "ROC".into(),
        /// `interpolation`, `minoring` or `majoring`.
        summation_method: String = "interpolation".into(),
        /// The mean over labels of their own areas.
        multi_label: bool = false,
        /// Number of labels, where known.
        num_labels: Option<usize> = None,
        /// A weight for each label.
        label_weights: Option<Vec<f64>> = None,
        /// Predictions are logits.
        from_logits: bool = false,
        /// Thresholds of one's own, between 0 and 1.
        thresholds: Option<Vec<f64>> = None,
    }
}

/// Evenly from 0 to 1, without the ends.
pub(super) fn inner_thresholds(n: usize) -> Vec<f64> {
    (1..n.saturating_sub(1)).map(|i| i as f64 / (n - 1) as f64).collect()
}

/// One curve's counts.
struct Counts {
    tp: Vec<f64>,
    fp: Vec<f64>,
    tn: Vec<f64>,
    fne: Vec<f64>,
}

impl AUC {
    fn all_thresholds(&self) -> Vec<f32> {
        let mut inner = match &self.thresholds {
            Some(own) => own.clone(),
            None => inner_thresholds(self.num_thresholds),
        };
        inner.sort_by(f64::total_cmp);
        let all = std::iter::once(-1e-7).chain(inner).chain([1.0 + 1e-7]);
        all.map(|x| x as f32).collect()
    }

    fn is(&self, what: &str, value: &str) -> bool {
        what.eq_ignore_ascii_case(value)
    }

    /// The points of the curve.
    fn point(&self, c: &Counts, i: usize) -> (f64, f64) {
        let (tp, fp, tn, fne) = (c.tp[i], c.fp[i], c.tn[i], c.fne[i]);
        if self.is(&self.curve, "ROC") {
            (ratio(fp, fp + tn), ratio(tp, tp + fne))
        } else if self.is(&self.curve, "PR") {
            (ratio(tp, tp + fne), ratio(tp, tp + fp))
        } else {
            let scale = ratio(tp + fne, tn + fp);
            let gain =
                |errors: f64, none: f64| if tp == 0.0 { none } else { 1.0 - scale * ratio(errors, tp) };
            (gain(fne, 0.0).max(0.0), gain(fp, 1.0))
        }
    }

    fn area(&self, c: &Counts) -> f64 {
        let steps = 0..c.tp.len().saturating_sub(1);
        if self.is(&self.curve, "PR") && self.is(&self.summation_method, "interpolation") {
            return steps.map(|i| interpolated(c, i)).sum();
        }
        steps
            .map(|i| {
                let ((x0, y0), (x1, y1)) = (self.point(c, i), self.point(c, i + 1));
                let height = if self.is(&self.summation_method, "interpolation") {
                    (y0 + y1) / 2.0
                } else if self.is(&self.summation_method, "minoring") {
                    y0.min(y1)
                } else {
                    y0.max(y1)
                };
                (x0 - x1) * height
            })
            .sum()
    }
}

/// The area of one step of a precision-recall curve (Davis and Goadrich 2006).
fn interpolated(c: &Counts, i: usize) -> f64 {
    let positive = |i: usize| c.tp[i] + c.fp[i];
    let (p0, p1) = (positive(i), positive(i + 1));
    let gained = c.tp[i] - c.tp[i + 1];
    let slope = ratio(gained, (p0 - p1).max(0.0));
    let intercept = c.tp[i + 1] - slope * p1;
    let relative = if p0 > 0.0 && p1 > 0.0 { p0 / p1 } else { 1.0 };
    ratio(slope * (gained + intercept * relative.ln()), (c.tp[i + 1] + c.fne[i + 1]).max(0.0))
}

impl Metric for AUC {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn start(&self, y_pred: &Type) -> Result<Vec<Tensor>> {
        let mut shape = vec![self.all_thresholds().len()];
        if self.multi_label {
            let known = y_pred.shape.last().and_then(|d| d.as_fixed());
            shape.push(self.num_labels.or(known).unwrap_or(0));
        }
        zeros(&[&shape[..]; 4])
    }

    fn update(&self, state: &[Expr], t: &Expr, p: &Expr, weight: Option<&Expr>) -> Vec<Expr> {
        let p = if self.from_logits { crate::functions::sigmoid(p) } else { p.clone() };
        if self.multi_label && p.rank() != 2 {
            let what = format!("AUC with multi_label got predictions of shape {}", p.shape());
            return super::poisoned(state, Expr::poison(Error::new(what).expected("[batch, labels]")));
        }
        let (thresholds, by_label) = (&self.all_thresholds()[..], self.multi_label);
        let label_weights = self.label_weights.as_deref();
        let decisions = Decisions { thresholds, by_label, label_weights, ..Decisions::default() };
        decisions.update(&ALL, state, t, &p, weight)
    }

    fn result(&self, state: &[Tensor]) -> f64 {
        let n = self.all_thresholds().len();
        let all: Vec<Vec<f64>> = (0..4).map(|i| numbers(state, i)).collect();
        if all.iter().any(|c| c.len() < n) {
            return 0.0;
        }
        let labels = all[0].len() / n;
        let column = |i: usize, label: usize| -> Vec<f64> {
            (0..n).filter_map(|k| all[i].get(k * labels + label).copied()).collect()
        };
        let areas: Vec<f64> = (0..labels)
            .map(|l| Counts { tp: column(0, l), fp: column(1, l), tn: column(2, l), fne: column(3, l) })
            .map(|c| self.area(&c))
            .collect();
        match self.label_weights.as_ref().filter(|_| self.multi_label) {
            None => ratio(areas.iter().sum(), areas.len() as f64),
            Some(w) => ratio(areas.iter().zip(w).map(|(a, w)| a * w).sum(), w.iter().sum()),
        }
    }

    fn larger_is_better(&self) -> Option<bool> {
        Some(true)
    }

    fn check(&self) -> Result<()> {
        let one_of = |setting: &str, value: &str, known: &[&str]| {
            if known.iter().any(|k| self.is(k, value)) {
                return Ok(());
            }
            Err(Error::new(format!("AUC got {setting}='{value}'")).expected(known.join(", ")))
        };
        one_of("curve", &self.curve, &["ROC", "PR", "PRGAIN"])?;
        one_of("summation_method", &self.summation_method, &["interpolation", "minoring", "majoring"])?;
        if self.num_thresholds < 2 {
            let what = format!("AUC got num_thresholds={}", self.num_thresholds);
            return Err(Error::new(what).expected("at least 2"));
        }
        few_thresholds("AUC", self.num_thresholds)?;
        Ok(())
    }
}
