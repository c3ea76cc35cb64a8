//! `.keras` archives: `metadata.json`, `config.json` and `model.weights.h5`, as Keras 3 writes and reads them.
//! Nothing in an archive is ever run; what a configuration may describe is bounded before memory is asked for.

use crate::archive::{Archive, ArchiveWriter};
use crate::hdf5::{Attribute, Dataset, Group};
use crate::{files, weights};
use rhyton_nn::Model;
use rhyton_nn::layer::Variable;
use rhyton_nn::model::json::{from_record, model_record};
use rhyton_nn::training::{Compile, Compiled};
use rhyton_tensor::{Error, Result, Tensor};
use serde_json::{Value as Json, json};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// The version whose format is written.
const KERAS_VERSION: &str = "3.15.1";
/// Bytes of `config.json`; Keras's own models of a thousand layers stay below two million.
const MAX_CONFIG: usize = 64 << 20;
/// The largest whole number of a configuration; products of sizes stay far from the end of a machine word.
const MAX_SIZE: u64 = i32::MAX as u64;
/// Where the optimizer's variables are.
const OPTIMIZER: &str = "optimizer/vars";
/// Numbers that are no sizes.
const IDENTITIES: [&str; 2] = ["seed", "shared_object_id"];

/// Writes the whole model, which Keras 3 loads.
///
/// # Errors
/// When the name does not end in `.keras` or the file cannot be written; an old file is untouched then.
pub fn save_keras(model: &Model, path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    check_name(path)?;
    write(path, &model_record(model.definition(), json!({})), &weights::tree(model)?)
}

/// Writes the whole model with what it was compiled with and the optimizer's state, so that training can go on, here
/// or in Keras 3.
///
/// # Errors
/// As for [`save_keras`].
pub fn save_compiled(model: &Compiled, path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    check_name(path)?;
    let mut tree = weights::tree(model)?;
    let vars = tree.group_mut(OPTIMIZER)?;
    let name = model.arguments().to_json()["optimizer"]["config"]["name"].clone();
    vars.attributes.push(("name".into(), Attribute::Text(name.as_str().unwrap_or("optimizer").into())));
    for (number, tensor) in model.optimizer_state().iter().enumerate() {
        let dataset = Dataset { tensor: tensor.clone(), attributes: vec![] };
        vars.datasets.push((number.to_string(), dataset));
    }
    write(path, &model_record(model.definition(), model.arguments().to_json()), &tree)
}

fn check_name(path: &Path) -> Result<()> {
    if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("keras")) {
        return Ok(());
    }
    Err(Error::new("a whole model goes to a file whose name ends in .keras")
        .place(path.display().to_string())
        .fix("change the name, or use save_weights for .weights.h5, .safetensors and .npz"))
}

fn write(path: &Path, record: &Json, tree: &Group) -> Result<()> {
    let metadata = json!({ "keras_version": KERAS_VERSION, "date_saved": date(SystemTime::now()) });
    let tree = crate::write_hdf5(tree)?;
    files::write_atomically(path, |out| {
        let mut archive = ArchiveWriter::new(out);
        archive.add("metadata.json", metadata.to_string().as_bytes())?;
        archive.add("config.json", record.to_string().as_bytes())?;
        archive.add("model.weights.h5", &tree)?;
        archive.finish()
    })
}

/// `2026-10-13@12:34:56` in universal time (days to date: Howard Hinnant, chrono-compatible low-level date algorithms).
fn date(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (days, rest) = (seconds / 86400 + 719_468, seconds % 86400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months are counted from March.
    let march = (5 * day_of_year + 2) / 153;
    let (day, month) =
        (day_of_year - (153 * march + 2) / 5 + 1, if march < 10 { march + 3 } else { march - 9 });
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}@{hour:02}:{minute:02}:{second:02}")
}

/// What a `.keras` archive held.
#[derive(Debug)]
pub struct Loaded {
    model: Content,
    /// What was left out or is not as the file says, in words for the user.
    pub warnings: Vec<String>,
}

#[derive(Debug)]
enum Content {
    Plain(Box<Model>),
    Compiled(Box<Compiled>),
}

impl Loaded {
    /// The model.
    pub fn model(&self) -> &Model {
        match &self.model {
            Content::Plain(m) => m,
            Content::Compiled(c) => c,
        }
    }

    /// The model, without what it was compiled with.
    pub fn into_model(self) -> Model {
        match self.model {
            Content::Plain(m) => *m,
            Content::Compiled(c) => c.into_model(),
        }
    }

