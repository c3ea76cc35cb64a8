//! Crossentropies: how surprised probabilities are by targets.

use super::check::{are_labels, axis_last, clip, mean_last, mismatch, paired, sum_last};
use super::{EPSILON, loss};
use crate::functions::{log_sigmoid, log_softmax};
use crate::indices::{Among, chosen};
use rhyton_graph::{Expr, Type, named};
use rhyton_tensor::{DType, Error};
use serde_json::json;

/// `-(t log p + (1 - t) log(1 - p))` for each element, with `p` kept from 0 and 1.
pub(super) fn binary(t: &Expr, p: &Expr) -> Expr {
    let p = clip(p, EPSILON, 1.0 - EPSILON);
    -(t * p.log() + (1.0 - t) * (1.0 - p).log())
}

/// Targets moved towards indifference among `choices`.
pub(super) fn smoothed(t: &Expr, smoothing: f64, choices: &Expr) -> Expr {
    if smoothing == 0.0 {
        return t.clone();
    }
    t * (1.0 - smoothing) as f32 + Expr::scalar(smoothing as f32) / choices
}

/// The number of classes along the last axis.
pub(super) fn classes(e: &Expr) -> Expr {
    Expr::size(&e.shape().last().cloned().unwrap_or_default())
}

/// Probabilities along the last axis that sum to 1, kept from 0 and 1.
pub(super) fn probabilities(p: &Expr) -> Expr {
    let last = [p.rank().saturating_sub(1)];
    clip(&(p / p.sum(&last).expand_dims(&last)), EPSILON, 1.0 - EPSILON)
}

/// Whether the setting `label_smoothing` makes sense.
fn check_smoothing(name: &str, smoothing: f64) -> Result<(), Expr> {
    if (0.0..=1.0).contains(&smoothing) {
        return Ok(());
    }
    Err(Expr::poison(
        Error::new(format!("{name} got label_smoothing={smoothing}")).expected("a number between 0 and 1"),
    ))
}

loss! {
    /// Mean over `axis` of `-(t log p + (1 - t) log(1 - p))`, `p` being probabilities kept between 1e-7 and
    /// 1 - 1e-7, or logits.
    pub struct BinaryCrossentropy("binary_crossentropy") {
        /// Predictions are logits, without a sigmoid.
        from_logits: bool = false,
        /// Moves targets towards 0.5 by this part.
        label_smoothing: f64 = 0.0,
        /// The axis of the mean.
        axis: i64 = -1,
    }
    impl {
        fn losses(&self, t: &Expr, p: &Expr) -> Expr {
            let name = named::BINARY_CROSSENTROPY.name;
            if let Err(bad) = check_smoothing(name, self.label_smoothing) {
                return bad;
            }
            let (t, p) = match (axis_last(name, self.axis, t), axis_last(name, self.axis, p)) {
                (Ok(t), Ok(p)) => (t, p),
                (Err(e), _) | (_, Err(e)) => return Expr::poison(e),
            };
            let attrs = json!({ "from_logits": self.from_logits, "label_smoothing": self.label_smoothing });
            paired(&named::BINARY_CROSSENTROPY, attrs, &t, &p, |t, p| {
                let t = smoothed(t, self.label_smoothing, &Expr::scalar(2.0f32));
                mean_last(&if self.from_logits {
                    -(&t * log_sigmoid(p)) - (1.0 - &t) * log_sigmoid(&-p)
                } else {
                    binary(&t, p)
                })
            })
        }
    }
}

loss! {
    /// `-sum(t log p)` over `axis`, with one-hot targets or distributions and `p` being probabilities, made to sum
    /// to 1 and kept between 1e-7 and 1 - 1e-7, or logits.
    pub struct CategoricalCrossentropy("categorical_crossentropy") {
        /// Predictions are logits, without a softmax.
        from_logits: bool = false,
        /// Moves targets towards equal shares by this part.
        label_smoothing: f64 = 0.0,
        /// The axis of the classes.
        axis: i64 = -1,
    }
    impl {
        fn losses(&self, t: &Expr, p: &Expr) -> Expr {
            let name = named::CATEGORICAL_CROSSENTROPY.name;
            if let Err(bad) = check_smoothing(name, self.label_smoothing) {
                return bad;
            }
            if are_labels(t, p) {
                return Expr::poison(mismatch(name, t, p).fix(
                    "the targets look like labels: use sparse_categorical_crossentropy, or make them one-hot \
                     with to_categorical",
                ));
            }
            let (t, p) = match (axis_last(name, self.axis, t), axis_last(name, self.axis, p)) {
                (Ok(t), Ok(p)) => (t, p),
                (Err(e), _) | (_, Err(e)) => return Expr::poison(e),
            };
            let attrs = json!({ "from_logits": self.from_logits, "label_smoothing": self.label_smoothing });
            paired(&named::CATEGORICAL_CROSSENTROPY, attrs, &t, &p, |t, p| {
                let t = smoothed(t, self.label_smoothing, &classes(t));
                let log = if self.from_logits { log_softmax(p) } else { probabilities(p).log() };
                -sum_last(&(t * log))
            })
        }
    }
}

