//! Adam and AdamW.

use super::{Moment, Optimizer, Slot, moved};
use crate::layer::Variable;
use rhyton_graph::Expr;

crate::optimizer! {
    /// Running first and second moments of the gradient (Kingma and Ba 2014):
    /// `w -= rate * sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v) + epsilon)`.
    pub struct Adam("adam", 0.001) {
        /// Decay of the first moment.
        beta_1: f64 = 0.9,
        /// Decay of the second moment.
        beta_2: f64 = 0.999,
        /// Added to the root of the second moment.
        epsilon: f64 = 1e-7,
        /// Divides by the largest second moment so far (Reddi et al. 2018).
        amsgrad: bool = false,
    }
}

crate::optimizer! {
    /// [`Adam`] with decoupled weight decay (Loshchilov and Hutter 2017).
    pub struct AdamW("adam_w", 0.001, Some(0.004)) {
        /// Decay of the first moment.
        beta_1: f64 = 0.9,
        /// Decay of the second moment.
        beta_2: f64 = 0.999,
        /// Added to the root of the second moment.
        epsilon: f64 = 1e-7,
        /// Divides by the largest second moment so far (Reddi et al. 2018).
        amsgrad: bool = false,
    }
}

/// Adam's settings, for those that contain it.
pub(super) struct Moments {
    pub(super) beta_1: f64,
    pub(super) beta_2: f64,
    pub(super) epsilon: f64,
}

/// The slots of Adam's moments.
pub(super) fn moment_slots() -> Vec<Slot> {
    vec![Slot::new("momentum"), Slot::new("velocity")]
}

impl Moments {
    /// New first and second moment.
    pub(super) fn moved(&self, g: &Expr, m: &Expr, v: &Expr) -> (Expr, Expr) {
        (moved(m, g, self.beta_1), moved(v, &(g * g), self.beta_2))
    }

    /// Adam's update; a third slot holds the largest second moment so far.
    pub(super) fn update(&self, at: &Moment, g: &Expr, w: &Expr, slots: &[Expr]) -> (Expr, Vec<Expr>) {
        let [m, v, largest @ ..] = slots else { return (w.clone(), slots.to_vec()) };
        let (m, v) = self.moved(g, m, v);
        let alpha = &at.learning_rate * at.correction(self.beta_2).sqrt() / at.correction(self.beta_1);
        let largest = largest.first().map(|l| l.maximum(&v));
        let root = largest.as_ref().unwrap_or(&v).sqrt();
        let w = w - &m * alpha / (root + self.epsilon as f32);
        (w, [Some(m), Some(v), largest].into_iter().flatten().collect())
    }
}

macro_rules! adam {
    ($class:ident) => {
        impl Optimizer for $class {
            fn slots(&self, _: &Variable) -> Vec<Slot> {
                let mut slots = moment_slots();
                if self.amsgrad {
                    slots.push(Slot { group: 1, ..Slot::new("velocity_hat") });
                }
                slots
            }

            fn update(&self, at: &Moment, g: &Expr, w: &Expr, slots: &[Expr]) -> (Expr, Vec<Expr>) {
                let moments = Moments { beta_1: self.beta_1, beta_2: self.beta_2, epsilon: self.epsilon };
                moments.update(at, g, w, slots)
            }
        }
    };
}
adam!(Adam);
adam!(AdamW);
