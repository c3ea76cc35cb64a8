//! Parameters, constants, sizes, calls of named functions and loops.

use super::Class;
use crate::expr::{Expr, Type};
use crate::function::Function;
use crate::interp::{Value, run_function};
use rhyton_tensor::{Bindings, DType, Dim, Error, Result, Shape, Tensor};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Control operations.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// A value given from outside.
    Param {
        /// For people.
        name: String,
        /// Element type.
        dtype: DType,
        /// Sizes.
        shape: Shape,
        /// Keeps two parameters of one name apart.
        serial: u64,
    },
    /// A constant without axes.
    Scalar(Scalar),
    /// A constant tensor.
    Literal(Literal),
    /// A size as float32, known when the program runs.
    Size(Dim),
    /// A named function applied: its body is what the compiler sees, its name what people and exporters see.
    #[serde(skip)]
    Call(Arc<Function>),
    /// A loop over the first axis.
    ///
    /// Inputs: `carries` initial states, `xs` sequences, constants. The body maps (states, one entry of each
    /// sequence, constants) to (new states, one entry of each result). Results: final states, then the
    /// collected entries.
    #[serde(skip)]
    Scan {
        /// One step.
        body: Arc<Function>,
        /// Number of states.
        carries: usize,
        /// Number of sequences.
        xs: usize,
        /// Number of steps.
        length: Dim,
        /// Runs from the last entry to the first; entries keep their places.
        reverse: bool,
    },
    /// Something went wrong here.
    #[serde(skip)]
    Poison(Error),
}

/// A constant without axes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
#[allow(missing_docs)]
pub enum Scalar {
    F32(f32),
    /// A number in an expression of bfloat16, which is computed in float32.
    BF16(f32),
    I32(i32),
    I8(i8),
    Bool(bool),
}

impl Scalar {
    /// As a double; booleans are 0 and 1.
    pub fn as_f64(self) -> f64 {
        match self {
            Scalar::F32(x) | Scalar::BF16(x) => f64::from(x),
            Scalar::I32(x) => f64::from(x),
            Scalar::I8(x) => f64::from(x),
            Scalar::Bool(x) => f64::from(u8::from(x)),
        }
    }

    /// `x` in the type `dtype`. Denormal numbers are zero, as they are for kernels: folding a constant gives what
    /// running would.
    pub fn from_f64(x: f64, dtype: DType) -> Scalar {
        let float = if (x as f32).is_subnormal() { 0f32.copysign(x as f32) } else { x as f32 };
        match dtype {
            DType::I32 => Scalar::I32(x as i32),
            DType::I8 => Scalar::I8(x as i8),
            DType::Bool => Scalar::Bool(x != 0.0),
            DType::BF16 => Scalar::BF16(float),
            _ => Scalar::F32(float),
        }
    }

    /// Converted.
    pub fn cast(self, dtype: DType) -> Scalar {
        Scalar::from_f64(self.as_f64(), dtype)
    }

    /// The element type.
    pub fn dtype(self) -> DType {
        match self {
            Scalar::F32(_) => DType::F32,
            Scalar::BF16(_) => DType::BF16,
            Scalar::I32(_) => DType::I32,
            Scalar::I8(_) => DType::I8,
            Scalar::Bool(_) => DType::Bool,
        }
    }

    fn bits(self) -> (DType, u32) {
        let bits = match self {
            Scalar::F32(x) | Scalar::BF16(x) => x.to_bits(),
            Scalar::I32(x) => x as u32,
            Scalar::I8(x) => u32::from(x as u8),
            Scalar::Bool(x) => u32::from(x),
        };
        (self.dtype(), bits)
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Scalar) -> bool {
        self.bits() == other.bits()
    }
}
impl Eq for Scalar {}
impl std::hash::Hash for Scalar {
    fn hash<H: std::hash::Hasher>(&self, h: &mut H) {
        self.bits().hash(h);
    }
}
impl From<f32> for Scalar {
    fn from(x: f32) -> Scalar {
        Scalar::from_f64(x.into(), DType::F32)
    }
}
impl From<i32> for Scalar {
    fn from(x: i32) -> Scalar {
        Scalar::I32(x)
    }
}
impl From<bool> for Scalar {
    fn from(x: bool) -> Scalar {
        Scalar::Bool(x)
    }
}

