//! The same elements under other indices, padded or joined.

use super::{Class, Scalar};
use crate::expr::{Expr, Type};
use crate::interp::{Value, coordinates};
use rhyton_tensor::{Bindings, DType, Dim, Error, Result, Shape};
use serde::{Deserialize, Serialize};

/// Movements.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Movement {
    /// The elements in row-major order under other sizes.
    Reshape {
        /// New sizes with the same product.
        shape: Shape,
    },
    /// Axis `i` of the result is axis `axes[i]` of the input.
    Transpose {
        /// A permutation.
        axes: Vec<usize>,
    },
    /// Repeats axes of size 1; ranks are equal.
    Broadcast {
        /// New sizes.
        shape: Shape,
    },
    /// `len` entries of `axis`: `start`, `start + step`, ..
    Slice {
        /// The axis.
        axis: usize,
        /// First entry.
        start: Dim,
        /// Number of entries.
        len: Dim,
        /// Distance between entries.
        step: usize,
    },
    /// Adds `lo` entries before, `hi` after and `between` between any two entries of `axis`.
    Pad {
        /// The axis.
        axis: usize,
        /// Entries before.
        lo: Dim,
        /// Entries after.
        hi: Dim,
        /// Entries between neighbours.
        between: usize,
        /// What the added entries hold.
        value: Scalar,
    },
    /// Joins along `axis`.
    Concat {
        /// The axis.
        axis: usize,
    },
    /// Reverses `axis`.
    Flip {
        /// The axis.
        axis: usize,
    },
}

fn with_axis(shape: &Shape, axis: usize, size: Dim) -> Shape {
    let mut s = shape.clone();
    s.0[axis] = size;
    s
}

names!(Movement {
    Movement::Reshape { .. } => "reshape",
    Movement::Transpose { .. } => "transpose",
    Movement::Broadcast { .. } => "broadcast",
    Movement::Slice { .. } => "slice",
    Movement::Pad { .. } => "pad",
    Movement::Concat { .. } => "concat",
    Movement::Flip { .. } => "flip",
});

impl Movement {
    /// Size of `axis` after padding: `lo + n + (n - 1) * between + hi`.
    fn padded(n: &Dim, lo: &Dim, hi: &Dim, between: usize) -> Dim {
        let inner = if between == 0 { n.clone() } else { n.clone() + (n.clone() - 1) * between };
        inner + lo + hi
    }

