//! [`Norm`]: how large a perturbation is.

use rhyton_graph::Expr;
use rhyton_model::program::{per_sample, sample_axes};
use serde::{Deserialize, Serialize};

/// What the size of a perturbation is measured in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Norm {
    /// The largest change of a value.
    #[default]
    #[serde(rename = "inf", alias = "linf", alias = "Linf")]
    Inf,
    /// The Euclidean length.
    #[serde(rename = "2", alias = "l2", alias = "L2")]
    L2,
    /// The sum of all changes.
    #[serde(rename = "1", alias = "l1", alias = "L1")]
    L1,
}

impl rhyton_nn::Setting<Norm> for Norm {
    fn setting(self) -> Norm {
        self
    }
}

impl Norm {
    /// The size of each sample's perturbation: `[batch, ..]` to `[batch]`.
    pub fn of(self, delta: &Expr) -> Expr {
        let axes = sample_axes(delta);
        match self {
            Norm::Inf => delta.abs().max(&axes),
            Norm::L2 => (delta * delta).sum(&axes).sqrt(),
            Norm::L1 => delta.abs().sum(&axes),
        }
    }

    /// The size of a perturbation on the host.
    pub fn of_values(self, delta: impl Iterator<Item = f32>) -> f32 {
        match self {
            Norm::Inf => delta.fold(0.0, |a, d| d.abs().max(a)),
            Norm::L2 => delta.fold(0.0f64, |a, d| a + f64::from(d) * f64::from(d)).sqrt() as f32,
            Norm::L1 => delta.fold(0.0f64, |a, d| a + f64::from(d.abs())) as f32,
        }
    }

    /// The perturbation brought back to at most `eps` (a number, or one for each sample): elements are cut for `Inf`,
    /// all are scaled alike otherwise.
    pub fn shrink(self, delta: &Expr, eps: &Expr) -> Expr {
        let eps = if eps.rank() == 1 { per_sample(eps, delta) } else { eps.clone() };
        match self {
            Norm::Inf => delta.maximum(&-&eps).minimum(&eps),
            Norm::L2 | Norm::L1 => {
                let factor = (eps / per_sample(&self.of(delta), delta)).minimum(&Expr::scalar(1.0f32));
                // A perturbation of size 0 stays: the factor would be infinite or NaN.
                delta.equal(&delta.zeros_like()).select(delta, &(delta * factor))
            }
        }
    }
}
