//! [`Ball`]: the inputs that a bound holds for.

use super::interval::Interval;
use crate::Norm;
use rhyton_graph::Expr;
use rhyton_model::program::sample_axes;

/// All inputs within a distance of one, and within bounds where there are any.
#[derive(Clone)]
pub struct Ball {
    /// The middle, `[batch, ..]`.
    pub x: Expr,
    /// The distance, a number; with `Norm::Inf` it may be one for each element, like `x`.
    pub eps: Expr,
    /// What it is measured in.
    pub norm: Norm,
    /// Least and largest value of an input.
    pub bounds: Option<(f32, f32)>,
}

impl Ball {
    /// Least and largest value of each element.
    pub fn interval(&self) -> Interval {
        let (low, high) = (&self.x - &self.eps, &self.x + &self.eps);
        match self.bounds {
            Some((least, most)) => {
                Interval(low.maximum(&Expr::scalar(least)), high.minimum(&Expr::scalar(most)))
            }
            None => Interval(low, high),
        }
    }

    /// The least value, `[batch]`, of `slope (x' - x)` over the inputs x' of the ball: by the dual norm.
    pub fn least(&self, slope: &Expr) -> Expr {
        let axes = sample_axes(slope);
        match self.norm {
            Norm::Inf => {
                let Interval(low, high) = self.interval();
                let (down, up) = (low - &self.x, high - &self.x);
                let none = slope.zeros_like();
                (slope.maximum(&none) * down + slope.minimum(&none) * up).sum(&axes)
            }
            // A length of 0 would have no gradient, which chosen slopes follow.
            Norm::L2 => -(((slope * slope).sum(&axes) + 1e-30).sqrt() * &self.eps),
            Norm::L1 => -(Norm::Inf.of(slope) * &self.eps),
        }
    }
}
