//! `rhyton evaluate`.

use crate::data::Data;
use crate::output::{complain, say};
use rhyton::nn::training::{Evaluate, Verbose};
use rhyton::{Result, io};
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Arguments {
    /// The compiled model, a .keras file
    model: PathBuf,
    /// Inputs and targets: an .npz file with x0, x1, .., y0, y1, .. and, if wanted, sw0
    #[arg(long)]
    data: PathBuf,
    /// Samples computed at a time
    #[arg(long, default_value_t = 32)]
    batch_size: usize,
    /// Print the figures as one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(a: &Arguments) -> Result<()> {
    let loaded = io::load_keras(&a.model)?;
    loaded.warnings.iter().for_each(|w| complain(&format!("warning: {w}")));
    let mut model = loaded.into_compiled()?;
    let data = Data::read_with_targets(&a.data)?.into_samples();
    let how = Evaluate::new().batch_size(a.batch_size).verbose(Verbose::Silent);
    let figures = model.evaluate_with(data, how)?;
    if a.json { say(&figures.to_json().to_string()) } else { say(&figures.to_string()) }
}
