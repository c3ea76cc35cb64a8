//! Errors of targets that do not fit predictions, in the user's words, and the bodies of losses.

use rhyton_graph::{Expr, Named};
use rhyton_tensor::{DType, Error};
use serde_json::Value;

/// The error of targets and predictions of different shapes.
pub(crate) fn mismatch(loss: &str, t: &Expr, p: &Expr) -> Error {
    Error::new(format!("{loss} got targets of shape {} and predictions of shape {}", t.shape(), p.shape()))
        .expected(format!("targets of shape {}", p.shape()))
}

/// True when the targets look like labels of these class scores: as many as samples, one each.
pub(crate) fn are_labels(t: &Expr, p: &Expr) -> bool {
    let lead = |e: &Expr, n: usize| e.shape().iter().take(n).cloned().collect::<Vec<_>>();
    let n = p.rank().saturating_sub(1);
    let single = t.rank() == n || t.rank() == n + 1 && t.shape().last().is_some_and(|d| d.is(1));
    single && lead(t, n) == lead(p, n) && !p.shape().last().is_some_and(|d| d.is(1))
}

/// Losses of targets and predictions of one shape as a named function; poisoned when the shapes differ.
#[track_caller]
pub(crate) fn paired(
    named: &'static Named,
    attrs: Value,
    t: &Expr,
    p: &Expr,
    body: impl FnOnce(&Expr, &Expr) -> Expr,
) -> Expr {
    if let Some(bad) = [t, p].into_iter().find(|e| e.is_poisoned()) {
        return bad.clone();
    }
    let name = named.name;
    if t.shape() != p.shape() {
        let mut error = mismatch(name, t, p);
        if are_labels(t, p) {
            error = error
                .fix("if the targets are labels, use sparse_categorical_crossentropy, or to_categorical");
        }
        return Expr::poison(error.fix("give the last layer as many units as a target has values"));
    }
    if p.rank() == 0 {
        return Expr::poison(Error::new(format!("{name} got predictions without axes")));
    }
    named.apply(attrs, &[t.cast(DType::F32), p.cast(DType::F32)], |x| body(&x[0], &x[1]))
}

/// Mean over the last axis.
pub(crate) fn mean_last(e: &Expr) -> Expr {
    e.mean(&[e.rank().saturating_sub(1)])
}

/// Sum over the last axis.
pub(crate) fn sum_last(e: &Expr) -> Expr {
    e.sum(&[e.rank().saturating_sub(1)])
}

/// `x` kept between two numbers.
pub(crate) fn clip(x: &Expr, low: f32, high: f32) -> Expr {
    x.maximum(&Expr::scalar(low)).minimum(&Expr::scalar(high))
}

/// Axis `axis` (negative counts from the end) moved to the end; an error when there is none.
pub(crate) fn axis_last(name: &str, axis: i64, e: &Expr) -> Result<Expr, Error> {
    let rank = e.rank() as i64;
    let at = if axis < 0 { axis + rank } else { axis };
    let Some(at) = usize::try_from(at).ok().filter(|a| *a < e.rank()) else {
        return Err(Error::new(format!("{name} has axis={axis} and predictions of shape {}", e.shape()))
            .expected(format!("an axis between {} and {}", -rank, rank - 1)));
    };
    let order: Vec<usize> = (0..e.rank()).filter(|a| *a != at).chain([at]).collect();
    Ok(e.transpose(&order))
}
