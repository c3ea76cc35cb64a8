//! Losses of distributions.

use super::check::{clip, mean_last, paired, sum_last};
use super::{EPSILON, loss};
use rhyton_graph::{Expr, named};
use serde_json::Value;

loss! {
    /// Sum of `t log(t / p)` over the last axis, both kept between 1e-7 and 1.
    pub struct KLDivergence("kl_divergence") {}
    impl {
        fn losses(&self, t: &Expr, p: &Expr) -> Expr {
            paired(&named::KL_DIVERGENCE, Value::Null, t, p, |t, p| {
                let (t, p) = (clip(t, EPSILON, 1.0), clip(p, EPSILON, 1.0));
                sum_last(&(&t * (&t / p).log()))
            })
        }
    }
}

loss! {
    /// Mean of `p - t log(p + 1e-7)` over the last axis: counts of events, `p` being their rate.
    pub struct Poisson("poisson") {}
    impl {
        fn losses(&self, t: &Expr, p: &Expr) -> Expr {
            paired(&named::POISSON, Value::Null, t, p, |t, p| mean_last(&(p - t * (p + EPSILON).log())))
        }
    }
}
