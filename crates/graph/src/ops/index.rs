//! Positions as data: counting, gathering rows, adding rows up.

use super::{Class, Elementwise, Op, Scalar};
use crate::expr::{Expr, Type};
use crate::interp::{Value, coordinates};
use rhyton_tensor::{Bindings, DType, Dim, Error, Result, Shape};
use serde::{Deserialize, Serialize};

/// Index operations. A negative index counts from the end.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Index {
    /// int32 of `shape`: each element holds its position along `axis`.
    Iota {
        /// Sizes.
        shape: Shape,
        /// The axis that counts.
        axis: usize,
    },
    /// Inputs (x, indices): entries of `axis` chosen by int32 indices of any shape, whose axes stand where
    /// `axis` was. An index out of range yields NaN, of integers 0.
    Gather {
        /// The axis of x.
        axis: usize,
        /// So many leading axes, all before `axis`, are the same of both: each has indices of its own.
        #[serde(default)]
        batch: usize,
    },
    /// Inputs (updates, indices): the transpose of a gather into zeros of `shape`; equal indices add up in
    /// row-major order, indices out of range are dropped.
    ScatterAdd {
        /// The axis of the result.
        axis: usize,
        /// As for a gather.
        #[serde(default)]
        batch: usize,
        /// Sizes of the result.
        shape: Shape,
    },
}

/// Sizes with those of the indices in place of `axis`; `None` where the indices do not fit.
fn spliced(shape: &Shape, axis: usize, batch: usize, indices: &Type) -> Option<Shape> {
    let (own, rest) = indices.shape.split_at_checked(batch)?;
    let fits = batch <= axis && axis < shape.rank() && indices.dtype == DType::I32;
    if !fits || own != &shape[..batch] {
        return None;
    }
    Some(Shape([&shape[..axis], rest, &shape[axis + 1..]].concat()))
}

names!(Index {
    Index::Iota { .. } => "iota",
    Index::Gather { .. } => "gather",
    Index::ScatterAdd { .. } => "scatter_add",
});

impl Index {
    pub(crate) fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>> {
        let misfit = Error::new(format!("{self:?} does not fit its inputs"))
            .expected("an existing axis and int32 indices");
        match (self, inputs) {
            (Index::Iota { shape, axis }, []) if *axis < shape.rank() => {
                Ok(vec![Type::new(DType::I32, shape.clone())])
            }
            (Index::Gather { axis, batch }, [x, i]) => {
                let Some(shape) = spliced(&x.shape, *axis, *batch, i) else { return Err(misfit) };
                if !matches!(x.dtype, DType::F32 | DType::I32 | DType::I8) {
                    return Err(Error::new(format!("gather does not take values of {}", x.dtype))
                        .expected("float32, int32 or int8"));
                }
                Ok(vec![Type::new(x.dtype, shape)])
            }
            (Index::ScatterAdd { axis, batch, shape }, [u, i]) => {
                let Some(wanted) = spliced(shape, *axis, *batch, i) else { return Err(misfit) };
                if u.dtype != DType::F32 || u.shape != wanted {
                    return Err(Error::new(format!("scatter_add got updates {u}"))
                        .expected(format!("float32{wanted}")));
                }
                Ok(vec![Type::f32(shape.clone())])
            }
            _ => Err(misfit),
        }
    }

    pub(crate) fn vjp(&self, y: &Expr, cotangents: &[Option<Expr>]) -> Vec<Option<Expr>> {
        let x = y.inputs();
        let Some(g) = cotangents.first().cloned().flatten() else { return vec![None; x.len()] };
        match self {
            Index::Iota { .. } => vec![],
            Index::Gather { .. } if y.dtype() != DType::F32 => vec![None, None],
            Index::Gather { axis, batch } => {
                let op = Index::ScatterAdd { axis: *axis, batch: *batch, shape: x[0].shape().clone() };
                vec![Some(Expr::apply(op, vec![g.cast(DType::F32), x[1].clone()])), None]
            }
            Index::ScatterAdd { axis, batch, .. } => vec![Some(g.gather_within(*batch, *axis, &x[1])), None],
        }
    }

    pub(crate) fn interp(&self, inputs: &[&Value], outs: &[Type], bindings: &Bindings) -> Result<Vec<Value>> {
        let mut out = Value::zeros(&outs[0], bindings)?;
        match self {
            Index::Iota { axis, .. } => {
                for (o, at) in coordinates(&out.shape.clone()).enumerate() {
                    out.data[o] = at[*axis] as f64;
                }
            }
            Index::Gather { axis, batch } => {
                let (x, indices) = (inputs[0], inputs[1]);
                let missing = Scalar::from_f64(f64::NAN, outs[0].dtype).as_f64();
                for (o, at) in coordinates(&out.shape.clone()).enumerate() {
                    out.data[o] = match locate(&at, [*axis, *batch], indices, x.shape[*axis]) {
                        Some(from) => x.data[x.offset(&from)],
                        None => missing,
                    };
                }
            }
            Index::ScatterAdd { axis, batch, .. } => {
                let (updates, indices) = (inputs[0], inputs[1]);
                let size = out.shape[*axis];
                for (i, at) in coordinates(&updates.shape).enumerate() {
                    if let Some(to) = locate(&at, [*axis, *batch], indices, size) {
                        let o = out.offset(&to);
                        out.data[o] += updates.data[i];
                    }
                }
            }
        }
        Ok(vec![out])
    }

