//! Operations on tensors between layers: what files of Keras hold for `2 * x + y` and for masks.

use crate::layer::{Base, Based};
use crate::layers::{activation::listed, check, embedding::any_last};
use crate::{Args, Cx, Layer, Object, Outputs};
use rhyton_graph::Expr;
use rhyton_graph::ops::Scalar;
use rhyton_tensor::{DType, Error, Result};
use serde_json::{Map, Value as Json};
use std::sync::Arc;

/// Keras's module of the operations.
pub const MODULE: &str = "keras.src.ops.numpy";

/// An operation on tensors, by its name in Keras. Numbers among its operands are settings of the call, `arg1`
/// for the second.
#[derive(Clone, Debug)]
pub struct Operation {
    base: Base,
    row: &'static Known,
    config: Map<String, Json>,
}

#[derive(Debug)]
struct Known {
    class_name: &'static str,
    apply: Apply,
}

#[derive(Debug)]
enum Apply {
    One(fn(&Expr) -> Expr),
    Two(fn(&Expr, &Expr) -> Expr),
    /// Over `axis` (all axes when it is null), which stays with size 1 when `keepdims`.
    Over(fn(&Expr, &[usize]) -> Expr),
    Concatenate,
}

macro_rules! known {
    ($($name:ident $kind:ident $f:expr;)*) => {
        &[
            $(Known { class_name: stringify!($name), apply: Apply::$kind($f) },)*
            Known { class_name: "Concatenate", apply: Apply::Concatenate },
        ]
    };
}

static KNOWN: &[Known] = known! {
    Absolute One Expr::abs;
    Negative One |x| -x;
    Sign One Expr::sign;
    Exp One Expr::exp;
    Log One Expr::log;
    Sqrt One Expr::sqrt;
    Square One |x| x * x;
    Tanh One Expr::tanh;
    Sin One Expr::sin;
    Cos One Expr::cos;
    LogicalNot One Expr::not;
    Add Two |a, b| a + b;
    Subtract Two |a, b| a - b;
    Multiply Two |a, b| a * b;
    TrueDivide Two |a, b| a / b;
    Divide Two |a, b| a / b;
    Power Two Expr::pow;
    Maximum Two Expr::maximum;
    Minimum Two Expr::minimum;
    Matmul Two Expr::matmul;
    Equal Two Expr::equal;
    NotEqual Two |a, b| a.equal(b).not();
    Less Two Expr::less;
    LessEqual Two Expr::less_equal;
    Greater Two Expr::greater;
    GreaterEqual Two Expr::greater_equal;
    LogicalAnd Two Expr::and;
    LogicalOr Two Expr::or;
    Sum Over Expr::sum;
    Mean Over Expr::mean;
    Max Over Expr::max;
    Min Over Expr::min;
    Any Over any;
};

/// Any over axes of booleans.
fn any(x: &Expr, axes: &[usize]) -> Expr {
    axes.iter().rev().fold(x.clone(), |x, axis| {
        let order: Vec<usize> = (0..x.rank()).filter(|a| a != axis).chain([*axis]).collect();
        any_last(&x.transpose(&order))
    })
}

impl Operation {
    /// The operation of a record of a Keras file; `None` for records of layers.
    ///
    /// # Errors
    /// When the operation is unknown.
    pub fn from_record(record: &Json) -> Option<Result<Arc<dyn Layer>>> {
        record["module"].as_str().filter(|m| m.starts_with("keras.src.ops"))?;
        let name = record["class_name"].as_str().unwrap_or_default();
        let Some(row) = KNOWN.iter().find(|k| k.class_name == name) else {
            let known = KNOWN.iter().map(|k| k.class_name);
            return Some(Err(crate::object::unknown("tensor operation", name, known)));
        };
        let mut config = record["config"].as_object().cloned().unwrap_or_default();
        let mut base = Base::here();
        base.name = config.shift_remove("name").and_then(|n| n.as_str().map(String::from));
        ["trainable", "dtype"].iter().for_each(|key| drop(config.shift_remove(*key)));
        Some(Ok(Arc::new(Operation { base, row, config })))
    }

    /// Operands in order: tensors and numbers.
    fn operands(args: &Args) -> Result<Vec<Expr>> {
        let literals = args.settings.keys().filter(|k| k.starts_with("arg")).count();
        let mut tensors = args.inputs.iter().map(|v| v.expr.clone());
        let operand = |i: usize| match args.settings.get(&format!("arg{i}")) {
            Some(Json::Bool(b)) => Ok(Expr::scalar(*b)),
            Some(n) => {
                let whole = n.as_i64().and_then(|n| i32::try_from(n).ok()).map(Scalar::I32);
                let number = whole.or_else(|| n.as_f64().map(|x| Scalar::from_f64(x, DType::F32)));
                number.map(Expr::scalar).ok_or_else(|| Error::new(format!("the operand {n} is no number")))
            }
            None => tensors.next().ok_or_else(|| Error::new("an operand is missing")),
        };
        (0..args.inputs.len() + literals).map(operand).collect()
    }

    fn output(&self, args: &Args) -> Result<Expr> {
        let operands = Operation::operands(args)?;
        match (&self.row.apply, operands.as_slice()) {
            (Apply::One(f), [x]) => Ok(f(x)),
            (Apply::Two(f), [a, b]) => Ok(f(a, b)),
            (Apply::Over(f), [x]) => {
                let mut axes = vec![];
                for a in listed(&self.config.get("axis").cloned().unwrap_or_default()) {
                    axes.push(check::axis(self.row.class_name, a, x)?);
                }
                if axes.is_empty() {
                    axes = (0..x.rank()).collect();
                }
                axes.sort_unstable();
                let keep = self.config.get("keepdims").and_then(Json::as_bool).unwrap_or(false);
                let y = f(x, &axes);
                Ok(if keep { y.expand_dims(&axes) } else { y })
            }
            (Apply::Concatenate, [first, ..]) => {
                let axis = self.config.get("axis").and_then(Json::as_i64).unwrap_or(0);
                let axis = check::axis(self.row.class_name, axis, first)?;
                let parts: Vec<Expr> = operands.iter().map(Expr::float).collect();
                Ok(Expr::concat(&parts, axis))
            }
            _ => {
                let what = format!("the operation {} got {} operands", self.row.class_name, operands.len());
                Err(Error::new(what))
            }
        }
    }
}

impl Object for Operation {
    fn class_name(&self) -> &'static str {
        self.row.class_name
    }
    fn config(&self) -> Map<String, Json> {
        self.config.clone()
    }
    fn module(&self) -> Option<&'static str> {
        Some(MODULE)
    }
}

impl Based for Operation {
    fn base(&self) -> &Base {
        &self.base
    }
    fn base_mut(&mut self) -> &mut Base {
        &mut self.base
    }
}

impl Layer for Operation {
    fn call(&self, _: &mut Cx<'_>, args: &Args) -> Outputs {
        self.output(args).into()
    }
}
