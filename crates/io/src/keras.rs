//! `.keras` archives: `metadata.json`, `config.json` and `model.weights.h5`, as Keras 3 writes and reads them.
//! Nothing in an archive is ever run; what a configuration may describe is bounded before memory is asked for.

use crate::archive::{Archive, ArchiveWriter};
use crate::files::WriteSeek;
use crate::hdf5::{Attribute, Group};
use crate::{files, weights};
use rhyton_graph::at_source;
use rhyton_model::Model;
use rhyton_model::json::{from_record, model_record};
use rhyton_nn::layer::Variable;
use rhyton_nn::object::snake_case;
use rhyton_nn::policy::DTypePolicy;
use rhyton_tensor::{Error, Result, Source, Tensor, limits};
use rhyton_train::{Compile, Compiled, ModelExt};
use serde_json::{Value as Json, json};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The version whose format is written.
const KERAS_VERSION: &str = "3.15.1";
/// Where the optimizer's tensors are.
const OPTIMIZER: &str = "optimizer/vars";
/// The largest whole number of a configuration; products of sizes stay far from the end of a machine word.
const MAX_SIZE: u64 = i32::MAX as u64;
/// Numbers that are no sizes.
const IDENTITIES: [&str; 2] = ["seed", "shared_object_id"];

/// What [`save_keras`] and [`write_keras`] take: a model, or a compiled one with its optimizer's state.
#[derive(Clone, Copy)]
pub enum Saved<'a> {
    /// Layers and weights.
    Model(&'a Model),
    /// The same with optimizer, loss and metrics.
    Compiled(&'a Compiled),
}

impl<'a> From<&'a Model> for Saved<'a> {
    fn from(model: &'a Model) -> Self {
        Saved::Model(model)
    }
}
impl<'a> From<&'a Compiled> for Saved<'a> {
    fn from(model: &'a Compiled) -> Self {
        Saved::Compiled(model)
    }
}

/// Writes the whole model, which Keras 3 loads.
///
/// # Errors
/// When the name does not end in `.keras` or the file cannot be written; an old file is untouched then.
pub fn save_keras<'a>(model: impl Into<Saved<'a>>, path: impl AsRef<Path>) -> Result<()> {
    let (path, model) = (path.as_ref(), model.into());
    check_name(path)?;
    files::write_atomically(path, |out| write_keras(model, out))?;
    if let Saved::Compiled(model) = model { model.saved() } else { Ok(()) }
}

/// Writes the bytes of such a file to wherever they go.
///
/// # Errors
/// When writing fails.
pub fn write_keras<'a>(model: impl Into<Saved<'a>>, out: &mut dyn WriteSeek) -> Result<()> {
    match model.into() {
        Saved::Model(model) => {
            write(out, &model_record(model.definition(), json!({})), &weights::tree(model)?, false)
        }
        Saved::Compiled(model) => {
            let arguments = compile_config(model);
            let mut tree = weights::tree(model)?;
            add_optimizer(&mut tree, model, &arguments["optimizer"])?;
            let own_step = model.arguments().has_train_step();
            write(out, &model_record(model.definition(), arguments), &tree, own_step)
        }
    }
}

/// The arguments of `compile`; the learning rate is the one training has come to, as in Keras's files.
fn compile_config(model: &Compiled) -> Json {
    let mut config = model.arguments().to_json();
    if let (Some(rate), Ok(now)) = (
        config.pointer_mut("/optimizer/config/learning_rate").filter(|r| r.is_number()),
        model.learning_rate(),
    ) {
        *rate = now.into();
    }
    config
}

fn add_optimizer(tree: &mut Group, model: &Compiled, record: &Json) -> Result<()> {
    let class = record["class_name"].as_str().unwrap_or_default();
    let name = record["config"]["name"].as_str().map_or_else(|| snake_case(class), String::from);
    tree.group_mut(OPTIMIZER)?.attributes.push(("name".into(), Attribute::Text(name)));
    for (i, t) in model.optimizer_state().iter().enumerate() {
        tree.add_tensor(&format!("{OPTIMIZER}/{i}"), t.clone())?;
    }
    Ok(())
}

