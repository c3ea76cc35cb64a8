//! Lamb.

use super::adam::{Moments, moment_slots};
use super::{Moment, Optimizer, Slot};
use crate::layer::Variable;
use rhyton_graph::Expr;

crate::optimizer! {
    /// Adam's change `u`, scaled to the size of the weight (You et al. 2019): `w -= rate * |w| / |u| * u`.
    pub struct Lamb("lamb", 0.001) {
        /// Decay of the first moment.
        beta_1: f64 = 0.9,
        /// Decay of the second moment.
        beta_2: f64 = 0.999,
        /// Added to the root of the second moment.
        epsilon: f64 = 1e-7,
    }
}

impl Optimizer for Lamb {
    fn slots(&self, _: &Variable) -> Vec<Slot> {
        moment_slots()
    }

    fn update(&self, at: &Moment, g: &Expr, w: &Expr, slots: &[Expr]) -> (Expr, Vec<Expr>) {
        let [m, v] = slots else { return (w.clone(), slots.to_vec()) };
        let moments = Moments { beta_1: self.beta_1, beta_2: self.beta_2, epsilon: self.epsilon };
        let (m, v) = moments.moved(g, m, v);
        let root = (&v / at.correction(self.beta_2)).sqrt();
        let u = &m / at.correction(self.beta_1) / (root + self.epsilon as f32);
        let (zero, one) = (Expr::scalar(0.0f32), Expr::scalar(1.0f32));
        let norm = |x: &Expr| (x * x).sum_all().sqrt();
        let (of_w, of_u) = (norm(w), norm(&u));
        let both = of_w.greater(&zero).and(&of_u.greater(&zero));
        let ratio = both.select(&(&of_w / both.select(&of_u, &one)), &one);
        (w - u * (ratio * &at.learning_rate), vec![m, v])
    }
}
