//! Losses of one's own.

use super::{Loss, LossRef};
use crate::object::Object;
use rhyton_graph::Expr;
use rhyton_graph::function::named;
use rhyton_tensor::DType;
use serde_json::{Map, Value};
use std::fmt;
use std::sync::Arc;

type Body = Box<dyn Fn(&Expr, &Expr) -> Expr + Send + Sync>;

struct Custom {
    name: String,
    body: Body,
}

/// A loss from a function of (targets, predictions), both float32, to losses `[batch, ..]` or a scalar. Files keep
/// its name only: one that files bring back is a type, made known with [`register`](crate::registry::register).
///
/// ```
/// use rhyton_nn::losses::custom;
/// let quartic = custom("quartic", |t, p| {
///     let d = t - p;
///     (&d * &d * &d * &d).mean(&[1])
/// });
/// assert_eq!(quartic.get()?.name(), "quartic");
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
pub fn custom(name: &str, body: impl Fn(&Expr, &Expr) -> Expr + Send + Sync + 'static) -> LossRef {
    LossRef::new(Arc::new(Custom { name: name.into(), body: Box::new(body) }))
}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Object for Custom {
    fn class_name(&self) -> &'static str {
        "CustomLoss"
    }
    fn config(&self) -> Map<String, Value> {
        Map::from_iter([("name".to_string(), Value::from(self.name.clone()))])
    }
}

impl Loss for Custom {
    fn name(&self) -> String {
        self.name.clone()
    }
    fn losses(&self, y_true: &Expr, y_pred: &Expr) -> Expr {
        let inputs = [y_true.cast(DType::F32), y_pred.cast(DType::F32)];
        named(&self.name, Value::Null, &inputs, |x| (self.body)(&x[0], &x[1]))
    }
}
