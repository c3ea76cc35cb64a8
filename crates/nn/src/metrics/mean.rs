//! Means over samples: the state of most metrics.

use super::{Metric, metric, zeros};
use crate::losses::align;
use crate::losses::check::paired;
use rhyton_graph::{Expr, Type, named};
use rhyton_tensor::{DType, Dim, Error, Result, Tensor};

/// A metric that is the mean of a figure per sample.
pub trait PerSample {
    /// The figures `[batch, ..]` of aligned targets and predictions; poisoned when shapes do not fit.
    fn values(&self, y_true: &Expr, y_pred: &Expr) -> Expr;

    /// True where a sample counts; `None` when all do.
    fn keep(&self, _y_true: &Expr, _y_pred: &Expr) -> Option<Expr> {
        None
    }
}

/// The state of a mean, total and count.
///
/// # Errors
/// When there is no memory for it.
pub fn mean_start() -> Result<Vec<Tensor>> {
    zeros(&[&[], &[]])
}

/// Mask (true where a step is real) and sample weights as one weight.
pub fn merged_weight(mask: Option<&Expr>, weight: Option<&Expr>) -> Option<Expr> {
    let mask = mask.map(|m| m.cast(DType::F32));
    let (mask, weight) = match (mask, weight) {
        (Some(m), Some(w)) => (m, w.cast(DType::F32)),
        (m, w) => return m.or_else(|| w.map(|w| w.cast(DType::F32))),
    };
    let (mask, weight) = align(&mask, &weight);
    let (rm, rw) = (mask.rank(), weight.rank());
    let longer = |e: &Expr, to: usize| e.expand_dims(&(e.rank()..to).collect::<Vec<_>>());
    Some(longer(&mask, rw.max(rm)) * longer(&weight, rm.max(rw)))
}

fn mean_after(e: &Expr, axes: usize) -> Expr {
    e.mean(&(axes..e.rank()).collect::<Vec<_>>())
}

/// Total and count after more values: Keras's rule. A sample with several values counts once, by their mean;
/// weights multiply values and count.
pub fn mean_update(state: &[Expr], values: &Expr, weight: Option<&Expr>) -> Vec<Expr> {
    let [total, count] = state else {
        return vec![Expr::poison(Error::new("a mean has a total and a count")); state.len()];
    };
    let values = values.cast(DType::F32);
    let (sum, n) = match weight {
        None => {
            let one = Dim::fixed(1);
            (mean_after(&values, 1).sum_all(), Expr::size(values.shape().first().unwrap_or(&one)))
        }
        Some(w) => {
            let (values, mut w) = align(&values, &w.cast(DType::F32));
            while w.rank() > values.rank() && w.shape().last().is_some_and(|d| d.is(1)) {
                w = w.entry(w.rank() - 1, 0);
            }
            let values = mean_after(&values, w.rank());
            let w = w.broadcast_to(values.shape().clone());
            (mean_after(&(&values * &w), 1).sum_all(), mean_after(&w, 1).sum_all())
        }
    };
    if sum.is_poisoned() {
        let shapes = weight.map(|w| w.shape().to_string()).unwrap_or_default();
        let what = format!("weights of shape {shapes} do not fit figures of shape {}", values.shape());
        let bad = if values.is_poisoned() { values } else { Expr::poison(Error::new(what)) };
        return vec![bad.clone(), bad];
    }
    vec![total + sum, count + n]
}

/// Total over count, 0 when nothing was counted.
pub fn mean_result(state: &[Tensor]) -> f64 {
    let at = |i: usize| state.get(i).filter(|t| !t.is_empty()).map_or(0.0, |t| t.data().get_f64(0));
    if at(1) == 0.0 { 0.0 } else { at(0) / at(1) }
}

/// The update of a [`PerSample`] metric.
pub(super) fn update(
    m: &dyn PerSample,
    state: &[Expr],
    t: &Expr,
    p: &Expr,
    weight: Option<&Expr>,
) -> Vec<Expr> {
    let (t, p) = align(t, p);
    let values = m.values(&t, &p);
    if values.is_poisoned() {
        return vec![values; state.len()];
    }
    // As in Keras, classes that do not count are left out of weighted means only.
    let keep = weight.and_then(|_| m.keep(&t, &p));
    mean_update(state, &values, merged_weight(keep.as_ref(), weight).as_ref())
}

/// Defines a metric that is a mean per sample, with whether larger is better.
macro_rules! mean_metric {
    ($(#[$meta:meta])* $vis:vis struct $class:ident($name:literal, $better:expr) { $($fields:tt)* } impl { $($items:tt)* }) => {
        $crate::metrics::metric! {
            $(#[$meta])*
            $vis struct $class($name) { $($fields)* }
        }
        impl $crate::metrics::PerSample for $class { $($items)* }
        impl $crate::metrics::Metric for $class {
            fn name(&self) -> String {
                self.name.clone()
            }
            fn start(&self, _: &rhyton_graph::Type) -> rhyton_tensor::Result<Vec<rhyton_tensor::Tensor>> {
                $crate::metrics::mean_start()
            }
            fn update(
                &self,
                state: &[rhyton_graph::Expr],
                t: &rhyton_graph::Expr,
                p: &rhyton_graph::Expr,
                weight: Option<&rhyton_graph::Expr>,
            ) -> Vec<rhyton_graph::Expr> {
                $crate::metrics::mean::update(self, state, t, p, weight)
            }
            fn result(&self, state: &[rhyton_tensor::Tensor]) -> f64 {
                $crate::metrics::mean_result(state)
            }
            fn heeds_masks(&self) -> bool {
                true
            }
            fn larger_is_better(&self) -> Option<bool> {
                Some($better)
            }
        }
    };
}
pub(crate) use mean_metric;

metric! {
    /// The root of the mean of `(t - p)^2` over all values of all samples.
    pub struct RootMeanSquaredError("root_mean_squared_error") {}
}

impl PerSample for RootMeanSquaredError {
    fn values(&self, t: &Expr, p: &Expr) -> Expr {
        paired(&named::ROOT_MEAN_SQUARED_ERROR, serde_json::Value::Null, t, p, |t, p| {
            let d = t - p;
            &d * &d
        })
    }
}

impl Metric for RootMeanSquaredError {
    fn name(&self) -> String {
        self.name.clone()
    }
    fn start(&self, _: &Type) -> Result<Vec<Tensor>> {
        mean_start()
    }
    fn update(&self, state: &[Expr], t: &Expr, p: &Expr, weight: Option<&Expr>) -> Vec<Expr> {
        update(self, state, t, p, weight)
    }
    fn result(&self, state: &[Tensor]) -> f64 {
        mean_result(state).sqrt()
    }
    fn larger_is_better(&self) -> Option<bool> {
        Some(false)
    }
}