/// Labels without an axis of their own, and class scores with the classes last; an error when they do not fit.
pub(crate) fn labels(name: &str, axis: i64, t: &Expr, p: &Expr) -> Result<(Expr, Expr), Error> {
    let (before, p) = (p.shape().clone(), axis_last(name, axis, p)?);
    let n = p.rank() - 1;
    let t = if t.rank() == p.rank() {
        let t = axis_last(name, axis, t)?;
        if t.shape().last().is_some_and(|d| d.is(1)) { t.entry(n, 0) } else { t }
    } else {
        t.clone()
    };
    if t.shape()[..] == p.shape()[..n] {
        return Ok((t, p));
    }
    let what = format!("{name} got targets of shape {} and predictions of shape {before}", t.shape());
    let error = Error::new(what).expected(format!(
        "labels (whole numbers from 0) of shape {}",
        rhyton_tensor::Shape(p.shape()[..n].to_vec())
    ));
    Err(if t.shape() == p.shape() {
        error
            .fix("the targets look one-hot: use categorical_crossentropy, or make labels of them with argmax")
    } else {
        error.fix("give one label for each prediction")
    })
}

/// True at the class of each label. No class is true for a label out of range.
pub(crate) fn at_label(labels: &Expr, like: &Expr) -> Expr {
    let last = like.rank().saturating_sub(1);
    let label = labels.cast(DType::I32).expand_dims(&[last]);
    Expr::iota(like.shape().clone(), last).equal(&label)
}

loss! {
    /// `-log p[t]` for labels `t`, `p` being probabilities, made to sum to 1 and kept between 1e-7 and 1 - 1e-7,
    /// or logits. A label that is no class is an error before anything is computed (see [`crate::indices`]).
    pub struct SparseCategoricalCrossentropy("sparse_categorical_crossentropy") {
        /// Predictions are logits, without a softmax.
        from_logits: bool = false,
        /// A label that does not count; means are over the others.
        ignore_class: Option<i64> = None,
        /// The axis of the classes.
        axis: i64 = -1,
    }
    impl {
        fn losses(&self, t: &Expr, p: &Expr) -> Expr {
            let name = named::SPARSE_CATEGORICAL_CROSSENTROPY.name;
            let marked = match self.labels(p.ty()) {
                Some(classes) => chosen(t, classes),
                None => t.clone(),
            };
            let (t, p) = match labels(name, self.axis, &marked, p) {
                Ok(both) => both,
                Err(e) => return Expr::poison(e),
            };
            let attrs = json!({ "from_logits": self.from_logits, "ignore_class": self.ignore_class });
            let keep = self.keep(&t, &p);
            let losses = named::SPARSE_CATEGORICAL_CROSSENTROPY.apply( attrs, &[t.cast(DType::I32), p], |x| self.surprise(&x[0], &x[1]));
            match keep {
                Some(keep) => keep.select(&losses, &Expr::scalar(0.0f32)),
                None => losses,
            }
        }

        fn keep(&self, t: &Expr, p: &Expr) -> Option<Expr> {
            let ignored = Expr::scalar(self.ignore_class.and_then(|c| i32::try_from(c).ok())?);
            let t = labels("sparse_categorical_crossentropy", self.axis, t, p).ok()?.0;
            Some(t.cast(DType::I32).equal(&ignored).not())
        }

        fn labels(&self, p: &Type) -> Option<Among> {
            let axis = if self.axis < 0 { self.axis + p.shape.rank() as i64 } else { self.axis };
            let classes = p.shape.get(usize::try_from(axis).ok()?)?.as_fixed()?;
            Some(Among::Class(classes, self.ignore_class))
        }
    }
}

impl SparseCategoricalCrossentropy {
    /// Only the probability of the label goes through division, clipping and logarithm: the same bits as all of
    /// them would give, for one logarithm a sample.
    fn surprise(&self, t: &Expr, p: &Expr) -> Expr {
        let (hit, zero) = (at_label(t, p), Expr::scalar(0.0f32));
        let chosen = |e: &Expr| sum_last(&hit.select(e, &zero));
        if self.from_logits {
            return -chosen(&log_softmax(p));
        }
        let log = clip(&(chosen(p) / sum_last(p)), EPSILON, 1.0 - EPSILON).log();
        let count = p.shape().last().and_then(|d| d.as_fixed()).and_then(|n| i32::try_from(n).ok());
        let below = t.less(&Expr::scalar(count.unwrap_or(i32::MAX)));
        t.greater_equal(&Expr::scalar(0i32)).and(&below).select(&-log, &zero)
    }
}
