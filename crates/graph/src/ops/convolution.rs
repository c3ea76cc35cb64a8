//! Convolutions: sums of products over windows. The family is closed under differentiation, so gradients of gradients
//! are convolutions again.

use super::Contract;
use crate::expr::Expr;
use crate::interp::{Value, coordinates, offset};
use rhyton_tensor::{Bindings, Dim, Error, Result, Shape};
use serde::{Deserialize, Serialize};

/// Channels-last cross-correlation in any number of spatial dims, or one of its two transposes.
///
/// With input x `[batch, spatial.., in]`, kernel w `[window.., in/groups, out]`, output y `[batch, sizes.., out]`:
/// `y[n,o,f] = sum over k,c of x[n, o*stride + k*dilation - pad_lo, c] * w[k,c,f]`, zeros outside.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Convolution {
    /// Which of x, w, y is computed from the other two.
    pub kind: ConvKind,
    /// Spatial sizes of the result (of w for `kernel_grad`).
    pub sizes: Vec<Dim>,
    /// Step of the window per spatial dim.
    pub strides: Vec<usize>,
    /// Distance between window entries per spatial dim.
    pub dilation: Vec<usize>,
    /// Zeros before the input per spatial dim; as many as needed are after it.
    pub pad_lo: Vec<Dim>,
    /// Channel groups.
    pub groups: usize,
}

/// The three sides of a convolution.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConvKind {
    /// Inputs (x, w), result y.
    Forward,
    /// Inputs (y, w), result x: the transposed convolution.
    InputGrad,
    /// Inputs (x, y), result w.
    KernelGrad,
}

impl ConvKind {
    /// What belongs to (first input, second input, result), as what belongs to (x, w, y); and the other way round, for
    /// each kind swaps at most two.
    pub fn sides<T>(self, mut of: [T; 3]) -> [T; 3] {
        match self {
            ConvKind::Forward => {}
            ConvKind::InputGrad => of.swap(0, 2),
            ConvKind::KernelGrad => of.swap(1, 2),
        }
        of
    }
}

impl Convolution {
    pub(super) fn infer(&self, a: &Shape, b: &Shape) -> Result<Shape> {
        let Convolution { kind, sizes, strides, dilation, pad_lo, groups } = self;
        let n = sizes.len();
        let lists = strides.len() == n && dilation.len() == n && pad_lo.len() == n;
        let positive = strides.iter().chain(dilation).all(|s| *s > 0) && *groups > 0;
        if n == 0 || !lists || !positive || a.rank() != n + 2 || b.rank() != n + 2 {
            return Err(Error::new(format!("a convolution over {n} spatial dims does not fit {a} and {b}"))
                .expected("[batch, spatial.., channels] and [window.., channels, filters]"));
        }
        let channels = |what: &str, have: &Dim, need: Dim| {
            if *have == need {
                return Ok(());
            }
            Err(Error::new(format!("the convolution's {what} are {have}")).expected(format!("{need}")))
        };
        let with = |before: &[Dim], after: &[Dim]| Ok(Shape([before, sizes, after].concat()));
        let (first, last) = (&a[..1], &b[n + 1]);
        match kind {
            ConvKind::Forward => {
                channels("input channels", &a[n + 1], b[n].clone() * *groups)?;
                if last.exact_div(&Dim::fixed(*groups)).is_none() {
                    return Err(Error::new(format!("{last} filters cannot be split into {groups} groups")));
                }
                with(first, &[last.clone()])
            }
            ConvKind::InputGrad => {
                channels("output channels", &a[n + 1], last.clone())?;
                with(first, &[b[n].clone() * *groups])
            }
            ConvKind::KernelGrad => {
                let inner = a[n + 1].exact_div(&Dim::fixed(*groups)).ok_or_else(|| {
                    Error::new(format!("{} channels cannot be split into {groups} groups", a[n + 1]))
                })?;
                with(&[], &[inner, last.clone()])
            }
        }
    }

    /// The cotangent of each input is the convolution that computes this side from the other two.
    pub(super) fn vjp(&self, a: &Expr, b: &Expr, g: &Expr) -> Vec<Option<Expr>> {
        let sides = self.kind.sides([a, b, g]);
        let [of_a, of_b, _] = self.kind.sides([ConvKind::InputGrad, ConvKind::KernelGrad, ConvKind::Forward]);
        let cotangent = |kind: ConvKind, e: &Expr| {
            let n = e.rank() - 2;
            let from = if kind == ConvKind::KernelGrad { 0 } else { 1 };
            let op = Convolution { kind, sizes: e.shape()[from..from + n].to_vec(), ..self.clone() };
            let [first, second, _] = kind.sides(sides);
            Some(Expr::apply(Contract::Conv(op), vec![first.clone(), second.clone()]))
        };
        vec![cotangent(of_a, a), cotangent(of_b, b)]
    }

    /// One loop nest serves all three kinds: every (output position, window position, channel pair) adds the
    /// product of the two given sides to the third.
    pub(super) fn interp(&self, inputs: &[&Value], out: &mut Value, bindings: &Bindings) -> Result<()> {
        let Convolution { kind, strides, dilation, pad_lo, groups, .. } = self;
        let pads: Option<Vec<usize>> = pad_lo.iter().map(|p| p.eval(bindings)).collect();
        let pads = pads.ok_or_else(|| Error::new("the padding of a convolution is not known"))?;
        let out_shape = out.shape.clone();
        let [x_shape, w_shape, y_shape] = kind.sides([&inputs[0].shape, &inputs[1].shape, &out_shape]);
        let n = strides.len();
        let reach =
            |d: usize| crate::bounds::reach(y_shape[d + 1], strides[d], w_shape[d], dilation[d], pads[d]);
        (0..n).try_for_each(reach)?;
        let (per_in, per_out) = (w_shape[n], w_shape[n + 1] / groups);
        for y_at in coordinates(y_shape) {
            let group = y_at[n + 1] / per_out.max(1);
            for k_at in coordinates(&w_shape[..n]) {
                let mut x_at = y_at.clone();
                let inside = (0..n).all(|d| {
                    let at = (y_at[d + 1] * strides[d] + k_at[d] * dilation[d]).checked_sub(pads[d]);
                    x_at[d + 1] = at.unwrap_or(usize::MAX);
                    x_at[d + 1] < x_shape[d + 1]
                });
                for c in 0..if inside { per_in } else { 0 } {
                    x_at[n + 1] = group * per_in + c;
                    let mut w_at = k_at.clone();
                    w_at.extend([c, y_at[n + 1]]);
                    let at = [offset(x_shape, &x_at), offset(w_shape, &w_at), offset(y_shape, &y_at)];
                    let [a, b, o] = kind.sides(at);
                    out.data[o] += inputs[0].data[a] * inputs[1].data[b];
                }
            }
        }
        Ok(())
    }
}
