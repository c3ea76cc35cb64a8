//! What several layers check of their inputs and settings, and the words they say it in.

use rhyton_graph::Expr;
use rhyton_tensor::{Dim, Error, Result};

/// The axes of a channels-last input with `n` spatial axes.
pub(crate) fn spatial_axes(n: usize) -> &'static str {
    match n {
        1 => "[batch, steps, channels]",
        2 => "[batch, height, width, channels]",
        _ => "[batch, depth, height, width, channels]",
    }
}

/// That `x` is channels-last with `n` spatial axes.
pub(crate) fn spatial(class: &str, x: &Expr, n: usize) -> Result<()> {
    if x.rank() == n + 2 {
        return Ok(());
    }
    let e = Error::new(format!("{class} takes {}, got {}", spatial_axes(n), x.shape()));
    if x.rank() == n + 1 {
        return Err(e.fix("add the channel axis with Reshape, or to the shape of the model's input"));
    }
    Err(e.expected(format!("{} axes, the batch axis included", n + 2)))
}

/// That data is channels-last, the only order the library computes in.
pub(crate) fn channels_last(class: &str, data_format: &str) -> Result<()> {
    if data_format == "channels_last" {
        return Ok(());
    }
    Err(Error::new(format!("{class} with data_format '{data_format}' is not supported"))
        .expected("channels_last: [batch, .., channels]")
        .fix("move the channels to the last axis, with Permute for instance"))
}

/// The largest number that settings of sizes may hold: products of two stay far from overflow, whatever a file says.
pub(crate) const LARGEST: usize = 1 << 30;

/// That a number such as `units` is not zero, nor absurd.
pub(crate) fn positive(class: &str, what: &str, n: usize) -> Result<()> {
    if (1..=LARGEST).contains(&n) {
        return Ok(());
    }
    let bound = if n == 0 { "at least 1".into() } else { format!("at most {LARGEST}") };
    Err(Error::new(format!("{class} got {what} {n}")).expected(format!("{what} of {bound}")))
}

/// That a rate lies in `0..=1`.
pub(crate) fn rate(class: &str, what: &str, rate: f64) -> Result<()> {
    if (0.0..=1.0).contains(&rate) {
        return Ok(());
    }
    Err(Error::new(format!("{class} got the {what} {rate}")).expected("a number from 0 to 1"))
}

/// The last axis of `x`, which must have a known size: weights depend on it.
pub(crate) fn features(class: &str, x: &Expr) -> Result<usize> {
    let last = x.shape().last().filter(|_| x.rank() >= 2);
    let Some(last) = last else {
        return Err(Error::new(format!("{class} takes [batch, .., features], got {}", x.shape()))
            .fix("give every sample at least one axis"));
    };
    known(class, last, "last axis", x)
}

/// The size `dim` of `x`, which must be known when the model is built.
pub(crate) fn known(class: &str, dim: &Dim, axis: &str, x: &Expr) -> Result<usize> {
    dim.as_fixed().ok_or_else(|| {
        Error::new(format!("{class} needs to know the size of the {axis}, got {}", x.shape()))
            .fix("give the model's input a fixed size along this axis, or set it with Reshape")
    })
}

/// An axis counted from either end, as an index.
pub(crate) fn axis(class: &str, axis: i64, x: &Expr) -> Result<usize> {
    let rank = x.rank() as i64;
    let index = if axis < 0 { axis + rank } else { axis };
    usize::try_from(index).ok().filter(|a| *a < x.rank()).ok_or_else(|| {
        Error::new(format!("{class} got the axis {axis}, but the input {} has {rank} axes", x.shape()))
            .expected(format!("-{rank} to {}", rank - 1))
    })
}
