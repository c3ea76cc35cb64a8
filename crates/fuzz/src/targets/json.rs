//! JSON on the command line: weights of classes, and a step of training with them.

use super::{Target, array};
use crate::form::{Envelope, Form};
use rhyton::prelude::*;
use rhyton::train::{Compile, Fit};
use std::path::Path;

pub const TARGET: Target = Target {
    name: "json",
    about: "JSON of the command line: weights of classes, trained with",
    extension: "json",
    seeds,
    time: super::TIME,
    form: Form::Json(Envelope {
        open: |bytes| serde_json::from_slice(bytes).ok(),
        close: |json, _| Some(json.to_string().into_bytes()),
    }),
    run,
};

fn seeds() -> Result<Vec<Vec<u8>>> {
    let texts = [r#"{"0": 1.0, "1": 2.5}"#, "{}", r#"{"2": 0, "0": 3e2}"#];
    Ok(texts.map(|t| t.as_bytes().to_vec()).to_vec())
}

fn run(input: &[u8], _: &Path) -> Result<()> {
    let weights = rhyton_cli::json::class_weights(&String::from_utf8_lossy(input))?;
    let model = Sequential::new([2]).add(Dense::new(3).softmax()).build()?;
    let mut model = model.compile(Compile::new(SGD::new(0.1), "sparse_categorical_crossentropy"))?;
    let x = array(&[6, 2], |i| i as f32 / 10.0)?;
    let y = array(&[6], |i| (i % 3) as i32)?;
    model.fit((&x, &y), Fit::epochs(1).verbose(0).class_weight(weights)).map(drop)
}
