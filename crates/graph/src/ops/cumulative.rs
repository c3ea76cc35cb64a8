//! Running folds: every element holds what was folded up to it.

use super::{Binary, Class};
use crate::expr::{Expr, Type};
use crate::interp::Value;
use rhyton_tensor::{Bindings, DType, Error, Result};
use serde::{Deserialize, Serialize};

/// Folds along `axis` and keeps every step, so the sizes stay. Of float32, or of int32, which wraps around.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Cumulative {
    /// What happens at a step.
    pub kind: Running,
    /// The axis.
    pub axis: usize,
    /// From the last entry to the first.
    pub reverse: bool,
}

/// One step of a running fold, from the result `y'` of the step before.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Running {
    /// Input x: `y' + x`.
    Sum,
    /// Input x: `y' * x`.
    Product,
    /// Input x: the larger of `y'` and x; NaN wins.
    Max,
    /// Input x: the smaller of `y'` and x; NaN wins.
    Min,
    /// Inputs (a, b), float32: `a * y' + b`, from 0. The gradients of all kinds are made of it.
    Linear,
}

impl Running {
    /// What comes before the first step.
    pub fn start(self) -> f64 {
        match self {
            Running::Sum | Running::Linear => 0.0,
            Running::Product => 1.0,
            Running::Max => f64::NEG_INFINITY,
            Running::Min => f64::INFINITY,
        }
    }

    fn step(self, y: f64, x: &[f64], dtype: DType) -> f64 {
        let wrapped = |y: i64| f64::from(y as i32);
        match self {
            Running::Sum if dtype == DType::I32 => wrapped(y as i64 + x[0] as i64),
            Running::Product if dtype == DType::I32 => wrapped(y as i64 * x[0] as i64),
            Running::Sum => y + x[0],
            Running::Product => y * x[0],
            Running::Max => Binary::Max.eval(y, x[0]),
            Running::Min => Binary::Min.eval(y, x[0]),
            Running::Linear => x[0] * y + x[1],
        }
    }
}

names!(Cumulative {
    Cumulative { kind: Running::Sum, .. } => "cumulative_sum",
    Cumulative { kind: Running::Product, .. } => "cumulative_product",
    Cumulative { kind: Running::Max, .. } => "cumulative_max",
    Cumulative { kind: Running::Min, .. } => "cumulative_min",
    Cumulative { kind: Running::Linear, .. } => "linear_recurrence",
});

impl Cumulative {
    pub(crate) fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>> {
        let linear = self.kind == Running::Linear;
        let same = inputs.windows(2).all(|w| w[0] == w[1]);
        match inputs.first() {
            Some(x) if inputs.len() == 1 + usize::from(linear) && same => {
                let known = x.dtype == DType::F32 || (x.dtype == DType::I32 && !linear);
                if known && self.axis < x.shape.rank() {
                    return Ok(vec![(*x).clone()]);
                }
                let expected = if linear { "float32" } else { "float32 or int32" };
                Err(Error::new(format!("{} along axis {} does not fit {x}", self.name(), self.axis))
                    .expected(format!("{expected} with that axis")))
            }
            _ => Err(Error::new(format!("{} does not fit its inputs", self.name())).expected(if linear {
                "two of one type"
            } else {
                "one input"
            })),
        }
    }

    pub(crate) fn vjp(&self, y: &Expr, cotangents: &[Option<Expr>]) -> Vec<Option<Expr>> {
        let x = y.inputs();
        let Some(g) = cotangents.first().cloned().flatten().filter(|_| y.dtype() == DType::F32) else {
            return vec![None; x.len()];
        };
        // What later results pass on to an earlier one, in which each result is `slope` times the one before it.
        let back = |slope: &Expr| {
            let op = Cumulative { kind: Running::Linear, reverse: !self.reverse, ..self.clone() };
            Expr::apply(op, vec![self.shifted(slope, self.reverse, 0.0), g.clone()])
        };
        let before = |start: f64| self.shifted(y, !self.reverse, start);
        match self.kind {
            Running::Sum => vec![Some(g.cumulative(Running::Sum, self.axis, false, !self.reverse))],
            Running::Product => vec![Some(before(1.0) * back(&x[0]))],
            // The first of equal extremes holds until a better one comes.
            Running::Max | Running::Min => {
                let new = y.equal(&before(self.kind.start())).not().cast(DType::F32);
                vec![Some(&new * back(&(1.0 - &new)))]
            }
            Running::Linear => {
                let passed = back(&x[0]);
                vec![Some(&passed * before(0.0)), Some(passed)]
            }
        }
    }

