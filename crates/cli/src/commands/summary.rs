//! `rhyton summary`.

use crate::output::say;
use rhyton::{Result, io};
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Arguments {
    /// The model, a .keras file
    model: PathBuf,
}

pub fn run(a: &Arguments) -> Result<()> {
    say(&format!("{:?}", io::load_keras(&a.model)?.model()))
}
