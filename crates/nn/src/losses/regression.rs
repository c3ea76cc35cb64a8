//! Losses of numbers.

use super::check::{axis_last, mean_last, paired, sum_last};
use super::{EPSILON, loss};
use rhyton_graph::{Expr, named};
use serde_json::{Value, json};

loss! {
    /// Mean of `(t - p)^2` over the last axis.
    pub struct MeanSquaredError("mean_squared_error") {}
    impl {
        fn losses(&self, t: &Expr, p: &Expr) -> Expr {
            paired(&named::MEAN_SQUARED_ERROR, Value::Null, t, p, |t, p| {
                let d = t - p;
                mean_last(&(&d * &d))
            })
        }
    }
}

loss! {
    /// Mean of `|t - p|` over the last axis.
    pub struct MeanAbsoluteError("mean_absolute_error") {}
    impl {
        fn losses(&self, t: &Expr, p: &Expr) -> Expr {
            paired(&named::MEAN_ABSOLUTE_ERROR, Value::Null, t, p, |t, p| mean_last(&(t - p).abs()))
        }
    }
}

loss! {
    /// 100 times the mean of `|t - p| / max(|t|, 1e-7)` over the last axis.
    pub struct MeanAbsolutePercentageError("mean_absolute_percentage_error") {}
    impl {
        fn losses(&self, t: &Expr, p: &Expr) -> Expr {
            paired(&named::MEAN_ABSOLUTE_PERCENTAGE_ERROR, Value::Null, t, p, |t, p| {
                let size = t.abs().maximum(&Expr::scalar(EPSILON));
                mean_last(&((t - p) / size).abs()) * 100.0
            })
        }
    }
}

loss! {
    /// Mean of `(log(1 + t) - log(1 + p))^2` over the last axis, with values of at least 1e-7.
    pub struct MeanSquaredLogarithmicError("mean_squared_logarithmic_error") {}
    impl {
        fn losses(&self, t: &Expr, p: &Expr) -> Expr {
            paired(&named::MEAN_SQUARED_LOGARITHMIC_ERROR, Value::Null, t, p, |t, p| {
                let log = |x: &Expr| (x.maximum(&Expr::scalar(EPSILON)) + 1.0).log();
                let d = log(p) - log(t);
                mean_last(&(&d * &d))
            })
        }
    }
}

loss! {
    /// Mean of `d^2 / 2` where `|d| <= delta` and `delta * |d| - delta^2 / 2` elsewhere (Huber 1964).
    pub struct Huber("huber_loss") {
        /// Where squares end.
        delta: f64 = 1.0,
    }
    impl {
        fn losses(&self, t: &Expr, p: &Expr) -> Expr {
            paired(&named::HUBER, json!({ "delta": self.delta }), t, p, |t, p| {
                let d = p - t;
                let (size, delta) = (d.abs(), self.delta as f32);
                let near = size.less_equal(&Expr::scalar(delta));
                let far = &size * delta - delta * delta * 0.5;
                mean_last(&near.select(&(&d * &d * 0.5), &far))
            })
        }
    }
}

loss! {
    /// Mean of `log(cosh(p - t))` over the last axis, without overflow.
    pub struct LogCosh("log_cosh") {}
    impl {
        fn losses(&self, t: &Expr, p: &Expr) -> Expr {
            paired(&named::LOG_COSH, Value::Null, t, p, |t, p| {
                let d = p - t;
                let excess = crate::functions::softplus(&(&d * -2.0));
                mean_last(&(d + excess - std::f32::consts::LN_2))
            })
        }
    }
}

loss! {
    /// Minus the cosine between targets and predictions along `axis`: -1 for equal directions.
    pub struct CosineSimilarity("cosine_similarity") {
        /// The axis of the vectors.
        axis: i64 = -1,
    }
    impl {
        fn losses(&self, t: &Expr, p: &Expr) -> Expr {
            let name = named::COSINE_SIMILARITY.name;
            match (axis_last(name, self.axis, t), axis_last(name, self.axis, p)) {
                (Ok(t), Ok(p)) => paired(&named::COSINE_SIMILARITY, Value::Null, &t, &p, |t, p| {
                    -sum_last(&(unit(t) * unit(p)))
                }),
                (Err(e), _) | (_, Err(e)) => Expr::poison(e),
            }
        }
    }
}

/// Vectors along the last axis divided by their length; those of length 0 stay 0.
fn unit(x: &Expr) -> Expr {
    let last = [x.rank().saturating_sub(1)];
    let inverse = (x * x).sum(&last).rsqrt().minimum(&Expr::scalar(1.0 / EPSILON));
    x * inverse.expand_dims(&last)
}
