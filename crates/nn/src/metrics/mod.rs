//! Metrics: figures for people, gathered over batches inside the compiled step.

use crate::object::{Handle, Kind, Object, Row};
use rhyton_graph::{Expr, Type};
use rhyton_tensor::Tensor;
use std::sync::Arc;

/// A metric. Its state lives in the compiled program and is set to its start at every epoch.
pub trait Metric: Object {
    /// The name in logs.
    fn name(&self) -> String;

    /// How its state starts, for predictions of this type.
    fn start(&self, y_pred: &Type) -> Vec<Tensor>;

    /// The state after a batch. `weight` is per sample, `[batch]` or `[batch, ..]`.
    fn update(&self, state: &[Expr], y_true: &Expr, y_pred: &Expr, weight: Option<&Expr>) -> Vec<Expr>;

    /// The figure of a state.
    fn result(&self, state: &[Tensor]) -> f64;

    /// Whether larger is better, where that is known.
    fn larger_is_better(&self) -> Option<bool> {
        None
    }
}

/// A shared metric.
pub type MetricRef = Handle<dyn Metric>;

impl<M: Metric> From<M> for MetricRef {
    fn from(m: M) -> MetricRef {
        MetricRef::new(Arc::new(m))
    }
}

impl Kind for dyn Metric {
    const WHAT: &'static str = "metric";
    const MODULE: &'static str = "keras.metrics";
    fn rows() -> &'static [Row<dyn Metric>] {
        ROWS
    }
}

/// The metrics.
pub static ROWS: &[Row<dyn Metric>] = &[];
