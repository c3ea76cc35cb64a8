//! Maps in the sizes of an input.

use rhyton_graph::Expr;
use rhyton_tensor::{Error, Result, Tensor};

/// A map `[batch, places.., channels]` in the sizes of `like`, between its points in proportion to their distance
/// (half a pixel at the borders, as Keras's and PyTorch's bilinear resizing).
pub(crate) fn resized(map: &Expr, like: &Expr) -> Result<Expr> {
    if map.rank() != like.rank() {
        return Err(Error::new(format!(
            "a map of shape {} does not lie over an input of shape {}",
            map.shape(),
            like.shape()
        )));
    }
    let mut map = map.clone();
    for axis in 1..map.rank() - 1 {
        let size = |e: &Expr| {
            e.shape()[axis].as_fixed().ok_or_else(|| Error::new("the sizes of a map are not known"))
        };
        let (from, to) = (size(&map)?, size(like)?);
        if from == to {
            continue;
        }
        let last = map.rank() - 1;
        map = map.swap_axes(axis, last).dot(&weights(from, to)?, &[last], &[0]).swap_axes(axis, last);
    }
    Ok(map)
}

/// `[from, to]`: what each point counts for each new one.
fn weights(from: usize, to: usize) -> Result<Expr> {
    let mut table = vec![0f32; from * to];
    for t in 0..to {
        let at = ((t as f64 + 0.5) * from as f64 / to as f64 - 0.5).clamp(0.0, (from - 1) as f64);
        let (low, share) = (at.floor() as usize, at.fract() as f32);
        table[low * to + t] += 1.0 - share;
        table[(low + 1).min(from - 1) * to + t] += share;
    }
    Ok(Expr::constant(&Tensor::new([from, to], table)?))
}
