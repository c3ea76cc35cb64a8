//! Weights that start with known numbers.

use super::Initialize;
use rhyton_tensor::rng::Stream;
use rhyton_tensor::{Error, Result};

crate::object! {
    /// All 0.
    pub struct Zeros {}
}
impl Initialize for Zeros {
    fn values(&self, shape: &[usize], _: &mut Stream) -> Vec<f32> {
        vec![0.0; shape.iter().product()]
    }
}

crate::object! {
    /// All 1.
    pub struct Ones {}
}
impl Initialize for Ones {
    fn values(&self, shape: &[usize], _: &mut Stream) -> Vec<f32> {
        vec![1.0; shape.iter().product()]
    }
}

crate::object! {
    /// All one number.
    pub struct Constant {
        /// The number.
        value: f64 = 0.0,
    }
}

impl Constant {
    /// All `value`.
    pub fn new(value: f64) -> Constant {
        Constant { value }
    }
}

impl Initialize for Constant {
    fn values(&self, shape: &[usize], _: &mut Stream) -> Vec<f32> {
        vec![self.value as f32; shape.iter().product()]
    }
}

crate::object! {
    /// The identity matrix times `gain`.
    pub struct Identity {
        /// The number on the diagonal.
        gain: f64 = 1.0,
    }
}

impl Initialize for Identity {
    fn values(&self, shape: &[usize], _: &mut Stream) -> Vec<f32> {
        let columns = shape.last().copied().unwrap_or(1).max(1);
        let on_diagonal = |i: usize| i / columns == i % columns;
        let n = shape.iter().product();
        (0..n).map(|i| if on_diagonal(i) { self.gain as f32 } else { 0.0 }).collect()
    }

    fn check(&self, shape: &[usize]) -> Result<()> {
        if shape.len() == 2 {
            return Ok(());
        }
        Err(Error::new(format!("Identity cannot start a weight of shape {shape:?}")).expected("a matrix"))
    }
}
