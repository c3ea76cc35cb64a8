//! Layers around layers: TimeDistributed, and what wrappers share.

use crate::layer::{LayerRef, default_name};
use crate::model::json::layer_record;
use crate::quantizers::Quantization;
use crate::{Args, Cx, Layer, Outputs, Setting, Value};
use rhyton_graph::Expr;
use rhyton_tensor::{Error, Result, Shape};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::sync::Arc;

crate::layer! {
    /// Applies a layer to every step of `[batch, steps, ..]`, with the same weights.
    pub struct TimeDistributed {
        /// The layer.
        layer: Wrapped = Wrapped::default(),
    }
}

impl TimeDistributed {
    /// `layer` at every step.
    #[track_caller]
    pub fn new(layer: impl Setting<Wrapped>) -> TimeDistributed {
        TimeDistributed::default().layer(layer)
    }

    /// Steps join the batch on the way through the layer.
    fn output(&self, cx: &mut Cx<'_>, x: &Expr) -> Result<Vec<Value>> {
        let [batch, steps, rest @ ..] = &x.shape()[..] else {
            return Err(Error::new(format!("TimeDistributed takes [batch, steps, ..], got {}", x.shape())));
        };
        if rest.is_empty() {
            return Err(Error::new(format!("TimeDistributed takes [batch, steps, ..], got {}", x.shape()))
                .fix("give every step at least one axis of its own"));
        }
        let mut joined = vec![batch.clone() * steps];
        joined.extend_from_slice(rest);
        let args = Args::new(vec![x.reshape(joined).into()]);
        let parted = |v: Value| {
            if v.expr.is_poisoned() {
                return v;
            }
            let own = v.expr.shape().get(1..).unwrap_or_default().to_vec();
            let sizes = [batch.clone(), steps.clone()].into_iter().chain(own);
            v.expr.reshape(sizes.collect::<Shape>()).into()
        };
        Ok(self.layer.call(cx, "layer", &args)?.into_iter().map(parted).collect())
    }
}

impl Layer for TimeDistributed {
    fn call(&self, cx: &mut Cx<'_>, args: &Args) -> Outputs {
        self.output(cx, &args.x()).into()
    }
    fn supports_masking(&self) -> bool {
        true
    }
    fn quantized(&self, mode: Quantization) -> Option<Arc<dyn Layer>> {
        let mut new = self.clone();
        new.layer = Wrapped(LayerRef::new(self.layer.0.get().ok()?.quantized(mode)?));
        Some(Arc::new(new))
    }
}

/// A layer inside a layer. Configurations hold its full record, name included.
#[derive(Clone, Debug)]
pub struct Wrapped(pub LayerRef);

impl Wrapped {
    /// The name of the layer's weights inside the layer around it.
    ///
    /// # Errors
    /// When the layer was named by an unknown string.
    pub fn name(&self) -> Result<String> {
        Ok(default_name(&**self.0.get()?))
    }

    /// Calls the layer, which keeps its weights at `attribute`.
    ///
    /// # Errors
    /// When the layer was named by an unknown string.
    pub(crate) fn call(&self, cx: &mut Cx<'_>, attribute: &str, args: &Args) -> Result<Vec<Value>> {
        Ok(cx.call(&self.0, attribute, &self.name()?, args).0)
    }
}

impl Default for Wrapped {
    fn default() -> Wrapped {
        Wrapped(LayerRef::bad(Error::new("a wrapper without a layer").fix("give it one with new")))
    }
}
impl<L: Into<LayerRef>> Setting<Wrapped> for L {
    fn setting(self) -> Wrapped {
        Wrapped(self.into())
    }
}
impl Serialize for Wrapped {
    fn serialize<S: Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        let name = self.name().unwrap_or_default();
        layer_record(&self.0, &name).serialize(s)
    }
}
impl<'de> Deserialize<'de> for Wrapped {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        LayerRef::deserialize(d).map(Wrapped)
    }
}
