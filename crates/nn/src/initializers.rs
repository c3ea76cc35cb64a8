//! How weights start.

use crate::object;
use crate::object::{Handle, Kind, Object, Row};
use rhyton_tensor::rng::Stream;

/// Values of new weights.
pub trait Initialize: Object {
    /// The elements of a weight of `shape`, in row-major order.
    fn values(&self, shape: &[usize], random: &mut Stream) -> Vec<f32>;
}

/// A shared initializer.
pub type Initializer = Handle<dyn Initialize>;

impl<I: Initialize> From<I> for Initializer {
    fn from(i: I) -> Initializer {
        Initializer::new(std::sync::Arc::new(i))
    }
}

impl Kind for dyn Initialize {
    const WHAT: &'static str = "initializer";
    const MODULE: &'static str = "keras.initializers";
    fn rows() -> &'static [Row<dyn Initialize>] {
        ROWS
    }
}

/// The initializers.
pub static ROWS: &[Row<dyn Initialize>] = &[
    Row { class_name: "Zeros", names: &["zeros", "zero"], build: build::<Zeros>, doc: "All zero." },
    Row { class_name: "Ones", names: &["ones", "one"], build: build::<Ones>, doc: "All one." },
];

fn build<I: Initialize + serde::de::DeserializeOwned>(
    config: serde_json::Value,
) -> rhyton_tensor::Result<std::sync::Arc<dyn Initialize>> {
    Ok(std::sync::Arc::new(object::from_fields::<I>(config)?))
}

crate::object! {
    /// All zero.
    pub struct Zeros {}
}
impl Initialize for Zeros {
    fn values(&self, shape: &[usize], _: &mut Stream) -> Vec<f32> {
        vec![0.0; shape.iter().product()]
    }
}

crate::object! {
    /// All one.
    pub struct Ones {}
}
impl Initialize for Ones {
    fn values(&self, shape: &[usize], _: &mut Stream) -> Vec<f32> {
        vec![1.0; shape.iter().product()]
    }
}
