//! Operations that arrange the same elements in another way.

use super::call::Call;
use crate::layers::check;
use rhyton_graph::Expr;
use rhyton_tensor::{Dim, Error, Result, Shape};
use serde_json::Value as Json;

pub(super) fn flat(x: &Expr) -> Expr {
    x.reshape(vec![x.shape().elements()])
}

/// The sizes of a setting, of which one may be -1 (or null): what is left of the elements.
pub(super) fn reshape(c: &Call) -> Result<Expr> {
    let x = c.x(0)?;
    let name = if c.get("newshape").is_null() { "shape" } else { "newshape" };
    let wanted = c.get(name);
    let sizes: Vec<i64> = match wanted {
        Json::Array(sizes) => sizes.iter().map(|n| n.as_i64().unwrap_or(-1)).collect(),
        n => vec![n.as_i64().ok_or_else(|| c.odd(name, wanted))?],
    };
    let known = sizes.iter().filter(|n| **n >= 0).try_fold(1i64, |a, n| a.checked_mul(*n));
    let open = sizes.iter().filter(|n| **n < 0).count();
    let (Some(known), true) = (known.filter(|n| *n > 0), open <= 1) else { return Err(c.odd(name, wanted)) };
    let (elements, known) = (x.shape().elements(), Dim::from(known));
    let missing = if open == 1 { elements.exact_div(&known) } else { (known == elements).then(Dim::default) };
    let Some(missing) = missing else {
        return Err(Error::new(format!("Reshape cannot make {wanted} of a value of shape {}", x.shape()))
            .expected(format!("{elements} elements")));
    };
    let shape = sizes.iter().map(|n| if *n < 0 { missing.clone() } else { Dim::from(*n) });
    Ok(x.reshape(shape.collect::<Shape>()))
}

pub(super) fn transpose(c: &Call) -> Result<Expr> {
    let x = c.x(0)?;
    let Some(axes) = c.wholes("axes")? else {
        return Ok(x.transpose(&(0..x.rank()).rev().collect::<Vec<_>>()));
    };
    let axes = axes.iter().map(|a| check::axis(c.name, *a, &x)).collect::<Result<Vec<_>>>()?;
    let mut sorted = axes.clone();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..x.rank()) {
        return Err(c.odd("axes", c.get("axes")));
    }
    Ok(x.transpose(&axes))
}

pub(super) fn swap_axes(c: &Call) -> Result<Expr> {
    let x = c.x(0)?;
    Ok(x.swap_axes(c.axis("axis1", 0, &x)?, c.axis("axis2", 1, &x)?))
}

pub(super) fn move_axis(c: &Call) -> Result<Expr> {
    let x = c.x(0)?;
    let axes = |name: &str| -> Result<Vec<usize>> {
        let given = c.wholes(name)?.unwrap_or_default();
        given.iter().map(|a| check::axis(c.name, *a, &x)).collect()
    };
    let (from, to) = (axes("source")?, axes("destination")?);
    let mut pairs: Vec<(usize, usize)> = to.iter().copied().zip(from.iter().copied()).collect();
    pairs.sort_unstable();
    let mut order: Vec<usize> = (0..x.rank()).filter(|a| !from.contains(a)).collect();
    for (to, from) in pairs {
        order.insert(to.min(order.len()), from);
    }
    if from.len() != to.len() || order.len() != x.rank() {
        return Err(c.odd("source", c.get("source")));
    }
    Ok(x.transpose(&order))
}

/// Axes of a result that has `more` axes than `x`.
fn new_axes(c: &Call, x: &Expr, axes: &[i64]) -> Result<Vec<usize>> {
    let rank = (x.rank() + axes.len()) as i64;
    let place =
        |a: &i64| usize::try_from(if *a < 0 { a + rank } else { *a }).ok().filter(|a| (*a as i64) < rank);
    let places = axes.iter().map(place).collect::<Option<Vec<usize>>>();
    places.ok_or_else(|| c.odd("axis", c.get("axis")))
}

pub(super) fn expand_dims(c: &Call) -> Result<Expr> {
    let x = c.x(0)?;
    Ok(x.expand_dims(&new_axes(c, &x, &c.wholes("axis")?.unwrap_or_default())?))
}

/// Without some axes of size 1; without all of them where no axis is named.
pub(super) fn squeeze(c: &Call) -> Result<Expr> {
    let x = c.x(0)?;
    let all = c.get("axis").is_null();
    let axes = c.axes(&x)?;
    let goes = |axis: usize, d: &Dim| axes.contains(&axis) && (!all || d.is(1));
    if let Some((_, d)) = x.shape().iter().enumerate().find(|(axis, d)| goes(*axis, d) && !d.is(1)) {
        return Err(
            Error::new(format!("Squeeze got an axis of size {d} in {}", x.shape())).expected("size 1")
        );
    }
    let kept = x.shape().iter().enumerate().filter(|(axis, d)| !goes(*axis, d));
    Ok(x.reshape(kept.map(|(_, d)| d.clone()).collect::<Shape>()))
}

