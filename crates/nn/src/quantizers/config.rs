//! [`QuantizationConfig`]: which quantizers a layer uses.

use crate::Setting;
use rhyton_tensor::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

/// Which quantizers a quantized layer uses (Keras's `Int8QuantizationConfig`); files keep it as it was written. A layer
/// without one quantizes weights and inputs.
///
/// ```
/// use rhyton_nn::layers::Dense;
/// use rhyton_nn::quantizers::QuantizationConfig;
/// let layer = Dense::new(4).quantization_config(QuantizationConfig::weights_only());
/// assert!(layer.quantization_config.is_some());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct QuantizationConfig(Json);

impl QuantizationConfig {
    /// Weights become int8, inputs stay in float32.
    pub fn weights_only() -> QuantizationConfig {
        let of = |class: &str, config: Json| json!({ "module": "keras.quantizers", "class_name": class, "config": config, "registered_name": null });
        let range = json!({ "axis": 0, "value_range": [-127, 127], "epsilon": 1e-7, "output_dtype": "int8" });
        let weights = of("AbsMaxQuantizer", range);
        let config = json!({ "weight_quantizer": weights, "activation_quantizer": null });
        QuantizationConfig(of("Int8QuantizationConfig", config))
    }

    /// Whether inputs are quantized too.
    pub(super) fn inputs_too(&self) -> Result<bool> {
        let activations = &self.0["config"]["activation_quantizer"];
        let range = &activations["config"]["value_range"];
        match activations["class_name"].as_str() {
            None if activations.is_null() => Ok(false),
            Some("AbsMaxQuantizer") if *range == json!([-127, 127]) => Ok(true),
            _ => Err(Error::new(format!("inputs cannot be quantized by {activations}"))
                .expected("AbsMaxQuantizer with the range -127 to 127, or none")),
        }
    }
}

impl Setting<Option<QuantizationConfig>> for QuantizationConfig {
    fn setting(self) -> Option<QuantizationConfig> {
        Some(self)
    }
}