    /// Each entry moved by one place to the end of the axis (or to its beginning); `fill` comes in.
    fn shifted(&self, x: &Expr, to_end: bool, fill: f64) -> Expr {
        let n = x.shape()[self.axis].clone();
        let (lo, hi) = (usize::from(to_end), usize::from(!to_end));
        x.pad(self.axis, lo, hi, 0, fill).slice(self.axis, hi, n)
    }

    pub(crate) fn interp(&self, inputs: &[&Value], outs: &[Type], bindings: &Bindings) -> Result<Vec<Value>> {
        let mut out = Value::zeros(&outs[0], bindings)?;
        let (n, inner) = (out.shape[self.axis], out.shape[self.axis + 1..].iter().product::<usize>());
        for first in (0..out.data.len()).filter(|i| i / inner.max(1) % n.max(1) == 0) {
            let mut y = self.kind.start();
            for step in 0..n {
                let at = first + inner * if self.reverse { n - 1 - step } else { step };
                let x: Vec<f64> = inputs.iter().map(|x| x.data[at]).collect();
                y = self.kind.step(y, &x, out.dtype);
                out.data[at] = y;
            }
        }
        Ok(vec![out])
    }

    pub(crate) fn class(&self) -> Class {
        Class::Kernel
    }
}

impl Expr {
    /// What is folded up to each entry of `axis`; without the entry itself if `exclusive`, from the last entry on if
    /// `reverse`. bfloat16 is folded in float32, booleans as int32. Gradients of largest and smallest elements go to
    /// the first of equal ones.
    ///
    /// ```
    /// use rhyton_graph::{eval, ops::Running};
    /// use rhyton_tensor::Tensor;
    /// let x = Tensor::vector(vec![3.0f32, 1.0, 4.0]);
    /// let sums = |exclusive, reverse| {
    ///     eval(|p| vec![p[0].cumulative(Running::Sum, 0, exclusive, reverse)], &[x.clone()])
    /// };
    /// assert_eq!(sums(false, false)?[0].to_vec::<f32>(), [3.0, 4.0, 8.0]);
    /// assert_eq!(sums(true, false)?[0].to_vec::<f32>(), [0.0, 3.0, 4.0]);
    /// assert_eq!(sums(false, true)?[0].to_vec::<f32>(), [8.0, 5.0, 4.0]);
    /// # Ok::<(), rhyton_tensor::Error>(())
    /// ```
    #[track_caller]
    pub fn cumulative(&self, kind: Running, axis: usize, exclusive: bool, reverse: bool) -> Expr {
        let x = match self.dtype() {
            DType::BF16 => self.cast(DType::F32),
            DType::Bool => self.cast(DType::I32),
            _ => self.clone(),
        };
        let op = Cumulative { kind, axis, reverse };
        let y = Expr::apply(op.clone(), vec![x]);
        if y.is_poisoned() {
            return y;
        }
        let y = if exclusive { op.shifted(&y, !reverse, kind.start()) } else { y };
        if self.dtype() == DType::BF16 { y.cast(DType::BF16) } else { y }
    }

    /// Sum up to each entry of `axis`.
    #[track_caller]
    pub fn cumsum(&self, axis: usize) -> Expr {
        self.cumulative(Running::Sum, axis, false, false)
    }

    /// Product up to each entry of `axis`.
    #[track_caller]
    pub fn cumprod(&self, axis: usize) -> Expr {
        self.cumulative(Running::Product, axis, false, false)
    }

    /// `y[i] = decay[i] * y[i - 1] + self[i]` along `axis`, from 0: a linear recurrence, both of float32 and of one shape.
    #[track_caller]
    pub fn linear_recurrence(&self, decay: &Expr, axis: usize) -> Expr {
        let op = Cumulative { kind: Running::Linear, axis, reverse: false };
        Expr::apply(op, vec![decay.clone(), self.clone()])
    }
}
