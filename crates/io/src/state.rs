//! The state of training in one file: tensors as safetensors, the rest as JSON in its metadata.

use crate::{files, safetensors};
use rhyton_tensor::{Error, Result, Tensor};
use rhyton_train::TrainingState;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::path::Path;

const KEY: &str = "rhyton.training";

/// Writes a state of training, in one step or not at all.
///
/// # Errors
/// When the file cannot be written; an old one is untouched then.
pub fn save_state(state: &TrainingState, path: impl AsRef<Path>) -> Result<()> {
    // The file sorts tensors by the width of their types; the order they had goes along.
    let names: Vec<&String> = state.tensors.iter().map(|(n, _)| n).collect();
    let text = json!({ "state": state.json, "names": names }).to_string();
    let tensors: Vec<(&str, &Tensor)> = state.tensors.iter().map(|(n, t)| (n.as_str(), t)).collect();
    safetensors::write_safetensors(path, &tensors, &BTreeMap::from([(KEY.to_string(), text)]))
}

/// Reads what [`save_state`] wrote.
///
/// # Errors
/// When the file is damaged or holds something else.
pub fn load_state(path: impl AsRef<Path>) -> Result<TrainingState> {
    let path = path.as_ref();
    let file = safetensors::read_safetensors(path)?;
    let foreign = || {
        Error::new("the file holds no state of training")
            .place(path.display().to_string())
            .fix("remove it to start training anew, or name the right file")
    };
    let text = file.metadata.get(KEY).ok_or_else(foreign)?;
    let mut json: Json = serde_json::from_str(text).map_err(|_| foreign())?;
    let mut held: BTreeMap<String, Tensor> = file.tensors.into_iter().collect();
    let names = json["names"].as_array().ok_or_else(foreign)?;
    let tensor = |name: &Json| {
        let (name, tensor) = held.remove_entry(name.as_str()?)?;
        Some((name, tensor))
    };
    let tensors: Option<Vec<_>> = names.iter().map(tensor).collect();
    let tensors = tensors.ok_or_else(foreign).map_err(|e| files::in_file(e, path))?;
    Ok(TrainingState { tensors, json: json["state"].take() })
}
