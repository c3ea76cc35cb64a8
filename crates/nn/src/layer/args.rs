//! What a layer is called with, and what it returns.

use rhyton_graph::Expr;
use rhyton_tensor::{DType, Error, Result};
use serde_json::{Map, Value as Json};

/// A value between layers: an expression and, for padded sequences, a boolean mask `[batch, time]`.
#[derive(Clone, Debug)]
pub struct Value {
    /// The value.
    pub expr: Expr,
    /// True where a time step is real.
    pub mask: Option<Expr>,
}

impl From<Expr> for Value {
    fn from(expr: Expr) -> Value {
        Value { expr, mask: None }
    }
}

/// What a layer is called with.
#[derive(Clone, Debug, Default)]
pub struct Args {
    /// Positional inputs.
    pub inputs: Vec<Value>,
    /// Named tensors, like `initial_state`.
    pub named: Vec<(String, Vec<Value>)>,
    /// Positional arguments that are no tensors, each with its position among all: the 2 of `2 * x`.
    pub literals: Vec<(usize, Json)>,
    /// Named settings, like `use_causal_mask`.
    pub settings: Map<String, Json>,
}

impl Args {
    /// Positional inputs only.
    pub fn new(inputs: Vec<Value>) -> Args {
        Args { inputs, ..Args::default() }
    }

    /// The first input; poisoned when there is none.
    pub fn x(&self) -> Expr {
        self.get(0)
    }

    /// Input `i`; poisoned when there is none.
    pub fn get(&self, i: usize) -> Expr {
        match self.inputs.get(i) {
            Some(v) => v.expr.clone(),
            None => Expr::poison(Error::new(format!("the layer has no input {i}"))),
        }
    }

    /// All floats as `dtype`.
    pub(super) fn of_type(&self, dtype: DType) -> Args {
        let all = |values: &[Value]| -> Vec<Value> {
            let one = |v: &Value| Value { expr: float_as(&v.expr, dtype), mask: v.mask.clone() };
            values.iter().map(one).collect()
        };
        let named = self.named.iter().map(|(name, values)| (name.clone(), all(values))).collect();
        Args { inputs: all(&self.inputs), named, ..self.clone() }
    }

    /// The mask of input `i`. A tensor named `mask` stands for the mask of the first input: files of Keras pass
    /// masks this way.
    pub fn mask(&self, i: usize) -> Option<Expr> {
        let named = self.tensors("mask").first().filter(|_| i == 0).map(|v| v.expr.clone());
        named.or_else(|| self.inputs.get(i).and_then(|v| v.mask.clone()))
    }

    /// Named tensors.
    pub fn tensors(&self, name: &str) -> &[Value] {
        self.named.iter().find(|(n, _)| n == name).map_or(&[], |(_, v)| v)
    }

    /// A named switch.
    pub fn flag(&self, name: &str) -> bool {
        self.settings.get(name).and_then(Json::as_bool).unwrap_or(false)
    }
}

/// A float as `dtype`; other values stay what they are.
pub fn float_as(e: &Expr, dtype: DType) -> Expr {
    if e.dtype().is_float() { e.cast(dtype) } else { e.clone() }
}

/// What a layer returns: one value or several.
#[derive(Clone, Debug)]
pub struct Outputs(pub Vec<Value>);

impl From<Expr> for Outputs {
    fn from(e: Expr) -> Outputs {
        Outputs(vec![e.into()])
    }
}
impl From<Value> for Outputs {
    fn from(v: Value) -> Outputs {
        Outputs(vec![v])
    }
}
impl From<Vec<Value>> for Outputs {
    fn from(v: Vec<Value>) -> Outputs {
        Outputs(v)
    }
}
impl From<Vec<Expr>> for Outputs {
    fn from(v: Vec<Expr>) -> Outputs {
        Outputs(v.into_iter().map(Value::from).collect())
    }
}
impl From<Error> for Outputs {
    #[track_caller]
    fn from(e: Error) -> Outputs {
        Expr::poison(e).into()
    }
}

impl<T: Into<Outputs>> From<Result<T>> for Outputs {
    #[track_caller]
    fn from(made: Result<T>) -> Outputs {
        match made {
            Ok(t) => t.into(),
            Err(e) => e.into(),
        }
    }
}