pub(super) fn flip(c: &Call) -> Result<Expr> {
    let x = c.x(0)?;
    Ok(c.axes(&x)?.iter().fold(x, |x, axis| x.flip(*axis)))
}

/// Entries moved on by `shift`; what falls off the end comes in at the start.
pub(super) fn roll(c: &Call) -> Result<Expr> {
    let x = c.x(0)?;
    let shifts = c.wholes("shift")?.unwrap_or_default();
    let Some(axes) = c.wholes("axis")? else {
        let [shift] = shifts[..] else { return Err(c.odd("shift", c.get("shift"))) };
        return Ok(rolled(c, &flat(&x), 0, shift)?.reshape(x.shape().clone()));
    };
    let mut y = x;
    for (i, axis) in axes.iter().enumerate() {
        let shift = shifts.get(i).or(shifts.first()).copied().unwrap_or(0);
        y = rolled(c, &y, check::axis(c.name, *axis, &y)?, shift)?;
    }
    Ok(y)
}

fn rolled(c: &Call, x: &Expr, axis: usize, shift: i64) -> Result<Expr> {
    let n = c.size(x, axis)?.max(1);
    let shift = shift.rem_euclid(n as i64) as usize;
    if shift == 0 {
        return Ok(x.clone());
    }
    Ok(Expr::concat(&[x.slice(axis, n - shift, shift), x.slice(axis, 0, n - shift)], axis))
}

/// Every entry several times.
pub(super) fn repeat(c: &Call) -> Result<Expr> {
    let mut x = c.x(0)?;
    if c.get("axis").is_null() {
        x = flat(&x);
    }
    let axis = c.axis("axis", 0, &x)?;
    let times = c.wholes("repeats")?.unwrap_or_default();
    let fits = |n: &i64| usize::try_from(*n).ok().filter(|n| *n > 0);
    let times = times.iter().map(fits).collect::<Option<Vec<usize>>>();
    let times = times.ok_or_else(|| c.odd("repeats", c.get("repeats")))?;
    if let [n] = times[..] {
        return Ok(grown(&x, axis, axis + 1, n));
    }
    if c.size(&x, axis)? != times.len() {
        return Err(c.odd("repeats", c.get("repeats")));
    }
    let parts: Vec<Expr> =
        times.iter().enumerate().map(|(i, n)| grown(&x.slice(axis, i, 1), axis, axis + 1, *n)).collect();
    Ok(Expr::concat(&parts, axis))
}

/// `n` copies of `x` laid along a new axis at `at`, which then joins `axis`.
fn grown(x: &Expr, axis: usize, at: usize, n: usize) -> Expr {
    let mut wide = x.shape().clone();
    wide.0.insert(at, Dim::fixed(n));
    let mut shape = x.shape().clone();
    shape.0[axis] = shape.0[axis].clone() * n;
    x.expand_dims(&[at]).broadcast_to(wide).reshape(shape)
}

/// The whole value several times along each axis.
pub(super) fn tile(c: &Call) -> Result<Expr> {
    let x = c.x(0)?;
    let times = c.wholes("repeats")?.unwrap_or_default();
    let times: Option<Vec<usize>> =
        times.iter().map(|n| usize::try_from(*n).ok().filter(|n| *n > 0)).collect();
    let times = times.ok_or_else(|| c.odd("repeats", c.get("repeats")))?;
    let x = x.expand_dims(&(0..times.len().saturating_sub(x.rank())).collect::<Vec<_>>());
    let first = x.rank() - times.len();
    let each = times.iter().enumerate().filter(|(_, n)| **n > 1);
    Ok(each.fold(x.clone(), |y, (i, n)| grown(&y, first + i, first + i, *n)))
}

pub(super) fn broadcast_to(c: &Call) -> Result<Expr> {
    let (x, wanted) = (c.x(0)?, c.wholes("shape")?.unwrap_or_default());
    let sizes: Option<Vec<usize>> = wanted.iter().map(|n| usize::try_from(*n).ok()).collect();
    let sizes = sizes.ok_or_else(|| c.odd("shape", c.get("shape")))?;
    Ok(x.broadcast_to(sizes))
}

/// Values of one type: whole numbers and booleans become what the others are.
fn of_one_type(parts: &[Expr]) -> Vec<Expr> {
    let same = parts.iter().all(|p| p.dtype() == parts[0].dtype());
    let float = parts.iter().any(|p| p.dtype().is_float());
    let fit = |p: &Expr| match (same, float) {
        (true, _) => p.clone(),
        (_, true) => p.float(),
        _ => p.cast(rhyton_tensor::DType::I32),
    };
    parts.iter().map(fit).collect()
}

pub(super) fn concatenate(c: &Call) -> Result<Expr> {
    let mut parts = of_one_type(&c.all()?);
    if c.name == "Append" && c.get("axis").is_null() {
        parts = parts.iter().map(flat).collect();
    }
    let axis = match c.name {
        "Vstack" => 0,
        "Hstack" => 1.min(parts[0].rank().max(1) as i64 - 1),
        _ => c.whole("axis", 0)?,
    };
    let axis = check::axis(c.name, axis, &parts[0])?;
    Ok(Expr::concat(&parts, axis))
}

