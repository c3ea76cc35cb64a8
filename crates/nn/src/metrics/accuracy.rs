//! Parts of predictions that are right.

use super::mean::mean_metric;
use crate::losses::check::{are_labels, mismatch, paired, sum_last};
use crate::losses::crossentropy::{at_label, labels};
use rhyton_graph::{Expr, named};
use rhyton_tensor::{DType, Error};
use serde_json::{Value, json};

/// The class with the largest score along the last axis.
fn best(e: &Expr) -> Expr {
    e.argmax(e.rank().saturating_sub(1))
}

fn as_number(right: Expr) -> Expr {
    right.cast(DType::F32)
}

/// Classes of one-hot targets; an error when the targets do not have the shape of the predictions.
fn classes(name: &str, t: &Expr, p: &Expr) -> Result<Expr, Error> {
    if t.shape() == p.shape() && t.rank() > 0 {
        return Ok(best(&t.cast(DType::F32)));
    }
    let error = mismatch(name, t, p);
    Err(if are_labels(t, p) { error.fix(format!("for labels use sparse_{name}")) } else { error })
}

mean_metric! {
    /// Part of values that equal their targets.
    pub struct Accuracy("accuracy", true) {}
    impl {
        fn values(&self, t: &Expr, p: &Expr) -> Expr {
            paired(&named::ACCURACY, Value::Null, t, p, |t, p| as_number(t.equal(p)))
        }
    }
}

mean_metric! {
    /// Part of values `p` that are on the target's side of a threshold; exactly at it counts as 0.
    pub struct BinaryAccuracy("binary_accuracy", true) {
        /// Larger predictions count as 1.
        threshold: f64 = 0.5,
    }
    impl {
        fn values(&self, t: &Expr, p: &Expr) -> Expr {
            paired(&named::BINARY_ACCURACY, json!({ "threshold": self.threshold }), t, p, |t, p| {
                let yes = as_number(p.greater(&Expr::scalar(self.threshold as f32)));
                as_number(t.equal(&yes))
            })
        }
    }
}

mean_metric! {
    /// Part of samples whose largest score is at the class of the one-hot target.
    pub struct CategoricalAccuracy("categorical_accuracy", true) {}
    impl {
        fn values(&self, t: &Expr, p: &Expr) -> Expr {
            match classes("categorical_accuracy", t, p) {
                Ok(classes) => as_number(classes.equal(&best(p))),
                Err(e) => Expr::poison(e),
            }
        }
    }
}

mean_metric! {
    /// Part of samples whose largest score is at the label.
    pub struct SparseCategoricalAccuracy("sparse_categorical_accuracy", true) {}
    impl {
        fn values(&self, t: &Expr, p: &Expr) -> Expr {
            match labels("sparse_categorical_accuracy", -1, t, p) {
                Ok((t, p)) => as_number(t.cast(DType::F32).equal(&best(&p).cast(DType::F32))),
                Err(e) => Expr::poison(e),
            }
        }
    }
}

/// 1 where fewer than `k` scores are larger than the label's, so that ties count as hits.
fn in_top(labels: &Expr, scores: &Expr, k: usize) -> Expr {
    let zero = Expr::scalar(0.0f32);
    let own = sum_last(&at_label(labels, scores).select(scores, &zero));
    let larger = as_number(scores.greater(&own.expand_dims(&[own.rank()])));
    // NaN is no score at all.
    let right = sum_last(&larger).less(&Expr::scalar(k as f32)).and(&own.equal(&own));
    as_number(right)
}

mean_metric! {
    /// Part of samples whose class is among the `k` largest scores, with one-hot targets.
    pub struct TopKCategoricalAccuracy("top_k_categorical_accuracy", true) {
        /// How many scores.
        k: usize = 5,
    }
    impl {
        fn values(&self, t: &Expr, p: &Expr) -> Expr {
            match classes("top_k_categorical_accuracy", t, p) {
                Ok(classes) => in_top(&classes, p, self.k),
                Err(e) => Expr::poison(e),
            }
        }
    }
}

mean_metric! {
    /// Part of samples whose label is among the `k` largest scores.
    pub struct SparseTopKCategoricalAccuracy("sparse_top_k_categorical_accuracy", true) {
        /// How many scores.
        k: usize = 5,
    }
    impl {
        fn values(&self, t: &Expr, p: &Expr) -> Expr {
            match labels("sparse_top_k_categorical_accuracy", -1, t, p) {
                Ok((t, p)) => in_top(&t, &p, self.k),
                Err(e) => Expr::poison(e),
            }
        }
    }
}