/// `1.5f32`, `3i32`, `3i8`, `true`: Rust's own literals, which read back exactly.
impl From<Scalar> for String {
    fn from(s: Scalar) -> String {
        match s {
            Scalar::F32(x) => format!("{x}f32"),
            Scalar::BF16(x) => format!("{x}bf16"),
            Scalar::I32(x) => format!("{x}i32"),
            Scalar::I8(x) => format!("{x}i8"),
            Scalar::Bool(x) => x.to_string(),
        }
    }
}

impl TryFrom<String> for Scalar {
    type Error = String;
    fn try_from(s: String) -> std::result::Result<Scalar, String> {
        let bad = || format!("'{s}' is no constant");
        if let Some(x) = s.strip_suffix("f32") {
            return x.parse::<f32>().map(Scalar::from).map_err(|_| bad());
        }
        if let Some(x) = s.strip_suffix("bf16") {
            return x.parse::<f32>().map(|x| Scalar::from_f64(x.into(), DType::BF16)).map_err(|_| bad());
        }
        if let Some(x) = s.strip_suffix("i32") {
            return x.parse().map(Scalar::I32).map_err(|_| bad());
        }
        if let Some(x) = s.strip_suffix("i8") {
            return x.parse().map(Scalar::I8).map_err(|_| bad());
        }
        s.parse().map(Scalar::Bool).map_err(|_| bad())
    }
}

/// A constant tensor in one of the graph's types.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(into = "LiteralText", try_from = "LiteralText")]
pub struct Literal(pub Tensor);

#[derive(Serialize, Deserialize)]
struct LiteralText {
    dtype: DType,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Literal {
    /// Converts `t` to a type that graphs hold.
    pub fn new(t: &Tensor) -> Literal {
        Literal(t.cast(graph_dtype(t.dtype())))
    }
}

/// The type in which graphs hold data of `dtype`.
pub fn graph_dtype(dtype: DType) -> DType {
    match dtype {
        DType::Bool | DType::I8 => dtype,
        d if d.is_float() => DType::F32,
        _ => DType::I32,
    }
}

impl PartialEq for Literal {
    fn eq(&self, other: &Literal) -> bool {
        self.0.same_bits(&other.0)
    }
}
impl Eq for Literal {}
impl std::hash::Hash for Literal {
    fn hash<H: std::hash::Hasher>(&self, h: &mut H) {
        (self.0.dtype(), self.0.shape(), self.0.to_le_bytes()).hash(h);
    }
}
impl From<Literal> for LiteralText {
    fn from(l: Literal) -> LiteralText {
        LiteralText { dtype: l.0.dtype(), shape: l.0.shape().to_vec(), bytes: l.0.to_le_bytes() }
    }
}
impl TryFrom<LiteralText> for Literal {
    type Error = String;
    fn try_from(t: LiteralText) -> std::result::Result<Literal, String> {
        Tensor::from_le_bytes(t.dtype, t.shape, &t.bytes).map(|t| Literal::new(&t)).map_err(|e| e.to_string())
    }
}

names!(Control {
    Control::Param { .. } => "param",
    Control::Scalar(_) => "scalar",
    Control::Literal(_) => "literal",
    Control::Size(_) => "size",
    Control::Call(_) => "call",
    Control::Scan { .. } => "scan",
    Control::Poison(_) => "poison",
});

impl Control {
    pub(crate) fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>> {
        match self {
            Control::Param { name, dtype, shape, .. } => match dtype {
                DType::F32 | DType::BF16 | DType::I32 | DType::I8 | DType::U8 | DType::Bool => {
                    Ok(vec![Type::new(*dtype, shape.clone())])
                }
                _ => Err(Error::new(format!("'{name}' is {dtype}"))
                    .expected("float32, bfloat16, int32, int8, uint8 or bool")
                    .fix("graphs take no other types: convert what is fed")),
            },
            Control::Scalar(s) => Ok(vec![Type::new(s.dtype(), Shape::default())]),
            Control::Literal(l) => Ok(vec![Type::new(l.0.dtype(), l.0.shape())]),
            Control::Size(_) => Ok(vec![Type::f32(Shape::default())]),
            Control::Call(f) => {
                f.check_inputs(inputs)?;
                Ok(f.results.iter().map(|r| r.ty().clone()).collect())
            }
            Control::Scan { body, carries, xs, length, .. } => {
                infer_scan(body, *carries, *xs, length, inputs)
            }
            Control::Poison(e) => Err(e.clone()),
        }
    }

