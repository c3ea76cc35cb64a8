//! int8 arithmetic for predicting: weights are rounded once, inputs as they come, and products are sums of whole
//! numbers. `Model::quantize` turns a trained model into one that computes this way.

mod config;
mod product;

pub use config::QuantizationConfig;
pub use product::scale_of;
pub(crate) use product::{embedding, pays, product};

use crate::layer::Layer;
use rhyton_graph::{Expr, named};
use rhyton_tensor::{DType, Error, Result, Tensor, memory};
use serde_json::{Value as Json, json};
use std::sync::Arc;

/// Added to the largest magnitude, so that zeros can be scaled.
const EPSILON: f32 = 1e-7;
/// The largest quantized number.
const LARGEST: f32 = 127.0;

/// How a layer's arithmetic is quantized.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Quantization {
    /// Weights and inputs as int8.
    Int8,
}

impl Quantization {
    /// The mode with Keras's name.
    ///
    /// # Errors
    /// When it is not `int8`.
    pub fn named(mode: &str) -> Result<Quantization> {
        match mode {
            "int8" => Ok(Quantization::Int8),
            "int4" | "float8" | "gptq" | "awq" => {
                Err(Error::new(format!("quantization to {mode} is not supported")).expected("int8"))
            }
            _ => Err(Error::new(format!("there is no quantization '{mode}'")).expected("int8")),
        }
    }

    /// What Keras writes as a layer's `dtype`.
    pub fn policy(self) -> Json {
        let config = json!({ "mode": "int8", "source_name": "float32" });
        json!({
            "module": "keras", "class_name": "QuantizedDTypePolicy", "config": config, "registered_name": null
        })
    }

    /// The mode in a layer's `dtype`: a record, or a name like `int8_from_float32`.
    ///
    /// # Errors
    /// When the mode is one that Keras knows and this library does not.
    pub fn of_policy(dtype: &Json) -> Result<Option<Quantization>> {
        let mode = dtype["config"]["mode"].as_str();
        let named = || dtype.as_str().and_then(|name| Some(name.split_once("_from_")?.0));
        mode.or_else(named).map(Quantization::named).transpose()
    }
}

/// A copy of a layer that computes in `mode`.
pub(crate) fn in_mode<L: Layer + Clone>(layer: &L, mode: Quantization) -> Option<Arc<dyn Layer>> {
    let mut new = layer.clone();
    new.base_mut().quantization = Some(mode);
    Some(Arc::new(new))
}

/// `x` in whole numbers from -127 to 127, scaled so that the largest magnitude over `axes` becomes 127, and the scale,
/// with these axes of size 1: Keras's `abs_max_quantize`. Zeros get the scale `127 / 1e-7`. With NaN or an infinite
/// number among them all become 0 and the scale NaN or 0, so that what is computed from them is NaN.
#[track_caller]
pub fn abs_max_quantize(x: &Expr, axes: &[usize]) -> (Expr, Expr) {
    let x = x.cast(DType::F32);
    let [rounded, scale] = named::ABS_MAX_QUANTIZE.apply_all(json!({ "axes": axes }), &[x], |p| {
        let largest = p[0].abs().max(axes).expand_dims(axes);
        let scale = LARGEST / (largest + EPSILON);
        let (low, high) = (Expr::scalar(-LARGEST), Expr::scalar(LARGEST));
        [(&p[0] * &scale).round().maximum(&low).minimum(&high).cast(DType::I8), scale]
    });
    (rounded, scale)
}

/// The same for a weight, with one scale for each entry along the axis `kept`.
///
/// # Errors
/// When the weight holds NaN or infinite numbers.
pub fn quantize_weight(weight: &Tensor, kept: usize) -> Result<(Tensor, Tensor)> {
    let weight = weight.try_cast(DType::F32)?;
    let values = weight.as_slice::<f32>().unwrap_or_default();
    if values.iter().any(|x| !x.is_finite()) {
        return Err(Error::new("a weight that holds NaN or infinite numbers cannot be quantized")
            .fix("quantize a model whose training went well"));
    }
    let Some(size) = weight.shape().get(kept).copied() else {
        return Err(Error::new(format!("a weight of shape {:?} has no axis {kept}", weight.shape())));
    };
    let inner: usize = weight.shape()[kept + 1..].iter().product();
    let at = |i: usize| i / inner.max(1) % size.max(1);
    let mut scale = vec![0.0f32; size];
    values.iter().enumerate().for_each(|(i, x)| scale[at(i)] = scale[at(i)].max(x.abs()));
    scale.iter_mut().for_each(|s| *s = LARGEST / (*s + EPSILON));
    let round = |(i, x): (usize, &f32)| (x * scale[at(i)]).round_ties_even().clamp(-LARGEST, LARGEST) as i8;
    let mut rounded = memory::room(values.len())?;
    rounded.extend(values.iter().enumerate().map(round));
    Ok((Tensor::new(weight.shape(), rounded)?, Tensor::vector(scale)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhyton_graph::eval;

    fn quantized(x: &Tensor) -> (Vec<i8>, Vec<f32>) {
        let made =
            eval(|p| <[Expr; 2]>::from(abs_max_quantize(&p[0], &[1])).to_vec(), std::slice::from_ref(x));
        let made = made.unwrap();
        (made[0].to_vec(), made[1].to_vec())
    }

    #[test]
    fn rows_fill_the_range() {
        let x = Tensor::new([2, 3], vec![0.5f32, -1.0, 0.25, 3.0, 0.0, 30.0]).unwrap();
        let (q, scale) = quantized(&x);
        assert_eq!(q, [63, -127, 32, 13, 0, 127]);
        assert!((scale[0] - 127.0).abs() < 1e-3 && (scale[1] - 127.0 / 30.0).abs() < 1e-6);
    }

    #[test]
    fn zeros_and_numbers_that_are_none() {
        let x = Tensor::new([3, 2], vec![0.0f32, 0.0, f32::NAN, 1.0, f32::NEG_INFINITY, 1.0]).unwrap();
        let (q, scale) = quantized(&x);
        assert_eq!(q, [0; 6]);
        assert!(scale[0].is_finite() && scale[1].is_nan() && scale[2] == 0.0);
    }

    #[test]
    fn weights_have_a_scale_for_each_entry_of_an_axis() {
        let w = Tensor::new([2, 3], vec![1.0f32, -0.5, 0.0, -4.0, 0.5, 0.0]).unwrap();
        let (q, scale) = quantize_weight(&w, 1).unwrap();
        assert_eq!(q.as_slice::<i8>(), Some(&[32, -127, 0, -127, 127, 0][..]));
        assert_eq!(scale.shape(), [3]);
        let (q, scale) = quantize_weight(&w, 0).unwrap();
        assert_eq!(q.as_slice::<i8>(), Some(&[127, -63, 0, -127, 16, 0][..]));
        assert_eq!(scale.shape(), [2]);
        assert!(quantize_weight(&Tensor::vector(vec![f32::NAN]), 0).is_err());
    }

    #[test]
    fn policies_are_those_of_keras() {
        let policy = Quantization::Int8.policy();
        assert_eq!(Quantization::of_policy(&policy).unwrap(), Some(Quantization::Int8));
        assert_eq!(Quantization::of_policy(&"int8_from_float32".into()).unwrap(), Some(Quantization::Int8));
        assert_eq!(Quantization::of_policy(&crate::policy::DTypePolicy::default().to_json()).unwrap(), None);
        assert!(Quantization::of_policy(&"int4_from_float32".into()).is_err());
    }
}
