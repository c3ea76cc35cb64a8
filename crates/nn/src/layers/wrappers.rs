//! Layers around layers: TimeDistributed, and what wrappers share.

use crate::layer::{LayerRef, default_name, layer_record};
use crate::quantizers::Quantization;
use crate::{Args, Cx, Layer, Outputs, Setting, Value};
use rhyton_graph::expr::topological;
use rhyton_graph::{Expr, Type};
use rhyton_tensor::{Dim, Error, Result, Shape};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeSet;
use std::sync::Arc;

crate::layer! {
    /// Applies a layer to every step of `[batch, steps, ..]`, with the same weights.
    ///
    /// All steps go through the layer at once, as further samples. Where that would not be the same - the layer keeps
    /// state or takes statistics over the batch, such as BatchNormalization in training - the layer is called for one
    /// step after the other, as in Keras, and each call sees the state that the one before left; the number of steps
    /// must be known then. As in Keras, too, an `activity_regularizer` of the layer itself is not applied.
    pub struct TimeDistributed {
        /// The layer.
        layer: Wrapped = Wrapped::default(),
    }
}

/// Most calls of a layer that one TimeDistributed makes.
const MOST_STEPS: usize = 4096;

impl TimeDistributed {
    /// `layer` at every step.
    #[track_caller]
    pub fn new(layer: impl Setting<Wrapped>) -> TimeDistributed {
        TimeDistributed::default().layer(layer)
    }

    fn output(&self, cx: &mut Cx<'_>, x: &Expr, mask: Option<Expr>) -> Result<Vec<Value>> {
        let misfit = || Error::new(format!("TimeDistributed takes [batch, steps, ..], got {}", x.shape()));
        let [_, steps, _, ..] = &x.shape()[..] else {
            return Err(misfit().fix("give every step at least one axis of its own"));
        };
        let mask = mask.filter(|m| m.rank() >= 2);
        if !self.ties_samples(cx, x)? {
            return self.at_once(cx, x, mask.filter(|m| m.rank() > 2));
        }
        let name = self.layer.name()?;
        let Some(steps) = steps.as_fixed() else {
            return Err(Error::new(format!(
                "TimeDistributed calls '{name}' for each step by itself, and the number of steps is not known"
            ))
            .expected("a layer that treats every sample by itself, or a known number of steps")
            .fix("give the model's input a fixed number of steps"));
        };
        if steps > MOST_STEPS {
            return Err(Error::new(format!("TimeDistributed would call '{name}' {steps} times"))
                .expected(format!("at most {MOST_STEPS} steps")));
        }
        self.step_by_step(cx, x, mask, steps)
    }

    /// Whether the layer does something else to a batch of all steps than to the steps one by one: it changes state,
    /// draws one random number for several samples, computes a value of the whole batch or adds penalties.
    fn ties_samples(&self, cx: &Cx<'_>, x: &Expr) -> Result<bool> {
        const SAMPLES: &str = "samples_of_a_step";
        let has_samples = |shape: &Shape| {
            let mut symbols = BTreeSet::new();
            shape.iter().for_each(|d| d.symbols(&mut symbols));
            symbols.iter().any(|s| &**s == SAMPLES)
        };
        let mut sizes = x.shape().clone();
        sizes.0.remove(1);
        sizes.0[0] = Dim::symbol(SAMPLES);
        let probe = Expr::param("step", Type::new(x.dtype(), sizes));
        let layer = &self.layer.0;
        let Some((trace, Outputs(made))) = cx.probe(layer, &Args::new(vec![probe.into()])) else {
            return Ok(false);
        };
        let results: Vec<Expr> = made.into_iter().map(|v| v.expr).filter(|e| !e.is_poisoned()).collect();
        let folds = |e: &Expr| {
            let reads = e.inputs().iter().any(|i| has_samples(i.shape()));
            reads && e.node().outs.iter().any(|t| !has_samples(&t.shape))
        };
        Ok(!trace.updates.is_empty()
            || (!trace.losses.is_empty() && layer.get()?.is_model())
            || !trace.draws.iter().all(has_samples)
            || topological(&results).iter().any(folds))
    }

    /// Calls the layer as Keras does here: its own penalty of activities is left out, those of layers inside stay.
    fn call_layer(&self, cx: &mut Cx<'_>, args: &Args) -> Result<Vec<Value>> {
        match self.layer.0.get()?.is_model() {
            true => self.layer.call(cx, "layer", args),
            false => cx.without_penalties(|cx| self.layer.call(cx, "layer", args)),
        }
    }

    /// Steps join the batch on the way through the layer.
    fn at_once(&self, cx: &mut Cx<'_>, x: &Expr, mask: Option<Expr>) -> Result<Vec<Value>> {
        let (batch, steps) = (x.shape()[0].clone(), x.shape()[1].clone());
        let joined = |e: &Expr| {
            let mut shape = e.shape().clone();
            shape.0.remove(1);
            shape.0[0] = batch.clone() * &steps;
            e.reshape(shape)
        };
        let args = Args::new(vec![Value { expr: joined(x), mask: mask.as_ref().map(joined) }]);
        let parted = |v: Value| {
            if v.expr.is_poisoned() {
                return v;
            }
            let own = v.expr.shape().get(1..).unwrap_or_default().to_vec();
            let sizes = [batch.clone(), steps.clone()].into_iter().chain(own);
            v.expr.reshape(sizes.collect::<Shape>()).into()
        };
        Ok(self.call_layer(cx, &args)?.into_iter().map(parted).collect())
    }

    fn step_by_step(
        &self,
        cx: &mut Cx<'_>,
        x: &Expr,
        mask: Option<Expr>,
        steps: usize,
    ) -> Result<Vec<Value>> {
        let mut made: Vec<Vec<Expr>> = vec![];
        for step in 0..steps {
            let mask = mask.as_ref().map(|m| m.entry(1, step));
            let args = Args::new(vec![Value { expr: x.entry(1, step), mask }]);
            let outputs = self.call_layer(cx, &args)?;
            made.resize(outputs.len(), vec![]);
            made.iter_mut().zip(outputs).for_each(|(all, v)| all.push(v.expr.expand_dims(&[1])));
        }
        Ok(made.iter().map(|all| Expr::concat(all, 1).into()).collect())
    }
}

impl Layer for TimeDistributed {
    fn call(&self, cx: &mut Cx<'_>, args: &Args) -> Outputs {
        self.output(cx, &args.x(), args.mask(0)).into()
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
