//! Functions of single numbers that are no primitives.

use super::call::Call;
use crate::functions as f;
use crate::losses::value::divide_no_nan;
use rhyton_graph::Expr;
use rhyton_tensor::{DType, Error, Result};

fn number(x: f32) -> Expr {
    Expr::scalar(x)
}

/// Booleans count as 0 and 1.
pub(super) fn counted(x: &Expr) -> Expr {
    if x.dtype() == DType::Bool { x.cast(DType::I32) } else { x.clone() }
}

pub(super) fn truth(x: &Expr) -> Expr {
    x.cast(DType::Bool)
}

/// The sum; of booleans, either.
pub(super) fn add(a: &Expr, b: &Expr) -> Expr {
    if a.dtype() == DType::Bool && b.dtype() == DType::Bool { a.or(b) } else { counted(a) + counted(b) }
}

/// The product; of booleans, both.
pub(super) fn multiply(a: &Expr, b: &Expr) -> Expr {
    if a.dtype() == DType::Bool && b.dtype() == DType::Bool { a.and(b) } else { counted(a) * counted(b) }
}

/// `f` of both where both are numbers, else the one that is.
pub(super) fn known(a: &Expr, b: &Expr, f: fn(&Expr, &Expr) -> Expr) -> Expr {
    let (a, b) = (counted(a), counted(b));
    is_nan(&a).select(&b, &is_nan(&b).select(&a, &f(&a, &b)))
}

/// Both as floats, for divisions and powers.
pub(super) fn floats(f: impl Fn(&Expr, &Expr) -> Expr, a: &Expr, b: &Expr) -> Expr {
    f(&a.float(), &b.float())
}

pub(super) fn xor(a: &Expr, b: &Expr) -> Expr {
    truth(a).equal(&truth(b)).not()
}

pub(super) fn ceil(x: &Expr) -> Expr {
    -(-x.float()).floor()
}

pub(super) fn trunc(x: &Expr) -> Expr {
    let x = x.float();
    x.less(&number(0.0)).select(&ceil(&x), &x.floor())
}

/// `floor(a / b)`, whole for whole numbers.
pub(super) fn floor_divide(a: &Expr, b: &Expr) -> Expr {
    let y = floats(|a, b| (a / b).floor(), a, b);
    if a.dtype().is_float() || b.dtype().is_float() { y } else { y.cast(DType::I32) }
}

/// What a division with [`floor_divide`] leaves: it has the sign of `b`.
pub(super) fn modulo(a: &Expr, b: &Expr) -> Expr {
    a - floor_divide(a, b) * b
}

pub(super) fn divide_or_zero(a: &Expr, b: &Expr) -> Expr {
    let (a, b) = (a.float(), b.float());
    let shape = rhyton_graph::broadcast_shapes(a.shape(), b.shape()).unwrap_or_default();
    divide_no_nan(&a.broadcast_to(shape.clone()), &b.broadcast_to(shape))
}

pub(super) fn hypot(a: &Expr, b: &Expr) -> Expr {
    let (a, b) = (a.float(), b.float());
    (&a * &a + &b * &b).sqrt()
}

pub(super) fn logaddexp(a: &Expr, b: &Expr) -> Expr {
    let (a, b) = (a.float(), b.float());
    a.maximum(&b) + (-(&a - &b).abs()).exp().log1p()
}

pub(super) fn tan(x: &Expr) -> Expr {
    let x = x.float();
    x.sin() / x.cos()
}

pub(super) fn sinh(x: &Expr) -> Expr {
    let x = x.float();
    (x.expm1() - (-&x).expm1()) * 0.5
}

pub(super) fn cosh(x: &Expr) -> Expr {
    let x = x.float();
    (x.exp() + (-&x).exp()) * 0.5
}

pub(super) fn cube_root(x: &Expr) -> Expr {
    let x = x.float();
    x.sign() * x.abs().pow(&number(1.0 / 3.0))
}