    pub(crate) fn class(&self) -> Class {
        match self {
            Index::Iota { .. } => Class::Elementwise,
            Index::Gather { .. } | Index::ScatterAdd { .. } => Class::Kernel,
        }
    }
}

/// Replaces the index axes of `at` by the position that the indices hold there; `None` when out of range.
fn locate(at: &[usize], [axis, batch]: [usize; 2], indices: &Value, size: usize) -> Option<Vec<usize>> {
    let rank = indices.shape.len() - batch;
    let place = [&at[..batch], &at[axis..axis + rank]].concat();
    let index = indices.data[indices.offset(&place)] as i64;
    let index = if index < 0 { index + size as i64 } else { index };
    let index = usize::try_from(index).ok().filter(|i| *i < size)?;
    let mut full = at[..axis].to_vec();
    full.push(index);
    full.extend_from_slice(&at[axis + rank..]);
    Some(full)
}

impl Expr {
    /// int32 of `shape`: positions along `axis`.
    #[track_caller]
    pub fn iota(shape: impl Into<Shape>, axis: usize) -> Expr {
        Expr::apply(Index::Iota { shape: shape.into(), axis }, vec![])
    }

    /// Entries of `axis` chosen by int32 indices, whose axes stand where `axis` was.
    #[track_caller]
    pub fn gather(&self, axis: usize, indices: &Expr) -> Expr {
        self.gather_within(0, axis, indices)
    }

    /// [`Expr::gather`] where the first `batch` axes, all before `axis`, are those of the indices too: each entry of
    /// these axes has indices of its own.
    #[track_caller]
    pub fn gather_within(&self, batch: usize, axis: usize, indices: &Expr) -> Expr {
        if self.dtype() == DType::BF16 {
            // Rows of a rounded table are rounded rows of the table.
            let table = match (self.op(), self.inputs()) {
                (Op::Elementwise(Elementwise::Cast(_)), [x]) if x.dtype() == DType::F32 => x.clone(),
                _ => self.cast(DType::F32),
            };
            return table.gather_within(batch, axis, indices).cast(DType::BF16);
        }
        Expr::apply(Index::Gather { axis, batch }, vec![self.clone(), indices.cast(DType::I32)])
    }

    /// Entry `indices[.., j, ..]` of `axis` for each place of the indices, which have as many axes as this; the other
    /// axes broadcast. It undoes what [`Expr::argsort`] took apart.
    #[track_caller]
    pub fn take_along_axis(&self, axis: usize, indices: &Expr) -> Expr {
        if let Some(bad) = [self, indices].into_iter().find(|e| e.is_poisoned()) {
            return bad.clone();
        }
        if axis >= self.rank() || indices.rank() != self.rank() {
            let what = format!(
                "no entries along axis {axis} of shape {} at indices of shape {}",
                self.shape(),
                indices.shape()
            );
            return Expr::poison(Error::new(what).expected("as many axes of both, that one among them"));
        }
        let last = self.rank() - 1;
        let (x, indices) = (self.swap_axes(axis, last), indices.swap_axes(axis, last));
        let rows = |e: &Expr| Shape(e.shape()[..last].to_vec());
        let Some(common) = crate::broadcast_shapes(&rows(&x), &rows(&indices)) else {
            let what = format!("no entries of shape {} at indices of shape {}", x.shape(), indices.shape());
            return Expr::poison(Error::new(what).expected("equal sizes of the other axes, or size 1"));
        };
        let fit = |e: &Expr| e.broadcast_to([&common[..], &e.shape()[last..]].concat());
        fit(&x).gather_within(last, last, &fit(&indices)).swap_axes(axis, last)
    }

    /// float32 one-hot vectors of `classes` along a new last axis; an index out of range gives zeros.
    #[track_caller]
    pub fn one_hot(&self, classes: usize) -> Expr {
        if self.is_poisoned() {
            return self.clone();
        }
        let mut shape = self.shape().clone();
        shape.0.push(Dim::fixed(classes));
        let index = self.cast(DType::I32).expand_dims(&[self.rank()]);
        Expr::iota(shape, self.rank()).equal(&index).cast(DType::F32)
    }
}
