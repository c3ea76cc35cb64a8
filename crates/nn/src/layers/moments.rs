//! Mean and variance in one pass over memory.

use rhyton_graph::Expr;

/// Mean and variance along axes, of which sizes of 1 remain.
///
/// Both come from sums over `shifted`, the distance from the first element. Mathematically they do not depend on
/// what is taken away first, so that it counts as a constant; an element of the data itself is as near to the mean
/// as the data are spread, where sums over the plain data cancel when their mean is far from zero. Unlike sums of
/// distances from the mean, these two wait for nothing, and neither do their gradients.
pub(super) struct Moments {
    /// The input without its first element.
    pub shifted: Expr,
    /// The mean of `shifted`.
    pub offset: Expr,
    pub mean: Expr,
    pub variance: Expr,
}

/// The moments of `x`; `weights` of the shape of `x` say how much each element counts, as Keras does it: divided by
/// their sum and a little more.
pub(super) fn moments(x: &Expr, axes: &[usize], weights: Option<&Expr>) -> Moments {
    let first = axes.iter().fold(x.stop_gradient(), |m, a| m.slice(*a, 0, 1));
    let shifted = x - &first;
    let square = &shifted * &shifted;
    let (offset, variance) = match weights {
        None => {
            let offset = shifted.mean(axes);
            let variance = square.mean(axes) - &offset * &offset;
            (offset, variance)
        }
        Some(w) => {
            let more = 1e-7;
            let (count, sum) = (w.sum(axes), (&shifted * w).sum(axes));
            let all = &count + more;
            // What the division by more than `count` takes from the mean, it takes from `first` too.
            let offset = (&sum - first.reshape(sum.shape().clone()) * more) / &all;
            let variance = ((square * w).sum(axes) + &offset * (&offset * count - sum * 2.0)) / all;
            (offset, variance)
        }
    };
    // Rounding may leave less than nothing.
    let variance = variance.maximum(&Expr::scalar(0.0f32)).expand_dims(axes);
    let offset = offset.expand_dims(axes);
    Moments { mean: first + &offset, shifted, offset, variance }
}
