//! `.keras` files: loaded, summarized, traced, predicted with, and trained when they are compiled.

#[path = "../../../io/tests/cases/layers.rs"]
mod layers;
mod seeds;

use super::{SMALL, Target, array, to_file};
use crate::form::{Envelope, Form, archive, members};
use rhyton::graph::Type;
use rhyton::io::load_keras;
use rhyton::model::json::from_record;
use rhyton::train::{Compile, Compiled, Evaluate, Fit, ModelExt, Samples};
use rhyton::{Error, Result, Tensor};
use rhyton_model::Model;
use rhyton_tensor::{Bindings, Shape};
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::path::Path;

pub const TARGET: Target = Target {
    name: "model",
    about: ".keras files: loaded, summarized, predicted with, trained when compiled",
    extension: "keras",
    seeds: seeds::seeds,
    time: super::TIME,
    form: Form::Json(Envelope { open, close }),
    run,
};

/// The member that holds the configuration.
const CONFIG: &str = "config.json";

fn run(input: &[u8], path: &Path) -> Result<()> {
    to_file(input, path)?;
    let loaded = match load_keras(path) {
        Ok(loaded) => loaded,
        Err(e) => return without_its_weights(input, e),
    };
    loaded.model().summary();
    predict(loaded.model())?;
    if loaded.is_compiled() {
        train(loaded.into_compiled()?.0)?;
    }
    Ok(())
}

/// A changed configuration seldom fits the weights beside it, but its author could have made them fit: the model is
/// tried with initial weights.
fn without_its_weights(input: &[u8], refusal: Error) -> Result<()> {
    let of_weights =
        |p: &rhyton_tensor::Problem| p.what.contains("the file holds") || p.what.contains("the weight");
    let config = open(input).filter(|_| refusal.problems.iter().all(of_weights));
    let Some(config) = config else { return Err(refusal) };
    let model = Model::from_definition(from_record(&config)?, 1)?;
    model.summary();
    predict(&model)?;
    match config["compile_config"]["optimizer"].is_null() {
        true => Ok(()),
        false => train(model.compile(Compile::from_json(&config["compile_config"])?)?),
    }
}

fn predict(model: &Model) -> Result<()> {
    if !worth_running(model)? {
        return Ok(());
    }
    model.predict_all(&inputs(model)?, 2).map(drop)
}

fn train(mut model: Compiled) -> Result<()> {
    model.summary();
    if !worth_running(&model)? {
        return Ok(());
    }
    let x = inputs(&model)?;
    let outputs: Vec<Type> = model.trace(false)?.outputs.iter().map(|v| v.expr.ty().clone()).collect();
    let mut last = Ok(());
    for targets in [like as fn(&Type) -> Result<Tensor>, labels] {
        let y = outputs.iter().map(targets).collect::<Result<Vec<_>>>()?;
        let samples = || Samples { x: x.clone(), y: y.clone(), weights: vec![] };
        last = model.fit(samples(), Fit::epochs(1).batch_size(2).verbose(0)).map(drop);
        if last.is_ok() {
            return model.evaluate_with(samples(), Evaluate::new().verbose(0)).map(drop);
        }
    }
    last
}

/// Sizes with 3 samples, and 2 for any other size left open.
fn sizes(shape: &Shape) -> Option<Vec<usize>> {
    let mut symbols = BTreeSet::new();
    shape.iter().for_each(|d| d.symbols(&mut symbols));
    let bindings: Bindings =
        symbols.into_iter().map(|s| (s.clone(), if &*s == "batch" { 3 } else { 2 })).collect();
    shape.eval(&bindings)
}

fn elements(shape: &Shape) -> Option<usize> {
    sizes(shape)?.iter().try_fold(1usize, |a, n| a.checked_mul(*n))
}

/// Whether a model is small enough to be run, or so large that it has to be refused. Its inputs are made here and so
/// are small.
fn worth_running(model: &Model) -> Result<bool> {
    let mut inputs = model.definition().input_types.iter();
    let traced = model.trace(false)?;
    let values = traced.values.iter().flatten().map(|v| elements(v.expr.shape()));
    Ok(inputs.all(|t| elements(&t.shape).is_some_and(|n| n < SMALL)) && super::worth_running(values))
}

/// Small whole numbers, which any layer takes.
fn inputs(model: &Model) -> Result<Vec<Tensor>> {
    model.definition().input_types.iter().map(like).collect()
}

/// Numbers of this type.
fn like(ty: &Type) -> Result<Tensor> {
    let sizes = sizes(&ty.shape).ok_or_else(|| Error::new("the sizes do not follow from the samples"))?;
    Ok(array(&sizes, |i| (i * 7 % 3 % 2) as f32)?.cast(ty.dtype))
}

/// Labels of classes along the last axis.
fn labels(ty: &Type) -> Result<Tensor> {
    let mut sizes = sizes(&ty.shape).unwrap_or_default();
    sizes.pop();
    array(&sizes, |i| (i % 2) as i32)
}

/// The configuration of a model.
fn open(bytes: &[u8]) -> Option<Json> {
    let all = members(bytes)?;
    let (_, config) = all.iter().find(|(name, _)| name == CONFIG)?;
    serde_json::from_slice(config).ok()
}

/// The archive with another configuration.
fn close(config: &Json, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut all = members(bytes)?;
    all.iter_mut().find(|(name, _)| name == CONFIG)?.1 = config.to_string().into_bytes();
    archive(&all)
}