    /// The model with what it was compiled with, ready to be fitted and evaluated.
    ///
    /// # Errors
    /// When it was saved without having been compiled.
    pub fn into_compiled(self) -> Result<Compiled> {
        match self.model {
            Content::Compiled(c) => Ok(*c),
            Content::Plain(m) => Err(Error::new("the model in the file was not compiled")
                .place(m.name())
                .fix("compile it with an optimizer and a loss, then save it again")),
        }
    }
}

/// Reads a `.keras` archive.
///
/// # Errors
/// When the file is no complete archive of a model, holds Python code or an unknown layer, or when weights and
/// layers do not fit each other.
pub fn load_keras(path: impl AsRef<Path>) -> Result<Loaded> {
    let path = path.as_ref();
    let mut archive = Archive::open(path)?;
    read(&mut archive).map_err(|e| files::in_file(e, path))
}

fn read(archive: &mut Archive) -> Result<Loaded> {
    let record = config_of(archive)?;
    check_config(&record, "", "")?;
    let tree = weights_of(archive)?;
    let fill = |variables: &[Variable]| weights::from_tree(variables, &tree);
    let model = Model::with_weights(from_record(&record)?, fill)?;
    let compile = &record["compile_config"];
    if compile.as_object().is_none_or(serde_json::Map::is_empty) {
        return Ok(Loaded { model: Content::Plain(Box::new(model)), warnings: vec![] });
    }
    let mut compiled = model.compile(Compile::from_json(compile)?)?;
    let warnings = restore_optimizer(&mut compiled, &tree);
    Ok(Loaded { model: Content::Compiled(Box::new(compiled)), warnings })
}

/// Gives the optimizer its state back. A state that does not fit is left out with a warning, as in Keras; an
/// optimizer that had not started holds only its counters.
fn restore_optimizer(model: &mut Compiled, tree: &Group) -> Vec<String> {
    let stored = tree.group(OPTIMIZER).map(Group::datasets_by_number).unwrap_or_default();
    let wanted = model.optimizer_state().len();
    if stored.len() < wanted && stored.len() <= 2 {
        return vec![];
    }
    let values: Vec<Tensor> = stored.iter().map(|(_, d)| d.tensor.clone()).collect();
    match model.set_optimizer_state(&values) {
        Ok(()) => vec![],
        Err(e) => vec![format!("the optimizer starts anew, because its state in the file does not fit: {e}")],
    }
}

/// The weights of an archive.
pub(crate) fn weights_of(archive: &mut Archive) -> Result<Group> {
    crate::read_hdf5(archive.read("model.weights.h5")?)
}

fn config_of(archive: &mut Archive) -> Result<Json> {
    if !archive.has("config.json") {
        let held = archive.names().iter().take(5).cloned().collect::<Vec<_>>().join(", ");
        return Err(Error::new("this archive holds no model: config.json is missing")
            .expected("a file that Keras 3 or Rhyton saved under a name ending in .keras")
            .fix(format!("check that this is the file you meant; it holds {held}")));
    }
    let bytes = archive.read("config.json")?;
    if bytes.len() > MAX_CONFIG {
        return Err(Error::new(format!("config.json has {} bytes", bytes.len()))
            .expected(format!("at most {MAX_CONFIG}"))
            .fix("do not trust this file"));
    }
    serde_json::from_slice(&bytes).map_err(|e| {
        Error::new(format!("config.json is damaged: {e}")).fix("copy the file or save the model again")
    })
}

/// Refuses Python code and sizes that no model has, wherever they are and before anything is built. The depth of
/// `value` is bounded by the parser.
fn check_config(value: &Json, key: &str, place: &str) -> Result<()> {
    match value {
        Json::Object(map) => {
            let name = value["config"]["name"].as_str().unwrap_or(place);
            if matches!(value["class_name"].as_str(), Some("Lambda" | "__lambda__")) {
                return Err(Error::new("the model holds Python code, which is never run")
                    .place(name)
                    .fix("replace the Lambda by a layer of the library in Keras and save the model again"));
            }
            map.iter().try_for_each(|(k, v)| check_config(v, k, name))
        }
        Json::Array(items) => items.iter().try_for_each(|v| check_config(v, key, place)),
        Json::Number(n) if n.as_u64().is_some_and(|n| n > MAX_SIZE) && !IDENTITIES.contains(&key) => {
            Err(Error::new(format!("the configuration says {key} = {n}"))
                .place(place)
                .expected(format!("sizes of at most {MAX_SIZE}"))
                .fix("do not trust this file"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let at = |s: u64| date(UNIX_EPOCH + Duration::from_secs(s));
        assert_eq!(at(0), "1970-01-01@00:00:00");
        assert_eq!(at(951_782_399), "2000-02-28@23:59:59");
        assert_eq!(at(951_782_400), "2000-02-29@00:00:00");
        assert_eq!(at(1_767_225_599), "2025-12-31@23:59:59");
    }
}
