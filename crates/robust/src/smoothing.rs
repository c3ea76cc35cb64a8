//! [`Smoothed`]: a model that votes over noise, and how far its vote surely holds.

use rhyton_model::Model;
use rhyton_tensor::rng::Stream;
use rhyton_tensor::statistics::{least_share, normal_quantile};
use rhyton_tensor::{DType, Error, Result, Tensor};

/// What a model says of most noisy copies of an input (Cohen, Rosenfeld, Kolter 2019), with the Euclidean distance within
/// which no change of the input changes that: `sigma / 2 (q(p) - q(1 - p)) = sigma q(p)`, where `q` is the normal
/// quantile and `p` the least share of the votes that Clopper and Pearson's bound allows.
///
/// ```
/// # use rhyton_robust::Smoothed;
/// # use rhyton_model::Sequential;
/// # use rhyton_nn::layers::Dense;
/// # let reference = std::sync::Arc::<rhyton_graph::reference::ReferenceBackend>::default();
/// # rhyton_model::backend::set_backend(reference);
/// let model = Sequential::new([2]).add(Dense::new(2).softmax()).build()?;
/// let x = rhyton_tensor::Tensor::new([1, 2], vec![5.0f32, 0.0])?;
/// let certified = Smoothed::new(&model, 0.25).copies(10, 100).certify(&x)?;
/// println!("{:?} within {}", certified[0].class, certified[0].radius);
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
pub struct Smoothed<'m> {
    model: &'m Model,
    sigma: f64,
    first: usize,
    copies: usize,
    alpha: f64,
    batch_size: usize,
    seed: u32,
}

/// What a smoothed model surely says of an input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Vote {
    /// The class; none where too few copies agree.
    pub class: Option<usize>,
    /// The Euclidean distance within which it holds.
    pub radius: f64,
}

impl<'m> Smoothed<'m> {
    /// Noise of this standard deviation; 100 copies choose the class and 10,000 count its votes, with an error
    /// probability of 0.001.
    pub fn new(model: &'m Model, sigma: f64) -> Smoothed<'m> {
        Smoothed { model, sigma, first: 100, copies: 10_000, alpha: 0.001, batch_size: 256, seed: 0 }
    }

    /// How many copies choose the class, and how many count its votes.
    pub fn copies(mut self, first: usize, copies: usize) -> Self {
        (self.first, self.copies) = (first, copies);
        self
    }

    /// The probability with which a certificate may be wrong.
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// Seed of the noise.
    pub fn seed(mut self, seed: u32) -> Self {
        self.seed = seed;
        self
    }

    /// The certificate of each sample.
    ///
    /// # Errors
    /// When the input does not fit the model, or a setting is out of range.
    pub fn certify(&self, x: &Tensor) -> Result<Vec<Vote>> {
        let positive = self.sigma > 0.0 && self.sigma.is_finite();
        if !positive || self.copies == 0 || self.first == 0 || !(self.alpha > 0.0 && self.alpha < 1.0) {
            return Err(Error::new(format!(
                "sigma={}, copies={}, {}, alpha={}",
                self.sigma, self.first, self.copies, self.alpha
            ))
            .expected("noise and copies above 0, an error probability between 0 and 1"));
        }
        let samples = x.shape().first().copied().unwrap_or(0);
        (0..samples).map(|i| self.certify_one(&x.slice_rows(i..i + 1)?, i)).collect()
    }

    fn certify_one(&self, x: &Tensor, sample: usize) -> Result<Vote> {
        let mut noise = Stream::new(u64::from(self.seed), sample as u32, 0);
        let chosen = self.votes(x, self.first, &mut noise)?;
        let class = (0..chosen.len()).rev().max_by_key(|k| chosen[*k]).unwrap_or(0);
        let votes = self.votes(x, self.copies, &mut noise)?;
        let share = least_share(votes.get(class).copied().unwrap_or(0), self.copies, self.alpha);
        match share > 0.5 {
            true => Ok(Vote { class: Some(class), radius: radius(self.sigma, share) }),
            false => Ok(Vote { class: None, radius: 0.0 }),
        }
    }

    /// How many of `n` noisy copies are taken for each class.
    fn votes(&self, x: &Tensor, n: usize, noise: &mut Stream) -> Result<Vec<usize>> {
        let values = x.try_cast(DType::F32)?.to_vec::<f32>();
        let mut votes = vec![];
        for first in (0..n).step_by(self.batch_size) {
            let rows = self.batch_size.min(n - first);
            let copies = (0..rows * values.len())
                .map(|i| values[i % values.len()] + self.sigma as f32 * noise.normal());
            let shape = [&[rows], &x.shape()[1..]].concat();
            let copies = Tensor::new(shape, copies.collect::<Vec<f32>>())?;
            let scores = self.model.predict_all(&copies, self.batch_size)?.swap_remove(0);
            let classes = scores.len() / rows;
            votes.resize(classes.max(2), 0);
            for row in scores.to_vec::<f32>().chunks(classes.max(1)) {
                let class = if classes == 1 { usize::from(row[0] > 0.5) } else { largest(row) };
                votes[class] += 1;
            }
        }
        Ok(votes)
    }
}

/// The distance within which a vote with this least share holds (Cohen et al. 2019, with `p_B = 1 - p_A`).
pub fn radius(sigma: f64, share: f64) -> f64 {
    sigma / 2.0 * (normal_quantile(share) - normal_quantile(1.0 - share))
}

/// The place of the first largest value.
pub(crate) fn largest(row: &[f32]) -> usize {
    (0..row.len()).rev().max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_radius_is_the_closed_form() {
        for (sigma, share) in [(0.25, 0.9), (0.5, 0.999), (1.0, 0.6)] {
            assert!((radius(sigma, share) - sigma * normal_quantile(share)).abs() < 1e-9);
        }
        // All of 100,000 copies with alpha 0.001, sigma 0.25: the largest radius of Cohen et al.'s figures.
        let most = radius(0.25, least_share(100_000, 100_000, 0.001));
        assert!((most - 0.9524).abs() < 1e-3, "{most}");
    }
}
