//! [`Layer`]: immutable configuration with one method, `call`. What a call needs besides its inputs - weights,
//! state, random numbers - it asks of [`Cx`] by name, so calling a layer twice shares its weights.

mod args;
mod record;
mod trace;

pub use args::float_as;
pub use args::{Args, Outputs, Value};
pub use record::{full_config, layer_record, plain_config};
pub use trace::OPERATIONS;
pub use trace::{Cx, Place, Trace, Variable, Weight};

use crate::handle::Handle;
use crate::object::{Object, snake_case};
use crate::policy::{self, DTypePolicy};
use crate::quantizers::Quantization;
use crate::regularizers::Regularizer;
use rhyton_graph::expr::current_source;
use rhyton_tensor::{Error, Result, Source, limits};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};
use std::sync::Arc;

/// What every layer has besides its own fields.
#[derive(Clone, Debug)]
pub struct Base {
    /// The name; models number unnamed layers: `dense`, `dense_1`.
    pub name: Option<String>,
    /// False freezes all weights of the layer.
    pub trainable: bool,
    /// Adds a penalty of the layer's outputs, divided by the batch size, to the loss.
    pub activity_regularizer: Option<Regularizer>,
    /// In which type the layer computes; that of the model around it when not set. An unknown name is an error.
    pub dtype: Option<Result<DTypePolicy>>,
    /// How the layer's arithmetic is quantized; layers that do not know how compute in float32.
    pub quantization: Option<Quantization>,
    /// Where the user made the layer: a line, or a place in a file.
    pub source: Source,
}

impl Base {
    /// Defaults, made at the source in force or else at the caller's line.
    #[track_caller]
    pub fn here() -> Base {
        let dtype = Some(policy::global_policy()).filter(|p| *p != DTypePolicy::default()).map(Ok);
        let source = current_source();
        Base { name: None, trainable: true, activity_regularizer: None, dtype, quantization: None, source }
    }

    /// The policy in force for the layer.
    pub fn policy(&self) -> DTypePolicy {
        self.dtype.as_ref().and_then(|p| p.as_ref().ok().copied()).unwrap_or_else(policy::around)
    }
}

/// Access to the [`Base`] of a layer; implemented by [`layer!`](crate::layer!).
pub trait Based {
    /// The common part.
    fn base(&self) -> &Base;
    /// The common part.
    fn base_mut(&mut self) -> &mut Base;
}

/// A layer. A custom layer is one `call`:
///
/// ```
/// use rhyton_nn::{Args, Cx, Layer, Outputs};
/// rhyton_nn::layer! {
///     /// Multiplies by a learned factor.
///     pub struct Scale {}
/// }
/// impl Layer for Scale {
///     fn call(&self, cx: &mut Cx<'_>, args: &Args) -> Outputs {
///         (args.x() * cx.weight("factor", [1], &"ones".into())).into()
///     }
/// }
/// ```
pub trait Layer: Object + Based {
    /// The outputs for these inputs.
    fn call(&self, cx: &mut Cx<'_>, args: &Args) -> Outputs;

    /// Whether the mask of the first input is passed on to outputs that have none of their own.
    fn supports_masking(&self) -> bool {
        false
    }

    /// Whether the layer works in float32 inside, whatever the policy: what it gets and returns is converted.
    fn computes_in_float32(&self) -> bool {
        false
    }

    /// Whether values pass without a conversion to the policy's type: models, whose layers convert for themselves,
    /// and inputs, whose data is what it is.
    fn passes_types(&self) -> bool {
        false
    }

    /// The values that weights start with when this layer brings trained ones along (nested models), by the path
    /// inside the layer.
    fn initial(&self, _path: &str) -> Option<rhyton_tensor::Tensor> {
        None
    }

    /// The same layer with quantized arithmetic; `None` when it has none.
    fn quantized(&self, _mode: Quantization) -> Option<Arc<dyn Layer>> {
        None
    }

    /// The layer as one over time, which [`Bidirectional`](crate::layers::Bidirectional) runs both ways.
    fn recurrent(&self) -> Option<&dyn Recurrent> {
        None
    }

    /// Whether the layer is a model of layers, each with weights and penalties of its own.
    fn is_model(&self) -> bool {
        false
    }

    /// The configuration in a record, under the name that a model gave the layer.
    fn config_named(&self, name: &str) -> Map<String, Json> {
        full_config(self, name)
    }
}

/// A layer over time.
pub trait Recurrent: Layer {
    /// Whether it returns all steps, not the last alone.
    fn returns_sequences(&self) -> bool;

