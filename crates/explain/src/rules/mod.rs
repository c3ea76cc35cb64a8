//! Walks from inputs to results that change what a gradient is: afterwards, the plain gradient of the new result is
//! what the method calls multipliers ([`pair`], [`reveal`]) or relevance over value ([`relevance`]).
//!
//! Both write `y` as `y + sum of slope (x - x)`, whose value is that of `y` and whose slopes are the method's
//! ([`sloped`]). Loops and calls need nothing special then.

pub(crate) mod pair;
pub(crate) mod relevance;
pub(crate) mod reveal;

use rhyton_graph::Expr;
use rhyton_graph::function::Function;
use rhyton_graph::ops::{Control, Op};
use rhyton_graph::transform::Occurrence;

/// The value of `y` with other slopes by some values.
pub(crate) fn sloped(y: &Expr, slopes: &[(&Expr, Expr)]) -> Expr {
    let terms = slopes.iter().map(|(x, slope)| slope.stop_gradient() * (*x - x.stop_gradient()));
    terms.fold(y.stop_gradient(), |y, term| y + term)
}

/// The value of `y` with the slopes of `like` scaled by `factor`.
pub(crate) fn sloped_like(y: &Expr, like: &Expr, factor: &Expr) -> Expr {
    y.stop_gradient() + (like - like.stop_gradient()) * factor.stop_gradient()
}

/// The function that an occurrence calls.
pub(crate) fn called<'a>(at: &Occurrence<'a>) -> Option<&'a Function> {
    match at.op() {
        Op::Control(Control::Call(f)) => Some(f),
        _ => None,
    }
}
