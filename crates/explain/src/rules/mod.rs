//! Walks from inputs to results that change what a gradient is: afterwards, the plain gradient of the new result is
//! what the method calls multipliers ([`pair`], [`reveal`]) or relevance over value ([`relevance`]).
//!
//! Both write `y` as `y + sum of slope (x - x)`, whose value is that of `y` and whose slopes are the method's
//! ([`sloped`]). Loops and calls need nothing special then.

pub(crate) mod pair;
pub(crate) mod relevance;
pub(crate) mod reveal;

use rhyton_graph::Expr;
use rhyton_graph::expr::topological;
use rhyton_graph::function::Function;
use rhyton_graph::ops::{Control, Op};
use rhyton_graph::transform::Occurrence;
use std::collections::HashSet;

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

/// Whether each element of the function's one result depends on one element of its parameter `which`, which has the
/// same shape.
pub(crate) fn is_elementwise(f: &Function, which: usize) -> bool {
    let [result] = &f.results[..] else { return false };
    if result.shape() != f.params[which].shape() || !result.dtype().is_float() {
        return false;
    }
    let mut varies: HashSet<u64> = HashSet::from([f.params[which].node().id]);
    for e in topological(&f.results) {
        if !e.inputs().iter().any(|i| varies.contains(&i.node().id)) {
            continue;
        }
        let fits = match e.op() {
            Op::Elementwise(_) => true,
            Op::Control(Control::Call(inner)) => {
                let given = e.inputs().iter().positions(|i| varies.contains(&i.node().id));
                given.len() == 1 && is_elementwise(inner, given[0])
            }
            _ => false,
        };
        if !fits {
            return false;
        }
        varies.insert(e.node().id);
    }
    true
}

trait Positions: Iterator {
    fn positions(self, f: impl Fn(&Self::Item) -> bool) -> Vec<usize>;
}
impl<I: Iterator> Positions for I {
    fn positions(self, f: impl Fn(&Self::Item) -> bool) -> Vec<usize> {
        self.enumerate().filter(|(_, x)| f(x)).map(|(i, _)| i).collect()
    }
}
