//! Operations that pick entries: slices, indices, order.

use super::call::{Call, Operand};
use super::numbers::{counted, dtype};
use super::shapes::flat;
use rhyton_graph::Expr;
use rhyton_tensor::{DType, Dim, Error, Result};
use serde_json::Value as Json;

/// `x[key]` with numbers, slices, `...` and `None`, as NumPy means it.
pub(super) fn get_item(c: &Call) -> Result<Expr> {
    let mut x = c.x(0)?;
    let key = match c.operands.get(1) {
        Some(Operand::Literal(key)) => key.clone(),
        Some(Operand::Value(indices)) => return Ok(gathered(&x, 0, indices)),
        None => c.get("key").clone(),
    };
    let keys = match key {
        Json::Array(keys) => keys,
        one => vec![one],
    };
    let is = |k: &Json, class: &str| k["class_name"] == class;
    let named = keys.iter().filter(|k| !k.is_null() && !is(k, "__ellipsis__")).count();
    let dots = keys.iter().filter(|k| is(k, "__ellipsis__")).count();
    let Some(open) = x.rank().checked_sub(named).filter(|_| dots <= 1) else {
        return Err(Error::new(format!("GetItem got {named} indices for a value of shape {}", x.shape())));
    };
    let mut axis = 0;
    for key in &keys {
        match key {
            Json::Null => {
                x = x.expand_dims(&[axis]);
                axis += 1;
            }
            key if is(key, "__ellipsis__") => axis += open,
            key if is(key, "__slice__") => {
                x = sliced(c, &x, axis, &key["config"])?;
                axis += 1;
            }
            Json::Number(_) => x = x.entry(axis, place(c, &x, axis, key)?),
            Json::Array(_) => {
                x = gathered(&x, axis, &c.constant(key)?);
                axis += 1;
            }
            _ => return Err(c.odd("index", key)),
        }
    }
    Ok(x)
}

/// As many entries as `shape` says, from `start_indices` on: -1 is all that is left, and so is what the batch axis
/// had when the file was made.
pub(super) fn slice(c: &Call) -> Result<Expr> {
    let mut x = c.x(0)?;
    let starts = match c.operands.get(1) {
        Some(Operand::Literal(starts)) => starts.clone(),
        _ => c.get("start_indices").clone(),
    };
    let sizes = c.wholes("shape")?.unwrap_or_default();
    if sizes.len() != x.rank() {
        return Err(c.odd("shape", c.get("shape")));
    }
    for (axis, size) in sizes.into_iter().enumerate() {
        let start = starts[axis].as_u64().ok_or_else(|| c.odd("start_indices", &starts))? as usize;
        let whole = x.shape()[axis].clone();
        let Some(n) = whole.as_fixed() else {
            if start != 0 {
                return Err(c.odd("start_indices", &starts));
            }
            continue;
        };
        let left = n.saturating_sub(start);
        let len = usize::try_from(size).unwrap_or(left);
        if len > left {
            return Err(c.odd("shape", c.get("shape")));
        }
        x = x.slice(axis, start, len);
    }
    Ok(x)
}

/// An index, counted from the end where it is negative.
fn place(c: &Call, x: &Expr, axis: usize, index: &Json) -> Result<Dim> {
    let size = &x.shape()[axis];
    let at = index.as_i64().ok_or_else(|| c.odd("index", index))?;
    let inside = |n: usize| (-(n as i64)..n as i64).contains(&at);
    if size.as_fixed().is_some_and(|n| !inside(n)) {
        return Err(Error::new(format!("the index {at} is outside of axis {axis} of {}", x.shape())));
    }
    Ok(if at < 0 { size.clone() - at.unsigned_abs() as usize } else { Dim::from(at) })
}

