//! One result element from one element of each input. Inputs have equal shapes: the builders broadcast first.

use super::Class;
use crate::expr::{Expr, Type};
use crate::interp::Value;
use rhyton_tensor::{Bindings, DType, Error, Result};
use serde::{Deserialize, Serialize};

/// Elementwise operations.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Elementwise {
    /// Of one input.
    Unary(Unary),
    /// Of two inputs.
    Binary(Binary),
    /// `condition ? a : b`.
    Select,
    /// Conversion to another element type; to integers what does not fit saturates, NaN is 0 and fractions are cut
    /// off; anything to bool is `!= 0`. It is all that int8 values know.
    Cast(DType),
}

/// Operations of one input. On integers only `neg`, `abs` and `sign`; on booleans only `not`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Unary {
    Neg,
    Abs,
    Sign,
    Exp,
    Expm1,
    Log,
    Log1p,
    Sqrt,
    Rsqrt,
    Sin,
    Cos,
    Tanh,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// The error function.
    Erf,
    Floor,
    /// To the nearest integer, halves to even.
    Round,
    /// Boolean negation.
    Not,
    /// True for numbers that are neither infinite nor NaN.
    IsFinite,
    /// The value itself, through which no gradient flows. It means something to gradients only: no plan holds it.
    StopGradient,
    /// The value itself in memory of its own: what the compiler inserts where a view must be laid out.
    Copy,
}

/// Operations of two inputs of one type. `max` and `min` propagate NaN.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Max,
    Min,
    Pow,
    Less,
    LessEqual,
    Equal,
    And,
    Or,
}

names!(Unary {
    Unary::Neg => "neg",
    Unary::Abs => "abs",
    Unary::Sign => "sign",
    Unary::Exp => "exp",
    Unary::Expm1 => "expm1",
    Unary::Log => "log",
    Unary::Log1p => "log1p",
    Unary::Sqrt => "sqrt",
    Unary::Rsqrt => "rsqrt",
    Unary::Sin => "sin",
    Unary::Cos => "cos",
    Unary::Tanh => "tanh",
    Unary::Sigmoid => "sigmoid",
    Unary::Erf => "erf",
    Unary::Floor => "floor",
    Unary::Round => "round",
    Unary::Not => "not",
    Unary::IsFinite => "is_finite",
    Unary::StopGradient => "stop_gradient",
    Unary::Copy => "copy",
});

impl Unary {
    /// The result for one number.
    pub fn eval(self, x: f64) -> f64 {
        match self {
            Unary::Neg => -x,
            Unary::Abs => x.abs(),
            Unary::Sign => {
                if x == 0.0 || x.is_nan() {
                    x
                } else {
                    x.signum()
                }
            }
            Unary::Exp => x.exp(),
            Unary::Expm1 => x.exp_m1(),
            Unary::Log => x.ln(),
            Unary::Log1p => x.ln_1p(),
            Unary::Sqrt => x.sqrt(),
            Unary::Rsqrt => 1.0 / x.sqrt(),
            Unary::Sin => x.sin(),
            Unary::Cos => x.cos(),
            Unary::Tanh => x.tanh(),
            Unary::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Unary::Erf => libm::erf(x),
            Unary::Floor => x.floor(),
            Unary::Round => x.round_ties_even(),
            Unary::Not => f64::from(u8::from(x == 0.0)),
            Unary::IsFinite => f64::from(u8::from(x.is_finite())),
            Unary::StopGradient | Unary::Copy => x,
        }
    }

    fn result(self, input: DType) -> Option<DType> {
        match self {
            Unary::Neg | Unary::Abs | Unary::Sign => {
                (input.is_float() || input == DType::I32).then_some(input)
            }
            Unary::Not => (input == DType::Bool).then_some(input),
            Unary::StopGradient | Unary::Copy => Some(input),
            Unary::IsFinite => input.is_float().then_some(DType::Bool),
            _ => input.is_float().then_some(input),
        }
    }
}

fn nan_or(a: f64, b: f64, pick: fn(f64, f64) -> f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { pick(a, b) }
}

names!(Binary {
    Binary::Add => "add",
    Binary::Sub => "sub",
    Binary::Mul => "mul",
    Binary::Div => "div",
    Binary::Max => "max",
    Binary::Min => "min",
    Binary::Pow => "pow",
    Binary::Less => "less",
    Binary::LessEqual => "less_equal",
    Binary::Equal => "equal",
    Binary::And => "and",
    Binary::Or => "or",
});

impl Binary {
    /// The result for two numbers.
    pub fn eval(self, a: f64, b: f64) -> f64 {
        let truth = |t: bool| f64::from(u8::from(t));
        match self {
            Binary::Add => a + b,
            Binary::Sub => a - b,
            Binary::Mul => a * b,
            Binary::Div => a / b,
            Binary::Max => nan_or(a, b, f64::max),
            Binary::Min => nan_or(a, b, f64::min),
            Binary::Pow => a.powf(b),
            Binary::Less => truth(a < b),
            Binary::LessEqual => truth(a <= b),
            Binary::Equal => truth(a == b),
            Binary::And => truth(a != 0.0 && b != 0.0),
            Binary::Or => truth(a != 0.0 || b != 0.0),
        }
    }

