//! The coefficient of determination.

use super::confusion::numbers;
use super::{Metric, metric, poisoned, zeros};
use crate::losses::align;
use crate::losses::check::mismatch;
use rhyton_graph::{Expr, Type};
use rhyton_tensor::{DType, Error, Result, Tensor};

metric! {
    /// `1 - sum((t - p)^2) / sum((t - mean t)^2)`: the part of the variance that predictions explain.
    pub struct R2Score("r2_score") {
        /// How several outputs become one figure: `uniform_average` or `variance_weighted_average`.
        class_aggregation: String = "uniform_average".into(),
        /// Number of inputs, for the adjusted figure; 0 for the plain one.
        num_regressors: usize = 0,
    }
}

impl Metric for R2Score {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn start(&self, y_pred: &Type) -> Result<Vec<Tensor>> {
        let n = y_pred.shape.last().and_then(|d| d.as_fixed()).unwrap_or(0);
        // Number of samples; sums of squares, of values, of squared errors, of weights.
        zeros(&[&[], &[n], &[n], &[n], &[n]])
    }

    fn update(&self, state: &[Expr], t: &Expr, p: &Expr, weight: Option<&Expr>) -> Vec<Expr> {
        let (t, p) = align(&t.cast(DType::F32), &p.cast(DType::F32));
        if p.rank() != 2 || t.shape() != p.shape() {
            let error = mismatch("r2_score", &t, &p).expected("[batch, values] for both");
            return poisoned(state, Expr::poison(error));
        }
        let weight = weight.map_or_else(|| Expr::scalar(1.0f32), |w| w.cast(DType::F32));
        let weight = if weight.rank() == 1 { weight.expand_dims(&[1]) } else { weight };
        let w = weight.broadcast_to(t.shape().clone());
        let (weighted, d) = (&t * &w, &t - &p);
        let size = Expr::size(&t.shape().elements());
        let sums = [&t * &weighted, weighted, &d * &d * &w, w].map(|e| e.sum(&[0]));
        state.iter().zip(std::iter::once(size).chain(sums)).map(|(old, new)| old + new).collect()
    }

    fn result(&self, state: &[Tensor]) -> f64 {
        let [n, squares, sum, residual, count] = [0, 1, 2, 3, 4].map(|i| numbers(state, i));
        let total: Vec<f64> = (0..sum.len()).map(|i| squares[i] - sum[i] * sum[i] / count[i]).collect();
        let score = |i: usize| {
            let raw = 1.0 - residual[i] / total[i];
            if raw.is_infinite() { 0.0 } else { raw }
        };
        let scores = (0..total.len()).map(score);
        let r2 = if self.class_aggregation == "variance_weighted_average" {
            scores.zip(&total).map(|(s, t)| s * t).sum::<f64>() / total.iter().sum::<f64>()
        } else {
            scores.sum::<f64>() / total.len().max(1) as f64
        };
        let (n, k) = (n.first().copied().unwrap_or(0.0), self.num_regressors as f64);
        // With too few samples for the adjustment, the plain figure.
        if self.num_regressors == 0 || k >= n - 1.0 {
            r2
        } else {
            1.0 - (1.0 - r2) * (n - 1.0) / (n - k - 1.0)
        }
    }

    fn larger_is_better(&self) -> Option<bool> {
        Some(true)
    }

    fn check(&self) -> Result<()> {
        if matches!(self.class_aggregation.as_str(), "uniform_average" | "variance_weighted_average") {
            return Ok(());
        }
        Err(Error::new(format!("R2Score got class_aggregation='{}'", self.class_aggregation))
            .expected("uniform_average or variance_weighted_average"))
    }
}