    fn check_axis(&self, x: &Type) -> Result<()> {
        match self {
            Movement::Slice { axis, .. }
            | Movement::Pad { axis, .. }
            | Movement::Concat { axis }
            | Movement::Flip { axis }
                if *axis >= x.shape.rank() =>
            {
                Err(Error::new(format!("axis {axis} does not exist in the shape {}", x.shape)))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>> {
        let Some(x) = inputs.first() else { return Err(Error::new("nothing to move or join")) };
        if inputs.len() > 1 && !matches!(self, Movement::Concat { .. }) {
            return Err(Error::new("a movement takes one input"));
        }
        self.check_axis(x)?;
        let s = &x.shape;
        let shape = match self {
            Movement::Reshape { shape } => {
                let n = shape.elements();
                if n != s.elements() || n.is_too_large() {
                    return Err(Error::new(format!(
                        "cannot reshape {s} to {shape}: different numbers of elements"
                    )));
                }
                shape.clone()
            }
            Movement::Transpose { axes } => {
                let mut sorted = axes.clone();
                sorted.sort_unstable();
                if !sorted.into_iter().eq(0..s.rank()) {
                    return Err(Error::new(format!("{axes:?} is no permutation of the axes of {s}")));
                }
                axes.iter().map(|a| &s[*a]).collect()
            }
            Movement::Broadcast { shape } => {
                let fits =
                    s.rank() == shape.rank() && s.iter().zip(shape.iter()).all(|(a, b)| a == b || a.is(1));
                if !fits {
                    return Err(Error::new(format!("cannot broadcast {s} to {shape}")));
                }
                shape.clone()
            }
            Movement::Slice { axis, start, len, step } => {
                let end = start.clone() + (len.clone() - 1) * *step + 1;
                let over =
                    |a: &Dim, b: &Dim| matches!((a.as_fixed(), b.as_fixed()), (Some(a), Some(b)) if a > b);
                if *step == 0 || end.is_too_large() || over(&end, &s[*axis]) {
                    return Err(Error::new(format!("a slice up to {end} does not fit axis {axis} of {s}")));
                }
                with_axis(s, *axis, len.clone())
            }
            Movement::Pad { axis, lo, hi, between, .. } => {
                with_axis(s, *axis, Movement::padded(&s[*axis], lo, hi, *between))
            }
            Movement::Concat { axis } => concat_shape(inputs, *axis)?,
            Movement::Flip { .. } => s.clone(),
        };
        Ok(vec![Type::new(x.dtype, shape)])
    }

    pub(crate) fn vjp(&self, y: &Expr, cotangents: &[Option<Expr>]) -> Vec<Option<Expr>> {
        let x = &y.inputs()[0];
        let Some(g) = cotangents.first().cloned().flatten() else { return vec![None; y.inputs().len()] };
        let one = match self {
            Movement::Reshape { .. } => g.reshape(x.shape().clone()),
            Movement::Transpose { axes } => {
                let mut inverse = vec![0; axes.len()];
                axes.iter().enumerate().for_each(|(i, a)| inverse[*a] = i);
                g.transpose(&inverse)
            }
            Movement::Broadcast { shape } => {
                let grown: Vec<usize> = (0..shape.rank()).filter(|i| x.shape()[*i] != shape[*i]).collect();
                g.sum_float32(&grown).reshape(x.shape().clone())
            }
            Movement::Slice { axis, start, len, step } => {
                let used = (len.clone() - 1) * *step + 1;
                let hi = x.shape()[*axis].clone() - start - used;
                g.pad(*axis, start.clone(), hi, step - 1, 0.0)
            }
            Movement::Pad { axis, lo, between, .. } => {
                g.slice_step(*axis, lo.clone(), x.shape()[*axis].clone(), between + 1)
            }
            Movement::Flip { axis } => g.flip(*axis),
            Movement::Concat { axis } => {
                let mut at = Dim::default();
                return y
                    .inputs()
                    .iter()
                    .map(|part| {
                        let len = part.shape()[*axis].clone();
                        let piece = g.slice(*axis, at.clone(), len.clone());
                        at = at.clone() + len;
                        Some(piece)
                    })
                    .collect();
            }
        };
        vec![Some(one)]
    }

    pub(crate) fn interp(&self, inputs: &[&Value], outs: &[Type], bindings: &Bindings) -> Result<Vec<Value>> {
        let mut out = Value::zeros(&outs[0], bindings)?;
        let x = inputs[0];
        let size = |d: &Dim| d.eval(bindings).ok_or_else(|| Error::new(format!("the size {d} is not known")));
        match self {
            Movement::Reshape { .. } => out.data.clone_from(&x.data),
            Movement::Pad { axis, lo, hi, between, value } => {
                out.data.fill(value.as_f64());
                // Nothing is cut off: with no entry after the last one, all of them have their place.
                let lo = size(lo)?;
                size(hi)?;
                for (i, mut at) in coordinates(&x.shape).enumerate() {
                    at[*axis] = lo + at[*axis] * (between + 1);
                    let o = out.offset(&at);
                    out.data[o] = x.data[i];
                }
            }
            Movement::Concat { axis } => {
                let mut start = 0;
                for part in inputs {
                    for (i, mut at) in coordinates(&part.shape).enumerate() {
                        at[*axis] += start;
                        let o = out.offset(&at);
                        out.data[o] = part.data[i];
                    }
                    start += part.shape[*axis];
                }
            }
            Movement::Transpose { .. }
            | Movement::Broadcast { .. }
            | Movement::Slice { .. }
            | Movement::Flip { .. } => {
                let mut start = 0;
                if let Movement::Slice { axis, start: first, len, step } = self {
                    start = size(first)?;
                    crate::bounds::inside(start, size(len)?, *step, x.shape[*axis])?;
                }
                for (o, at) in coordinates(&out.shape.clone()).enumerate() {
                    let from = self.source_of(&at, &x.shape, start);
                    out.data[o] = x.data[x.offset(&from)];
                }
            }
        }
        Ok(vec![out])
    }

    /// Where the result element at `at` comes from, for the pure views.
    fn source_of(&self, at: &[usize], from: &[usize], start: usize) -> Vec<usize> {
        let mut source = at.to_vec();
        match self {
            Movement::Transpose { axes } => axes.iter().zip(at).for_each(|(a, i)| source[*a] = *i),
            Movement::Broadcast { .. } => {
                source.iter_mut().zip(from).for_each(|(i, n)| *i = if *n == 1 { 0 } else { *i });
            }
            Movement::Slice { axis, step, .. } => source[*axis] = start + at[*axis] * step,
            Movement::Flip { axis } => source[*axis] = from[*axis] - 1 - at[*axis],
            Movement::Reshape { .. } | Movement::Pad { .. } | Movement::Concat { .. } => {}
        }
        source
    }

    pub(crate) fn class(&self) -> Class {
        match self {
            Movement::Pad { .. } | Movement::Concat { .. } => Class::Join,
            Movement::Reshape { .. }
            | Movement::Transpose { .. }
            | Movement::Broadcast { .. }
            | Movement::Slice { .. }
            | Movement::Flip { .. } => Class::View,
        }
    }
}

fn concat_shape(inputs: &[&Type], axis: usize) -> Result<Shape> {
    let first = inputs[0];
    let mut total = Dim::default();
    for t in inputs {
        let fits = t.dtype == first.dtype
            && t.shape.rank() == first.shape.rank()
            && t.shape.iter().zip(first.shape.iter()).enumerate().all(|(i, (a, b))| i == axis || a == b);
        if !fits {
            return Err(Error::new(format!("cannot join {first} and {t} along axis {axis}"))
                .expected("equal types and equal sizes except along the joined axis"));
        }
        total = total + &t.shape[axis];
    }
    Ok(with_axis(&first.shape, axis, total))
}

impl Expr {
    /// The elements in row-major order under other sizes.
    #[track_caller]
    pub fn reshape(&self, shape: impl Into<Shape>) -> Expr {
        let shape = shape.into();
        if *self.shape() == shape || self.is_poisoned() {
            return self.clone();
        }
        Expr::apply(Movement::Reshape { shape }, vec![self.clone()])
    }

    /// Axis `i` of the result is axis `axes[i]` of this.
    #[track_caller]
    pub fn transpose(&self, axes: &[usize]) -> Expr {
        if axes.iter().copied().eq(0..self.rank()) || self.is_poisoned() {
            return self.clone();
        }
        Expr::apply(Movement::Transpose { axes: axes.to_vec() }, vec![self.clone()])
    }

    /// Exchanges two axes.
    #[track_caller]
    pub fn swap_axes(&self, a: usize, b: usize) -> Expr {
        let mut axes: Vec<usize> = (0..self.rank()).collect();
        if a < axes.len() && b < axes.len() {
            axes.swap(a, b);
        }
        self.transpose(&axes)
    }

    /// Repeats axes of size 1 and adds leading axes, by NumPy's rule.
    #[track_caller]
    pub fn broadcast_to(&self, shape: impl Into<Shape>) -> Expr {
        let shape = shape.into();
        if *self.shape() == shape || self.is_poisoned() {
            return self.clone();
        }
        let mut own: Vec<Dim> = vec![Dim::fixed(1); shape.rank().saturating_sub(self.rank())];
        own.extend_from_slice(self.shape());
        Expr::apply(Movement::Broadcast { shape }, vec![self.reshape(own)])
    }

    /// Inserts axes of size 1 at these positions of the result.
    #[track_caller]
    pub fn expand_dims(&self, at: &[usize]) -> Expr {
        let mut rest = self.shape().iter().cloned();
        let shape: Vec<Dim> = (0..self.rank() + at.len())
            .map(|i| if at.contains(&i) { Dim::fixed(1) } else { rest.next().unwrap_or_default() })
            .collect();
        self.reshape(shape)
    }

    /// `len` entries of `axis` from `start` on.
    #[track_caller]
    pub fn slice(&self, axis: usize, start: impl Into<Dim>, len: impl Into<Dim>) -> Expr {
        self.slice_step(axis, start.into(), len.into(), 1)
    }

    /// `len` entries of `axis`: `start`, `start + step`, ..
    #[track_caller]
    pub fn slice_step(&self, axis: usize, start: Dim, len: Dim, step: usize) -> Expr {
        if self.is_poisoned() || (start.is(0) && step == 1 && self.shape().get(axis) == Some(&len)) {
            return self.clone();
        }
        Expr::apply(Movement::Slice { axis, start, len, step }, vec![self.clone()])
    }

    /// Entry `at` of `axis`, which disappears.
    #[track_caller]
    pub fn entry(&self, axis: usize, at: impl Into<Dim>) -> Expr {
        let piece = self.slice(axis, at, 1);
        if piece.is_poisoned() {
            return piece;
        }
        let mut shape = piece.shape().clone();
        shape.0.remove(axis);
        piece.reshape(shape)
    }

    /// Adds entries holding `value` along `axis`: `lo` before, `hi` after, `between` between neighbours.
    #[track_caller]
    pub fn pad(
        &self,
        axis: usize,
        lo: impl Into<Dim>,
        hi: impl Into<Dim>,
        between: usize,
        value: f64,
    ) -> Expr {
        let (lo, hi) = (lo.into(), hi.into());
        if self.is_poisoned() || (lo.is(0) && hi.is(0) && between == 0) {
            return self.clone();
        }
        let value = Scalar::from_f64(value, self.dtype());
        Expr::apply(Movement::Pad { axis, lo, hi, between, value }, vec![self.clone()])
    }

    /// Joins along `axis`.
    #[track_caller]
    pub fn concat(parts: &[Expr], axis: usize) -> Expr {
        let mixed =
            parts.iter().any(|p| p.dtype() == DType::F32) && parts.iter().any(|p| p.dtype() == DType::BF16);
        let fit = |p: &Expr| if mixed { p.cast(DType::F32) } else { p.clone() };
        match parts {
            [one] => one.clone(),
            _ => Expr::apply(Movement::Concat { axis }, parts.iter().map(fit).collect()),
        }
    }

    /// Reverses `axis`.
    #[track_caller]
    pub fn flip(&self, axis: usize) -> Expr {
        Expr::apply(Movement::Flip { axis }, vec![self.clone()])
    }
}