    /// True for comparisons and boolean logic.
    pub fn is_bool(self) -> bool {
        matches!(self, Binary::Less | Binary::LessEqual | Binary::Equal | Binary::And | Binary::Or)
    }

    fn result(self, input: DType) -> Option<DType> {
        match self {
            // Bytes are stored and converted; uint8 comes in and is never written.
            _ if matches!(input, DType::I8 | DType::U8) => None,
            Binary::And | Binary::Or => (input == DType::Bool).then_some(DType::Bool),
            Binary::Less | Binary::LessEqual => (input != DType::Bool).then_some(DType::Bool),
            Binary::Equal => Some(DType::Bool),
            Binary::Div | Binary::Pow => input.is_float().then_some(input),
            _ => (input != DType::Bool).then_some(input),
        }
    }
}

fn word(op: impl std::fmt::Debug) -> String {
    format!("{op:?}").to_lowercase()
}

impl Elementwise {
    fn arity(self) -> usize {
        match self {
            Elementwise::Unary(_) | Elementwise::Cast(_) => 1,
            Elementwise::Binary(_) => 2,
            Elementwise::Select => 3,
        }
    }

    /// The result for one element of each input.
    pub fn eval(self, x: &[f64], result: DType) -> f64 {
        let y = match self {
            Elementwise::Unary(u) => u.eval(x[0]),
            Elementwise::Binary(b) => b.eval(x[0], x[1]),
            Elementwise::Select => {
                if x[0] != 0.0 {
                    x[1]
                } else {
                    x[2]
                }
            }
            Elementwise::Cast(_) => x[0],
        };
        match result {
            DType::I32 => f64::from(y as i32),
            DType::I8 => f64::from(y as i8),
            DType::Bool => f64::from(u8::from(y != 0.0)),
            // Casts round, and so does storing: what is computed in between keeps the precision of float32.
            DType::BF16 if matches!(self, Elementwise::Cast(_)) => {
                rhyton_tensor::bf16::from_f32(y as f32).to_f64()
            }
            _ => y,
        }
    }

    /// Rough cost for an element, against an addition.
    pub fn cost(self) -> usize {
        match self {
            Elementwise::Unary(u) => u.cost(),
            Elementwise::Binary(b) => b.cost(),
            Elementwise::Select | Elementwise::Cast(_) => 1,
        }
    }

    pub(crate) fn infer(self, inputs: &[&Type]) -> Result<Vec<Type>> {
        if inputs.len() != self.arity() {
            return Err(Error::new(format!("{self:?} takes {} inputs, got {}", self.arity(), inputs.len())));
        }
        let last = inputs[inputs.len() - 1];
        if let Some(other) = inputs.iter().find(|t| t.shape != last.shape) {
            return Err(Error::new(format!("shapes {} and {} do not match", other.shape, last.shape)));
        }
        let bad = |what: String| Error::new(format!("{what} is not defined for {}", last.dtype));
        let dtype = match self {
            Elementwise::Unary(u) => u.result(last.dtype).ok_or_else(|| bad(word(u)))?,
            Elementwise::Binary(b) => {
                if inputs[0].dtype != last.dtype {
                    return Err(Error::new(format!(
                        "types {} and {} do not match",
                        inputs[0].dtype, last.dtype
                    )));
                }
                b.result(last.dtype).ok_or_else(|| bad(word(b)))?
            }
            Elementwise::Select => {
                if inputs[0].dtype != DType::Bool
                    || inputs[1].dtype != last.dtype
                    || matches!(last.dtype, DType::I8 | DType::U8)
                {
                    return Err(Error::new("select takes a boolean and two values of one type, not bytes"));
                }
                last.dtype
            }
            Elementwise::Cast(d) => {
                if !matches!(d, DType::F32 | DType::BF16 | DType::I32 | DType::I8 | DType::Bool) {
                    return Err(Error::new(format!("graphs do not compute in {d}"))
                        .expected("float32, bfloat16, int32, int8 or bool"));
                }
                if last.dtype == DType::U8 && d == DType::I8 {
                    return Err(Error::new("int8 cannot hold what uint8 does").fix("cast to int32 first"));
                }
                d
            }
        };
        Ok(vec![Type { dtype, shape: last.shape.clone() }])
    }

    pub(crate) fn vjp(self, y: &Expr, cotangents: &[Option<Expr>]) -> Vec<Option<Expr>> {
        let x = y.inputs();
        let Some(g) = cotangents.first().cloned().flatten() else { return vec![None; x.len()] };
        match self {
            Elementwise::Unary(u) => vec![u.vjp(&x[0], y, &g)],
            Elementwise::Binary(b) => b.vjp(&x[0], &x[1], y, &g).to_vec(),
            Elementwise::Select => {
                let zero = g.zeros_like();
                vec![None, Some(x[0].select(&g, &zero)), Some(x[0].select(&zero, &g))]
            }
            // Only float to float carries a gradient.
            Elementwise::Cast(d) => {
                vec![(d.is_float() && x[0].dtype().is_float()).then(|| g.cast(x[0].dtype()))]
            }
        }
    }

