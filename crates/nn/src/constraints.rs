//! Projections of weights after every update.

use crate::object::{Handle, Kind, Object, Row};
use rhyton_graph::Expr;

/// A projection.
pub trait Constrain: Object {
    /// The projected weight.
    fn project(&self, w: &Expr) -> Expr;
}

/// A shared constraint.
pub type Constraint = Handle<dyn Constrain>;

impl<C: Constrain> From<C> for Constraint {
    fn from(c: C) -> Constraint {
        Constraint::new(std::sync::Arc::new(c))
    }
}

impl Kind for dyn Constrain {
    const WHAT: &'static str = "constraint";
    const MODULE: &'static str = "keras.constraints";
    fn rows() -> &'static [Row<dyn Constrain>] {
        ROWS
    }
}

/// The constraints.
pub static ROWS: &[Row<dyn Constrain>] = &[];
