//! The safetensors format.

use super::{Target, arrays, written};
use crate::form::{Envelope, Form};
use rhyton::io::{SafeTensors, write_safetensors};
use rhyton::{Result, Tensor};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::path::Path;

pub const TARGET: Target = Target {
    name: "safetensors",
    about: "safetensors: header and tensors",
    extension: "safetensors",
    seeds,
    time: super::TIME,
    form: Form::Json(Envelope { open: header, close: with_header }),
    run,
};

fn seeds() -> Result<Vec<Vec<u8>>> {
    let tensors = arrays()?;
    let metadata = BTreeMap::from([("made by".to_string(), "Rhyton \"\u{fc}\"".to_string())]);
    let file = |part: &[(String, Tensor)]| {
        let named: Vec<(&str, &Tensor)> = part.iter().map(|(n, t)| (n.as_str(), t)).collect();
        written(".safetensors", |path| write_safetensors(path, &named, &metadata))
    };
    let foreign = include_bytes!("../../../io/tests/data/python.safetensors").to_vec();
    Ok(vec![file(&tensors)?, file(&tensors[..2])?, file(&[])?, foreign])
}

fn run(input: &[u8], _: &Path) -> Result<()> {
    SafeTensors::from_bytes(input).map(drop)
}

/// The header of a file.
pub fn header(bytes: &[u8]) -> Option<Json> {
    let length = usize::try_from(u64::from_le_bytes(*bytes.first_chunk()?)).ok()?;
    serde_json::from_slice(bytes.get(8..)?.get(..length)?).ok()
}

/// The file with another header before the same elements.
pub fn with_header(header: &Json, bytes: &[u8]) -> Option<Vec<u8>> {
    let old = usize::try_from(u64::from_le_bytes(*bytes.first_chunk()?)).ok()?;
    let elements = bytes.get(8..)?.get(old..)?;
    let text = header.to_string();
    Some([&(text.len() as u64).to_le_bytes(), text.as_bytes(), elements].concat())
}
