//! Folding axes.

use super::Class;
use crate::expr::{Expr, Type};
use crate::interp::{Value, coordinates};
use rhyton_tensor::{Bindings, DType, Dim, Error, Result, Shape};
use serde::{Deserialize, Serialize};

/// Reductions; the folded axes disappear from the shape.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reduce {
    /// Combines all elements along `axes` (ascending).
    Fold {
        /// How two elements combine.
        kind: Fold,
        /// The axes that disappear.
        axes: Vec<usize>,
    },
    /// The position (int32) of the first largest element along `axis`.
    ArgMax {
        /// The axis that disappears.
        axis: usize,
    },
}

/// How elements combine. `max` and `min` propagate NaN.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Fold {
    Sum,
    Max,
    Min,
}

impl Fold {
    /// The neutral element.
    pub fn start(self) -> f64 {
        match self {
            Fold::Sum => 0.0,
            Fold::Max => f64::NEG_INFINITY,
            Fold::Min => f64::INFINITY,
        }
    }

    /// Two elements combined.
    pub fn step(self, a: f64, b: f64) -> f64 {
        match self {
            Fold::Sum => a + b,
            Fold::Max => super::Binary::Max.eval(a, b),
            Fold::Min => super::Binary::Min.eval(a, b),
        }
    }
}

names!(Reduce {
    Reduce::Fold { kind: Fold::Sum, .. } => "sum",
    Reduce::Fold { kind: Fold::Max, .. } => "max",
    Reduce::Fold { kind: Fold::Min, .. } => "min",
    Reduce::ArgMax { .. } => "arg_max",
});

impl Reduce {
    fn axes(&self) -> &[usize] {
        match self {
            Reduce::Fold { axes, .. } => axes,
            Reduce::ArgMax { axis } => std::slice::from_ref(axis),
        }
    }

    pub(crate) fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>> {
        let [x] = inputs else { return Err(Error::new("a reduction takes one input")) };
        let axes = self.axes();
        if axes.iter().any(|a| *a >= x.shape.rank()) || !axes.is_sorted_by(|a, b| a < b) {
            return Err(Error::new(format!("axes {axes:?} do not fit the shape {}", x.shape)));
        }
        let dtype = match self {
            _ if matches!(x.dtype, DType::I8 | DType::U8) => {
                return Err(
                    Error::new(format!("a reduction does not take {}", x.dtype)).fix("cast to int32 first")
                );
            }
            Reduce::Fold { .. } if x.dtype == DType::Bool => {
                return Err(
                    Error::new("a reduction takes numbers, not booleans").fix("cast to float32 first")
                );
            }
            // Sums of many bfloat16 would lose what they are made of.
            Reduce::Fold { .. } if x.dtype.is_float() => DType::F32,
            Reduce::Fold { .. } => x.dtype,
            Reduce::ArgMax { .. } => DType::I32,
        };
        let kept: Shape =
            x.shape.iter().enumerate().filter(|(i, _)| !axes.contains(i)).map(|(_, d)| d).collect();
        Ok(vec![Type::new(dtype, kept)])
    }

    pub(crate) fn vjp(&self, y: &Expr, cotangents: &[Option<Expr>]) -> Vec<Option<Expr>> {
        let x = &y.inputs()[0];
        let (Some(g), true, Reduce::Fold { kind, axes }) =
            (cotangents.first().cloned().flatten(), x.dtype().is_float(), self)
        else {
            return vec![None];
        };
        let back = |e: &Expr| e.expand_dims(axes).broadcast_to(x.shape().clone());
        vec![Some(match kind {
            Fold::Sum => back(&g),
            // Equal extremes share the gradient.
            Fold::Max | Fold::Min => {
                let hit = x.equal(&back(y)).cast(DType::F32);
                let count = hit.sum(axes);
                hit * back(&(g / count))
            }
        })]
    }

    pub(crate) fn interp(&self, inputs: &[&Value], outs: &[Type], bindings: &Bindings) -> Result<Vec<Value>> {
        let x = inputs[0];
        let axes = self.axes();
        let mut out = Value::zeros(&outs[0], bindings)?;
        let mut best = vec![f64::NEG_INFINITY; out.data.len()];
        let mut seen = vec![false; out.data.len()];
        if let Reduce::Fold { kind, .. } = self {
            out.data.fill(kind.start());
        }
        for (i, at) in coordinates(&x.shape).enumerate() {
            let kept: Vec<usize> = (0..at.len()).filter(|a| !axes.contains(a)).map(|a| at[a]).collect();
            let o = out.offset(&kept);
            match self {
                Reduce::Fold { kind, .. } => out.data[o] = kind.step(out.data[o], x.data[i]),
                Reduce::ArgMax { axis } => {
                    if !seen[o] || x.data[i] > best[o] || (x.data[i].is_nan() && !best[o].is_nan()) {
                        (seen[o], best[o], out.data[o]) = (true, x.data[i], at[*axis] as f64);
                    }
                }
            }
        }
        Ok(vec![out])
    }

    pub(crate) fn class(&self) -> Class {
        Class::Reduce
    }
}

impl Expr {
    #[track_caller]
    fn fold(&self, kind: Fold, axes: &[usize]) -> Expr {
        self.fold_wide(kind, axes).cast(self.dtype())
    }

    /// A fold of bfloat16 that stays in float32, in which it is computed.
    #[track_caller]
    fn fold_wide(&self, kind: Fold, axes: &[usize]) -> Expr {
        if axes.is_empty() || self.is_poisoned() {
            return self.clone();
        }
        let mut axes = axes.to_vec();
        axes.sort_unstable();
        Expr::apply(Reduce::Fold { kind, axes }, vec![self.clone()])
    }

    /// [`Expr::sum`] that leaves a sum of bfloat16 in float32, in which it adds up.
    #[track_caller]
    pub(crate) fn sum_float32(&self, axes: &[usize]) -> Expr {
        self.fold_wide(Fold::Sum, axes)
    }

    /// Sum over `axes`, which disappear.
    #[track_caller]
    pub fn sum(&self, axes: &[usize]) -> Expr {
        self.fold(Fold::Sum, axes)
    }

    /// Largest element over `axes`, which disappear.
    #[track_caller]
    pub fn max(&self, axes: &[usize]) -> Expr {
        self.fold(Fold::Max, axes)
    }

    /// Smallest element over `axes`, which disappear.
    #[track_caller]
    pub fn min(&self, axes: &[usize]) -> Expr {
        self.fold(Fold::Min, axes)
    }

    /// Mean over `axes`, which disappear.
    #[track_caller]
    pub fn mean(&self, axes: &[usize]) -> Expr {
        if self.is_poisoned() {
            return self.clone();
        }
        let n = axes.iter().filter_map(|a| self.shape().get(*a)).fold(Dim::fixed(1), |n, d| n * d);
        let own = self.float();
        (own.sum_float32(axes) / Expr::size(&n)).cast(own.dtype())
    }

    /// Sum of all elements.
    #[track_caller]
    pub fn sum_all(&self) -> Expr {
        self.sum(&(0..self.rank()).collect::<Vec<_>>())
    }

    /// Mean of all elements.
    #[track_caller]
    pub fn mean_all(&self) -> Expr {
        self.mean(&(0..self.rank()).collect::<Vec<_>>())
    }

    /// int32 position of the first largest element along `axis`.
    #[track_caller]
    pub fn argmax(&self, axis: usize) -> Expr {
        Expr::apply(Reduce::ArgMax { axis }, vec![self.clone()])
    }
}
