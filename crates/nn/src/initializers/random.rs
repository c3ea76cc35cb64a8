//! Random weights of a given spread.

use super::{Initialize, Seed};
use rhyton_tensor::rng::Stream;

pub(super) fn uniform(n: usize, low: f64, high: f64, random: &mut Stream) -> Vec<f32> {
    (0..n).map(|_| (low + (high - low) * f64::from(random.uniform())) as f32).collect()
}

pub(super) fn normal(n: usize, mean: f64, deviation: f64, random: &mut Stream) -> Vec<f32> {
    (0..n).map(|_| (mean + deviation * f64::from(random.normal())) as f32).collect()
}

/// Numbers further than two deviations from the mean are drawn again.
pub(super) fn truncated(n: usize, mean: f64, deviation: f64, random: &mut Stream) -> Vec<f32> {
    let mut draw = || loop {
        let z = f64::from(random.normal());
        if z.abs() <= 2.0 {
            return (mean + deviation * z) as f32;
        }
    };
    (0..n).map(|_| draw()).collect()
}

crate::object! {
    /// Normal numbers.
    pub struct RandomNormal {
        /// A seed of its own.
        seed: Seed = Seed::default(),
        /// The mean.
        mean: f64 = 0.0,
        /// The standard deviation.
        stddev: f64 = 0.05,
    }
}
impl Initialize for RandomNormal {
    fn values(&self, shape: &[usize], random: &mut Stream) -> Vec<f32> {
        self.seed.with(random, |r| normal(shape.iter().product(), self.mean, self.stddev, r))
    }
}

crate::object! {
    /// Numbers evenly between two others.
    pub struct RandomUniform {
        /// A seed of its own.
        seed: Seed = Seed::default(),
        /// The smallest.
        minval: f64 = -0.05,
        /// The largest.
        maxval: f64 = 0.05,
    }
}
impl Initialize for RandomUniform {
    fn values(&self, shape: &[usize], random: &mut Stream) -> Vec<f32> {
        self.seed.with(random, |r| uniform(shape.iter().product(), self.minval, self.maxval, r))
    }
}

crate::object! {
    /// Normal numbers within two standard deviations of the mean.
    pub struct TruncatedNormal {
        /// A seed of its own.
        seed: Seed = Seed::default(),
        /// The mean.
        mean: f64 = 0.0,
        /// The standard deviation before cutting.
        stddev: f64 = 0.05,
    }
}
impl Initialize for TruncatedNormal {
    fn values(&self, shape: &[usize], random: &mut Stream) -> Vec<f32> {
        self.seed.with(random, |r| truncated(shape.iter().product(), self.mean, self.stddev, r))
    }
}