pub(super) fn arcsinh(x: &Expr) -> Expr {
    let (x, a) = (x.float(), x.float().abs());
    x.sign() * (&a + &a * &a / ((&a * &a + 1.0).sqrt() + 1.0)).log1p()
}

pub(super) fn arccosh(x: &Expr) -> Expr {
    let x = x.float();
    (&x + (&x * &x - 1.0).sqrt()).log()
}

pub(super) fn arctanh(x: &Expr) -> Expr {
    let x = x.float();
    (x.log1p() - (-&x).log1p()) * 0.5
}

/// The arc tangent, to the last bits of a float32: what is not near 0 is turned there first (Moshier, Cephes).
pub(super) fn arctan(x: &Expr) -> Expr {
    const NEAR: f32 = 0.414_213_56;
    const FAR: f32 = 2.414_213_6;
    const HALF_PI: f32 = std::f32::consts::FRAC_PI_2;
    const QUARTER_PI: f32 = std::f32::consts::FRAC_PI_4;
    let x = x.float();
    let a = x.abs();
    let (far, near) = (a.greater(&number(FAR)), a.less_equal(&number(NEAR)));
    // The divisions of branches that are not taken stay finite.
    let turned = far.select(&(-1.0 / a.maximum(&number(FAR))), &((&a - 1.0) / (&a + 1.0)));
    let by = far.select(&number(HALF_PI), &number(QUARTER_PI));
    let (r, by) = (near.select(&a, &turned), near.select(&number(0.0), &by));
    let z = &r * &r;
    let series = ((&z * 8.053_744_5e-2 - 1.387_768_6e-1) * &z + 1.997_771e-1) * &z - 3.333_295e-1;
    x.sign() * (by + series * z * &r + r)
}

pub(super) fn arcsin(x: &Expr) -> Expr {
    let x = x.float();
    let rest = ((1.0 - &x) * (1.0 + &x)).sqrt();
    arctan2(&x, &rest)
}

pub(super) fn arccos(x: &Expr) -> Expr {
    std::f32::consts::FRAC_PI_2 - arcsin(x)
}

/// The angle of the point `(x, y)`.
pub(super) fn arctan2(y: &Expr, x: &Expr) -> Expr {
    const PI: f32 = std::f32::consts::PI;
    let (x, y) = (x.float(), y.float());
    let none = x.equal(&number(0.0));
    let angle = arctan(&(&y / none.select(&number(1.0), &x)));
    let up = y.less(&number(0.0)).select(&number(-PI), &number(PI));
    let left = x.less(&number(0.0)).select(&(angle.clone() + &up), &angle);
    none.select(&(y.sign() * (PI / 2.0)), &left)
}

pub(super) fn is_nan(x: &Expr) -> Expr {
    x.equal(x).not()
}

pub(super) fn is_infinite(x: &Expr) -> Expr {
    x.float().abs().equal(&number(f32::INFINITY))
}

pub(super) fn clip(c: &Call) -> Result<Expr> {
    let mut x = counted(&c.x(0)?);
    for (name, apply) in [("x_min", Expr::maximum as fn(&Expr, &Expr) -> Expr), ("x_max", Expr::minimum)] {
        if !c.get(name).is_null() {
            x = apply(&x, &c.constant(c.get(name))?);
        }
    }
    Ok(x)
}

pub(super) fn round(c: &Call) -> Result<Expr> {
    let (x, decimals) = (c.x(0)?.float(), c.whole("decimals", 0)?);
    if !(-30..=30).contains(&decimals) {
        return Err(c.odd("decimals", c.get("decimals")));
    }
    let scale = 10f32.powi(decimals as i32);
    Ok(if decimals == 0 { x.round() } else { (x * scale).round() / number(scale) })
}

