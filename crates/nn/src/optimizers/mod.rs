//! Optimizers: how gradients change weights.

use crate::object::{Handle, Kind, Object, Row};
use rhyton_graph::Expr;
use std::sync::Arc;

/// A slot: memory that an optimizer keeps for every trained weight, of the weight's shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    /// Keras's name: `momentum`.
    pub name: &'static str,
    /// Every element at the start.
    pub start: f32,
    /// Files keep the slots of block 0 interleaved, variable by variable, then those of block 1, ..
    pub block: usize,
}

/// What an update may use besides gradient, weight and slots.
pub struct Moment {
    /// The learning rate, a float32 scalar.
    pub learning_rate: Expr,
    /// Number of this update, from 1, a float32 scalar.
    pub step: Expr,
}

/// An optimizer.
pub trait Optimizer: Object {
    /// The settings that every optimizer has.
    fn common(&self) -> Common;

    /// Its slots.
    fn slots(&self) -> Vec<Slot>;

    /// New weight and new slots from the gradient `g` (after clipping) of the weight `w`.
    fn update(&self, at: &Moment, g: &Expr, w: &Expr, slots: &[Expr]) -> (Expr, Vec<Expr>);
}

/// Settings that every optimizer has.
#[derive(Clone, Debug)]
pub struct Common {
    /// The rate at the start.
    pub learning_rate: f64,
}

/// A shared optimizer.
pub type OptimizerRef = Handle<dyn Optimizer>;

impl<O: Optimizer> From<O> for OptimizerRef {
    fn from(o: O) -> OptimizerRef {
        OptimizerRef::new(Arc::new(o))
    }
}

impl Kind for dyn Optimizer {
    const WHAT: &'static str = "optimizer";
    const MODULE: &'static str = "keras.optimizers";
    fn rows() -> &'static [Row<dyn Optimizer>] {
        ROWS
    }
}

/// The optimizers.
pub static ROWS: &[Row<dyn Optimizer>] = &[];
