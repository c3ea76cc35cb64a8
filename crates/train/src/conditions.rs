//! [`Conditions`]: what training began with. Checkpoints keep it, so that going on with something else is noticed.

use super::data::Source;
use super::evaluate::BATCH_SIZE;
use super::{Compiled, Fit, TrainingState};
use rhyton_model::json::model_record;
use rhyton_tensor::{Error, Result, Tensor};
use serde_json::{Map, Value as Json, json};
use std::cell::OnceCell;

/// Arguments, model and data of one call of `fit`. They are looked at only when a state is saved or gone on from:
/// reading all data once takes a moment.
pub(crate) struct Conditions {
    arguments: Json,
    data: Vec<(String, Tensor)>,
    json: OnceCell<Json>,
}

impl Conditions {
    pub(crate) fn new(fit: &Fit<'_>, data: &Source<'_>) -> Conditions {
        let mut tensors = vec![];
        let mut note = |kind: &str, list: &[Tensor]| {
            tensors.extend(list.iter().enumerate().map(|(i, t)| (format!("{kind} {i}"), t.clone())));
        };
        let sources = [(Some(data), ""), (fit.validation.as_ref(), "validation ")];
        for (source, of) in sources {
            if let Some(Source::Samples(s)) = source {
                note(&format!("{of}input"), &s.x);
                note(&format!("{of}target"), &s.y);
                note(&format!("{of}sample weight"), &s.weights);
            }
        }
        note("sample weight given to fit", &fit.sample_weight);
        let arguments = json!({
            "seed": fit.seed,
            "batch size": fit.batch_size.unwrap_or(BATCH_SIZE),
            "shuffle": fit.shuffle,
            "steps per epoch": fit.steps_per_epoch,
            "validation split": fit.validation_split,
            "validation batch size": fit.validation_batch_size,
            "validation steps": fit.validation_steps,
            "class weight": fit.class_weight,
        });
        Conditions { arguments, data: tensors, json: OnceCell::new() }
    }

    /// All of it as JSON.
    pub(crate) fn to_json(&self, model: &Compiled) -> &Json {
        self.json.get_or_init(|| {
            let mut all = self.arguments.clone();
            let record = model_record(model.definition(), Json::Null);
            all["model"] = record["config"].clone();
            for (i, other) in model.others.iter().enumerate() {
                let record = model_record(other.definition(), Json::Null);
                all[format!("model {}", i + 1)] = record["config"].clone();
            }
            for (name, value) in model.arguments().to_json().as_object().into_iter().flatten() {
                all[name.replace('_', " ")] = value.clone();
            }
            all["data"] =
                self.data.iter().map(|(n, t)| (n.clone(), describe(t).into())).collect::<Map<_, _>>().into();
            all
        })
    }

    /// Compares with what the training of `state` began with.
    ///
    /// # Errors
    /// When something differs: says what.
    pub(crate) fn check(&self, state: &TrainingState, model: &Compiled) -> Result<()> {
        let (then, now) = (&state.json["conditions"], self.to_json(model));
        let mut differences = vec![];
        if !then.is_null() {
            compare("", then, now, &mut differences);
        }
        if differences.is_empty() {
            return Ok(());
        }
        let more = differences.len().saturating_sub(SHOWN);
        differences.truncate(SHOWN);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        let what = format!("training would go on otherwise than it began: {}{more}", differences.join("; "));
        Err(Error::new(what)
            .place("resume")
            .expected("the model, the data and the arguments that the interrupted training began with")
            .fix(
                "give them again; or remove the checkpoint to start anew; or go on with what is given now: \
                 resume_anyway(true), on the command line --resume-anyway",
            ))
    }
}

/// Differences that an error lists.
const SHOWN: usize = 8;

/// Notes every place at which two values differ.
fn compare(place: &str, then: &Json, now: &Json, differences: &mut Vec<String>) {
    let inside = |key: &str| if place.is_empty() { key.to_string() } else { format!("{place}.{key}") };
    match (then, now) {
        // No seed given is no wish for another seed.
        _ if then == now || (place == "seed" && now.is_null()) => {}
        // Files keep a learning rate as the float32 it is computed with.
        (Json::Number(a), Json::Number(b))
            if (a.is_f64() || b.is_f64()) && a.as_f64().map(|x| x as f32) == b.as_f64().map(|x| x as f32) => {
        }
        (Json::Object(a), Json::Object(b)) => {
            let keys = a.keys().chain(b.keys().filter(|k| !a.contains_key(*k)));
            keys.for_each(|k| compare(&inside(k), &then[k], &now[k], differences));
        }
        (Json::Array(a), Json::Array(b)) if a.len() == b.len() => {
            let pairs = a.iter().zip(b).enumerate();
            pairs.for_each(|(i, (a, b))| compare(&inside(&i.to_string()), a, b, differences));
        }
        _ => differences.push(format!("{place} was {}, is {}", short(then), short(now))),
    }
}

/// A value as an error shows it.
fn short(value: &Json) -> String {
    let text = match value {
        Json::Null => "nothing".into(),
        Json::String(s) => s.clone(),
        Json::Number(n) if n.is_f64() => format!("{:?}", n.as_f64().unwrap_or_default() as f32),
        other => other.to_string(),
    };
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}..", &text[..end]),
        None => text,
    }
}

/// Type, sizes and a checksum of the elements.
fn describe(t: &Tensor) -> String {
    let rows = t.shape().first().copied().unwrap_or(1);
    let part = (CHUNK * rows).div_ceil(t.len().max(1)).max(1);
    let mut checksum = crc32fast::Hasher::new();
    for start in (0..rows).step_by(part) {
        if let Ok(part) = t.slice_rows(start..rows.min(start + part)) {
            checksum.update(&part.to_le_bytes());
        }
    }
    format!("{} {:?} with checksum {:08x}", t.dtype(), t.shape(), checksum.finalize())
}

/// Elements that are copied at a time.
const CHUNK: usize = 1 << 18;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_counts() {
        let t =
            |n: usize, change: usize| Tensor::from_fn([n, 3], |i| if i == change { 0.5 } else { i as f32 });
        let n = CHUNK / 2 + 7;
        let whole = describe(&t(n, usize::MAX));
        assert_eq!(whole, describe(&t(n, usize::MAX)));
        for change in [1, CHUNK - 1, CHUNK, 3 * n - 1] {
            assert_ne!(whole, describe(&t(n, change)), "{change}");
        }
        assert!(describe(&Tensor::zeros(rhyton_tensor::DType::F32, [0, 4])).starts_with("float32 [0, 4]"));
    }

    #[test]
    fn differences_are_named_by_place() {
        let then = json!({"seed": 1, "a": {"b": [1, {"c": 2}]}, "gone": true, "same": [1, 0.001]});
        let now = json!({"seed": null, "a": {"b": [1, {"c": "x"}]}, "new": 3, "same": [1, 0.001f32]});
        let mut found = vec![];
        compare("", &then, &now, &mut found);
        assert_eq!(found, ["a.b.1.c was 2, is x", "gone was true, is nothing", "new was nothing, is 3"]);
    }
}
