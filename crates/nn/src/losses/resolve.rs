//! What strings in `compile` mean.

use super::{BinaryCrossentropy, CategoricalCrossentropy, LossRef, SparseCategoricalCrossentropy};
use rhyton_graph::Type;
use rhyton_tensor::Result;

/// How targets and predictions stand to each other, judged by shapes alone as Keras does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Task {
    /// One score.
    Binary,
    /// A score for each class, and labels.
    Sparse,
    /// A score for each class, and one-hot targets.
    Categorical,
}

impl Task {
    pub(crate) fn of(y_true: &Type, y_pred: &Type) -> Task {
        let single = |t: &Type| t.shape.last().is_some_and(|d| d.is(1));
        if single(y_pred) {
            Task::Binary
        } else if y_true.shape.rank() < y_pred.shape.rank() || single(y_true) {
            Task::Sparse
        } else {
            Task::Categorical
        }
    }
}

/// The loss that a string in `compile` means for targets and predictions of these types. `crossentropy` and `ce`
/// mean the binary, sparse categorical or categorical one, by shapes.
///
/// # Errors
/// When nothing has this name; the error proposes the nearest.
pub fn resolve(name: &str, y_true: &Type, y_pred: &Type) -> Result<LossRef> {
    if !matches!(name.to_lowercase().as_str(), "crossentropy" | "ce") {
        return LossRef::named(name);
    }
    Ok(match Task::of(y_true, y_pred) {
        Task::Binary => BinaryCrossentropy::new().into(),
        Task::Sparse => SparseCategoricalCrossentropy::new().into(),
        Task::Categorical => CategoricalCrossentropy::new().into(),
    })
}
