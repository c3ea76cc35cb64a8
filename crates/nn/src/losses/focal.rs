//! Crossentropies that weigh samples by how hard they are.

use super::check::{axis_last, mean_last, paired, sum_last};
use super::crossentropy::{at_label, binary, classes, labels, probabilities, smoothed};
use super::loss;
use crate::functions::{sigmoid, softmax};
use rhyton_graph::{Expr, named};
use rhyton_tensor::DType;
use serde_json::json;

/// `x ^ power`, cheap and with a gradient at 0 for squares.
fn power(x: &Expr, power: f64) -> Expr {
    if power == 2.0 { x * x } else { x.pow(&Expr::scalar(power as f32)) }
}

loss! {
    /// Mean over `axis` of `(1 - q)^gamma` times the binary crossentropy, `q` being the probability of the target
    /// (Lin et al. 2017).
    pub struct BinaryFocalCrossentropy("binary_focal_crossentropy") {
        /// Predictions are logits, without a sigmoid.
        from_logits: bool = false,
        /// Moves targets towards 0.5 by this part.
        label_smoothing: f64 = 0.0,
        /// The axis of the mean.
        axis: i64 = -1,
        /// Weighs targets by `alpha` (1) and `1 - alpha` (0).
        apply_class_balancing: bool = false,
        /// See `apply_class_balancing`.
        alpha: f64 = 0.25,
        /// How little easy samples count.
        gamma: f64 = 2.0,
    }
    impl {
        fn losses(&self, t: &Expr, p: &Expr) -> Expr {
            let name = named::BINARY_FOCAL_CROSSENTROPY.name;
            let (t, p) = match (axis_last(name, self.axis, t), axis_last(name, self.axis, p)) {
                (Ok(t), Ok(p)) => (t, p),
                (Err(e), _) | (_, Err(e)) => return Expr::poison(e),
            };
            let attrs = json!({
                "from_logits": self.from_logits, "label_smoothing": self.label_smoothing,
                "apply_class_balancing": self.apply_class_balancing, "alpha": self.alpha, "gamma": self.gamma,
            });
            paired(&named::BINARY_FOCAL_CROSSENTROPY, attrs, &t, &p, |t, p| {
                let t = smoothed(t, self.label_smoothing, &Expr::scalar(2.0f32));
                let p = if self.from_logits { sigmoid(p) } else { p.clone() };
                let q = &t * &p + (1.0 - &t) * (1.0 - &p);
                let focal = power(&(1.0 - q), self.gamma) * binary(&t, &p);
                let alpha = self.alpha as f32;
                mean_last(&if self.apply_class_balancing {
                    (&t * alpha + (1.0 - &t) * (1.0 - alpha)) * focal
                } else {
                    focal
                })
            })
        }
    }
}

loss! {
    /// `sum(alpha (1 - p)^gamma * -t log p)` over `axis`, with one-hot targets.
    pub struct CategoricalFocalCrossentropy("categorical_focal_crossentropy") {
        /// Predictions are logits, without a softmax.
        from_logits: bool = false,
        /// Moves targets towards equal shares by this part.
        label_smoothing: f64 = 0.0,
        /// The axis of the classes.
        axis: i64 = -1,
        /// Weight of all classes.
        alpha: f64 = 0.25,
        /// How little easy samples count.
        gamma: f64 = 2.0,
    }
    impl {
        fn losses(&self, t: &Expr, p: &Expr) -> Expr {
            let name = named::CATEGORICAL_FOCAL_CROSSENTROPY.name;
            let (t, p) = match (axis_last(name, self.axis, t), axis_last(name, self.axis, p)) {
                (Ok(t), Ok(p)) => (t, p),
                (Err(e), _) | (_, Err(e)) => return Expr::poison(e),
            };
            let attrs = json!({
                "from_logits": self.from_logits, "label_smoothing": self.label_smoothing,
                "alpha": self.alpha, "gamma": self.gamma,
            });
            paired(&named::CATEGORICAL_FOCAL_CROSSENTROPY, attrs, &t, &p, |t, p| {
                let t = smoothed(t, self.label_smoothing, &classes(t));
                let p = probabilities(&if self.from_logits { softmax(p) } else { p.clone() });
                let weight = power(&(1.0 - &p), self.gamma) * self.alpha as f32;
                -sum_last(&(weight * t * p.log()))
            })
        }
    }
}

loss! {
    /// `(1 - p[t]^q) / q` for labels `t` (Zhang and Sabuncu 2018): between crossentropy (`q` near 0) and mean
    /// absolute error (`q` 1), so that wrong labels pull less.
    pub struct CategoricalGeneralizedCrossEntropy("categorical_generalized_cross_entropy") {
        /// Robustness, above 0 and at most 1.
        q: f64 = 0.5,
    }
    impl {
        fn losses(&self, t: &Expr, p: &Expr) -> Expr {
            let name = named::CATEGORICAL_GENERALIZED_CROSS_ENTROPY.name;
            let (t, p) = match labels(name, -1, t, p) {
                Ok(both) => both,
                Err(e) => return Expr::poison(e),
            };
            named::CATEGORICAL_GENERALIZED_CROSS_ENTROPY.apply( json!({ "q": self.q }), &[t.cast(DType::I32), p], |x| {
                let chosen = sum_last(&at_label(&x[0], &x[1]).select(&x[1], &Expr::scalar(0.0f32)));
                (1.0 - power(&chosen, self.q)) / Expr::scalar(self.q as f32)
            })
        }
    }
}
