//! Layers of pair_only inputs: Add, Subtract, Multiply, Average, Maximum, Minimum, Concatenate, Dot.

use crate::functions::{maximum, minimum, unit_norm};
use crate::layers::check;
use crate::layers::embedding::any_last;
use crate::{Args, Axes, Cx, Layer, Object, Outputs, Value};
use rhyton_graph::{Expr, broadcast_shapes};
use rhyton_tensor::{DType, Error, Result};

/// How two inputs combine.
#[derive(Clone, Copy, PartialEq)]
enum Merge {
    Add,
    Subtract,
    Multiply,
    Average,
    Maximum,
    Minimum,
}

/// The inputs with equal ranks (lower ones get axes after the batch axis) and shapes that broadcast.
fn aligned(class: &str, args: &Args) -> Result<Vec<Value>> {
    let pair_only = class == "Subtract";
    if args.inputs.len() < 2 || (pair_only && args.inputs.len() > 2) {
        let expected = if pair_only { "exactly 2 inputs" } else { "at least 2 inputs" };
        return Err(Error::new(format!("{class} got {} inputs", args.inputs.len()))
            .expected(expected)
            .fix(format!("apply it to a list: {class}::new().apply([&a, &b])")));
    }
    let rank = args.inputs.iter().map(|v| v.expr.rank()).max().unwrap_or(0);
    let lift = |v: &Value| {
        let missing: Vec<usize> = (1..=rank - v.expr.rank()).collect();
        Value { expr: v.expr.expand_dims(&missing), mask: v.mask.clone() }
    };
    let inputs: Vec<Value> = args.inputs.iter().map(lift).collect();
    let mut shape = inputs[0].expr.shape().clone();
    for v in &inputs[1..] {
        shape = broadcast_shapes(&shape, v.expr.shape()).ok_or_else(|| {
            let shapes: Vec<String> = args.inputs.iter().map(|v| v.expr.shape().to_string()).collect();
            Error::new(format!("{class} got inputs of shapes {}", shapes.join(", ")))
                .expected("equal shapes, or sizes of 1 where they differ")
                .fix("bring the inputs to one shape with Dense, a convolution of window 1, or Reshape")
        })?;
    }
    Ok(inputs)
}

impl Merge {
    fn pair(self, a: &Expr, b: &Expr) -> Expr {
        match self {
            Merge::Add | Merge::Average => a + b,
            Merge::Subtract => a - b,
            Merge::Multiply => a * b,
            Merge::Maximum => maximum(a, b),
            Merge::Minimum => minimum(a, b),
        }
    }

    fn call(self, class: &str, args: &Args) -> Result<Value> {
        let inputs = aligned(class, args)?;
        let all: Option<Vec<Expr>> = inputs.iter().map(|v| v.mask.clone()).collect();
        let either = all.and_then(|m| m.into_iter().reduce(|a, b| a.or(&b)));
        let expr = match self {
            Merge::Maximum | Merge::Minimum => self.of_unmasked(&inputs),
            Merge::Multiply => multiply(&inputs, either.as_ref()),
            _ => {
                let first = inputs[0].expr.clone();
                let y = inputs[1..].iter().fold(first, |y, v| self.pair(&y, &v.expr));
                if self == Merge::Average { y * (1.0 / inputs.len() as f32) } else { y }
            }
        };
        Ok(Value { expr, mask: either })
    }

    /// Where one input is padding, the others decide.
    fn of_unmasked(self, inputs: &[Value]) -> Expr {
        let (mut y, mut known) = (inputs[0].expr.clone(), inputs[0].mask.clone());
        for v in &inputs[1..] {
            let mut x = v.expr.clone();
            if let Some(m) = &v.mask {
                x = over_features(m, &x).select(&x, &y);
            }
            if let Some(k) = &known {
                y = over_features(k, &y).select(&y, &x);
            }
            known = known.zip(v.mask.as_ref()).map(|(a, b)| a.or(b));
            y = self.pair(&y, &x);
        }
        y
    }
}

/// Padding counts as one, and is zero where all inputs are padding.
fn multiply(inputs: &[Value], either: Option<&Expr>) -> Expr {
    let factor = |v: &Value| match &v.mask {
        Some(m) => over_features(m, &v.expr).select(&v.expr, &Expr::scalar(1.0f32)),
        None => v.expr.clone(),
    };
    let y = inputs[1..].iter().fold(factor(&inputs[0]), |y, v| y * factor(v));
    match either {
        Some(m) => over_features(m, &y).select(&y, &Expr::scalar(0.0f32)),
        None => y,
    }
}

/// A mask of steps for every feature of `x`.
fn over_features(mask: &Expr, x: &Expr) -> Expr {
    let missing: Vec<usize> = (mask.rank()..x.rank()).collect();
    mask.expand_dims(&missing)
}

