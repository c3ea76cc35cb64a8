//! `rhyton certify`.

use crate::commands::attack::bounds;
use crate::commands::explain::settings;
use crate::data::Data;
use crate::output::{Target as Out, complain, say};
use rhyton::model::Model;
use rhyton::robust::bounds::BoundRef;
use rhyton::robust::vnnlib::Property;
use rhyton::robust::{Certifier, Norm, Verdict, verify};
use rhyton::{Error, Result, Tensor, io};
use serde_json::{Map, Value as Json};
use std::path::{Path, PathBuf};

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
    #[arg(long, required_unless_present = "property", allow_hyphen_values = true)]
    eps: Option<f64>,
    /// A property in a .vnnlib file: whether it holds, in place of bounds of the data
    #[arg(long, conflicts_with_all = ["eps", "data", "out"])]
    property: Option<PathBuf>,
    /// What that is measured in: inf, 2 or 1
    #[arg(long, default_value = "inf", value_parser = norm)]
    norm: Norm,
    /// Least and largest value of an input, like 0,1; changes beyond are not looked at. Unless given, there are none
    #[arg(long, value_parser = bounds, allow_hyphen_values = true)]
    bounds: Option<(f32, f32)>,
    /// Inputs x0, x1, .. and classes y0, if any, in an .npz file; - reads it from standard input
    #[arg(long, required_unless_present = "property")]
    data: Option<PathBuf>,
    /// The array that holds the classes, y0 unless given; without classes no accuracy is said
    #[arg(long)]
    labels: Option<String>,
    /// Which of the model's outputs
    #[arg(long, default_value_t = 0)]
    output: usize,
    /// Where bounds of the output go: an .npz file with METHOD_lower and METHOD_upper; - writes it to standard output
    #[arg(long, required_unless_present = "property")]
    out: Option<Out>,
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
    match (&a.property, a.eps, &a.data, &a.out) {
        (Some(path), ..) => property(path, method, &model),
        (None, Some(eps), Some(data), Some(out)) => bounded(a, method, &model, eps, data, out),
        // The parser of arguments lets nothing else through.
        _ => Err(Error::new("--eps, --data and --out, or --property").place("rhyton certify")),
    }
}

fn bounded(a: &Arguments, method: BoundRef, model: &Model, eps: f64, data: &Path, out: &Out) -> Result<()> {
    let data = Data::read(data)?;
    let labels = match &a.labels {
        Some(name) => Some(data.array(name)?),
        None => data.targets.first().filter(|y| are_classes(y)),
    };
    out.try_now("--out", 0)?;
    let certifier = Certifier::new(model).output(a.output).norm(a.norm).batch_size(a.batch_size);
    let certifier = match a.bounds {
        Some((low, high)) => certifier.bounds(low, high),
        None => certifier,
    };
    let found = certifier.certify(method, &data.inputs, labels, eps)?;
    if let Some(accuracy) = found.accuracy() {
        complain(&format!("{accuracy:.4} of the samples are surely taken for their class within {eps}"));
    }
    let [lower, upper] = ["lower", "upper"].map(|end| format!("{}_{end}", a.method));
    out.write(|out| io::write_npz_to(out, &[(lower.as_str(), &found.lower), (upper.as_str(), &found.upper)]))
}

/// Whether targets can be classes: a model that predicts numbers has others.
fn are_classes(targets: &Tensor) -> bool {
    targets.to_vec::<f64>().iter().all(|y| *y >= 0.0 && y.fract() == 0.0)
}

/// Says `holds`, `violated` with an input, or `unknown`.
fn property(path: &Path, method: BoundRef, model: &Model) -> Result<()> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io("read", path, &e))?;
    let inputs = model
        .definition()
        .input_types
        .first()
        .map(|t| t.shape[1..].iter().filter_map(|d| d.as_fixed()).product());
    let place = |e: Error| e.place(path.display().to_string());
    let property = Property::read(&text, inputs.unwrap_or(0)).map_err(place)?;
    match verify(model, method, &property).map_err(place)? {
        Verdict::Holds => say("holds"),
        Verdict::Unknown => say("unknown"),
        Verdict::Violated(x) => {
            let values =
                x.to_vec::<f32>().iter().enumerate().map(|(i, v)| format!("X_{i} = {v}")).collect::<Vec<_>>();
            say(&format!("violated\n{}", values.join("\n")))
        }
    }
}