    pub(crate) fn vjp(&self, out: &Expr, cotangents: &[Option<Expr>]) -> Vec<Option<Expr>> {
        match self {
            Control::Call(_) | Control::Scan { .. } => crate::transform::own_gradient(out, cotangents),
            Control::Param { .. }
            | Control::Scalar(_)
            | Control::Literal(_)
            | Control::Size(_)
            | Control::Poison(_) => vec![],
        }
    }

    pub(crate) fn interp(&self, inputs: &[&Value], outs: &[Type], bindings: &Bindings) -> Result<Vec<Value>> {
        match self {
            Control::Param { name, .. } => Err(Error::new(format!("no value was given for '{name}'"))),
            Control::Scalar(s) => {
                let mut v = Value::zeros(&outs[0], bindings)?;
                v.data[0] = s.as_f64();
                Ok(vec![v])
            }
            Control::Literal(l) => Ok(vec![Value::from_tensor(&l.0)]),
            Control::Size(d) => {
                let mut v = Value::zeros(&outs[0], bindings)?;
                v.data[0] =
                    d.eval(bindings).ok_or_else(|| Error::new(format!("the size {d} is not known")))? as f64;
                Ok(vec![v])
            }
            Control::Call(f) => {
                run_function(f, &inputs.iter().map(|v| (*v).clone()).collect::<Vec<_>>(), bindings)
            }
            Control::Scan { body, carries, xs, length, reverse } => {
                interp_scan(body, (*carries, *xs), length, *reverse, inputs, outs, bindings)
            }
            Control::Poison(e) => Err(e.clone()),
        }
    }

    pub(crate) fn class(&self) -> Class {
        match self {
            Control::Call(_) | Control::Scan { .. } => Class::Kernel,
            Control::Param { .. }
            | Control::Scalar(_)
            | Control::Literal(_)
            | Control::Size(_)
            | Control::Poison(_) => Class::Source,
        }
    }
}

fn infer_scan(
    body: &Function,
    carries: usize,
    xs: usize,
    length: &Dim,
    inputs: &[&Type],
) -> Result<Vec<Type>> {
    if carries.checked_add(xs).is_none_or(|n| inputs.len() < n) || body.results.len() < carries {
        return Err(Error::new("a scan has too few inputs or results"));
    }
    let mut slices: Vec<Type> = inputs.iter().map(|t| (*t).clone()).collect();
    for t in &mut slices[carries..carries + xs] {
        if t.shape.first() != Some(length) {
            return Err(Error::new(format!("a scan over {length} steps got a sequence {t}")));
        }
        t.shape.0.remove(0);
    }
    body.check_inputs(&slices.iter().collect::<Vec<_>>())?;
    let mut outs = Vec::new();
    for (i, r) in body.results.iter().enumerate() {
        let mut t = r.ty().clone();
        if i < carries {
            if t != slices[i] {
                return Err(Error::new(format!("state {i} of a scan is {} but becomes {t}", slices[i])));
            }
        } else {
            t.shape.0.insert(0, length.clone());
        }
        outs.push(t);
    }
    Ok(outs)
}

fn interp_scan(
    body: &Function,
    (carries, xs): (usize, usize),
    length: &Dim,
    reverse: bool,
    inputs: &[&Value],
    outs: &[Type],
    bindings: &Bindings,
) -> Result<Vec<Value>> {
    let steps = length.eval(bindings).ok_or_else(|| Error::new(format!("the size {length} is not known")))?;
    let mut state: Vec<Value> = inputs[..carries].iter().map(|v| (*v).clone()).collect();
    let mut ys: Vec<Value> =
        outs[carries..].iter().map(|t| Value::zeros(t, bindings)).collect::<Result<_>>()?;
    for step in 0..steps {
        let t = if reverse { steps - 1 - step } else { step };
        let mut args = state.clone();
        args.extend(inputs[carries..carries + xs].iter().map(|x| x.entry(t)));
        args.extend(inputs[carries + xs..].iter().map(|v| (*v).clone()));
        let mut results = run_function(body, &args, bindings)?;
        for (y, part) in ys.iter_mut().zip(results.drain(carries..)) {
            let n = part.data.len();
            y.data[t * n..(t + 1) * n].copy_from_slice(&part.data);
        }
        state = results;
    }
    state.extend(ys);
    Ok(state)
}
