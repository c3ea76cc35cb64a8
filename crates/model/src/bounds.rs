//! How much a configuration makes, counted before anything is made: a model called twice inside of a model called
//! twice is a short text for a long computation.

use crate::Inputs;
use rhyton_tensor::{Error, Result, limits};
use serde_json::Value as Json;

/// An error when the models in `record` would be traced through more calls of layers than [`limits::CALLS`] allows.
///
/// # Errors
/// When there are more, with their number.
pub(super) fn check_calls(record: &Json) -> Result<()> {
    let mut all = 0;
    calls_inside(record, &mut all);
    limits::CALLS.check(all, || {
        format!("the model makes {all} calls of layers, those inside of nested models counted at each of their calls")
    })
}

/// The calls that one call of the models in `value` makes. Every model is traced when it is made, too: `all` adds
/// them up. The depth of `value` is bounded by the parser.
fn calls_inside(value: &Json, all: &mut u64) -> u64 {
    match value {
        Json::Array(items) => sum(items.iter().map(|v| calls_inside(v, all))),
        Json::Object(map) => match map.get("layers").and_then(Json::as_array) {
            Some(layers) => {
                let calls = sum(layers.iter().map(|layer| {
                    let nodes = layer["inbound_nodes"].as_array().map_or(1, Vec::len).max(1);
                    let inside = calls_inside(&layer["config"], all).saturating_add(1);
                    inside.saturating_mul(nodes as u64)
                }));
                *all = all.saturating_add(calls);
                calls
            }
            None => sum(map.values().map(|v| calls_inside(v, all))),
        },
        _ => 0,
    }
}

/// An error when the settings of a call hold more values than [`limits::SETTINGS`].
///
/// # Errors
/// When they do.
pub(super) fn few_settings(inputs: &Inputs) -> Result<()> {
    let literals = inputs.literals.iter().map(|(_, value)| value);
    let all: usize = inputs.settings.values().chain(literals).map(values).sum();
    if all <= limits::SETTINGS {
        return Ok(());
    }
    Err(Error::new(format!("the settings of a call hold {all} values"))
        .expected(format!("at most {}", limits::SETTINGS)))
}

fn values(value: &Json) -> usize {
    match value {
        Json::Array(items) => 1 + items.iter().map(values).sum::<usize>(),
        Json::Object(map) => 1 + map.values().map(values).sum::<usize>(),
        _ => 1,
    }
}

fn sum(counts: impl Iterator<Item = u64>) -> u64 {
    counts.fold(0, u64::saturating_add)
}
