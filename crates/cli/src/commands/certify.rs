//! `rhyton certify`.

use crate::commands::attack::bounds;
use crate::commands::explain::settings;
use crate::data::Data;
use crate::output::{Target as Out, complain};
use rhyton::robust::bounds::BoundRef;
use rhyton::robust::{Certifier, Norm};
use rhyton::{Result, io};
use serde_json::{Map, Value as Json};
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Arguments {
    /// The model, a .keras file
    model: PathBuf,
    /// How: `rhyton list bound` shows the methods
    #[arg(long, default_value = "crown")]
    method: String,
    /// Settings of the method, like {"steps": 50}
    #[arg(long, default_value = "{}", value_parser = settings)]
    args: Map<String, Json>,
    /// How far an input may change
    #[arg(long)]
    eps: f64,
    /// What that is measured in: inf, 2 or 1
    #[arg(long, default_value = "inf", value_parser = norm)]
    norm: Norm,
    /// Least and largest value of an input, like 0,1; changes beyond are not looked at. Unless given, there are none
    #[arg(long, value_parser = bounds, allow_hyphen_values = true)]
    bounds: Option<(f32, f32)>,
    /// Inputs x0, x1, .. and classes y0, if any, in an .npz file; - reads it from standard input
    #[arg(long)]
    data: PathBuf,
    /// The array that holds the classes; without it no accuracy is said
    #[arg(long, default_value = "y0")]
    labels: String,
    /// Which of the model's outputs
    #[arg(long, default_value_t = 0)]
    output: usize,
    /// Where bounds of the output go: an .npz file with METHOD_lower and METHOD_upper; - writes it to standard output
    #[arg(long)]
    out: Out,
    /// Samples computed at a time
    #[arg(long, default_value_t = 32)]
    batch_size: usize,
}

fn norm(text: &str) -> std::result::Result<Norm, String> {
    serde_json::from_value(text.into()).map_err(|_| "expected inf, 2 or 1".into())
}

pub fn run(a: &Arguments) -> Result<()> {
    let method = BoundRef::with_settings(&a.method, &a.args).map_err(|e| e.place("--method, --args"))?;
    let model = io::load_keras(&a.model)?.into_model();
    let data = Data::read(&a.data)?;
    let labels = if data.arrays.contains_key(&a.labels) { Some(data.array(&a.labels)?) } else { None };
    a.out.try_now("--out", 0)?;
    let certifier = Certifier::new(&model).output(a.output).norm(a.norm).batch_size(a.batch_size);
    let certifier = match a.bounds {
        Some((low, high)) => certifier.bounds(low, high),
        None => certifier,
    };
    let found = certifier.certify(method, &data.inputs, labels, a.eps)?;
    if let Some(accuracy) = found.accuracy() {
        complain(&format!("{:.4} of the samples are surely taken for their class within {}", accuracy, a.eps));
    }
    let [lower, upper] = ["lower", "upper"].map(|end| format!("{}_{end}", a.method));
    a.out.write(|out| io::write_npz_to(out, &[(lower.as_str(), &found.lower), (upper.as_str(), &found.upper)]))
}
