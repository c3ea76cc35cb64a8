//! Sums of products: matrix products and convolutions.

use super::Class;
use super::convolution::{ConvKind, Convolution};
use crate::broadcast_shapes;
use crate::expr::{Expr, Type};
use crate::interp::{Value, coordinates};
use rhyton_tensor::{Bindings, DType, Dim, Error, Result, Shape};
use serde::{Deserialize, Serialize};

/// Contractions of two inputs of float32, or two of bfloat16 whose products add up in float32: the result is float32.
/// Two of int8 give exact int32 sums, wrapped around beyond the 131,071 products that surely fit, and carry no
/// gradient. Of convolutions of int8 there is the forward one only.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Contract {
    /// General matrix product: sums over the `contract` axes, pairs the `batch` axes. The result's axes are the
    /// batch axes, the free axes of the left input, the free axes of the right one.
    Dot {
        /// Batch axes of the left input.
        lhs_batch: Vec<usize>,
        /// Their partners in the right input.
        rhs_batch: Vec<usize>,
        /// Summed axes of the left input.
        lhs_contract: Vec<usize>,
        /// Their partners in the right input.
        rhs_contract: Vec<usize>,
    },
    /// Convolution.
    Conv(Convolution),
}

fn free(rank: usize, batch: &[usize], contract: &[usize]) -> Vec<usize> {
    (0..rank).filter(|a| !batch.contains(a) && !contract.contains(a)).collect()
}

names!(Contract {
    Contract::Dot { .. } => "dot",
    Contract::Conv(Convolution { kind: ConvKind::Forward, .. }) => "conv",
    Contract::Conv(Convolution { kind: ConvKind::InputGrad, .. }) => "conv_input_grad",
    Contract::Conv(Convolution { kind: ConvKind::KernelGrad, .. }) => "conv_kernel_grad",
});

impl Contract {
    pub(crate) fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>> {
        let [a, b] = inputs else { return Err(Error::new("a product takes two inputs")) };
        let grouped = matches!(self, Contract::Conv(c) if c.groups != 1);
        let gradient = matches!(self, Contract::Conv(c) if c.kind != ConvKind::Forward);
        let dtype = match (a.dtype, b.dtype) {
            (DType::F32, DType::F32) => DType::F32,
            (DType::BF16, DType::BF16) if !grouped => DType::F32,
            (DType::I8, DType::I8) if !gradient => DType::I32,
            _ => {
                return Err(Error::new(format!("a product does not take {} and {}", a.dtype, b.dtype))
                    .expected("two inputs of float32 or bfloat16, or two int8 ones outside gradients"));
            }
        };
        let shape = match self {
            Contract::Dot { .. } => self.infer_dot(&a.shape, &b.shape)?,
            Contract::Conv(c) => c.infer(&a.shape, &b.shape)?,
        };
        Ok(vec![Type::new(dtype, shape)])
    }

    fn infer_dot(&self, a: &Shape, b: &Shape) -> Result<Shape> {
        let Contract::Dot { lhs_batch, rhs_batch, lhs_contract, rhs_contract } = self else {
            return Err(Error::new("not a matrix product"));
        };
        let pairs = || lhs_batch.iter().zip(rhs_batch).chain(lhs_contract.iter().zip(rhs_contract));
        let counts = lhs_batch.len() == rhs_batch.len() && lhs_contract.len() == rhs_contract.len();
        let exist = pairs().all(|(i, j)| *i < a.rank() && *j < b.rank());
        if !counts || !exist {
            return Err(Error::new(format!("the axes of the product do not exist in {a} and {b}")));
        }
        if let Some((i, j)) = pairs().find(|(i, j)| a[**i] != b[**j]) {
            return Err(Error::new(format!(
                "a product of {a} and {b}: axis {i} of the first has size {}, axis {j} of the second {}",
                a[*i], b[*j]
            ))
            .expected("equal sizes along the summed axes"));
        }
        let (fa, fb) = (free(a.rank(), lhs_batch, lhs_contract), free(b.rank(), rhs_batch, rhs_contract));
        let dims = lhs_batch.iter().chain(&fa).map(|i| &a[*i]).chain(fb.iter().map(|j| &b[*j]));
        Ok(dims.collect())
    }

