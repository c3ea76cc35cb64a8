//! Projections of weights after every update.

use crate::Axes;
use crate::Handle;
use crate::object::Object;
use rhyton_graph::Expr;
use rhyton_tensor::{Error, Result};
use std::sync::Arc;

/// A projection.
pub trait Constrain: Object {
    /// The projected weight.
    fn project(&self, w: &Expr) -> Expr;
}

/// A shared constraint.
pub type Constraint = Handle<dyn Constrain>;

impl<C: Constrain> From<C> for Constraint {
    fn from(c: C) -> Constraint {
        Constraint::new(Arc::new(c))
    }
}

// The constraints.
crate::registry! {
    dyn Constrain, "constraint" in "keras.constraints";
    MaxNorm "norms of at most max_value": MaxNorm::default().max_value(1.5).axis([0, 1]);
    MinMaxNorm "norms between min_value and max_value": MinMaxNorm::default().rate(0.5);
    NonNeg "no negative elements";
    UnitNorm "norms of 1";
}

/// The axes of a norm of `w`, ascending and counted from the front; an error for axes that `w` does not have.
fn axes_of(axes: &Axes, w: &Expr) -> Result<Vec<usize>> {
    let (list, rank) = (axes.as_slice(), w.rank() as i64);
    let found = list.iter().map(|a| usize::try_from(if *a < 0 { a + rank } else { *a }).ok());
    let found: Option<Vec<usize>> = found.map(|a| a.filter(|a| *a < w.rank())).collect();
    let mut axes = found.ok_or_else(|| {
        Error::new(format!("a constraint over the axes {list:?} of a weight of shape {}", w.shape()))
            .expected("axes that the weight has")
    })?;
    axes.sort_unstable();
    axes.dedup();
    Ok(axes)
}

const EPSILON: f32 = 1e-7;

/// `w` scaled so that its norms over `axes` become what `desired` makes of them.
fn rescaled(w: &Expr, axes: &Axes, desired: impl FnOnce(&Expr) -> Expr) -> Expr {
    if w.is_poisoned() {
        return w.clone();
    }
    match axes_of(axes, w) {
        Ok(axes) => {
            let norms = (w * w).sum(&axes).sqrt().expand_dims(&axes);
            w * (desired(&norms) / (norms + EPSILON))
        }
        Err(e) => Expr::poison(e),
    }
}

fn between(x: &Expr, low: f64, high: f64) -> Expr {
    x.maximum(&Expr::scalar(low as f32)).minimum(&Expr::scalar(high as f32))
}

crate::object! {
    /// Norms along `axis` of at most `max_value` (Srivastava et al. 2014): 0 for the inputs of each unit of a
    /// dense layer, `[0, 1, 2]` for each filter of a convolution.
    pub struct MaxNorm {
        /// The largest norm.
        max_value: f64 = 2.0,
        /// The axes of the norm.
        axis: Axes = Axes::One(0),
    }
}
impl Constrain for MaxNorm {
    fn project(&self, w: &Expr) -> Expr {
        rescaled(w, &self.axis, |norms| between(norms, 0.0, self.max_value))
    }
}

crate::object! {
    /// Norms along `axis` between two numbers.
    pub struct MinMaxNorm {
        /// The smallest norm.
        min_value: f64 = 0.0,
        /// The largest norm.
        max_value: f64 = 1.0,
        /// How far to go at each step, between 0 and 1.
        rate: f64 = 1.0,
        /// The axes of the norm.
        axis: Axes = Axes::One(0),
    }
}
impl Constrain for MinMaxNorm {
    fn project(&self, w: &Expr) -> Expr {
        rescaled(w, &self.axis, |norms| {
            let kept = between(norms, self.min_value, self.max_value);
            kept * self.rate as f32 + norms * (1.0 - self.rate) as f32
        })
    }
}

crate::object! {
    /// No negative elements.
    pub struct NonNeg {}
}
impl Constrain for NonNeg {
    fn project(&self, w: &Expr) -> Expr {
        w.greater_equal(&Expr::scalar(0.0f32)).select(w, &Expr::scalar(0.0f32))
    }
}

crate::object! {
    /// Norms along `axis` of 1.
    pub struct UnitNorm {
        /// The axes of the norm.
        axis: Axes = Axes::One(0),
    }
}
impl Constrain for UnitNorm {
    fn project(&self, w: &Expr) -> Expr {
        rescaled(w, &self.axis, Expr::ones_like)
    }
}
