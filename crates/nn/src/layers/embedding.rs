//! Embedding and Masking: where masks of padded sequences come from.

use crate::constraints::Constraint;
use crate::indices::{Among, chosen};
use crate::initializers::Initializer;
use crate::layers::{check, parameter};
use crate::quantizers::{self, Quantization, QuantizationConfig};
use crate::regularizers::Regularizer;
use crate::{Args, Cx, Layer, Object, Outputs, Value};
use rhyton_graph::{Expr, named};
use rhyton_tensor::{DType, Result};
use serde_json::json;
use std::sync::Arc;

crate::layer! {
    /// Rows of a table chosen by whole numbers: `[batch, ..]` to `[batch, .., output_dim]`. An index that is no whole
    /// number from 0 to `input_dim - 1` is an error before anything is computed (see [`crate::indices`]).
    pub struct Embedding {
        /// Number of rows: the largest index and one.
        input_dim: usize = 0,
        /// Width of a row.
        output_dim: usize = 0,
        /// How the table `[input_dim, output_dim]` starts.
        embeddings_initializer: Initializer = "uniform".into(),
        /// Penalty of the table.
        embeddings_regularizer: Option<Regularizer> = None,
        /// Projection of the table.
        embeddings_constraint: Option<Constraint> = None,
        /// Index 0 is padding, which layers behind leave out.
        mask_zero: bool = false,
        /// Kept for Keras.
        quantization_config: Option<QuantizationConfig> = None,
    }
}

impl Embedding {
    /// A table of `input_dim` rows of width `output_dim`.
    #[track_caller]
    pub fn new(input_dim: usize, output_dim: usize) -> Embedding {
        Embedding::default().input_dim(input_dim).output_dim(output_dim)
    }

    fn output(&self, cx: &mut Cx<'_>, x: &Expr) -> Result<Value> {
        let class = self.class_name();
        check::positive(class, "input_dim", self.input_dim)?;
        check::positive(class, "output_dim", self.output_dim)?;
        let of_table =
            (&self.embeddings_initializer, &self.embeddings_regularizer, &self.embeddings_constraint);
        let indices = chosen(x, Among::Row(self.input_dim)).cast(DType::I32);
        let shape = [self.input_dim, self.output_dim];
        let expr = if self.base.quantization.is_some() {
            quantizers::embedding(cx, shape, &indices)
        } else {
            parameter(cx, "embeddings", shape, of_table).gather(0, &indices)
        };
        let mask = self.mask_zero.then(|| indices.equal(&Expr::scalar(0)).not());
        Ok(Value { expr, mask })
    }
}

impl Layer for Embedding {
    fn call(&self, cx: &mut Cx<'_>, args: &Args) -> Outputs {
        self.output(cx, &args.x()).into()
    }
    fn quantized(&self, mode: Quantization) -> Option<Arc<dyn Layer>> {
        quantizers::in_mode(self, mode)
    }
}

/// Any along the last axis of booleans.
pub(crate) fn any_last(x: &Expr) -> Expr {
    x.cast(DType::I32).max(&[x.rank().max(1) - 1]).cast(DType::Bool)
}

crate::layer! {
    /// `[batch, steps, features]` with a mask: steps whose features all equal `mask_value` are padding, which
    /// layers behind leave out; they become zero.
    pub struct Masking {
        /// The value of padding.
        mask_value: f64 = 0.0,
    }
}

impl Masking {
    /// Steps that are zero throughout are padding.
    #[track_caller]
    pub fn new() -> Masking {
        Masking::default()
    }
}

impl Layer for Masking {
    fn call(&self, _: &mut Cx<'_>, args: &Args) -> Outputs {
        let x = args.x();
        if x.rank() < 2 {
            let what = format!("Masking takes [batch, steps, features], got {}", x.shape());
            return rhyton_tensor::Error::new(what).into();
        }
        let attrs = json!({ "mask_value": self.mask_value as f32 });
        let [kept, mask] = named::MASKING.apply_all(attrs, &[x], |p| {
            let mask = any_last(&p[0].equal(&Expr::scalar(self.mask_value as f32)).not());
            [&p[0] * mask.cast(p[0].dtype()).expand_dims(&[p[0].rank() - 1]), mask]
        });
        Value { expr: kept, mask: Some(mask) }.into()
    }
}