    /// A copy that reads the other way round, or for `forward` as this one, with its name before that of the
    /// layer: `backward_lstm`. Steps that a mask leaves out give zeros where all steps are returned.
    fn directed(&self, forward: bool) -> LayerRef;
}

/// A shared layer: the same handle called twice shares its weights.
pub type LayerRef = Handle<dyn Layer>;

impl<L: Layer> From<L> for LayerRef {
    fn from(layer: L) -> LayerRef {
        LayerRef::new(Arc::new(layer))
    }
}

/// What a model can apply: a layer, owned, or a shared one by reference. Applying a shared layer must not use it up.
pub trait IntoLayer: Into<LayerRef> {}
impl<L: Layer> IntoLayer for L {}
impl IntoLayer for &LayerRef {}

impl From<&LayerRef> for LayerRef {
    fn from(layer: &LayerRef) -> LayerRef {
        layer.clone()
    }
}

/// A layer from its configuration, with what every layer has besides.
pub fn build<L: Object + DeserializeOwned + Into<LayerRef>>(config: Json) -> Result<Arc<dyn Layer>> {
    let (name, trainable) = (config["name"].as_str().map(String::from), config["trainable"].as_bool());
    check_name(name.as_deref())?;
    let place = name.clone().unwrap_or_default();
    let activity = match &config["activity_regularizer"] {
        Json::Null => None,
        record => Some(Regularizer::from_json(record)?),
    };
    // Policies that are not known compute in float32.
    let policy =
        (!config["dtype"].is_null()).then(|| DTypePolicy::from_json(&config["dtype"]).unwrap_or_default());
    let quantization = Quantization::of_policy(&config["dtype"]).map_err(|e| e.place(&place))?;
    let layer = L::from_config(config).and_then(|l| l.into().into_object());
    let mut layer = layer.map_err(|e| e.place(place))?;
    // Nobody else has it yet.
    if let Some(base) = Arc::get_mut(&mut layer).map(|l| l.base_mut()) {
        base.dtype = policy.map(Ok).or(base.dtype.take());
        (base.name, base.trainable, base.activity_regularizer) = (name, trainable.unwrap_or(true), activity);
        base.quantization = quantization;
    }
    Ok(layer)
}

/// An error when a layer cannot have this name: names are steps of the paths of weights and go into files.
pub fn check_name(name: Option<&str>) -> Result<()> {
    let Some(name) = name else { return Ok(()) };
    let start: String = name.chars().take(40).collect();
    if name.chars().nth(limits::NAME).is_some() {
        return Err(Error::new(format!("the name of a layer, {start:?}.., has {} bytes", name.len()))
            .expected(format!("at most {} letters", limits::NAME)));
    }
    if !name.is_empty() && !name.contains(|c: char| c == '/' || c.is_control()) {
        return Ok(());
    }
    Err(Error::new(format!("a layer cannot be called {name:?}"))
        .expected("a name without '/' and control characters"))
}

/// The name a layer gets when nothing numbers it: Keras's snake case of its class.
pub fn default_name(layer: &dyn Layer) -> String {
    layer.base().name.clone().unwrap_or_else(|| snake_case(layer.class_name()))
}

/// `name`, `trainable`, `activity_regularizer` and `dtype` of any layer.
pub trait LayerExt: Layer + Sized {
    /// Names the layer.
    fn name(mut self, name: impl Into<String>) -> Self {
        self.base_mut().name = Some(name.into());
        self
    }

    /// `false` freezes the layer's weights.
    fn trainable(mut self, yes: bool) -> Self {
        self.base_mut().trainable = yes;
        self
    }

    /// Penalises the layer's outputs.
    fn activity_regularizer(mut self, r: impl Into<Regularizer>) -> Self {
        self.base_mut().activity_regularizer = Some(r.into());
        self
    }

    /// In which type the layer computes: `mixed_bfloat16` or `float32`, see [`DTypePolicy`].
    fn dtype(mut self, policy: &str) -> Self {
        self.base_mut().dtype = Some(DTypePolicy::from_name(policy));
        self
    }

    /// A handle that can be applied several times with shared weights.
    fn shared(self) -> LayerRef {
        self.into()
    }
}
impl<L: Layer + Sized> LayerExt for L {}
