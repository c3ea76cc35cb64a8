//! Metrics: figures for people, gathered over batches inside the compiled step.

mod accuracy;
mod at;
mod auc;
mod confusion;
mod correlation;
mod counts;
mod custom;
mod f_score;
mod iou;
mod mean;
mod of_losses;
mod r2;
mod resolve;

pub use accuracy::{
    Accuracy, BinaryAccuracy, CategoricalAccuracy, SparseCategoricalAccuracy, SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
};
pub use at::{PrecisionAtRecall, RecallAtPrecision, SensitivityAtSpecificity, SpecificityAtSensitivity};
pub use auc::AUC;
pub use correlation::{ConcordanceCorrelation, PearsonCorrelation};
pub use counts::{FalseNegatives, FalsePositives, Precision, Recall, TrueNegatives, TruePositives};
pub use custom::custom;
pub use f_score::{F1Score, FBetaScore};
pub use iou::{BinaryIoU, IoU, MeanIoU, OneHotIoU, OneHotMeanIoU};
pub use mean::{PerSample, RootMeanSquaredError, mean_result, mean_start, mean_update, merged_weight};
pub use of_losses::{
    BinaryCrossentropy, CategoricalCrossentropy, CategoricalHinge, CosineSimilarity, Hinge, KLDivergence,
    LogCoshError, MeanAbsoluteError, MeanAbsolutePercentageError, MeanSquaredError,
    MeanSquaredLogarithmicError, Poisson, SparseCategoricalCrossentropy, SquaredHinge,
};
pub use r2::R2Score;
pub use resolve::resolve;

use crate::Handle;
use crate::object::Object;
use rhyton_graph::{Expr, Type};
use rhyton_tensor::{Result, Tensor};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;

/// A metric. Its state lives in the compiled program and is set to its start at every epoch.
pub trait Metric: Object {
    /// The name in logs.
    fn name(&self) -> String;

    /// How its state starts, for predictions of this type.
    ///
    /// # Errors
    /// When there is no memory for it.
    fn start(&self, y_pred: &Type) -> Result<Vec<Tensor>>;

    /// The state after a batch of targets and float32 predictions. `weight` is per sample, `[batch]` or
    /// `[batch, ..]`, with the mask where the metric [heeds masks](Metric::heeds_masks) (see [`merged_weight`]). Poisoned when shapes do not fit.
    fn update(&self, state: &[Expr], y_true: &Expr, y_pred: &Expr, weight: Option<&Expr>) -> Vec<Expr>;

    /// The figure of a state.
    fn result(&self, state: &[Tensor]) -> f64;

    /// Whether steps that the mask of an output leaves out are left out of this figure.
    ///
    /// The rule is Keras's, so that figures are the same: means of a figure per step (accuracies, losses as metrics,
    /// functions of one's own) heed masks; metrics with counts or sums of their own (precision, recall, AUC, F-scores,
    /// intersection over union, R2, the root of the mean squared error) count every step. Give those
    /// sample weights of 0 for padding, and list them in `weighted_metrics`.
    fn heeds_masks(&self) -> bool {
        false
    }

    /// Whether larger is better, where that is known.
    fn larger_is_better(&self) -> Option<bool> {
        None
    }

    /// Whether the settings make sense.
    ///
    /// # Errors
    /// When they do not; says which and what would be right.
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

/// A shared metric.
pub type MetricRef = Handle<dyn Metric>;

impl<M: Metric> From<M> for MetricRef {
    fn from(m: M) -> MetricRef {
        MetricRef::new(Arc::new(m))
    }
}

/// Defines a metric: [`object!`](crate::object!) with a name and a type, and its constructor.
macro_rules! metric {
    ($(#[$meta:meta])* $vis:vis struct $class:ident($name:literal) { $($fields:tt)* }) => {
        $crate::object! {
            $(#[$meta])*
            $vis struct $class {
                /// The name in logs.
                name: String = $name.into(),
                /// The type of its state in records; computations are in float32.
                dtype: String = "float32".into(),
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
    };
}
pub(crate) use metric;

/// The start of a state of float32 zeros.
fn zeros(shapes: &[&[usize]]) -> Result<Vec<Tensor>> {
    shapes.iter().map(|s| Tensor::try_full(s.to_vec(), 0.0f32)).collect()
}

/// A state of which every tensor is poisoned by `bad`.
fn poisoned(state: &[Expr], bad: Expr) -> Vec<Expr> {
    vec![bad; state.len()]
}

// The metrics. `accuracy` alone is resolved by shapes: see [`resolve`].
crate::registry! {
    dyn Metric, "metric" in "keras.metrics" {
        fn build<M: Object + DeserializeOwned + Into<MetricRef>>(config: Value) -> Result<Arc<dyn Metric>> {
            let metric = M::from_config(config)?.into().into_object()?;
            metric.check()?;
            Ok(metric)
        }
    };
    Accuracy "part of predictions that equal their targets";
    BinaryAccuracy "part of yes-or-no predictions that are right";
    CategoricalAccuracy "part of samples whose largest score is at the target's class, one-hot";
    SparseCategoricalAccuracy "part of samples whose largest score is at the label";
    TopKCategoricalAccuracy "part of samples whose class is among the k best, one-hot";
    SparseTopKCategoricalAccuracy "part of samples whose label is among the k best": SparseTopKCategoricalAccuracy::new().k(2usize);
    MeanSquaredError ["mse", "MSE"] "mean of (t - p)^2";
    MeanAbsoluteError ["mae", "MAE"] "mean of |t - p|";
    MeanAbsolutePercentageError ["mape", "MAPE"] "100 times the mean of |t - p| / |t|";
    MeanSquaredLogarithmicError ["msle", "MSLE"] "mean of (log(1 + t) - log(1 + p))^2";
    RootMeanSquaredError ["rmse"] "root of the mean of (t - p)^2";
    LogCoshError ["logcosh"] "mean of log(cosh(p - t))";
    CosineSimilarity "cosine between targets and predictions";
    R2Score "part of the variance that predictions explain";
    PearsonCorrelation "correlation of targets and predictions within a sample";
    ConcordanceCorrelation "correlation that also counts shift and scale";
    BinaryCrossentropy ["bce", "BCE"] "crossentropy of yes-or-no probabilities";
    CategoricalCrossentropy "crossentropy of one-hot targets";
    SparseCategoricalCrossentropy "crossentropy of labels";
    KLDivergence "sum of t log(t / p)";
    Poisson "mean of p - t log(p)";
    Hinge "mean of max(1 - t p, 0)";
    SquaredHinge "mean of max(1 - t p, 0)^2";
    CategoricalHinge "margin between the right class and the best wrong one";
    TruePositives "number of right yes";
    TrueNegatives "number of right no";
    FalsePositives "number of wrong yes";
    FalseNegatives "number of wrong no";
    Precision "part of yes that are right";
    Recall "part of targets that are found";
    AUC "area under the receiver operating or precision-recall curve";
    PrecisionAtRecall "best precision of thresholds with a recall";
    RecallAtPrecision "best recall of thresholds with a precision";
    SensitivityAtSpecificity "best sensitivity of thresholds with a specificity";
    SpecificityAtSensitivity "best specificity of thresholds with a sensitivity";
    F1Score "harmonic mean of precision and recall";
    FBetaScore ["f_beta_score"] "weighted harmonic mean of precision and recall";
    IoU "intersection over union of some classes";
    BinaryIoU "intersection over union of yes and no";
    MeanIoU "intersection over union of all classes";
    OneHotIoU "intersection over union of some classes, one-hot";
    OneHotMeanIoU "intersection over union of all classes, one-hot";
}
