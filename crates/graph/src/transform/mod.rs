//! Walks over graphs that take rules.
//!
//! - [`backward`] goes from results to inputs. Without rules of its own it computes gradients ([`grad`], [`vjp`]); a
//!   [`Backward`] replaces the gradient of the occurrences it names, inside calls and loops too.
//! - [`forward`] goes from inputs to results and carries another value through every operation: bounds instead of
//!   numbers, pairs of a value and its reference.
//!
//! A rule sees one [`Occurrence`] at a time: a layer called twice, or an activation used twice, is two.

mod backward;
mod calls;
mod forward;
mod gradient;
mod scan;

pub use backward::{Backward, backward};
pub use forward::{Forward, Image, Walked, forward};
pub use gradient::{grad, vjp};

use crate::expr::Expr;
use crate::named::Named;
use crate::ops::{Control, Op};

/// One use of an operation in a graph.
pub struct Occurrence<'a> {
    /// The first result of the operation: its node says operation, layer path and source line.
    pub node: &'a Expr,
    /// What it reads.
    pub inputs: &'a [Expr],
    /// All its results.
    pub results: &'a [Expr],
    /// The identity of the function, when the operation is a call of one from the table ([`crate::named`]).
    pub named: Option<&'static Named>,
}

/// The gradient of a call or a loop, without rules.
pub(crate) fn own_gradient(e: &Expr, cotangents: &[Option<Expr>]) -> Vec<Option<Expr>> {
    backward::enter(&backward::Rules::gradient(), e, cotangents)
}

impl<'a> Occurrence<'a> {
    fn new(node: &'a Expr, inputs: &'a [Expr], results: &'a [Expr]) -> Occurrence<'a> {
        let named = match node.op() {
            Op::Control(Control::Call(f)) => f.named,
            _ => None,
        };
        Occurrence { node, inputs, results, named }
    }

    /// The operation.
    pub fn op(&self) -> &'a Op {
        self.node.op()
    }

    /// The layer it belongs to, like `sequential/dense_1`; empty outside layers.
    pub fn path(&self) -> &'a str {
        &self.node.node().path
    }
}
