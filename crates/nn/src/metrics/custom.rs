//! Metrics of one's own.

use super::{Metric, MetricRef, PerSample, mean, mean_result, mean_start};
use crate::losses::{Loss, LossRef};
use crate::object::Object;
use rhyton_graph::function::named;
use rhyton_graph::{Expr, Type};
use rhyton_tensor::{DType, Result, Tensor};
use serde_json::{Map, Value};
use std::fmt;
use std::sync::Arc;

enum Body {
    Closure(Box<dyn Fn(&Expr, &Expr) -> Expr + Send + Sync>),
    Loss(Arc<dyn Loss>),
}

struct Custom {
    name: String,
    body: Body,
}

/// The mean over samples of a function of (targets, predictions), both float32, to figures `[batch, ..]`. Files
/// keep its name only: one that files bring back is a type, made known with [`register`](crate::registry::register).
///
/// ```
/// use rhyton_nn::metrics::custom;
/// let worst = custom("worst", |t, p| (t - p).abs().max(&[1]));
/// assert_eq!(worst.get()?.name(), "worst");
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
pub fn custom(name: &str, body: impl Fn(&Expr, &Expr) -> Expr + Send + Sync + 'static) -> MetricRef {
    MetricRef::new(Arc::new(Custom { name: name.into(), body: Body::Closure(Box::new(body)) }))
}

/// The mean of a loss over samples.
pub(super) fn of_loss(name: &str, loss: &LossRef) -> rhyton_tensor::Result<MetricRef> {
    Ok(MetricRef::new(Arc::new(Custom { name: name.into(), body: Body::Loss(loss.get()?.clone()) })))
}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Object for Custom {
    fn class_name(&self) -> &'static str {
        match &self.body {
            Body::Closure(_) => "CustomMetric",
            Body::Loss(loss) => loss.class_name(),
        }
    }
    fn config(&self) -> Map<String, Value> {
        Map::from_iter([("name".to_string(), Value::from(self.name.clone()))])
    }
}

impl PerSample for Custom {
    fn values(&self, t: &Expr, p: &Expr) -> Expr {
        match &self.body {
            Body::Closure(f) => {
                named(&self.name, Value::Null, &[t.cast(DType::F32), p.cast(DType::F32)], |x| f(&x[0], &x[1]))
            }
            Body::Loss(loss) => loss.losses(t, p),
        }
    }
    fn keep(&self, t: &Expr, p: &Expr) -> Option<Expr> {
        match &self.body {
            Body::Closure(_) => None,
            Body::Loss(loss) => loss.keep(t, p),
        }
    }
}

impl Metric for Custom {
    fn name(&self) -> String {
        self.name.clone()
    }
    fn start(&self, _: &Type) -> Result<Vec<Tensor>> {
        mean_start()
    }
    fn update(&self, state: &[Expr], t: &Expr, p: &Expr, weight: Option<&Expr>) -> Vec<Expr> {
        mean::update(self, state, t, p, weight)
    }
    fn result(&self, state: &[Tensor]) -> f64 {
        mean_result(state)
    }
    fn heeds_masks(&self) -> bool {
        true
    }
    fn larger_is_better(&self) -> Option<bool> {
        matches!(self.body, Body::Loss(_)).then_some(false)
    }
}
