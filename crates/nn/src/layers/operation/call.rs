//! [`Call`]: what an operation is applied to, and its settings.

use crate::Args;
use crate::layers::check;
use rhyton_graph::Expr;
use rhyton_graph::ops::Scalar;
use rhyton_tensor::{DType, Error, Result, Tensor};
use serde_json::{Map, Value as Json};

/// An operand: a tensor of the model, or what the file holds in its place.
pub(super) enum Operand {
    Value(Expr),
    Literal(Json),
}

/// One application of an operation.
pub(super) struct Call {
    pub(super) name: &'static str,
    pub(super) operands: Vec<Operand>,
    settings: Map<String, Json>,
}

impl Call {
    /// Settings come from the operation's own configuration and from the named arguments of the call.
    pub(super) fn new(name: &'static str, config: &Map<String, Json>, args: &Args) -> Call {
        let settings = config.iter().chain(&args.settings).map(|(key, value)| (key.clone(), value.clone()));
        let named = args.named.iter().flat_map(|(_, values)| values);
        let values = args.inputs.iter().chain(named).map(|v| Operand::Value(v.expr.clone()));
        let mut operands: Vec<Operand> = values.collect();
        for (at, value) in &args.literals {
            operands.insert(operands.len().min(*at), Operand::Literal(value.clone()));
        }
        Call { name, operands, settings: settings.collect() }
    }

    /// Operand `i` as a value.
    pub(super) fn x(&self, i: usize) -> Result<Expr> {
        match self.operands.get(i) {
            Some(Operand::Value(e)) => Ok(e.clone()),
            Some(Operand::Literal(value)) => self.constant(value),
            None => {
                Err(Error::new(format!("the operation {} got {} operands", self.name, self.operands.len()))
                    .expected(format!("at least {}", i + 1)))
            }
        }
    }

    /// All operands as values.
    pub(super) fn all(&self) -> Result<Vec<Expr>> {
        (0..self.operands.len().max(1)).map(|i| self.x(i)).collect()
    }

    /// Exactly `N` operands.
    pub(super) fn exactly<const N: usize>(&self) -> Result<[Expr; N]> {
        let got = self.operands.len();
        self.all()?.try_into().map_err(|_| {
            Error::new(format!("the operation {} got {got} operands", self.name)).expected(N.to_string())
        })
    }

    /// A number, a list of numbers or the record of an array.
    pub(super) fn constant(&self, value: &Json) -> Result<Expr> {
        match value {
            Json::Bool(b) => Ok(Expr::scalar(*b)),
            Json::Number(n) => {
                let whole = n.as_i64().and_then(|n| i32::try_from(n).ok()).map(Scalar::I32);
                let number = whole.or_else(|| n.as_f64().map(|x| Scalar::from_f64(x, DType::F32)));
                number.map(Expr::scalar).ok_or_else(|| self.odd("operand", value))
            }
            Json::Array(_) => self.array(value),
            Json::Object(o) if o.get("config").is_some_and(|c| c["value"].is_array()) => {
                self.array(&value["config"]["value"])
            }
            Json::Object(o) if o.get("config").is_some_and(|c| c["value"].is_number()) => {
                self.constant(&value["config"]["value"])
            }
            _ => Err(self.odd("operand", value)),
        }
    }

    /// An array of nested lists.
    fn array(&self, value: &Json) -> Result<Expr> {
        let (mut shape, mut inner) = (vec![], value);
        while let Json::Array(items) = inner {
            shape.push(items.len());
            inner = items.first().unwrap_or(&Json::Null);
        }
        let mut numbers = vec![];
        flatten(value, &mut numbers);
        let whole = numbers.iter().all(|n| n.as_i64().is_some_and(|n| i32::try_from(n).is_ok()));
        let tensor = if whole {
            let data: Vec<i32> = numbers.iter().filter_map(|n| n.as_i64().map(|n| n as i32)).collect();
            Tensor::new(shape, data)
        } else {
            let data: Vec<f32> = numbers.iter().filter_map(|n| n.as_f64().map(|x| x as f32)).collect();
            Tensor::new(shape, data)
        };
        // Lists of different lengths, or what is no number.
        tensor.map(|t| Expr::constant(&t)).map_err(|_| self.odd("operand", value))
    }

    /// A setting; null where the file has none.
    pub(super) fn get(&self, name: &str) -> &Json {
        self.settings.get(name).unwrap_or(&Json::Null)
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.get(name).as_bool().unwrap_or(false)
    }

    /// A number, or `default` where there is none.
    pub(super) fn number(&self, name: &str, default: f64) -> Result<f32> {
        match self.get(name) {
            Json::Null => Ok(default as f32),
            n => n.as_f64().map(|x| x as f32).ok_or_else(|| self.odd(name, n)),
        }
    }

    /// A whole number, or `default` where there is none.
    pub(super) fn whole(&self, name: &str, default: i64) -> Result<i64> {
        match self.get(name) {
            Json::Null => Ok(default),
            n => n.as_i64().ok_or_else(|| self.odd(name, n)),
        }
    }

    /// Whole numbers: one, a list, or nothing.
    pub(super) fn wholes(&self, name: &str) -> Result<Option<Vec<i64>>> {
        let value = self.get(name);
        match value {
            Json::Null => Ok(None),
            Json::Array(items) => {
                let all = items.iter().map(Json::as_i64).collect::<Option<Vec<i64>>>();
                all.map(Some).ok_or_else(|| self.odd(name, value))
            }
            n => n.as_i64().map(|n| Some(vec![n])).ok_or_else(|| self.odd(name, n)),
        }
    }

    /// The axis that the setting `name` chooses in `x`.
    pub(super) fn axis(&self, name: &str, default: i64, x: &Expr) -> Result<usize> {
        check::axis(self.name, self.whole(name, default)?, x)
    }

    /// The axes that the setting `axis` chooses in `x`, in order; all where it says nothing.
    pub(super) fn axes(&self, x: &Expr) -> Result<Vec<usize>> {
        let Some(axes) = self.wholes("axis")? else { return Ok((0..x.rank()).collect()) };
        let mut axes = axes.iter().map(|a| check::axis(self.name, *a, x)).collect::<Result<Vec<_>>>()?;
        axes.sort_unstable();
        axes.dedup();
        Ok(axes)
    }

    /// The size of an axis that has to be known.
    pub(super) fn size(&self, x: &Expr, axis: usize) -> Result<usize> {
        check::known(self.name, &x.shape()[axis], &format!("axis {axis}"), x)
    }

    /// The error of a setting or operand that this operation does not take.
    pub(super) fn odd(&self, what: &str, value: &Json) -> Error {
        let mut text = value.to_string();
        if text.chars().count() > 80 {
            text = text.chars().take(80).chain("..".chars()).collect();
        }
        Error::new(format!("the operation {} does not take {text} as its {what}", self.name))
            .fix("write this part of the network with layers")
    }
}

/// The numbers in nested lists, booleans as 0 and 1.
fn flatten(value: &Json, into: &mut Vec<Json>) {
    match value {
        Json::Array(items) => items.iter().for_each(|v| flatten(v, into)),
        Json::Bool(b) => into.push(i32::from(*b).into()),
        other => into.push(other.clone()),
    }
}
