//! Losses as metrics: their mean over all samples.

use super::mean::mean_metric;
use crate::losses::{self, Loss};
use rhyton_graph::Expr;

macro_rules! of_losses {
    ($($(#[$meta:meta])* $class:ident($name:literal) of $loss:ident {
        $($(#[$fmeta:meta])* $field:ident : $ty:ty = $default:expr),* $(,)?
    })*) => { $(
        mean_metric! {
            $(#[$meta])*
            pub struct $class($name, false) { $($(#[$fmeta])* $field: $ty = $default,)* }
            impl {
                fn values(&self, t: &Expr, p: &Expr) -> Expr {
                    self.loss().losses(t, p)
                }
                fn keep(&self, t: &Expr, p: &Expr) -> Option<Expr> {
                    self.loss().keep(t, p)
                }
            }
        }
        impl $class {
            fn loss(&self) -> losses::$loss {
                losses::$loss { $($field: self.$field,)* ..losses::$loss::default() }
            }
        }
    )* };
}

of_losses! {
    /// Mean of `(t - p)^2`.
    MeanSquaredError("mean_squared_error") of MeanSquaredError {}
    /// Mean of `|t - p|`.
    MeanAbsoluteError("mean_absolute_error") of MeanAbsoluteError {}
    /// 100 times the mean of `|t - p| / |t|`.
    MeanAbsolutePercentageError("mean_absolute_percentage_error") of MeanAbsolutePercentageError {}
    /// Mean of `(log(1 + t) - log(1 + p))^2`.
    MeanSquaredLogarithmicError("mean_squared_logarithmic_error") of MeanSquaredLogarithmicError {}
    /// Mean of `log(cosh(p - t))`.
    LogCoshError("logcosh") of LogCosh {}
    /// Crossentropy of yes-or-no probabilities.
    BinaryCrossentropy("binary_crossentropy") of BinaryCrossentropy {
        /// Predictions are logits.
        from_logits: bool = false,
        /// Moves targets towards 0.5 by this part.
        label_smoothing: f64 = 0.0,
    }
    /// Crossentropy of one-hot targets.
    CategoricalCrossentropy("categorical_crossentropy") of CategoricalCrossentropy {
        /// Predictions are logits.
        from_logits: bool = false,
        /// Moves targets towards equal shares by this part.
        label_smoothing: f64 = 0.0,
        /// The axis of the classes.
        axis: i64 = -1,
    }
    /// Crossentropy of labels.
    SparseCategoricalCrossentropy("sparse_categorical_crossentropy") of SparseCategoricalCrossentropy {
        /// Predictions are logits.
        from_logits: bool = false,
        /// A label that does not count.
        ignore_class: Option<i64> = None,
        /// The axis of the classes.
        axis: i64 = -1,
    }
    /// Sum of `t log(t / p)`.
    KLDivergence("kl_divergence") of KLDivergence {}
    /// Mean of `p - t log(p)`.
    Poisson("poisson") of Poisson {}
    /// Mean of `max(1 - t p, 0)`.
    Hinge("hinge") of Hinge {}
    /// Mean of `max(1 - t p, 0)^2`.
    SquaredHinge("squared_hinge") of SquaredHinge {}
    /// The margin between the right class and the best wrong one.
    CategoricalHinge("categorical_hinge") of CategoricalHinge {}
}

mean_metric! {
    /// The cosine between targets and predictions: 1 for equal directions, unlike the loss.
    pub struct CosineSimilarity("cosine_similarity", true) {
        /// The axis of the vectors.
        axis: i64 = -1,
    }
    impl {
        fn values(&self, t: &Expr, p: &Expr) -> Expr {
            -losses::CosineSimilarity::new().axis(self.axis).losses(t, p)
        }
    }
}
