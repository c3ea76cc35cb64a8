//! `rhyton predict`.

use crate::data::Data;
use crate::output::Target;
use rhyton::{Result, Tensor, io};
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Arguments {
    /// The model, a .keras file
    model: PathBuf,
    /// Inputs: an .npz file with x0, x1, ..; - reads it from standard input
    #[arg(long)]
    data: PathBuf,
    /// Where the outputs go: an .npz file with p0, p1, ..; - writes it to standard output
    #[arg(long)]
    out: Target,
    /// Samples computed at a time
    #[arg(long, default_value_t = 32)]
    batch_size: usize,
}

pub fn run(a: &Arguments) -> Result<()> {
    let model = io::load_keras(&a.model)?.into_model();
    let data = Data::read(&a.data)?;
    a.out.try_now("--out", 0)?;
    let outputs = model.predict_all(&data.inputs, a.batch_size)?;
    let names: Vec<String> = (0..outputs.len()).map(|i| format!("p{i}")).collect();
    let arrays: Vec<(&str, &Tensor)> = names.iter().map(String::as_str).zip(&outputs).collect();
    a.out.write(|out| io::write_npz_to(out, &arrays))
}
