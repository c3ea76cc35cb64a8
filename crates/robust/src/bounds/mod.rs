//! Certified bounds: what a model's output surely lies between, for all inputs within a distance.

mod alpha_crown;
mod ball;
mod crown;
mod ibp;
mod interval;
mod linear_crown;
mod relax;

pub use alpha_crown::AlphaCrown;
pub use ball::Ball;
pub use ibp::Ibp;
pub use interval::{Interval, Intervals};
pub use linear_crown::Crown;

use rhyton_graph::Expr;
use rhyton_nn::{Handle, Object};
use rhyton_tensor::Result;

/// A method that bounds what a model computes. A new one is a file here and a row of the registry below.
pub trait Bound: Object {
    /// The least value of sums of the output's numbers, over all inputs of the ball. `output` is `[batch, n]` and depends
    /// on `ball.x`; `factors` are those of each sum, `[sums, batch, n]`. The result is `[batch, sums]`.
    ///
    /// # Errors
    /// When the model has an operation that the method cannot bound.
    fn least(&self, ball: &Ball, output: &Expr, factors: &Expr) -> Result<Expr>;
}

/// A shared method.
pub type BoundRef = Handle<dyn Bound>;

// The methods.
rhyton_nn::registry! {
    local dyn Bound, "bound" in "rhyton.robust";
    Ibp "intervals, carried forwards";
    Crown "linear bounds, carried backwards";
    AlphaCrown "linear bounds whose lower lines are optimised": AlphaCrown::default().steps(3);
}
