//! Muon.

use super::adam::Moments;
use super::{Moment, Optimizer, Slot, out_of_range};
use crate::layer::Variable;
use crate::object::Setting;
use rhyton_graph::Expr;
use rhyton_tensor::Result;

/// Newton-Schulz steps are written out, each for every matrix; five are usual.
const MOST_STEPS: usize = 100;

impl Setting<Vec<String>> for Vec<String> {
    fn setting(self) -> Vec<String> {
        self
    }
}

crate::optimizer! {
    /// Matrices change along their momentum with all singular values made about equal by Newton-Schulz steps
    /// (Jordan et al. 2024; Liu et al. 2025 for the scale); everything else follows Adam.
    pub struct Muon("muon", 0.001, Some(0.004)) {
        /// Adam's decay of the first moment.
        adam_beta_1: f64 = 0.9,
        /// Adam's decay of the second moment.
        adam_beta_2: f64 = 0.999,
        /// Added to the root of Adam's second moment.
        epsilon: f64 = 1e-7,
        /// Weights whose path contains one of these follow Adam.
        exclude_layers: Vec<String> = vec![],
        /// Coefficient of `x` in a Newton-Schulz step.
        muon_a: f64 = 3.4445,
        /// Coefficient of `x x' x`.
        muon_b: f64 = -4.775,
        /// Coefficient of `x x' x x' x`.
        muon_c: f64 = 2.0315,
        /// Adam's rate in units of the learning rate.
        adam_lr_ratio: f64 = 1.0,
        /// Decay of the momentum of matrices.
        momentum: f64 = 0.95,
        /// Number of Newton-Schulz steps.
        ns_steps: usize = 5,
        /// Looks ahead along the momentum.
        nesterov: bool = true,
        /// Weights with `embedding` in their path follow Adam.
        exclude_embeddings: bool = true,
        /// Adam's weight decay.
        adam_weight_decay: Option<f64> = Some(0.004),
        /// Scales changes to this root mean square.
        rms_rate: Option<f64> = Some(0.2),
    }
}

impl Muon {
    fn follows_adam(&self, v: &Variable) -> bool {
        v.weight.shape.rank() != 2
            || self.exclude_embeddings && v.path.to_lowercase().contains("embedding")
            || self.exclude_layers.iter().any(|part| v.path.contains(part.as_str()))
    }

    /// A matrix with the same singular vectors and singular values near 1.
    fn orthogonalised(&self, x: &Expr) -> Expr {
        let tall = match (x.shape().first(), x.shape().get(1)) {
            (Some(rows), Some(columns)) => rows.as_fixed() > columns.as_fixed(),
            _ => false,
        };
        let turned = |x: &Expr| if tall { x.transpose(&[1, 0]) } else { x.clone() };
        let x = turned(x);
        let norm = (&x * &x).sum_all().sqrt() + 1e-7;
        let (a, b, c) = (self.muon_a as f32, self.muon_b as f32, self.muon_c as f32);
        let x = (0..self.ns_steps).fold(x / norm, |x, _| {
            let square = x.matmul(&x.transpose(&[1, 0]));
            let polynomial = &square * b + (&square * c).matmul(&square);
            &x * a + polynomial.matmul(&x)
        });
        turned(&x)
    }
}

impl Optimizer for Muon {
    fn slots(&self, of: &Variable) -> Vec<Slot> {
        let mut slots = vec![Slot::new("momentum")];
        if self.follows_adam(of) {
            slots.push(Slot::new("velocity"));
        }
        slots
    }

    fn update(&self, at: &Moment, g: &Expr, w: &Expr, slots: &[Expr]) -> (Expr, Vec<Expr>) {
        let [m] = slots else {
            let adam = Moments { beta_1: self.adam_beta_1, beta_2: self.adam_beta_2, epsilon: self.epsilon };
            let learning_rate = &at.learning_rate * self.adam_lr_ratio as f32;
            return adam.update(&Moment { learning_rate, ..at.clone() }, g, w, slots);
        };
        let m = m * self.momentum as f32 + g;
        let ahead = if self.nesterov { g + &m * self.momentum as f32 } else { m.clone() };
        let longer = w.shape().iter().filter_map(|d| d.as_fixed()).max().unwrap_or(1);
        let scale = self.rms_rate.map_or(1.0, |rate| (longer as f64).sqrt() * rate);
        (w - self.orthogonalised(&ahead) * &at.learning_rate * scale as f32, vec![m])
    }

    fn check(&self) -> Result<()> {
        if (1..=MOST_STEPS).contains(&self.ns_steps) {
            return Ok(());
        }
        Err(out_of_range("Muon", "ns_steps", self.ns_steps, &format!("1 to {MOST_STEPS}")))
    }

    fn decay(&self, of: &Variable) -> Option<f64> {
        if self.follows_adam(of) { self.adam_weight_decay } else { self.common.weight_decay }
    }
}
