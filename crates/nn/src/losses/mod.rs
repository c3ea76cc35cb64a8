//! Losses: how far predictions are from targets. A loss gives one figure for each sample (or time step);
//! [`loss_value`] makes one number of them, by Keras's rules of masks, weights and reductions.

pub(crate) mod check;
pub(crate) mod crossentropy;
mod custom;
mod focal;
mod hinge;
mod overlap;
mod probabilistic;
mod regression;
mod resolve;
pub(crate) mod value;

pub use crossentropy::{BinaryCrossentropy, CategoricalCrossentropy, SparseCategoricalCrossentropy};
pub use custom::custom;
pub use focal::{BinaryFocalCrossentropy, CategoricalFocalCrossentropy, CategoricalGeneralizedCrossEntropy};
pub use hinge::{CategoricalHinge, Hinge, SquaredHinge};
pub use overlap::{Dice, Tversky};
pub use probabilistic::{KLDivergence, Poisson};
pub use regression::{
    CosineSimilarity, Huber, LogCosh, MeanAbsoluteError, MeanAbsolutePercentageError, MeanSquaredError,
    MeanSquaredLogarithmicError,
};
pub(crate) use resolve::Task;
pub use resolve::resolve;
pub use value::{align, loss_value};

use crate::Handle;
use crate::indices::Among;
use crate::object::{Object, Setting};
use rhyton_graph::{Expr, Type};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Keras's guard against divisions by 0 and logarithms of 0.
pub(crate) const EPSILON: f32 = 1e-7;

/// How losses of samples become one number.
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

impl Setting<Reduction> for Reduction {
    fn setting(self) -> Reduction {
        self
    }
}

/// A loss.
pub trait Loss: Object {
    /// The name in logs and graphs.
    fn name(&self) -> String;

    /// Losses `[batch, ..]` of targets and float32 predictions `[batch, .., values]`, whose ranks are
    /// [aligned](align); poisoned when the shapes do not fit.
    fn losses(&self, y_true: &Expr, y_pred: &Expr) -> Expr;

    /// How they become one number.
    fn reduction(&self) -> Reduction {
        Reduction::SumOverBatchSize
    }

    /// True (shaped like the losses) where a target counts; `None` when all do.
    fn keep(&self, _y_true: &Expr, _y_pred: &Expr) -> Option<Expr> {
        None
    }

    /// What targets may be beside predictions of this type, for a loss whose targets are labels: they are checked
    /// before anything is computed.
    fn labels(&self, _y_pred: &Type) -> Option<Among> {
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

/// Defines a loss: [`object!`](crate::object!) with a name and a reduction, and the items of its `impl Loss`.
macro_rules! loss {
    ($(#[$meta:meta])* $vis:vis struct $class:ident($name:literal) { $($fields:tt)* } impl { $($items:tt)* }) => {
        $crate::object! {
            $(#[$meta])*
            $vis struct $class {
                /// The name in logs.
                name: String = $name.into(),
                /// How losses of samples become one number.
                reduction: $crate::losses::Reduction = $crate::losses::Reduction::SumOverBatchSize,
                $($fields)*
            }
        }

        impl $class {
            /// With its defaults.
            #[track_caller]
            pub fn new() -> Self {
                Self::default()
            }
        }

        impl $crate::losses::Loss for $class {
            fn name(&self) -> String {
                self.name.clone()
            }
            fn reduction(&self) -> $crate::losses::Reduction {
                self.reduction
            }
            $($items)*
        }
    };
}
pub(crate) use loss;

// The losses. Strings name them by class, by these names or by the class in snake case.
crate::registry! {
    dyn Loss, "loss" in "keras.losses";
    MeanSquaredError ["mse", "MSE"] "mean of (t - p)^2";
    MeanAbsoluteError ["mae", "MAE"] "mean of |t - p|";
    MeanAbsolutePercentageError ["mape", "MAPE"] "100 times the mean of |t - p| / |t|";
    MeanSquaredLogarithmicError ["msle", "MSLE"] "mean of (log(1 + t) - log(1 + p))^2";
    Huber ["huber_loss"] "squares near 0, absolute values further out": Huber::new().delta(0.3);
    LogCosh ["logcosh"] "mean of log(cosh(p - t))";
    CosineSimilarity "minus the cosine between targets and predictions";
    BinaryCrossentropy ["bce", "BCE"] "crossentropy of yes-or-no probabilities": BinaryCrossentropy::new().label_smoothing(0.1);
    CategoricalCrossentropy "crossentropy of one-hot targets": CategoricalCrossentropy::new().from_logits(true);
    SparseCategoricalCrossentropy "crossentropy of labels": SparseCategoricalCrossentropy::new().ignore_class(3i64);
    BinaryFocalCrossentropy "binary crossentropy that dwells on hard samples": BinaryFocalCrossentropy::new().gamma(1.5);
    CategoricalFocalCrossentropy "categorical crossentropy that dwells on hard samples";
    CategoricalGeneralizedCrossEntropy "(1 - p^q) / q of labels, robust to wrong ones";
    KLDivergence ["kld", "KLD", "kl_divergence"] "sum of t log(t / p)";
    Poisson "mean of p - t log(p)";
    Hinge "mean of max(1 - t p, 0), t being -1 or 1";
    SquaredHinge "mean of max(1 - t p, 0)^2";
    CategoricalHinge "the margin between the right class and the best wrong one";
    Dice "1 minus the overlap of two masks";
    Tversky "Dice with separate weights of the two kinds of error";
}
