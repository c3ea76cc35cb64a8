//! Operations that fold axes away or run along them.

use super::call::Call;
use super::numbers::counted;
use crate::layers::embedding::any_last;
use rhyton_graph::Expr;
use rhyton_tensor::{Error, Result};
use serde_json::Value as Json;

/// `f` over the axes of the setting `axis` (all where it says nothing), which stay with size 1 when `keepdims`.
pub(super) fn over(c: &Call, x: &Expr, f: impl Fn(&Expr, &[usize]) -> Expr) -> Result<Expr> {
    let axes = c.axes(x)?;
    let y = f(x, &axes);
    Ok(if c.flag("keepdims") { y.expand_dims(&axes) } else { y })
}

/// Any over axes.
pub(super) fn any(x: &Expr, axes: &[usize]) -> Expr {
    axes.iter().rev().fold(super::numbers::truth(x), |x, axis| {
        let order: Vec<usize> = (0..x.rank()).filter(|a| a != axis).chain([*axis]).collect();
        any_last(&x.transpose(&order))
    })
}

pub(super) fn all(x: &Expr, axes: &[usize]) -> Expr {
    any(&super::numbers::truth(x).not(), axes).not()
}

pub(super) fn sum(x: &Expr, axes: &[usize]) -> Expr {
    counted(x).sum(axes)
}

pub(super) fn mean(x: &Expr, axes: &[usize]) -> Expr {
    x.float().mean(axes)
}

/// The mean, weighted where there are weights of the value's own shape.
pub(super) fn average(c: &Call) -> Result<Expr> {
    let x = c.x(0)?;
    if c.operands.len() < 2 {
        return over(c, &x, mean);
    }
    let (x, w) = (x.float(), c.x(1)?.float());
    if x.shape() != w.shape() {
        return Err(Error::new(format!("Average got weights of shape {} for {}", w.shape(), x.shape()))
            .expected("equal shapes"));
    }
    Ok(over(c, &(&x * &w), sum)? / over(c, &w, sum)?)
}

pub(super) fn max(x: &Expr, axes: &[usize]) -> Expr {
    counted(x).max(axes)
}

pub(super) fn min(x: &Expr, axes: &[usize]) -> Expr {
    counted(x).min(axes)
}

pub(super) fn count_nonzero(x: &Expr, axes: &[usize]) -> Expr {
    counted(&x.equal(&x.zeros_like()).not()).sum(axes)
}

pub(super) fn variance(x: &Expr, axes: &[usize]) -> Expr {
    let x = x.float();
    let d = &x - x.mean(axes).expand_dims(axes);
    (&d * &d).mean(axes)
}

pub(super) fn deviation(x: &Expr, axes: &[usize]) -> Expr {
    variance(x, axes).sqrt()
}

pub(super) fn logsumexp(x: &Expr, axes: &[usize]) -> Expr {
    let x = x.float();
    let top = x.max(axes);
    // Nothing but minus infinity has no finite maximum to take off.
    let top = top.is_finite().select(&top, &top.zeros_like()).stop_gradient();
    (&x - top.expand_dims(axes)).exp().sum(axes).log() + top
}

/// The product over axes of known sizes: halves are multiplied until one entry is left.
pub(super) fn product(c: &Call) -> Result<Expr> {
    let x = counted(&c.x(0)?);
    let mut y = x.clone();
    let axes = c.axes(&x)?;
    for axis in &axes {
        let mut n = c.size(&y, *axis)?;
        if n == 0 {
            return Err(Error::new("the operation Prod got an axis without entries"));
        }
        while n > 1 {
            let half = n / 2;
            let folded = y.slice(*axis, 0, half) * y.slice(*axis, half, half);
            let odd = (n % 2 == 1).then(|| y.slice(*axis, n - 1, 1));
            y = Expr::concat(&[folded].into_iter().chain(odd).collect::<Vec<_>>(), *axis);
            n = n.div_ceil(2);
        }
    }
    let kept = |(axis, d): (usize, &rhyton_tensor::Dim)| (!axes.contains(&axis)).then(|| d.clone());
    let shape: Vec<_> = y.shape().iter().enumerate().filter_map(kept).collect();
    Ok(if c.flag("keepdims") { y } else { y.reshape(shape) })
}

