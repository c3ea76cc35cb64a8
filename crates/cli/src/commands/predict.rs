//! `rhyton predict`.

use crate::data::Data;
use rhyton::{Result, Tensor, io};
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Arguments {
    /// The model, a .keras file
    model: PathBuf,
    /// Inputs: an .npz file with x0, x1, ..
    #[arg(long)]
    data: PathBuf,
    /// Where the outputs go: an .npz file with p0, p1, ..
    #[arg(long)]
    out: PathBuf,
    /// Samples computed at a time
    #[arg(long, default_value_t = 32)]
    batch_size: usize,
}

pub fn run(a: &Arguments) -> Result<()> {
    let model = io::load_keras(&a.model)?.into_model();
    let data = Data::read(&a.data)?;
    let outputs = model.predict_all(&data.inputs, a.batch_size)?;
    let names: Vec<String> = (0..outputs.len()).map(|i| format!("p{i}")).collect();
    let arrays: Vec<(&str, &Tensor)> = names.iter().map(String::as_str).zip(&outputs).collect();
    io::write_npz(&a.out, &arrays)
}