macro_rules! merge {
    ($name:ident, $doc:literal) => {
        crate::layer! {
            #[doc = $doc]
            pub struct $name {}
        }

        impl $name {
            /// The layer.
            #[track_caller]
            pub fn new() -> $name {
                $name::default()
            }
        }

        impl Layer for $name {
            fn call(&self, _: &mut Cx<'_>, args: &Args) -> Outputs {
                Merge::$name.call(self.class_name(), args).into()
            }
        }
    };
}
merge!(Add, "The sum of its inputs.");
merge!(Subtract, "The first input minus the second.");
merge!(Multiply, "The product of its inputs; padding counts as one.");
merge!(Average, "The mean of its inputs.");
merge!(Maximum, "The largest of its inputs; padding does not count.");
merge!(Minimum, "The smallest of its inputs; padding does not count.");

crate::layer! {
    /// Its inputs joined along an axis.
    pub struct Concatenate {
        /// The axis.
        axis: i64 = -1,
    }
}

impl Concatenate {
    /// Along the last axis.
    #[track_caller]
    pub fn new() -> Concatenate {
        Concatenate::default()
    }

    fn output(&self, args: &Args) -> Result<Value> {
        let class = self.class_name();
        if args.inputs.is_empty() {
            return Err(Error::new("Concatenate got no inputs").expected("at least one"));
        }
        let axis = check::axis(class, self.axis, &args.x())?;
        let first = args.x().shape().clone();
        let fits = |v: &Value| {
            let s = v.expr.shape();
            s.rank() == first.rank() && (0..s.rank()).all(|a| a == axis || s[a] == first[a])
        };
        if !args.inputs.iter().all(fits) {
            let shapes: Vec<String> = args.inputs.iter().map(|v| v.expr.shape().to_string()).collect();
            return Err(Error::new(format!("Concatenate along axis {axis} got {}", shapes.join(", ")))
                .expected(format!("equal sizes along every axis but {axis}")));
        }
        let dtype = if args.inputs.iter().all(|v| v.expr.dtype() == args.x().dtype()) {
            args.x().dtype()
        } else {
            DType::F32
        };
        let parts: Vec<Expr> = args.inputs.iter().map(|v| v.expr.cast(dtype)).collect();
        let masked = args.inputs.iter().any(|v| v.mask.is_some());
        let full = |v: &Value| match &v.mask {
            Some(m) => over_features(m, &v.expr).broadcast_to(v.expr.shape().clone()),
            None => Expr::scalar(true).broadcast_to(v.expr.shape().clone()),
        };
        let mask = masked.then(|| {
            let masks: Vec<Expr> = args.inputs.iter().map(full).collect();
            any_last(&Expr::concat(&masks, axis))
        });
        Ok(Value { expr: Expr::concat(&parts, axis), mask })
    }
}

impl Layer for Concatenate {
    fn call(&self, _: &mut Cx<'_>, args: &Args) -> Outputs {
        self.output(args).into()
    }
}

crate::layer! {
    /// The products of two inputs summed over one axis of each, sample by sample.
    pub struct Dot {
        /// The axis of both inputs, or a list with one for each; the batch axis is 0.
        axes: Axes = Axes::One(-1),
        /// Scales both inputs to length one along the axis first: the cosine of their angle.
        normalize: bool = false,
    }
}

impl Dot {
    /// Over this axis of both inputs.
    #[track_caller]
    pub fn new(axes: i64) -> Dot {
        Dot::default().axes(axes)
    }

    fn output(&self, args: &Args) -> Result<Expr> {
        let class = self.class_name();
        if args.inputs.len() != 2 {
            return Err(Error::new(format!("Dot got {} inputs", args.inputs.len())).expected("exactly 2"));
        }
        let (mut a, mut b) = (args.get(0), args.get(1));
        let (i, j) = match self.axes.as_slice() {
            [one] => (*one, *one),
            [i, j] => (*i, *j),
            _ => {
                return Err(Error::new(format!("Dot got the axes {}", self.axes)).expected("one or two axes"));
            }
        };
        let (i, j) = (check::axis(class, i, &a)?, check::axis(class, j, &b)?);
        if i == 0 || j == 0 || a.shape()[i] != b.shape()[j] {
            return Err(Error::new(format!(
                "Dot over axis {i} of {} and axis {j} of {}",
                a.shape(),
                b.shape()
            ))
            .expected("two axes of one size behind the batch axis"));
        }
        if self.normalize {
            (a, b) = (unit_norm(&a, &[i], 1e-14), unit_norm(&b, &[j], 1e-14));
        }
        let (a, b) = (a.float(), b.float());
        let y = a.dot_general(&b, &[0], &[0], &[i], &[j]);
        Ok(if y.rank() == 1 { y.expand_dims(&[1]) } else { y })
    }
}

impl Layer for Dot {
    fn call(&self, _: &mut Cx<'_>, args: &Args) -> Outputs {
        self.output(args).into()
    }
}
