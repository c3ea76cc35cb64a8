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
    /// `axis` was. An index out of range yields NaN, of int8 values 0.
    Gather {
        /// The axis of x.
        axis: usize,
    },
    /// Inputs (updates, indices): the transpose of a gather into zeros of `shape`; equal indices add up in
    /// row-major order, indices out of range are dropped.
    ScatterAdd {
        /// The axis of the result.
        axis: usize,
        /// Sizes of the result.
        shape: Shape,
    },
}

fn spliced(shape: &Shape, axis: usize, indices: &Shape) -> Shape {
    let mut s: Vec<_> = shape[..axis].to_vec();
    s.extend_from_slice(indices);
    s.extend_from_slice(&shape[axis + 1..]);
    Shape(s)
}

names!(Index {
    Index::Iota { .. } => "iota",
    Index::Gather { .. } => "gather",
    Index::ScatterAdd { .. } => "scatter_add",
});

impl Index {
    pub(crate) fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>> {
        match (self, inputs) {
            (Index::Iota { shape, axis }, []) if *axis < shape.rank() => {
                Ok(vec![Type::new(DType::I32, shape.clone())])
            }
            (Index::Gather { axis }, [x, i]) if *axis < x.shape.rank() && i.dtype == DType::I32 => {
                if !matches!(x.dtype, DType::F32 | DType::I8) {
                    return Err(Error::new(format!("gather takes float32 or int8 values, got {}", x.dtype)));
                }
                Ok(vec![Type::new(x.dtype, spliced(&x.shape, *axis, &i.shape))])
            }
            (Index::ScatterAdd { axis, shape }, [u, i]) if *axis < shape.rank() && i.dtype == DType::I32 => {
                let wanted = spliced(shape, *axis, &i.shape);
                if u.dtype != DType::F32 || u.shape != wanted {
                    return Err(Error::new(format!("scatter_add got updates {u}"))
                        .expected(format!("float32{wanted}")));
                }
                Ok(vec![Type::f32(shape.clone())])
            }
            _ => Err(Error::new(format!("{self:?} does not fit its inputs"))
                .expected("an existing axis and int32 indices")),
        }
    }

    pub(crate) fn vjp(&self, y: &Expr, cotangents: &[Option<Expr>]) -> Vec<Option<Expr>> {
        let x = y.inputs();
        let Some(g) = cotangents.first().cloned().flatten() else { return vec![None; x.len()] };
        match self {
            Index::Iota { .. } => vec![],
            Index::Gather { .. } if y.dtype() != DType::F32 => vec![None, None],
            Index::Gather { axis } => {
                let op = Index::ScatterAdd { axis: *axis, shape: x[0].shape().clone() };
                vec![Some(Expr::apply(op, vec![g.cast(DType::F32), x[1].clone()])), None]
            }
            Index::ScatterAdd { axis, .. } => vec![Some(g.gather(*axis, &x[1])), None],
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
            Index::Gather { axis } => {
                let (x, indices) = (inputs[0], inputs[1]);
                let missing = Scalar::from_f64(f64::NAN, outs[0].dtype).as_f64();
                for (o, at) in coordinates(&out.shape.clone()).enumerate() {
                    out.data[o] = match locate(&at, *axis, indices, x.shape[*axis]) {
                        Some(from) => x.data[x.offset(&from)],
                        None => missing,
                    };
                }
            }
            Index::ScatterAdd { axis, .. } => {
                let (updates, indices) = (inputs[0], inputs[1]);
                let size = out.shape[*axis];
                for (i, at) in coordinates(&updates.shape).enumerate() {
                    if let Some(to) = locate(&at, *axis, indices, size) {
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
fn locate(at: &[usize], axis: usize, indices: &Value, size: usize) -> Option<Vec<usize>> {
    let rank = indices.shape.len();
    let index = indices.data[indices.offset(&at[axis..axis + rank])] as i64;
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
        if self.dtype() == DType::BF16 {
            // Rows of a rounded table are rounded rows of the table.
            let table = match (self.op(), self.inputs()) {
                (Op::Elementwise(Elementwise::Cast(_)), [x]) if x.dtype() == DType::F32 => x.clone(),
                _ => self.cast(DType::F32),
            };
            return table.gather(axis, indices).cast(DType::BF16);
        }
        Expr::apply(Index::Gather { axis }, vec![self.clone(), indices.cast(DType::I32)])
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