    pub(crate) fn interp(self, inputs: &[&Value], outs: &[Type], bindings: &Bindings) -> Result<Vec<Value>> {
        let mut out = Value::zeros(&outs[0], bindings)?;
        let mut x = vec![0.0; inputs.len()];
        for i in 0..out.data.len() {
            for (slot, input) in x.iter_mut().zip(inputs) {
                *slot = input.data[i];
            }
            out.data[i] = self.eval(&x, outs[0].dtype);
        }
        Ok(vec![out])
    }

    /// The names of those that no other enumeration holds.
    pub const NAMES: &'static [&'static str] = &["select", "cast"];

    /// What people call it.
    pub fn name(&self) -> &'static str {
        match self {
            Elementwise::Unary(u) => u.name(),
            Elementwise::Binary(b) => b.name(),
            Elementwise::Select => "select",
            Elementwise::Cast(_) => "cast",
        }
    }

    pub(crate) fn class(self) -> Class {
        Class::Elementwise
    }
}

impl Unary {
    /// Rough cost for an element, against an addition.
    pub fn cost(self) -> usize {
        match self {
            Unary::Sqrt | Unary::Rsqrt => 3,
            Unary::Exp | Unary::Expm1 | Unary::Log | Unary::Log1p | Unary::Sin | Unary::Cos => 20,
            Unary::Tanh | Unary::Sigmoid | Unary::Erf => 20,
            Unary::Neg | Unary::Abs | Unary::Sign | Unary::Floor | Unary::Round => 1,
            Unary::Not | Unary::IsFinite | Unary::StopGradient | Unary::Copy => 1,
        }
    }

    /// `g * dy/dx`, from the result `y` where that is cheaper than from `x`.
    fn vjp(self, x: &Expr, y: &Expr, g: &Expr) -> Option<Expr> {
        Some(match self {
            Unary::Copy => g.clone(),
            Unary::Neg => -g,
            Unary::Abs => g * x.sign(),
            Unary::Exp => g * y,
            Unary::Expm1 => g * &(y + 1.0),
            Unary::Log => g / x,
            Unary::Log1p => g / &(x + 1.0),
            Unary::Sqrt => g * 0.5 / y.clone(),
            // d x^(-1/2) = -x^(-3/2) / 2 = -y^3 / 2
            Unary::Rsqrt => g * -0.5 * (y * y * y.clone()),
            Unary::Sin => g * x.cos(),
            Unary::Cos => -(g * x.sin()),
            Unary::Tanh => g * (1.0 - y * y),
            Unary::Sigmoid => g * (y * (1.0 - y)),
            // 2 / sqrt(pi) * exp(-x^2)
            Unary::Erf => g * std::f32::consts::FRAC_2_SQRT_PI * (-(x * x)).exp(),
            Unary::Sign
            | Unary::Floor
            | Unary::Round
            | Unary::Not
            | Unary::IsFinite
            | Unary::StopGradient => {
                return None;
            }
        })
    }
}

impl Binary {
    /// Rough cost for an element, against an addition.
    pub fn cost(self) -> usize {
        match self {
            Binary::Div => 3,
            Binary::Pow => 20,
            Binary::Add | Binary::Sub | Binary::Mul | Binary::Max | Binary::Min => 1,
            Binary::Less | Binary::LessEqual | Binary::Equal | Binary::And | Binary::Or => 1,
        }
    }

    fn vjp(self, a: &Expr, b: &Expr, y: &Expr, g: &Expr) -> [Option<Expr>; 2] {
        if !a.dtype().is_float() {
            return [None, None];
        }
        match self {
            Binary::Add => [Some(g.clone()), Some(g.clone())],
            Binary::Sub => [Some(g.clone()), Some(-g)],
            Binary::Mul => [Some(g * b), Some(g * a)],
            Binary::Div => [Some(g / b), Some(-(g * y / b.clone()))],
            // The larger one gets the gradient; equal ones share it, as in NumPy-style frameworks.
            Binary::Max => share(a, b, g, a.greater(b)),
            Binary::Min => share(a, b, g, a.less(b)),
            // d a^b = b a^(b-1) da + a^b log(a) db; log only where a is positive.
            Binary::Pow => {
                let da = g * b * a.pow(&(b - 1.0));
                let safe = a.greater(&a.zeros_like()).select(a, &a.ones_like());
                [Some(da), Some(g * y * safe.log())]
            }
            Binary::Less | Binary::LessEqual | Binary::Equal | Binary::And | Binary::Or => [None, None],
        }
    }
}

fn share(a: &Expr, b: &Expr, g: &Expr, a_wins: Expr) -> [Option<Expr>; 2] {
    let (zero, tie, half) = (g.zeros_like(), a.equal(b), g * 0.5);
    [Some(tie.select(&half, &a_wins.select(g, &zero))), Some(tie.select(&half, &a_wins.select(&zero, g)))]
}
