//! The same elements under other indices, padded or joined.

use super::{Class, Scalar};
use crate::expr::{Expr, Type};
use crate::interp::{Value, coordinates};
use rhyton_tensor::{Bindings, Dim, Error, Result, Shape};
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

    pub(crate) fn name(&self) -> &str {
        match self {
            Movement::Reshape { .. } => "reshape",
            Movement::Transpose { .. } => "transpose",
            Movement::Broadcast { .. } => "broadcast",
            Movement::Slice { .. } => "slice",
            Movement::Pad { .. } => "pad",
            Movement::Concat { .. } => "concat",
            Movement::Flip { .. } => "flip",
        }
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
