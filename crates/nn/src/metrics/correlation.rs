//! Correlations between targets and predictions along an axis.

use super::mean::mean_metric;
use crate::losses::check::{axis_last, mean_last, paired};
use rhyton_graph::Expr;
use rhyton_graph::named::{self, Named};
use serde_json::Value;

/// Deviations from the mean along the last axis, with mean and variance (both `[.., 1]`).
fn centred(x: &Expr) -> (Expr, Expr, Expr) {
    let last = [x.rank().saturating_sub(1)];
    let mean = x.mean(&last).expand_dims(&last);
    let d = x - &mean;
    let variance = (&d * &d).mean(&last).expand_dims(&last);
    (d, mean, variance)
}

fn along(named: &'static Named, axis: i64, t: &Expr, p: &Expr, body: fn(&Expr, &Expr) -> Expr) -> Expr {
    match (axis_last(named.name, axis, t), axis_last(named.name, axis, p)) {
        (Ok(t), Ok(p)) => paired(named, Value::Null, &t, &p, |t, p| mean_last(&body(t, p))),
        (Err(e), _) | (_, Err(e)) => Expr::poison(e),
    }
}

mean_metric! {
    /// Pearson's correlation: the mean product of targets and predictions, both centred and scaled to variance 1.
    /// NaN where either does not vary, as in Keras.
    pub struct PearsonCorrelation("pearson_correlation", true) {
        /// The axis of the values that are correlated.
        axis: i64 = -1,
    }
    impl {
        fn values(&self, t: &Expr, p: &Expr) -> Expr {
            along(&named::PEARSON_CORRELATION, self.axis, t, p, |t, p| {
                let ((t, _, of_t), (p, _, of_p)) = (centred(t), centred(p));
                (t / of_t.sqrt()) * (p / of_p.sqrt())
            })
        }
    }
}

mean_metric! {
    /// Lin's concordance correlation (1989): `2 cov(t, p) / (var t + var p + (mean t - mean p)^2 + 1e-7)`.
    pub struct ConcordanceCorrelation("concordance_correlation", true) {
        /// The axis of the values that are correlated.
        axis: i64 = -1,
    }
    impl {
        fn values(&self, t: &Expr, p: &Expr) -> Expr {
            along(&named::CONCORDANCE_CORRELATION, self.axis, t, p, |t, p| {
                let ((_, mean_t, of_t), (d, mean_p, of_p)) = (centred(t), centred(p));
                let shift = &mean_t - &mean_p;
                (t - &mean_p) * d * 2.0 / (of_t + of_p + &shift * &shift + 1e-7)
            })
        }
    }
}
