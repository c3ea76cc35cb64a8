//! Bidirectional: a recurrent layer run both ways.

use crate::layer::{LayerRef, Recurrent, build};
use crate::layers::wrappers::Wrapped;
use crate::{Args, Cx, Layer, Outputs, Value};
use rhyton_graph::Expr;
use rhyton_tensor::{Error, Result};
use serde_json::{Value as Json, json};
use std::sync::Arc;

crate::layer! {
    /// A recurrent layer and its twin that reads from the end; their outputs step by step are merged.
    pub struct Bidirectional {
        /// `concat`, `sum`, `mul`, `ave`, or `None` for two results.
        merge_mode: Option<String> = Some("concat".into()),
        /// The layer that reads from the start.
        layer: Wrapped = Wrapped::default(),
        /// The layer that reads from the end.
        backward_layer: Wrapped = Wrapped::default(),
    }
}

impl Bidirectional {
    /// Runs `layer` (LSTM, GRU or SimpleRNN) both ways.
    #[track_caller]
    pub fn new(layer: impl Into<LayerRef>) -> Bidirectional {
        let layer = layer.into();
        let (forward, backward) = (directed(&layer, true), directed(&layer, false));
        let or_bad = |r: Result<LayerRef>| r.unwrap_or_else(LayerRef::bad);
        Bidirectional::default().layer(or_bad(forward)).backward_layer(or_bad(backward))
    }

    /// From a configuration; a missing backward layer is made from the other.
    ///
    /// # Errors
    /// When a layer is unknown or its configuration does not fit.
    pub(crate) fn build(mut config: Json) -> Result<Arc<dyn Layer>> {
        if !config["backward_layer"].is_object() {
            let layer = LayerRef::from_json(&config["layer"])?;
            let (forward, backward) = (directed(&layer, true)?, directed(&layer, false)?);
            config["layer"] = json!(Wrapped(forward));
            config["backward_layer"] = json!(Wrapped(backward));
        }
        build::<Bidirectional>(config)
    }

    fn merge(&self, forward: &Expr, backward: &Expr) -> Result<Vec<Expr>> {
        let axis = forward.rank().max(1) - 1;
        Ok(match self.merge_mode.as_deref() {
            None => vec![forward.clone(), backward.clone()],
            Some("concat") => vec![Expr::concat(&[forward.clone(), backward.clone()], axis)],
            Some("sum") => vec![forward + backward],
            Some("mul") => vec![forward * backward],
            Some("ave") => vec![(forward + backward) * 0.5],
            Some(other) => {
                return Err(Error::new(format!("Bidirectional got the merge_mode '{other}'"))
                    .expected("'concat', 'sum', 'mul', 'ave' or none"));
            }
        })
    }

    fn output(&self, cx: &mut Cx<'_>, args: &Args) -> Result<Vec<Value>> {
        let sequences = recurrent(&self.layer.0)?.returns_sequences();
        if recurrent(&self.backward_layer.0)?.returns_sequences() != sequences {
            return Err(Error::new("one direction of Bidirectional returns sequences, the other does not")
                .fix("give both layers the same return_sequences"));
        }
        let (first, second) = split_states(args)?;
        let mut forward = self.layer.call(cx, "forward_layer", &first)?;
        let mut backward = self.backward_layer.call(cx, "backward_layer", &second)?;
        let (y, mut back) = (forward.remove(0), backward.remove(0).expr);
        if y.expr.is_poisoned() || back.is_poisoned() {
            return Ok(vec![if y.expr.is_poisoned() { y } else { back.into() }]);
        }
        if sequences {
            back = back.flip(1);
        }
        let merged = self.merge(&y.expr, &back)?;
        let mask = args.mask(0).filter(|_| sequences);
        let outputs = merged.into_iter().map(|expr| Value { expr, mask: mask.clone() });
        Ok(outputs.chain(forward).chain(backward).collect())
    }
}

/// The layer as one over time; an error for other layers.
fn recurrent(layer: &LayerRef) -> Result<&dyn Recurrent> {
    let layer = layer.get()?;
    layer.recurrent().ok_or_else(|| {
        Error::new(format!("Bidirectional cannot run {} both ways", layer.class_name()))
            .expected("a recurrent layer: LSTM, GRU or SimpleRNN")
    })
}

/// A copy of a recurrent layer for one of the two directions.
fn directed(layer: &LayerRef, forward: bool) -> Result<LayerRef> {
    Ok(recurrent(layer)?.directed(forward))
}

/// The arguments of both layers: initial states are given for the forward layer first.
fn split_states(args: &Args) -> Result<(Args, Args)> {
    let states: Vec<Value> = match args.tensors("initial_state") {
        [] => args.inputs.iter().skip(1).cloned().collect(),
        named => named.to_vec(),
    };
    if !states.len().is_multiple_of(2) {
        return Err(Error::new(format!("Bidirectional got {} initial states", states.len()))
            .expected("as many for each direction"));
    }
    let (first, second) = states.split_at(states.len() / 2);
    let with = |states: &[Value]| {
        let mut one = args.clone();
        one.inputs.truncate(1);
        one.named.retain(|(n, _)| n != "initial_state");
        if !states.is_empty() {
            one.named.push(("initial_state".into(), states.to_vec()));
        }
        one
    };
    Ok((with(first), with(second)))
}

impl Layer for Bidirectional {
    fn call(&self, cx: &mut Cx<'_>, args: &Args) -> Outputs {
        self.output(cx, args).into()
    }
}
