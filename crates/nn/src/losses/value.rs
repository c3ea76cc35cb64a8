//! From losses of samples to one number.

use super::{Loss, Reduction};
use rhyton_graph::Expr;
use rhyton_tensor::{DType, Error};

/// Brings two values to one rank as Keras does, where theirs differ by one and the longer ends with a 1: that
/// axis goes, unless the shorter value has a single axis, which then gets one.
pub fn align(a: &Expr, b: &Expr) -> (Expr, Expr) {
    let ends_with_1 = |e: &Expr| e.shape().last().is_some_and(|d| d.is(1));
    if a.rank() == b.rank() + 1 && ends_with_1(a) {
        return if b.rank() == 1 {
            (a.clone(), b.expand_dims(&[1]))
        } else {
            (a.entry(b.rank(), 0), b.clone())
        };
    }
    if b.rank() == a.rank() + 1 && ends_with_1(b) {
        let (b, a) = align(b, a);
        return (a, b);
    }
    (a.clone(), b.clone())
}

/// Weights that lack axes at the end apply to all that is there; those that have too many lose sizes of 1.
fn weights_like(values: &Expr, weights: &Expr) -> Expr {
    let mut w = weights.cast(DType::F32);
    while w.rank() > values.rank() && w.shape().last().is_some_and(|d| d.is(1)) {
        w = w.entry(w.rank() - 1, 0);
    }
    if values.rank() > 0 && w.rank() > 0 && w.rank() < values.rank() {
        w = w.expand_dims(&(w.rank()..values.rank()).collect::<Vec<_>>());
    }
    w
}

/// `a / b`, and 0 where `b` is 0.
pub(crate) fn divide_no_nan(a: &Expr, b: &Expr) -> Expr {
    let none = b.equal(&b.zeros_like());
    none.select(&a.zeros_like(), &(a / none.select(&b.ones_like(), b)))
}

/// What each loss counts: the mask and the sample weights together.
fn merged(mask: Option<Expr>, weights: Option<&Expr>, reduction: Reduction, values: &Expr) -> Option<Expr> {
    let mask = mask.map(|mask| {
        let kept = mask.cast(DType::F32);
        match reduction {
            // The mean over what is kept: each kept loss counts (all / kept) times in the mean over all.
            Reduction::SumOverBatchSize => {
                let all = Expr::size(&kept.shape().elements());
                &kept * divide_no_nan(&all, &kept.sum_all())
            }
            _ => kept,
        }
    });
    let weights = weights.map(|w| weights_like(values, w));
    match (mask.map(|m| weights_like(values, &m)), weights) {
        (Some(m), Some(w)) => Some(m * w),
        (m, w) => m.or(w),
    }
}

/// The value of a loss: a float32 scalar.
///
/// `y_true` are targets of any type, `y_pred` predictions. `mask` (true where a step is real) comes from the
/// model, `sample_weight` from the user, both per sample or per step. Poisoned when shapes do not fit.
pub fn loss_value(
    loss: &dyn Loss,
    y_true: &Expr,
    y_pred: &Expr,
    mask: Option<&Expr>,
    sample_weight: Option<&Expr>,
) -> Expr {
    let given = [Some(y_true), Some(y_pred), mask, sample_weight];
    if let Some(bad) = given.into_iter().flatten().find(|e| e.is_poisoned()) {
        return bad.clone();
    }
    let (t, p) = align(y_true, &y_pred.cast(DType::F32));
    let values = loss.losses(&t, &p);
    if values.is_poisoned() {
        return values;
    }
    let mask = match (mask.cloned(), loss.keep(&t, &p)) {
        (Some(a), Some(b)) => Some(a.and(&b)),
        (a, b) => a.or(b),
    };
    reduced(&values, mask, sample_weight, loss.reduction())
}

fn reduced(values: &Expr, mask: Option<Expr>, weights: Option<&Expr>, reduction: Reduction) -> Expr {
    let Some(w) = merged(mask, weights, reduction, values) else {
        return match reduction {
            _ if values.rank() == 0 => values.clone(),
            Reduction::Sum => values.sum_all(),
            _ => values.mean_all(),
        };
    };
    let weighted = values * &w;
    if weighted.is_poisoned() {
        let what =
            format!("sample weights or mask of shape {} for losses of shape {}", w.shape(), values.shape());
        return Expr::poison(
            Error::new(what).expected("one weight for each sample, or one for each step of each sample"),
        );
    }
    match reduction {
        _ if weighted.rank() == 0 => weighted,
        Reduction::Sum => weighted.sum_all(),
        Reduction::SumOverBatchSize => weighted.mean_all(),
        // Weights of samples count once for each of their steps.
        Reduction::MeanWithSampleWeight => {
            divide_no_nan(&weighted.sum_all(), &w.broadcast_to(weighted.shape().clone()).sum_all())
        }
    }
}