    pub(crate) fn vjp(&self, y: &Expr, cotangents: &[Option<Expr>]) -> Vec<Option<Expr>> {
        let Some(g) = cotangents.first().cloned().flatten() else { return vec![None, None] };
        let (a, b) = (&y.inputs()[0], &y.inputs()[1]);
        if y.dtype() != DType::F32 {
            return vec![None, None];
        }
        let g = g.cast(a.dtype());
        match self {
            Contract::Dot { .. } => self.vjp_dot(a, b, &g),
            Contract::Conv(c) => c.vjp(a, b, &g),
        }
    }

    /// With y = dot(a, b): the cotangent of `a` contracts g's right-free axes with b's free axes, and so on.
    fn vjp_dot(&self, a: &Expr, b: &Expr, g: &Expr) -> Vec<Option<Expr>> {
        let Contract::Dot { lhs_batch, rhs_batch, lhs_contract, rhs_contract } = self else {
            return vec![None, None];
        };
        let fa = free(a.rank(), lhs_batch, lhs_contract);
        let fb = free(b.rank(), rhs_batch, rhs_contract);
        let nb = lhs_batch.len();
        let batch: Vec<usize> = (0..nb).collect();
        let g_a: Vec<usize> = (nb..nb + fa.len()).collect();
        let g_b: Vec<usize> = (nb + fa.len()..nb + fa.len() + fb.len()).collect();
        let of_g = |summed| Side { batch: &batch, summed };
        let (of_a, of_b) = (Side { batch: lhs_batch, summed: &fa }, Side { batch: rhs_batch, summed: &fb });
        let da = cotangent(g, &of_g(&g_b), b, &of_b, [lhs_batch, &fa, lhs_contract], rhs_contract);
        let db = cotangent(g, &of_g(&g_a), a, &of_a, [rhs_batch, &fb, rhs_contract], lhs_contract);
        vec![Some(da), Some(db)]
    }

    pub(crate) fn interp(&self, inputs: &[&Value], outs: &[Type], bindings: &Bindings) -> Result<Vec<Value>> {
        let mut out = Value::zeros(&outs[0], bindings)?;
        match self {
            Contract::Dot { .. } => self.interp_dot(inputs[0], inputs[1], &mut out),
            Contract::Conv(c) => c.interp(inputs, &mut out, bindings)?,
        }
        Ok(vec![out])
    }

    fn interp_dot(&self, a: &Value, b: &Value, out: &mut Value) {
        let Contract::Dot { lhs_batch, rhs_batch, lhs_contract, rhs_contract } = self else { return };
        let fa = free(a.shape.len(), lhs_batch, lhs_contract);
        let fb = free(b.shape.len(), rhs_batch, rhs_contract);
        let summed: Vec<usize> = lhs_contract.iter().map(|i| a.shape[*i]).collect();
        let (mut ia, mut ib) = (vec![0; a.shape.len()], vec![0; b.shape.len()]);
        for (o, at) in coordinates(&out.shape.clone()).enumerate() {
            for (i, n) in at.iter().enumerate() {
                if i < lhs_batch.len() {
                    (ia[lhs_batch[i]], ib[rhs_batch[i]]) = (*n, *n);
                } else if i < lhs_batch.len() + fa.len() {
                    ia[fa[i - lhs_batch.len()]] = *n;
                } else {
                    ib[fb[i - lhs_batch.len() - fa.len()]] = *n;
                }
            }
            for k in coordinates(&summed) {
                for (i, n) in k.iter().enumerate() {
                    (ia[lhs_contract[i]], ib[rhs_contract[i]]) = (*n, *n);
                }
                out.data[o] += a.data[a.offset(&ia)] * b.data[b.offset(&ib)];
            }
        }
    }

    pub(crate) fn class(&self) -> Class {
        Class::Anchor
    }
}

/// The batch and summed axes of one side of a product.
struct Side<'a> {
    batch: &'a [usize],
    summed: &'a [usize],
}

/// The cotangent of one operand: the product of `g` with the other operand, axes put back where the operand
/// `own` (batch, free, summed axes) has them. Of the two orders of the product the one that needs no transpose is
/// taken, so that what follows can happen on its way to memory. `partner` are the summed axes of the other.
fn cotangent(
    g: &Expr,
    of_g: &Side,
    other: &Expr,
    of_other: &Side,
    own: [&[usize]; 3],
    partner: &[usize],
) -> Expr {
    let [batch, free, summed] = own;
    // What is summed in the product stays free here, in ascending order of the other operand's axes.
    let mut by_partner: Vec<(usize, usize)> = partner.iter().copied().zip(summed.iter().copied()).collect();
    by_partner.sort_unstable();
    let summed: Vec<usize> = by_partner.into_iter().map(|(_, own)| own).collect();
    // Where both orders need one, the last axis stays the last, so that whole rows move.
    let other_first = ![batch, free, &summed].concat().is_sorted() && free.last() > summed.last();
    let (first, second, have) = if other_first {
        ((other, of_other), (g, of_g), [batch, &summed, free].concat())
    } else {
        ((g, of_g), (other, of_other), [batch, free, &summed].concat())
    };
    let op = Contract::Dot {
        lhs_batch: first.1.batch.to_vec(),
        rhs_batch: second.1.batch.to_vec(),
        lhs_contract: first.1.summed.to_vec(),
        rhs_contract: second.1.summed.to_vec(),
    };
    let mut axes = vec![0; have.len()];
    have.iter().enumerate().for_each(|(i, own)| axes[*own] = i);
    Expr::apply(op, vec![first.0.clone(), second.0.clone()]).transpose(&axes)
}

