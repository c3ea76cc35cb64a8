//! Order along the last axis.

use super::{Class, Index};
use crate::expr::{Expr, Type};
use crate::interp::Value;
use rhyton_tensor::{Bindings, DType, Error, Result};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// Sorts float32 or int32 along the last axis. Results: the values in order, and where each was (int32). Equal ones keep
/// their order; NaN counts as the largest.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Sort {
    /// From the largest to the smallest.
    pub descending: bool,
}

names!(Sort {
    Sort { .. } => "sort",
});

/// The order of numbers, with NaN as the largest.
fn order(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

impl Sort {
    pub(crate) fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>> {
        match inputs {
            [x] if x.shape.rank() > 0 && matches!(x.dtype, DType::F32 | DType::I32) => {
                Ok(vec![(*x).clone(), Type::new(DType::I32, x.shape.clone())])
            }
            [x] => Err(Error::new(format!("sorting does not take {x}"))
                .expected("float32, bfloat16 or int32 with an axis to sort along")),
            _ => Err(Error::new("sorting takes one input")),
        }
    }

    pub(crate) fn vjp(&self, y: &Expr, cotangents: &[Option<Expr>]) -> Vec<Option<Expr>> {
        let (x, last) = (&y.inputs()[0], y.rank() - 1);
        let Some(g) = cotangents.first().cloned().flatten().filter(|_| x.dtype() == DType::F32) else {
            return vec![None];
        };
        // Back to where each value came from.
        let op = Index::ScatterAdd { axis: last, batch: last, shape: x.shape().clone() };
        vec![Some(Expr::apply(op, vec![g, y.sibling(1)]))]
    }

    pub(crate) fn interp(&self, inputs: &[&Value], outs: &[Type], bindings: &Bindings) -> Result<Vec<Value>> {
        let (mut values, mut places) = (Value::zeros(&outs[0], bindings)?, Value::zeros(&outs[1], bindings)?);
        let n = values.shape.last().copied().unwrap_or(1).max(1);
        for (row, x) in inputs[0].data.chunks(n).enumerate() {
            let mut sorted: Vec<usize> = (0..x.len()).collect();
            sorted.sort_by(|a, b| if self.descending { order(x[*b], x[*a]) } else { order(x[*a], x[*b]) });
            for (i, from) in sorted.into_iter().enumerate() {
                (values.data[row * n + i], places.data[row * n + i]) = (x[from], from as f64);
            }
        }
        Ok(vec![values, places])
    }

    pub(crate) fn class(&self) -> Class {
        Class::Kernel
    }
}

impl Expr {
    /// The values in order along `axis`, and where each was (int32). Equal ones keep their order; NaN counts as the
    /// largest. Gradients flow back to where the values came from.
    ///
    /// ```
    /// use rhyton_graph::eval;
    /// use rhyton_tensor::Tensor;
    /// let x = Tensor::vector(vec![3.0f32, 1.0, 4.0, 1.0]);
    /// let y = eval(|p| { let (values, places) = p[0].sorted(0, false); vec![values, places] }, &[x])?;
    /// assert_eq!(y[0].to_vec::<f32>(), [1.0, 1.0, 3.0, 4.0]);
    /// assert_eq!(y[1].to_vec::<i32>(), [1, 3, 0, 2]);
    /// # Ok::<(), rhyton_tensor::Error>(())
    /// ```
    #[track_caller]
    pub fn sorted(&self, axis: usize, descending: bool) -> (Expr, Expr) {
        if axis >= self.rank() && !self.is_poisoned() {
            let bad = Error::new(format!("axis {axis} does not exist in the shape {}", self.shape()));
            let bad = Expr::poison(bad);
            return (bad.clone(), bad);
        }
        let last = self.rank().max(1) - 1;
        let x = if self.dtype() == DType::BF16 { self.cast(DType::F32) } else { self.clone() };
        let y = Expr::apply(Sort { descending }, vec![x.swap_axes(axis, last)]);
        if y.is_poisoned() {
            return (y.clone(), y);
        }
        (y.swap_axes(axis, last).cast(self.dtype()), y.sibling(1).swap_axes(axis, last))
    }

    /// Where each value of [`Expr::sorted`] was (int32).
    #[track_caller]
    pub fn argsort(&self, axis: usize, descending: bool) -> Expr {
        self.sorted(axis, descending).1
    }

    /// The `k` largest values along the last axis, the largest first, and where they were (int32); of equal ones the
    /// first comes first.
    #[track_caller]
    pub fn top_k(&self, k: usize) -> (Expr, Expr) {
        let last = self.rank().max(1) - 1;
        let (values, places) = self.sorted(last, true);
        (values.slice(last, 0, k), places.slice(last, 0, k))
    }
}