/// `start:stop:step` of Python.
fn sliced(c: &Call, x: &Expr, axis: usize, slice: &Json) -> Result<Expr> {
    let number = |key: &str| match &slice[key] {
        Json::Null => Ok(None),
        n => n.as_i64().map(Some).ok_or_else(|| c.odd("slice", slice)),
    };
    let (start, stop, step) = (number("start")?, number("stop")?, number("step")?.unwrap_or(1));
    if start.is_none() && stop.is_none() && step.abs() == 1 {
        return Ok(if step == 1 { x.clone() } else { x.flip(axis) });
    }
    let Some(n) = x.shape()[axis].as_fixed().map(|n| n as i64) else {
        return open_slice(x, axis, (start.unwrap_or(0), stop), step).ok_or_else(|| c.odd("slice", slice));
    };
    // Python's own rule: ends are clamped, and counted from the end where they are negative.
    let clamp = |i: i64, low: i64, high: i64| (if i < 0 { i + n } else { i }).clamp(low, high);
    let (from, to) = match step {
        0 => return Err(c.odd("slice", slice)),
        s if s > 0 => (start.map_or(0, |i| clamp(i, 0, n)), stop.map_or(n, |i| clamp(i, 0, n))),
        _ => (start.map_or(n - 1, |i| clamp(i, -1, n - 1)), stop.map_or(-1, |i| clamp(i, -1, n - 1))),
    };
    let span = if step > 0 { to - from } else { from - to };
    let (count, stride) =
        (span.max(0).unsigned_abs().div_ceil(step.unsigned_abs()) as usize, step.unsigned_abs());
    // Backwards is forwards from the last entry taken, reversed.
    let first = if step > 0 { from } else { from - (count.max(1) as i64 - 1) * stride as i64 };
    let y = x.slice_step(axis, Dim::from(first.max(0)), Dim::fixed(count), stride as usize);
    Ok(if step > 0 { y } else { y.flip(axis) })
}

/// A slice of an axis whose size is not known: from an end, to an end.
fn open_slice(x: &Expr, axis: usize, (start, stop): (i64, Option<i64>), step: i64) -> Option<Expr> {
    let size = &x.shape()[axis];
    let from_end = |i: i64| size.clone() - i.unsigned_abs() as usize;
    match (start, stop, step) {
        (0.., None, 1) => Some(x.slice(axis, start, size.clone() - start as usize)),
        (0.., Some(stop @ ..0), 1) => Some(x.slice(axis, start, from_end(stop) - start as usize)),
        (..0, None, 1) => Some(x.slice(axis, from_end(start), start.unsigned_abs() as usize)),
        (..0, Some(stop @ ..0), 1) if stop > start => Some(x.slice(axis, from_end(start), stop - start)),
        _ => None,
    }
}

/// Entries of `axis` at these indices, of values of any type.
fn gathered(x: &Expr, axis: usize, indices: &Expr) -> Expr {
    let y = if x.dtype().is_float() { x.clone() } else { x.cast(DType::F32) };
    y.gather(axis, indices).cast(x.dtype())
}

pub(super) fn take(c: &Call) -> Result<Expr> {
    let (mut x, indices) = (c.x(0)?, c.x(1)?);
    if c.get("axis").is_null() {
        x = flat(&x);
    }
    Ok(gathered(&x, c.axis("axis", 0, &x)?, &indices))
}

pub(super) fn take_along_axis(c: &Call) -> Result<Expr> {
    let (x, indices) = (counted(&c.x(0)?), c.x(1)?);
    Ok(x.take_along_axis(c.axis("axis", -1, &x)?, &indices))
}

pub(super) fn one_hot(c: &Call) -> Result<Expr> {
    let x = c.x(0)?;
    let classes = usize::try_from(c.whole("num_classes", 0)?).ok().filter(|n| (1..1 << 24).contains(n));
    let y = x.one_hot(classes.ok_or_else(|| c.odd("num_classes", c.get("num_classes")))?);
    let axis = c.axis("axis", -1, &y)?;
    let mut order: Vec<usize> = (0..y.rank() - 1).collect();
    order.insert(axis, y.rank() - 1);
    Ok(y.transpose(&order).cast(if c.get("dtype").is_null() { DType::F32 } else { dtype(c, &x)? }))
}

/// In rising order along the axis of the setting `axis`: the values, and where they were. Equal ones keep their order.
fn in_order(c: &Call) -> Result<(Expr, Expr)> {
    let mut x = counted(&c.x(0)?);
    if c.get("axis").is_null() {
        x = flat(&x);
    }
    Ok(x.sorted(c.axis("axis", -1, &x)?, false))
}

pub(super) fn sort(c: &Call) -> Result<Expr> {
    Ok(in_order(c)?.0)
}

pub(super) fn argsort(c: &Call) -> Result<Expr> {
    Ok(in_order(c)?.1)
}

/// The `k` largest entries of the last axis and where they are, falling; equal ones keep their order.
pub(super) fn top_k(c: &Call) -> Result<Vec<Expr>> {
    let k = usize::try_from(c.whole("k", 1)?).unwrap_or(0);
    let x = counted(&c.x(0)?);
    let fits = x.rank() > 0 && k > 0 && k <= c.size(&x, x.rank() - 1)?;
    if !fits {
        return Err(c.odd("k", c.get("k")));
    }
    let (values, places) = x.top_k(k);
    Ok(vec![values, places])
}