pub(super) fn stack(c: &Call) -> Result<Expr> {
    let parts = of_one_type(&c.all()?);
    let at = new_axes(c, &parts[0], &[c.whole("axis", 0)?])?;
    let parts: Vec<Expr> = parts.iter().map(|p| p.expand_dims(&at)).collect();
    Ok(Expr::concat(&parts, at[0]))
}

/// Most parts that one operation makes.
const MOST_PARTS: usize = 4096;

/// Equal parts, or parts that end at given places.
pub(super) fn split(c: &Call) -> Result<Vec<Expr>> {
    let x = c.x(0)?;
    let axis = c.axis("axis", 0, &x)?;
    let (n, wanted) = (c.size(&x, axis)?, c.get("indices_or_sections"));
    let odd = || c.odd("indices_or_sections", wanted);
    let places: Vec<usize> = match wanted.as_u64().map(|k| k as usize) {
        Some(k) if (1..=MOST_PARTS).contains(&k) && n % k == 0 => (0..=k).map(|i| i * (n / k)).collect(),
        Some(_) => return Err(odd()),
        None => {
            let inner = c.wholes("indices_or_sections")?.ok_or_else(odd)?;
            let inside = inner.iter().map(|i| usize::try_from(if *i < 0 { i + n as i64 } else { *i }).ok());
            let inside = inside.collect::<Option<Vec<usize>>>().ok_or_else(odd)?;
            std::iter::once(0).chain(inside.into_iter().map(|i| i.min(n))).chain([n]).collect()
        }
    };
    if places.windows(2).any(|w| w[0] > w[1]) {
        return Err(odd());
    }
    Ok(places.windows(2).map(|w| x.slice(axis, w[0], w[1] - w[0])).collect())
}

pub(super) fn unstack(c: &Call) -> Result<Vec<Expr>> {
    let x = c.x(0)?;
    let axis = c.axis("axis", 0, &x)?;
    let n = c.size(&x, axis)?;
    if n > MOST_PARTS {
        return Err(Error::new(format!("Unstack along an axis of size {n}"))
            .expected(format!("at most {MOST_PARTS}")));
    }
    Ok((0..n).map(|i| x.entry(axis, i)).collect())
}

/// Entries around the value: constant ones.
pub(super) fn pad(c: &Call) -> Result<Expr> {
    let x = c.x(0)?;
    let wanted = c.get("pad_width");
    let pair = |w: &Json| -> Option<(usize, usize)> {
        let at = |i: usize| w[i].as_u64().map(|n| n as usize);
        w.as_u64().map(|n| (n as usize, n as usize)).or_else(|| at(0).zip(at(1)))
    };
    let widths: Option<Vec<(usize, usize)>> = match wanted.as_array() {
        Some(all) if all.len() == x.rank() && all.iter().all(Json::is_array) => {
            all.iter().map(pair).collect()
        }
        Some(all) if all.len() == 1 => pair(&all[0]).map(|p| vec![p; x.rank()]),
        _ => pair(wanted).map(|p| vec![p; x.rank()]),
    };
    let widths = widths.ok_or_else(|| c.odd("pad_width", wanted))?;
    if !(c.get("mode").is_null() || c.get("mode") == "constant") {
        return Err(c.odd("mode", c.get("mode")));
    }
    let value = c.number("constant_values", 0.0)?;
    Ok(widths.iter().enumerate().fold(x, |x, (axis, (lo, hi))| x.pad(axis, *lo, *hi, 0, value.into())))
}

/// `x` where the column is right of the diagonal by `k` or more (`upper`), or by `k` or less; 0 elsewhere.
pub(super) fn triangle(c: &Call, upper: bool) -> Result<Expr> {
    let (x, k) = (c.x(0)?, c.whole("k", 0)?);
    let Some(first) = x.rank().checked_sub(2) else {
        return Err(Error::new(format!("{} takes matrices", c.name)));
    };
    let grid = Shape::from(&x.shape()[first..]);
    let off = Expr::iota(grid.clone(), 1) - Expr::iota(grid, 0);
    let k = Expr::scalar(k.clamp(-(1 << 30), 1 << 30) as i32);
    let kept = if upper { off.greater_equal(&k) } else { off.less_equal(&k) };
    Ok(kept.select(&x, &x.zeros_like()))
}

/// Differences of neighbours, `n` times.
pub(super) fn differences(c: &Call) -> Result<Expr> {
    let mut x = c.x(0)?;
    let axis = c.axis("axis", -1, &x)?;
    for _ in 0..c.whole("n", 1)?.clamp(0, 64) {
        let rest = x.shape()[axis].clone() - 1;
        x = x.slice(axis, 1, rest.clone()) - x.slice(axis, 0, rest);
    }
    Ok(x)
}
