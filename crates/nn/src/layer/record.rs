//! Keras's records of layers: the configuration of each, with the keys that every layer has.

use super::{Layer, LayerRef};
use crate::handle::record_of;
use crate::policy;
use crate::quantizers::Quantization;
use crate::regularizers::Regularizer;
use serde_json::{Map, Value as Json};

/// Classes whose `activity_regularizer` Keras always writes, behind their other regularizers; that of all other layers
/// comes last, and only when it is set.
const WITH_ACTIVITY: &str = "Conv1D Conv2D Conv3D Conv1DTranspose Conv2DTranspose Conv3DTranspose DepthwiseConv1D \
    DepthwiseConv2D Embedding GRU LSTM MultiHeadAttention SeparableConv1D SeparableConv2D SimpleRNN";

/// Keras's record of a layer under the name that a model gave it.
pub fn layer_record(layer: &LayerRef, name: &str) -> Json {
    layer.get().map_or(Json::Null, |layer| record_of(&**layer, layer.config_named(name)))
}

/// The configuration of a layer of which `name` is the only key that all layers have.
pub fn plain_config(layer: &(impl Layer + ?Sized), name: &str) -> Map<String, Json> {
    let mut config = layer.config();
    config.insert("name".into(), name.into());
    config
}

/// A layer's configuration with the keys that every layer has; `name` is the one a model gave it.
pub fn full_config(layer: &(impl Layer + ?Sized), name: &str) -> Map<String, Json> {
    let base = layer.base();
    let policy = base.policy();
    let dtype = base.quantization.map_or_else(|| policy.to_json(), Quantization::policy);
    let mut config = Map::new();
    config.insert("name".into(), name.into());
    config.insert("trainable".into(), base.trainable.into());
    config.insert("dtype".into(), dtype);
    config.extend(policy::within(policy, || layer.config()));
    let activity = base.activity_regularizer.as_ref().map(Regularizer::to_json);
    if WITH_ACTIVITY.split(' ').any(|class| class == layer.class_name()) {
        let last = config.keys().rposition(|key| key.ends_with("_regularizer"));
        let at = last.map_or(config.len(), |last| last + 1);
        config.shift_insert(at, "activity_regularizer".into(), activity.unwrap_or_default());
    } else if let Some(activity) = activity {
        config.insert("activity_regularizer".into(), activity);
    }
    config
}
