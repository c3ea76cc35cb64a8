//! What quantized layers compute.

use super::{QuantizationConfig, abs_max_quantize};
use crate::{Cx, Weight};
use rhyton_graph::{Expr, named};
use rhyton_tensor::{DType, Error, Result};
use serde_json::Value;

/// Products whose sum surely fits int32.
const LONGEST: usize = 131_071;

/// Products from which on a sum is worth rounding its inputs for: below, measured on the first layers of networks for
/// images, int8 is slower than float32.
const SHORTEST: usize = 32;

/// Whether a filter of this kernel `[.., filters]` has so many weights that int8 pays.
pub(crate) fn pays(shape: &[usize]) -> bool {
    shape[..shape.len() - 1].iter().product::<usize>() >= SHORTEST
}

/// An int8 weight and its scales, one for each entry along the axis `kept`.
#[track_caller]
fn weight(cx: &mut Cx<'_>, name: &str, shape: &[usize], kept: usize) -> (Expr, Expr) {
    let mut weight = Weight::new(name, shape.to_vec(), &"zeros".into()).state();
    (weight.dtype, weight.scales) = (DType::I8, Some(kept));
    let scales = Weight::new(&scale_of(name), [shape[kept]], &"ones".into()).state();
    (cx.add(weight), cx.add(scales))
}

/// The name of the scales of a weight.
pub fn scale_of(name: &str) -> String {
    format!("{name}_scale")
}

/// `apply(x, kernel)` for the int8 weight `kernel` `[.., filters]`. `x` is quantized with a scale of its own for each
/// place along the axes other than `axes`, unless `config` says that weights alone are quantized.
pub(crate) fn product(
    cx: &mut Cx<'_>,
    x: &Expr,
    shape: &[usize],
    axes: &[usize],
    config: Option<&QuantizationConfig>,
    apply: impl FnOnce(&Expr, &Expr) -> Result<Expr>,
) -> Result<Expr> {
    let (filters, summed) = (shape.len() - 1, shape[..shape.len() - 1].iter().product::<usize>());
    if summed > LONGEST {
        return Err(Error::new(format!("sums of {summed} products may not fit int32"))
            .expected(format!("at most {LONGEST}"))
            .fix("leave this layer in float32"));
    }
    let (kernel, kernel_scale) = weight(cx, "kernel", shape, filters);
    if !config.map_or(Ok(true), QuantizationConfig::inputs_too)? {
        return Ok(apply(&x.cast(DType::F32), &kernel.cast(DType::F32))? / kernel_scale);
    }
    let (x, scale) = abs_max_quantize(x, axes);
    let (sums, scale) = (apply(&x, &kernel)?, kernel_scale * scale);
    Ok(named::DEQUANTIZE.apply(Value::Null, &[sums, scale], |p| p[0].cast(DType::F32) / &p[1]))
}

/// Rows, chosen by int32 `indices`, of an int8 table that has a scale for each row. An index out of range gives NaN.
#[track_caller]
pub(crate) fn embedding(cx: &mut Cx<'_>, shape: [usize; 2], indices: &Expr) -> Expr {
    let (table, scales) = weight(cx, "embeddings", &shape, 0);
    let scale = scales.gather(0, indices).expand_dims(&[indices.rank()]);
    table.gather(0, indices).cast(DType::F32) / scale
}
