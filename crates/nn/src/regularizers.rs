//! Penalties of weights and activities.

use crate::object::{Handle, Kind, Object, Row};
use rhyton_graph::Expr;

/// A penalty.
pub trait Regularize: Object {
    /// The scalar added to the loss.
    fn penalty(&self, x: &Expr) -> Expr;
}

/// A shared regularizer.
pub type Regularizer = Handle<dyn Regularize>;

impl<R: Regularize> From<R> for Regularizer {
    fn from(r: R) -> Regularizer {
        Regularizer::new(std::sync::Arc::new(r))
    }
}

impl Kind for dyn Regularize {
    const WHAT: &'static str = "regularizer";
    const MODULE: &'static str = "keras.regularizers";
    fn rows() -> &'static [Row<dyn Regularize>] {
        ROWS
    }
}

/// The regularizers.
pub static ROWS: &[Row<dyn Regularize>] = &[];
