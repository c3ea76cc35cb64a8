//! Losses of margins.

use super::check::{mean_last, paired, sum_last};
use super::loss;
use rhyton_graph::{Expr, named};
use serde_json::Value;

/// Labels 0 and 1 become -1 and 1 when all labels of the batch are 0 or 1.
fn signed(t: &Expr) -> Expr {
    let (zero, one) = (Expr::scalar(0.0f32), Expr::scalar(1.0f32));
    let other = t.equal(&zero).or(&t.equal(&one)).select(&zero, &one);
    other.sum_all().equal(&zero).select(&(t * 2.0 - 1.0), t)
}

/// `max(1 - t p, 0)`.
fn shortfall(t: &Expr, p: &Expr) -> Expr {
    (1.0 - signed(t) * p).maximum(&Expr::scalar(0.0f32))
}

loss! {
    /// Mean of `max(1 - t p, 0)` over the last axis; targets are -1 and 1, or 0 and 1.
    pub struct Hinge("hinge") {}
    impl {
        fn losses(&self, t: &Expr, p: &Expr) -> Expr {
            paired(&named::HINGE, Value::Null, t, p, |t, p| mean_last(&shortfall(t, p)))
        }
    }
}

loss! {
    /// Mean of `max(1 - t p, 0)^2` over the last axis; targets are -1 and 1, or 0 and 1.
    pub struct SquaredHinge("squared_hinge") {}
    impl {
        fn losses(&self, t: &Expr, p: &Expr) -> Expr {
            paired(&named::SQUARED_HINGE, Value::Null, t, p, |t, p| {
                let s = shortfall(t, p);
                mean_last(&(&s * &s))
            })
        }
    }
}

loss! {
    /// `max(max((1 - t) p) - sum(t p) + 1, 0)` over the last axis, with one-hot targets.
    pub struct CategoricalHinge("categorical_hinge") {}
    impl {
        fn losses(&self, t: &Expr, p: &Expr) -> Expr {
            paired(&named::CATEGORICAL_HINGE, Value::Null, t, p, |t, p| {
                let wrong = ((1.0 - t) * p).max(&[p.rank().saturating_sub(1)]);
                (wrong - sum_last(&(t * p)) + 1.0).maximum(&Expr::scalar(0.0f32))
            })
        }
    }
}