/// Sums (or products) of all entries up to each.
pub(super) fn cumulated(c: &Call, fold: fn(&Expr, usize) -> Expr) -> Result<Expr> {
    let mut x = counted(&c.x(0)?);
    if c.get("axis").is_null() {
        x = x.reshape(vec![x.shape().elements()]);
    }
    Ok(fold(&x, c.axis("axis", 0, &x)?))
}

/// Position of the first largest entry of `x`.
pub(super) fn argmax(c: &Call, x: &Expr) -> Result<Expr> {
    let x = counted(x);
    let flat = c.get("axis").is_null();
    let along = if flat { x.reshape(vec![x.shape().elements()]) } else { x.clone() };
    let axis = c.axis("axis", 0, &along)?;
    let y = along.argmax(axis);
    Ok(match (c.flag("keepdims"), flat) {
        (false, _) => y,
        (true, false) => y.expand_dims(&[axis]),
        (true, true) => y.expand_dims(&(0..x.rank()).collect::<Vec<_>>()),
    })
}

/// How long vectors along `axes` are, in the sense of `order`.
fn length(c: &Call, x: &Expr, axes: &[usize], order: &Json) -> Result<Expr> {
    let x = x.float();
    let infinite = |s: &str| order.as_str() == Some(s) || order["config"]["value"].as_str() == Some(s);
    match order.as_f64() {
        _ if order.is_null() || order == "fro" => Ok((&x * &x).sum(axes).sqrt()),
        Some(2.0) if axes.len() == 1 => Ok((&x * &x).sum(axes).sqrt()),
        Some(1.0) if axes.len() == 1 => Ok(x.abs().sum(axes)),
        Some(n) if n == f64::INFINITY && axes.len() == 1 => Ok(x.abs().max(axes)),
        None if (infinite("inf") || infinite("Infinity")) && axes.len() == 1 => Ok(x.abs().max(axes)),
        Some(n) if n > 0.0 && axes.len() == 1 => {
            let power = |e: &Expr, n: f64| e.pow(&Expr::scalar(n as f32));
            Ok(power(&power(&x.abs(), n).sum(axes), 1.0 / n))
        }
        _ => Err(c.odd("order", order)),
    }
}

pub(super) fn norm(c: &Call) -> Result<Expr> {
    let x = c.x(0)?;
    let axes = c.axes(&x)?;
    // Without an axis and an order, Keras flattens first.
    let y = length(c, &x, &axes, c.get("ord"))?;
    Ok(if c.flag("keepdims") { y.expand_dims(&axes) } else { y })
}

/// Vectors along an axis brought to length 1.
pub(super) fn normalize(c: &Call) -> Result<Expr> {
    let x = c.x(0)?.float();
    let axis = [c.axis("axis", -1, &x)?];
    let epsilon = Expr::scalar(c.number("epsilon", 1e-7)?);
    if c.number("order", 2.0)? == 2.0 {
        let square = (&x * &x).sum(&axis).expand_dims(&axis);
        // The floor keeps the gradient finite at 0.
        return Ok(&x * square.maximum(&(&epsilon * &epsilon)).rsqrt());
    }
    let length = length(c, &x, &axis, c.get("order"))?.expand_dims(&axis);
    Ok(&x / length.maximum(&epsilon))
}

pub(super) fn moments(c: &Call) -> Result<Vec<Expr>> {
    let x = c.x(0)?;
    let axes = match c.wholes("axes")? {
        Some(axes) => {
            let all: Result<Vec<usize>> =
                axes.iter().map(|a| crate::layers::check::axis(c.name, *a, &x)).collect();
            all?
        }
        None => (0..x.rank()).collect(),
    };
    let both = [mean(&x, &axes), variance(&x, &axes)];
    Ok(both.into_iter().map(|y| if c.flag("keepdims") { y.expand_dims(&axes) } else { y }).collect())
}
