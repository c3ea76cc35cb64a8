//! Checkpoints: the state of training read from a file, and training gone on with.

use super::{Target, array, safetensors, to_file, written};
use crate::form::{Envelope, Form};
use rhyton::io::{load_state, save_state};
use rhyton::prelude::*;
use rhyton::train::callbacks::{Callback, SavePoint};
use rhyton::train::{Compile, Compiled, Fit, TrainingState};
use serde_json::Value as Json;
use std::path::Path;

pub const TARGET: Target = Target {
    name: "checkpoint",
    about: "states of training: read, and training gone on with",
    extension: "state",
    seeds,
    time: super::TIME,
    form: Form::Json(Envelope { open, close }),
    run,
};

/// Where the state stands in the header of the file.
const KEY: &str = "rhyton.training";

/// Keeps the state after so many steps.
struct KeepsState {
    steps: usize,
    seen: usize,
    kept: Option<TrainingState>,
}

impl KeepsState {
    fn after(steps: usize) -> KeepsState {
        KeepsState { steps, seen: 0, kept: None }
    }
}

impl Callback for KeepsState {
    fn wants_state(&mut self, at: SavePoint) -> bool {
        self.seen += usize::from(matches!(at, SavePoint::Batch(_)));
        self.seen == self.steps && self.kept.is_none()
    }

    fn save(&mut self, state: &TrainingState) -> Result<()> {
        self.kept = Some(state.clone());
        Ok(())
    }
}

fn model() -> Result<Compiled> {
    let model = Sequential::new([2]).add(Dense::new(3).relu()).add(Dropout::new(0.5)).add(Dense::new(1));
    model.build()?.compile(Compile::new(Adam::new(0.01), "mse").metrics(["mae"]))
}

fn train(keeps: &mut KeepsState, resume: Option<TrainingState>) -> Result<()> {
    let x = array(&[10, 2], |i| i as f32 / 10.0)?;
    let y = array(&[10, 1], |i| (i % 3) as f32)?;
    let mut fit = Fit::epochs(2)
        .batch_size(4)
        .seed(3)
        .verbose(0)
        .validation((&x, &y))
        .callback(ReduceLROnPlateau::new("loss").patience(1))
        .callback(EarlyStopping::new("val_loss").patience(1).restore_best_weights(true))
        .callback(keeps);
    if let Some(state) = resume {
        fit = fit.resume(state);
    }
    model()?.fit((&x, &y), fit).map(drop)
}

fn seeds() -> Result<Vec<Vec<u8>>> {
    let mut seeds = vec![];
    // Within the first epoch, at its end, and within the second.
    for steps in [1, 3, 5] {
        let mut keeps = KeepsState::after(steps);
        train(&mut keeps, None)?;
        let state = keeps.kept.ok_or_else(|| Error::new("no state was saved"))?;
        seeds.push(written(".state", |path| save_state(&state, path))?);
    }
    Ok(seeds)
}

fn run(input: &[u8], path: &Path) -> Result<()> {
    to_file(input, path)?;
    train(&mut KeepsState::after(usize::MAX), Some(load_state(path)?))
}

/// The header with the state in it as a tree: in the file it is a text.
fn open(bytes: &[u8]) -> Option<Json> {
    let mut header = safetensors::header(bytes)?;
    let state = header.get_mut("__metadata__")?.get_mut(KEY)?;
    *state = serde_json::from_str(state.as_str()?).ok()?;
    Some(header)
}

fn close(header: &Json, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut header = header.clone();
    let state = header.get_mut("__metadata__").and_then(|m| m.get_mut(KEY));
    if let Some(state) = state.filter(|s| !s.is_string()) {
        *state = state.to_string().into();
    }
    safetensors::with_header(&header, bytes)
}