impl Expr {
    /// Matrix product by NumPy's rule: the last two axes are matrices, the others are batch axes and broadcast;
    /// a right operand with two axes is applied to every row of the left one, whatever its rank.
    #[track_caller]
    pub fn matmul(&self, other: &Expr) -> Expr {
        if let Some(bad) = [self, other].into_iter().find(|e| e.is_poisoned()) {
            return bad.clone();
        }
        let (ra, rb) = (self.rank(), other.rank());
        if ra < 1 || rb < 2 {
            let what = format!("no matrix product of shapes {} and {}", self.shape(), other.shape());
            return Expr::poison(Error::new(what));
        }
        if rb == 2 {
            return self.dot(other, &[ra - 1], &[0]);
        }
        let batch_of = |e: &Expr| Shape(e.shape()[..e.rank().saturating_sub(2)].to_vec());
        let Some(batch) = broadcast_shapes(&batch_of(self), &batch_of(other)) else {
            let what = format!("no matrix product of shapes {} and {}", self.shape(), other.shape());
            return Expr::poison(Error::new(what).expected("leading axes that broadcast"));
        };
        let full = |e: &Expr| {
            let mut s = batch.clone();
            s.0.extend_from_slice(&e.shape()[e.rank() - 2..]);
            e.broadcast_to(s)
        };
        let n = batch.rank();
        let axes: Vec<usize> = (0..n).collect();
        full(self).dot_general(&full(other), &axes, &axes, &[n + 1], &[n])
    }

    /// Product summed over pairs of axes; the result has the other axes of this, then those of `other`.
    #[track_caller]
    pub fn dot(&self, other: &Expr, own: &[usize], others: &[usize]) -> Expr {
        self.dot_general(other, &[], &[], own, others)
    }

    /// Product with batch axes paired and contracted axes summed; see [`Contract::Dot`].
    #[track_caller]
    pub fn dot_general(
        &self,
        other: &Expr,
        lhs_batch: &[usize],
        rhs_batch: &[usize],
        lhs_contract: &[usize],
        rhs_contract: &[usize],
    ) -> Expr {
        let op = Contract::Dot {
            lhs_batch: lhs_batch.to_vec(),
            rhs_batch: rhs_batch.to_vec(),
            lhs_contract: lhs_contract.to_vec(),
            rhs_contract: rhs_contract.to_vec(),
        };
        self.product(other, op, true)
    }

    /// Channels-last convolution or one of its transposes; see [`Convolution`].
    #[track_caller]
    pub fn conv(
        &self,
        other: &Expr,
        kind: ConvKind,
        sizes: &[Dim],
        strides: &[usize],
        dilation: &[usize],
        pad_lo: &[Dim],
        groups: usize,
    ) -> Expr {
        let op = Convolution {
            kind,
            sizes: sizes.to_vec(),
            strides: strides.to_vec(),
            dilation: dilation.to_vec(),
            pad_lo: pad_lo.to_vec(),
            groups,
        };
        // A product of pairs would mix the groups.
        self.product(other, Contract::Conv(op), groups == 1)
    }

    /// A product of two values of one type, and of that type; `narrow`: bfloat16 is multiplied as it is.
    #[track_caller]
    fn product(&self, other: &Expr, op: Contract, narrow: bool) -> Expr {
        let both = self.dtype() == DType::BF16 && other.dtype() == DType::BF16;
        let fit = |e: &Expr| {
            let widen = e.dtype() == DType::BF16 && !(both && narrow);
            if widen { e.cast(DType::F32) } else { e.clone() }
        };
        let y = Expr::apply(op, vec![fit(self), fit(other)]);
        if both { y.cast(DType::BF16) } else { y }
    }
}
