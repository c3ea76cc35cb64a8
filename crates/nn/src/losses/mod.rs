//! Losses: how far predictions are from targets.

use crate::object::{Handle, Kind, Object, Row};
use rhyton_graph::Expr;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How per-sample losses become one number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reduction {
    /// The sum divided by the number of losses; weights do not enter the divisor.
    #[default]
    #[serde(alias = "mean")]
    SumOverBatchSize,
    /// The sum.
    Sum,
    /// The weighted sum divided by the sum of weights.
    MeanWithSampleWeight,
}

/// A loss.
pub trait Loss: Object {
    /// Losses `[batch, ..]` of targets and predictions `[batch, .., values]`; ranks are already aligned.
    fn losses(&self, y_true: &Expr, y_pred: &Expr) -> Expr;

    /// How they become one number.
    fn reduction(&self) -> Reduction {
        Reduction::SumOverBatchSize
    }

    /// True (`[batch, ..]`, like the losses) where a target counts; `None` when all do.
    fn keep(&self, _y_true: &Expr) -> Option<Expr> {
        None
    }
}

/// A shared loss.
pub type LossRef = Handle<dyn Loss>;

impl<L: Loss> From<L> for LossRef {
    fn from(l: L) -> LossRef {
        LossRef::new(Arc::new(l))
    }
}

impl Kind for dyn Loss {
    const WHAT: &'static str = "loss";
    const MODULE: &'static str = "keras.losses";
    fn rows() -> &'static [Row<dyn Loss>] {
        ROWS
    }
}

/// The losses.
pub static ROWS: &[Row<dyn Loss>] = &[];
