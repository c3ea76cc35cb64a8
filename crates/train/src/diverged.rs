//! Where a loss that is no number comes from. A step whose loss is not finite leaves all state as it was; then the
//! reason is looked for, once, and the step is done again by a program that goes on as Keras does.

use super::steps::StepKind;
use super::{Batch, Compiled};
use rhyton_graph::Expr;
use rhyton_graph::expr::topological;
use rhyton_model::program::Program;
use rhyton_tensor::{DType, Result, Tensor};
use std::collections::HashSet;
use std::sync::Arc;

/// What leaves each layer, in the order it is computed: read by what does not belong to the layer.
fn leaving(loss: &Expr) -> Vec<Expr> {
    let order = topological(std::slice::from_ref(loss));
    let mut read = HashSet::new();
    for e in &order {
        let others = e.inputs().iter().filter(|i| i.node().path != e.node().path);
        read.extend(others.map(Expr::key));
    }
    let outs = order.iter().filter(|e| !e.node().path.is_empty()).flat_map(Expr::siblings);
    outs.filter(|e| read.contains(&e.key()) && e.dtype().is_float()).collect()
}

fn is_finite(t: &Tensor) -> bool {
    !t.dtype().is_float() || (0..t.len()).all(|i| t.data().get_f64(i).is_finite())
}

impl Compiled {
    /// What was not finite first when the loss of this batch was computed.
    pub(super) fn first_not_finite(&mut self, batch: &Batch) -> Result<String> {
        let inputs = self.model.definition().input_names();
        if let Some((name, _)) = inputs.iter().zip(batch.x()).find(|(_, t)| !is_finite(t)) {
            return Ok(format!("the input '{name}' held an infinite number"));
        }
        if batch.y().iter().chain(batch.weights()).any(|t| !is_finite(t)) {
            return Ok("a target or sample weight was infinite".into());
        }
        let weights = self.model.variables().iter().zip(self.model.weights());
        if let Some((v, _)) = weights.into_iter().find(|(_, t)| !is_finite(t)) {
            return Ok(format!("the weight '{}' was not finite after the step before", v.path));
        }
        let (program, layers) = self.probe(batch)?;
        let mut counts = vec![];
        program.infer(self.values(), &batch.tensors, &mut counts)?;
        let first = counts.iter().position(|t| t.data().get_f64(0) != 0.0).and_then(|i| layers.get(i));
        Ok(match first {
            Some(layer) => format!("first in the layer '{layer}': lower the learning rate, or set clipnorm"),
            None => "first in the loss itself: what the layers gave was finite".into(),
        })
    }

    /// A program that counts what is not finite as it leaves each layer in a training step; and the layers.
    fn probe(&self, batch: &Batch) -> Result<(Program, Vec<Arc<str>>)> {
        let (mut build, _) = self.traced(StepKind::Train, &self.signature(batch)?).end();
        let values = build.minimized().map_or_else(Vec::new, |loss| leaving(&loss));
        build.only_look();
        for value in &values {
            let bad = value.cast(DType::F32).is_finite().not().cast(DType::F32).sum_all();
            build.output(&value.node().path, &bad);
        }
        let program = build.compile("probe", &self.backend()?)?;
        Ok((program, values.iter().map(|e| e.node().path.clone()).collect()))
    }
}
