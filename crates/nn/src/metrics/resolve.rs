//! What strings in `compile` mean.

use super::custom::of_loss;
use super::{BinaryAccuracy, CategoricalAccuracy, Metric, MetricRef, SparseCategoricalAccuracy};
use crate::losses::{LossRef, Task};
use crate::object::Object;
use rhyton_graph::{Expr, Type};
use rhyton_tensor::{Result, Tensor};
use serde_json::{Map, Value};
use std::any::TypeId;
use std::sync::Arc;

/// The metric that a string in `compile` means for targets and predictions of these types. `accuracy` and `acc`
/// mean the binary, sparse categorical or categorical one, by shapes. The string stays the name in logs.
///
/// # Errors
/// When nothing has this name; the error proposes the nearest.
pub fn resolve(name: &str, y_true: &Type, y_pred: &Type) -> Result<MetricRef> {
    if matches!(name.to_lowercase().as_str(), "accuracy" | "acc") {
        return Ok(match Task::of(y_true, y_pred) {
            Task::Binary => BinaryAccuracy::new().name(name).into(),
            Task::Sparse => SparseCategoricalAccuracy::new().name(name).into(),
            Task::Categorical => CategoricalAccuracy::new().name(name).into(),
        });
    }
    match MetricRef::named(name) {
        Ok(metric) => {
            Ok(MetricRef::new(Arc::new(Renamed { name: name.into(), metric: metric.get()?.clone() })))
        }
        // Every loss is a metric; the error proposes metrics.
        Err(e) => LossRef::named(name).and_then(|loss| of_loss(name, &loss)).map_err(|_| e),
    }
}

/// A metric under another name.
#[derive(Debug)]
struct Renamed {
    name: String,
    metric: Arc<dyn Metric>,
}

impl Object for Renamed {
    fn class_name(&self) -> &'static str {
        self.metric.class_name()
    }
    fn config(&self) -> Map<String, Value> {
        let mut config = self.metric.config();
        config.insert("name".into(), self.name.clone().into());
        config
    }
    fn type_key(&self) -> TypeId {
        self.metric.type_key()
    }
}

impl Metric for Renamed {
    fn name(&self) -> String {
        self.name.clone()
    }
    fn start(&self, y_pred: &Type) -> Result<Vec<Tensor>> {
        self.metric.start(y_pred)
    }
    fn update(&self, state: &[Expr], t: &Expr, p: &Expr, weight: Option<&Expr>) -> Vec<Expr> {
        self.metric.update(state, t, p, weight)
    }
    fn result(&self, state: &[Tensor]) -> f64 {
        self.metric.result(state)
    }
    fn heeds_masks(&self) -> bool {
        self.metric.heeds_masks()
    }
    fn larger_is_better(&self) -> Option<bool> {
        self.metric.larger_is_better()
    }
    fn check(&self) -> Result<()> {
        self.metric.check()
    }
}