/// The element type of a name of Keras; types of other widths are computed in those that Rhyton has.
pub(super) fn dtype(c: &Call, x: &Expr) -> Result<DType> {
    let name = c.get("dtype");
    match name.as_str() {
        None if name.is_null() => Ok(x.dtype()),
        Some("bool") => Ok(DType::Bool),
        Some("bfloat16") => Ok(DType::BF16),
        Some(n) if n.starts_with("float") => Ok(DType::F32),
        Some(n) if n.starts_with("int") || n.starts_with("uint") => Ok(DType::I32),
        _ => Err(c.odd("dtype", name)),
    }
}

pub(super) fn cast(c: &Call) -> Result<Expr> {
    let x = c.x(0)?;
    let dtype = dtype(c, &x)?;
    Ok(if dtype == DType::Bool { x.equal(&x.zeros_like()).not() } else { x.cast(dtype) })
}

pub(super) fn choose(c: &Call) -> Result<Expr> {
    let [condition, a, b] = c.exactly()?;
    Ok(truth(&condition).select(&a, &b))
}

pub(super) fn full_like(c: &Call) -> Result<Expr> {
    let x = c.x(0)?;
    let value = if c.operands.len() > 1 { c.x(1)? } else { c.constant(c.get("fill_value"))? };
    Ok(value.cast(dtype(c, &x)?).broadcast_to(x.shape().clone()))
}

pub(super) fn gelu(c: &Call) -> Result<Expr> {
    let x = c.x(0)?.float();
    if c.get("approximate") == &serde_json::Value::Bool(false) {
        return Ok(f::gelu(&x));
    }
    let inner = (&x + &x * &x * &x * 0.044_715) * (2.0 / std::f32::consts::PI).sqrt();
    Ok(&x * 0.5 * (inner.tanh() + 1.0))
}

/// `x` above 0, `slope * x` below.
pub(super) fn leaky_relu(c: &Call) -> Result<Expr> {
    let x = c.x(0)?.float();
    Ok(x.greater(&number(0.0)).select(&x, &(&x * c.number("negative_slope", 0.2)?)))
}

/// `x` above 0, `alpha (e^(x / width) - 1)` below, where the width is 1 or `alpha`.
fn exponential_tail(c: &Call, wide: bool) -> Result<Expr> {
    let (x, alpha) = (c.x(0)?.float(), c.number("alpha", 1.0)?);
    let below = x.minimum(&number(0.0));
    let below = if wide { below / number(alpha) } else { below };
    Ok(x.greater(&number(0.0)).select(&x, &(below.expm1() * alpha)))
}

pub(super) fn elu(c: &Call) -> Result<Expr> {
    exponential_tail(c, false)
}

pub(super) fn celu(c: &Call) -> Result<Expr> {
    exponential_tail(c, true)
}

pub(super) fn threshold(c: &Call) -> Result<Expr> {
    let x = c.x(0)?.float();
    let otherwise = c.number("default_value", c.number("value", 0.0)?.into())?;
    Ok(x.greater(&number(c.number("threshold", 0.0)?)).select(&x, &number(otherwise)))
}

/// `x` moved towards 0 by the threshold, and 0 up to it.
pub(super) fn soft_shrink(c: &Call) -> Result<Expr> {
    let (x, t) = (c.x(0)?.float(), c.number("threshold", 0.5)?);
    Ok(x.sign() * (x.abs() - t).maximum(&number(0.0)))
}

/// `x`, and 0 up to the threshold.
pub(super) fn hard_shrink(c: &Call) -> Result<Expr> {
    let (x, t) = (c.x(0)?.float(), c.number("threshold", 0.5)?);
    Ok(x.abs().greater(&number(t)).select(&x, &number(0.0)))
}

/// `f`, which works along the last axis, along the axis that the setting `axis` chooses.
pub(super) fn along_axis(c: &Call, f: fn(&Expr) -> Expr) -> Result<Expr> {
    let x = c.x(0)?.float();
    if x.rank() == 0 {
        return Err(Error::new(format!("the operation {} takes values with axes", c.name)));
    }
    let (axis, last) = (c.axis("axis", -1, &x)?, x.rank() - 1);
    Ok(f(&x.swap_axes(axis, last)).swap_axes(axis, last))
}
