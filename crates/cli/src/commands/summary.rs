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
    let loaded = io::load_keras(&a.model)?;
    let model = loaded.model().clone();
    // A loss that is not known here is no reason to hide the layers.
    let text = loaded.into_compiled().map_or_else(|_| model.summary(), |(compiled, _)| compiled.summary());
    say(text.trim_end())
}