fn check_name(path: &Path) -> Result<()> {
    if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("keras")) {
        return Ok(());
    }
    Err(Error::new("a whole model goes to a file whose name ends in .keras")
        .place(path.display().to_string())
        .fix("change the name, or use save_weights for .weights.h5, .safetensors and .npz"))
}

fn write(out: &mut dyn WriteSeek, record: &Json, tree: &Group, own_step: bool) -> Result<()> {
    let mut metadata = json!({ "keras_version": KERAS_VERSION, "date_saved": date(SystemTime::now()) });
    if own_step {
        metadata[OWN_STEP] = true.into();
    }
    let tree = crate::write_hdf5(tree)?;
    let mut archive = ArchiveWriter::new(out);
    archive.add("metadata.json", metadata.to_string().as_bytes())?;
    archive.add("config.json", record.to_string().as_bytes())?;
    archive.add("model.weights.h5", &tree)?;
    archive.finish()
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

/// What `metadata.json` says of a model whose training step no file can hold. Keras reads over it.
const OWN_STEP: &str = "rhyton_train_step";

/// What a `.keras` archive held.
#[derive(Debug)]
pub struct Loaded {
    model: Model,
    compile_config: Json,
    optimizer: Option<Vec<Tensor>>,
    path: PathBuf,
    warnings: Vec<String>,
    /// It was trained by a step of its own.
    own_step: bool,
}

impl Loaded {
    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// What is not as the file says, in words for the user.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether the model was compiled before it was saved.
    pub fn is_compiled(&self) -> bool {
        self.compile_config.as_object().is_some_and(|c| !c.is_empty())
    }

    /// The model, without what it was compiled with.
    pub fn into_model(self) -> Model {
        self.model
    }

    /// The model ready to be trained further, and all warnings. The optimizer's state is left out, with a warning,
    /// when it does not fit the optimizer.
    ///
    /// # Errors
    /// When the model was saved before it was compiled, was trained by a step of its own without a loss beside it, or
    /// uses an unknown loss, metric or optimizer.
    pub fn into_compiled(mut self) -> Result<(Compiled, Vec<String>)> {
        if !self.is_compiled() {
            return Err(Error::new("the model was saved before it was compiled")
                .place(self.path.display().to_string())
                .expected("a model with optimizer and loss")
                .fix("compile the model before saving it, or load it as a Model and compile that"));
        }
        if self.own_step && self.compile_config["loss"].is_null() {
            return Err(Error::new(
                "the model was trained by a step of its own, and no file holds such a step",
            )
            .place(self.path.display().to_string())
            .expected("a loss beside the step, to evaluate the model and train it without the step")
            .fix("train it on in the program that has the step: load it as a Model and compile that"));
        }
        if self.own_step {
            let what = "the step of its own that trained the model is not in the file";
            self.warnings.push(format!("{what}: training goes on with the standard step"));
        }
        let compiled = at_source(&source(&self.path, "config.json, compile_config"), || {
            Compile::from_json(&self.compile_config).and_then(|c| self.model.compile(c))
        });
        let mut compiled = compiled.map_err(|e| files::in_file(e, &self.path))?;
        if let Some(values) = self.optimizer.filter(|v| !never_stepped(v))
            && let Err(e) = compiled.set_optimizer_state(&values)
        {
            let why = e.to_string().replace('\n', ";");
            self.warnings.push(format!("the optimizer starts anew, its saved state does not fit: {why}"));
        }
        Ok((compiled, self.warnings))
    }
}

/// Whether these are the tensors of an optimizer that Keras has not built yet: iteration and learning rate alone,
/// both of which the configuration has.
fn never_stepped(optimizer: &[Tensor]) -> bool {
    optimizer.len() <= 2
        && optimizer.iter().all(|t| t.rank() == 0)
        && optimizer.first().is_none_or(|t| t.data().get_f64(0) == 0.0)
}

/// Reads a `.keras` archive.
///
/// # Errors
/// When the file is no complete archive of a model, holds Python code or an unknown layer, or when weights and
/// layers do not fit each other.
pub fn load_keras(path: impl AsRef<Path>) -> Result<Loaded> {
    let path = path.as_ref();
    refuse_hdf5(path)?;
    let mut archive = Archive::open(path)?;
    let metadata = metadata(&mut archive);
    let with_version = |mut e: Error| {
        if let Some(v) = metadata["keras_version"].as_str().filter(|v| v.starts_with("2.")) {
            let old = Error::new(format!("Keras {v} wrote this file, and not all it wrote is as in Keras 3"));
            e.problems.extend(old.fix("load it in Keras 3 and save it again").problems);
        }
        e
    };
    let own_step = metadata[OWN_STEP] == true;
    read(&mut archive, path, own_step).map_err(|e| files::in_file(with_version(e), path))
}

/// Keras 2 wrote whole models as HDF5, and such files get renamed.
fn refuse_hdf5(path: &Path) -> Result<()> {
    let mut head = vec![];
    let read = files::open(path)?.take(8).read_to_end(&mut head);
    match read {
        Ok(_) if head == b"\x89HDF\r\n\x1a\n" => Err(Error::new(
            "this is an HDF5 file, the format of older models and of weights, whatever its name",
        )
        .place(path.display().to_string())
        .expected("the zip archive that Keras 3 saves under a name ending in .keras")
        .fix("rename it to .h5, load it with keras.models.load_model and save that as .keras")),
        // What is wrong is said by whoever reads on.
        _ => Ok(()),
    }
}

/// What `metadata.json` says; null where it is none.
fn metadata(archive: &mut Archive) -> Json {
    let bytes = archive.has("metadata.json").then(|| archive.read("metadata.json").ok()).flatten();
    bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

fn read(archive: &mut Archive, path: &Path, own_step: bool) -> Result<Loaded> {
    let mut record = config_of(archive)?;
    check_config(&record, "", "")?;
    let mut warnings = vec![];
    other_policies(&record["config"], &mut warnings);
    let mut tree = weights_of(archive)?;
    as_in_keras_3(&mut tree);
    let fill = |variables: &[Variable]| weights::from_tree(variables, &tree);
    let model = at_source(&source(path, "config.json"), || Model::with_weights(from_record(&record)?, fill))?;
    let optimizer = tree.group(OPTIMIZER).map(|g| {
        let numbered = g.datasets_by_number().into_iter();
        numbered.map(|(_, d)| d.tensor.clone()).collect()
    });
    Ok(Loaded {
        model,
        compile_config: record["compile_config"].take(),
        optimizer,
        path: path.into(),
        warnings,
        own_step,
    })
}

/// A place in the file, for errors of what is made from it.
fn source(path: &Path, place: &str) -> Source {
    Source::File { path: path.display().to_string().into(), place: place.into() }
}

/// Notes every layer of a precision that is not known.
fn other_policies(config: &Json, warnings: &mut Vec<String>) {
    for layer in config["layers"].as_array().into_iter().flatten() {
        let config = &layer["config"];
        let policy = config["dtype"]["config"]["name"].as_str();
        if let Some(policy) = policy.filter(|p| DTypePolicy::from_name(p).is_err()) {
            let name = config["name"].as_str().unwrap_or_default();
            warnings.push(format!("the layer '{name}' was saved as {policy} and is computed in float32"));
        }
        other_policies(config, warnings);
    }
}

/// Keras 2 had another name for the group that holds the layers of a model.
fn as_in_keras_3(group: &mut Group) {
    let known = group.groups.iter().any(|(name, _)| name == "layers");
    for (name, inner) in &mut group.groups {
        if !known && name == "_layer_checkpoint_dependencies" {
            *name = "layers".into();
        }
        as_in_keras_3(inner);
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
    let values = at_most_values(&bytes);
    limits::CONFIG_VALUES.check(values, || format!("config.json holds {values} values"))?;
    serde_json::from_slice(&bytes).map_err(|e| {
        Error::new(format!("config.json is damaged: {e}")).fix("copy the file or save the model again")
    })
}

/// How many values a JSON text holds, at most: one stands behind each comma, colon and opening bracket. A value takes
/// far more memory than its two letters in the file, so they are counted before they are read.
fn at_most_values(text: &[u8]) -> u64 {
    1 + text.iter().filter(|b| matches!(b, b',' | b':' | b'[' | b'{')).count() as u64
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
