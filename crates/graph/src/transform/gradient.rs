//! Gradients: the walk backwards with every operation's own rule.

use super::backward::{Rules, walk};
use crate::expr::Expr;
use rhyton_tensor::{DType, Error};

/// Gradients of the scalar `loss` with respect to `wrt`; zeros where it does not depend on them. They are made of the
/// same primitives as the loss, so gradients of gradients come for free.
///
/// ```
/// use rhyton_graph::{eval, grad};
/// use rhyton_tensor::Tensor;
/// let f = |x: &[rhyton_graph::Expr]| grad(&(&x[0] * &x[0] * x[0].clone()).sum(&[0]), &[x[0].clone()]);
/// let g = eval(f, &[Tensor::vector(vec![2.0f32])])?;
/// assert_eq!(g[0].to_vec::<f32>(), [12.0]);
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
pub fn grad(loss: &Expr, wrt: &[Expr]) -> Vec<Expr> {
    if loss.is_poisoned() {
        return vec![loss.clone(); wrt.len()];
    }
    if loss.rank() != 0 || loss.dtype() != DType::F32 {
        let e = Error::new(format!("a gradient needs a scalar loss, got {}", loss.ty()))
            .fix("reduce the loss first, for example with mean");
        return vec![Expr::poison(e); wrt.len()];
    }
    vjp(std::slice::from_ref(loss), &[Some(Expr::scalar(1.0f32))], wrt)
        .into_iter()
        .zip(wrt)
        .map(|(g, w)| g.unwrap_or_else(|| w.zeros_like()))
        .collect()
}

/// Cotangents of `wrt` from cotangents of `results`; `None` is zero.
pub fn vjp(results: &[Expr], cotangents: &[Option<Expr>], wrt: &[Expr]) -> Vec<Option<Expr>> {
    walk(&Rules::gradient(), results, cotangents, wrt)
}
