//! Split conformal prediction: sets and intervals that hold the truth as often as promised (Vovk et al. 2005; Angelopoulos,
//! Bates 2021), whatever the model, as long as samples are exchangeable.

use rhyton_tensor::{Error, Result, Tensor};

/// What samples that training has not seen say of errors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conformal {
    /// The error that at most a share `alpha` of further samples exceed.
    pub threshold: f64,
}

impl Conformal {
    /// From errors of calibration samples: the `ceil((n + 1) (1 - alpha))`-th smallest.
    ///
    /// # Errors
    /// When `alpha` is no share or there are no samples.
    pub fn new(mut errors: Vec<f64>, alpha: f64) -> Result<Conformal> {
        if errors.is_empty() || !(alpha > 0.0 && alpha < 1.0) {
            return Err(Error::new(format!("{} samples and alpha={alpha}", errors.len()))
                .expected("samples, and a share between 0 and 1"));
        }
        errors.sort_by(f64::total_cmp);
        let rank = ((errors.len() + 1) as f64 * (1.0 - alpha) - 1e-9).ceil() as usize;
        // Of too few samples nothing follows: everything may be true.
        let threshold = errors.get(rank.max(1) - 1).copied().unwrap_or(f64::INFINITY);
        Ok(Conformal { threshold })
    }

    /// For sets of classes, from probabilities `[samples, classes]` and labels: the error is `1 - p` of the label.
    ///
    /// # Errors
    /// When shapes do not fit or a label is none of the classes.
    pub fn of_classes(probabilities: &Tensor, labels: &Tensor, alpha: f64) -> Result<Conformal> {
        let [n, k] = probabilities.shape() else {
            return Err(Error::new(format!("probabilities of shape {:?}", probabilities.shape()))
                .expected("[samples, classes]"));
        };
        let labels = rhyton_model::program::class_labels(labels, *n, *k)?.to_vec::<i32>();
        let p = probabilities.to_vec::<f64>();
        let errors = p.chunks((*k).max(1)).zip(labels).map(|(row, label)| 1.0 - row[label as usize]);
        Conformal::new(errors.collect(), alpha)
    }

    /// For intervals around predicted numbers: the error is the distance.
    ///
    /// # Errors
    /// When the numbers of predictions and targets differ.
    pub fn of_numbers(predicted: &Tensor, targets: &Tensor, alpha: f64) -> Result<Conformal> {
        if predicted.len() != targets.len() {
            return Err(Error::new(format!("{} predictions and {} targets", predicted.len(), targets.len())));
        }
        let errors =
            predicted.to_vec::<f64>().into_iter().zip(targets.to_vec::<f64>()).map(|(p, t)| (p - t).abs());
        Conformal::new(errors.collect(), alpha)
    }

    /// The classes that may be true of each sample.
    pub fn sets(&self, probabilities: &Tensor) -> Vec<Vec<usize>> {
        let k = probabilities.shape().last().copied().unwrap_or(1).max(1);
        let may = |row: &[f64]| (0..row.len()).filter(|c| 1.0 - row[*c] <= self.threshold).collect();
        probabilities.to_vec::<f64>().chunks(k).map(may).collect()
    }

    /// The interval around each predicted number.
    pub fn intervals(&self, predicted: &Tensor) -> Vec<(f64, f64)> {
        predicted.to_vec::<f64>().into_iter().map(|p| (p - self.threshold, p + self.threshold)).collect()
    }
}
