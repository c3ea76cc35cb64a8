//! `rhyton evaluate`.

use crate::data::Data;
use crate::output::say;
use crate::{json, load_compiled};
use rhyton::Result;
use rhyton::train::Evaluate;
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Arguments {
    /// The model, a .keras file of a compiled model
    model: PathBuf,
    /// Inputs and targets: an .npz file with x0, x1, .. and y0, y1, ..; sw0, .. are sample weights; -
    /// reads it from standard input
    #[arg(long)]
    data: PathBuf,
    /// Samples of a step
    #[arg(long, default_value_t = 32)]
    batch_size: usize,
    /// Print the figures as one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(a: &Arguments) -> Result<()> {
    let mut model = load_compiled(&a.model)?;
    let data = Data::read_with_targets(&a.data)?;
    let logs = model.evaluate_with(data.samples(), Evaluate::new().batch_size(a.batch_size).verbose(0))?;
    if a.json {
        return say(&json::object(logs.iter().map(|(name, value)| (name.to_string(), json::number(value)))));
    }
    say(&logs.to_string())
}
