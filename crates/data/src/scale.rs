//! Standardisation with the statistics of the training data.

use crate::check_finite;
use rhyton_tensor::{Error, Result, Tensor};

/// Mean and standard deviation of each feature (last axis), learnt from training data and applied to any other.
/// A tensor with one axis is a single feature.
///
/// The standard deviation is that of the population (divided by n), as in Keras' `Normalization` and
/// scikit-learn's `StandardScaler`. A constant feature is only centred.
///
/// ```
/// use rhyton_data::Standardize;
/// use rhyton_tensor::Tensor;
/// let train = Tensor::new([2, 2], vec![1.0f32, 10.0, 3.0, 10.0])?;
/// let scale = Standardize::fit(&train)?;
/// assert_eq!(scale.apply(&train)?.as_slice::<f32>(), Some(&[-1.0, 0.0, 1.0, 0.0][..]));
/// let test = Tensor::new([1, 2], vec![4.0f32, 11.0])?;
/// assert_eq!(scale.apply(&test)?.as_slice::<f32>(), Some(&[2.0, 1.0][..]));
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Standardize {
    mean: Vec<f64>,
    std: Vec<f64>,
}

impl Standardize {
    /// Learns the statistics of `train`; sums are taken in float64.
    ///
    /// # Errors
    /// Without samples or axes, or when a value is NaN or infinite.
    pub fn fit(train: &Tensor) -> Result<Standardize> {
        let features = feature_count(train)?;
        if train.is_empty() {
            return Err(Error::new(format!("there are no samples in shape {:?}", train.shape()))
                .place("Standardize::fit"));
        }
        check_finite("the training data", train)?;
        let n = (train.len() / features) as f64;
        let value = |i: usize| train.data().get_f64(i);
        let mut mean = vec![0.0; features];
        (0..train.len()).for_each(|i| mean[i % features] += value(i) / n);
        let mut variance = vec![0.0; features];
        (0..train.len()).for_each(|i| variance[i % features] += (value(i) - mean[i % features]).powi(2) / n);
        // Below this a spread is the rounding error of the mean: dividing by it would only blow that up.
        let spread = |(v, m): (&f64, &f64)| if v.sqrt() <= 1e-12 * m.abs() { 1.0 } else { v.sqrt() };
        let std = variance.iter().zip(&mean).map(spread).collect();
        Ok(Standardize { mean, std })
    }

    /// `(x - mean) / std` in float32.
    ///
    /// # Errors
    /// When `x` has another number of features.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        self.map(x, |v, mean, std| (v - mean) / std)
    }

    /// `x * std + mean` in float32: takes a prediction back to its original units.
    ///
    /// # Errors
    /// When `x` has another number of features.
    ///
    /// ```
    /// use rhyton_data::Standardize;
    /// use rhyton_tensor::Tensor;
    /// let scale = Standardize::fit(&Tensor::vector(vec![2.0f32, 6.0]))?;
    /// assert_eq!(scale.invert(&Tensor::vector(vec![1.0f32]))?.as_slice::<f32>(), Some(&[6.0][..]));
    /// # Ok::<(), rhyton_tensor::Error>(())
    /// ```
    pub fn invert(&self, x: &Tensor) -> Result<Tensor> {
        self.map(x, |v, mean, std| v * std + mean)
    }

    /// The mean of each feature.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// The divisor of each feature: its standard deviation, or 1 where it is constant.
    pub fn std(&self) -> &[f64] {
        &self.std
    }

    fn map(&self, x: &Tensor, f: impl Fn(f64, f64, f64) -> f64) -> Result<Tensor> {
        // One feature applies to any shape, so that predictions [n, 1] of a series [n] can be taken back.
        if self.mean.len() != 1 && feature_count(x)? != self.mean.len() {
            return Err(Error::new(format!("the data has shape {:?}", x.shape()))
                .place("Standardize")
                .expected(format!(
                    "{} features on the last axis, as in the training data",
                    self.mean.len()
                )));
        }
        let stats = self.mean.iter().zip(&self.std).cycle();
        let out = stats.take(x.len()).enumerate();
        let out = out.map(|(i, (mean, std))| f(x.data().get_f64(i), *mean, *std) as f32).collect();
        Tensor::new(x.shape(), out)
    }
}

fn feature_count(x: &Tensor) -> Result<usize> {
    match x.shape() {
        [] => Err(Error::new("a scalar has no features").place("Standardize")),
        [_] => Ok(1),
        [.., features] => Ok((*features).max(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhyton_tensor::rng::Stream;

    #[test]
    fn applied_to_its_own_data_it_gives_mean_zero_and_spread_one_and_inverts() {
        let mut random = Stream::new(1, 0, 0);
        let x = Tensor::from_fn([50, 4, 3], |i| random.normal() * (i % 3 + 1) as f32 + 100.0);
        let scale = Standardize::fit(&x).unwrap();
        let z = scale.apply(&x).unwrap();
        let again = Standardize::fit(&z).unwrap();
        for (m, s) in again.mean().iter().zip(again.std()) {
            assert!(m.abs() < 1e-5 && (s - 1.0).abs() < 1e-5, "{m} {s}");
        }
        let back = scale.invert(&z).unwrap().to_vec::<f32>();
        assert!(back.iter().zip(x.to_vec::<f32>()).all(|(a, b)| (a - b).abs() < 1e-4));
    }

    #[test]
    fn constant_features_stay_finite() {
        let x = Tensor::new([7, 2], vec![0.1f32; 14]).unwrap();
        let z = Standardize::fit(&x).unwrap().apply(&x).unwrap().to_vec::<f32>();
        assert!(z.iter().all(|v| v.abs() < 1e-6), "{z:?}");
    }

    #[test]
    fn bad_data_and_other_widths_are_errors() {
        assert!(Standardize::fit(&Tensor::scalar(1.0f32)).is_err());
        assert!(Standardize::fit(&Tensor::new([0, 3], Vec::<f32>::new()).unwrap()).is_err());
        assert!(Standardize::fit(&Tensor::new([3, 0], Vec::<f32>::new()).unwrap()).is_err());
        assert!(Standardize::fit(&Tensor::vector(vec![1.0, f32::NAN])).is_err());
        let scale = Standardize::fit(&Tensor::from_fn([4, 2], |i| i as f32)).unwrap();
        let e = scale.apply(&Tensor::from_fn([4, 3], |i| i as f32)).unwrap_err();
        assert!(e.to_string().contains("2 features on the last axis"), "{e}");
    }
}
