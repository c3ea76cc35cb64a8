//! Models in int8.

use crate::{Definition, Model};
use rhyton_nn::layer::Variable;
use rhyton_nn::quantizers::{Quantization, quantize_weight, scale_of};
use rhyton_tensor::{Error, Result, Tensor};
use std::collections::HashMap;

impl Model {
    /// Turns the arithmetic of Dense, Embedding, Conv1D, Conv2D and Conv3D layers into `mode` `int8`, inside nested
    /// models and TimeDistributed too: weights become int8 with a scale for each output channel (Embedding: each
    /// row), four times smaller; inputs are quantized as they come, with a scale for each row (Conv: each sample).
    /// Keras does this for Dense and Embedding; convolutions are an extension, which Keras does not read. Those whose
    /// filters have fewer than 32 weights, which int8 makes slower, and all other layers stay in float32. A quantized
    /// model predicts and evaluates but can no longer be trained.
    ///
    /// ```
    /// use rhyton_nn::layers::Dense;
    /// use rhyton_model::Sequential;
    /// let mut model = Sequential::new([8]).add(Dense::new(4)).build()?;
    /// model.quantize("int8")?;
    /// assert_eq!(model.weights()[0].dtype().name(), "int8");
    /// # Ok::<(), rhyton_tensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the mode is another one, the model is quantized already, or a weight holds NaN or infinite numbers; the
    /// model is as it was then.
    pub fn quantize(&mut self, mode: &str) -> Result<()> {
        let mode = Quantization::named(mode).map_err(|e| e.place(self.name()))?;
        if self.is_quantized() {
            return Err(Error::new("the model is quantized already").place(self.name()));
        }
        let definition = quantized(self.definition(), mode);
        *self = Model::with_weights(definition, |variables| self.requantized(variables))?;
        Ok(())
    }

    /// Whether weights of the model are quantized.
    pub fn is_quantized(&self) -> bool {
        self.variables().iter().any(|v| v.weight.scales.is_some())
    }

    /// The values for the variables of the quantized model.
    fn requantized(&self, variables: &[Variable]) -> Result<Vec<Tensor>> {
        let missing = |v: &Variable| Error::new("a weight of the model is missing").place(&v.path);
        let own: HashMap<&str, &Tensor> =
            self.variables().iter().map(|v| v.path.as_str()).zip(self.weights()).collect();
        let mut values: Vec<Option<Tensor>> =
            variables.iter().map(|v| own.get(v.path.as_str()).map(|t| Tensor::clone(t))).collect();
        let position: HashMap<&str, usize> =
            variables.iter().enumerate().map(|(i, v)| (v.path.as_str(), i)).collect();
        for (i, v) in variables.iter().enumerate() {
            if let Some(kept) = v.weight.scales {
                let old = values[i].as_ref().ok_or_else(|| missing(v))?;
                let (rounded, scale) = quantize_weight(old, kept).map_err(|e| e.place(&v.path))?;
                values[i] = Some(rounded);
                if let Some(at) = position.get(scale_of(&v.path).as_str()) {
                    values[*at] = Some(scale);
                }
            }
        }
        variables.iter().zip(values).map(|(v, t)| t.ok_or_else(|| missing(v))).collect()
    }
}

/// The definition with every layer that knows how quantized. Trained values stay behind: they are float32.
pub(crate) fn quantized(definition: &Definition, mode: Quantization) -> Definition {
    let mut new = definition.clone();
    new.values.clear();
    for entry in &mut new.entries {
        if let Some(layer) = entry.layer.get().ok().and_then(|l| l.quantized(mode)) {
            entry.layer = rhyton_nn::LayerRef::new(layer);
        }
    }
    new
}
