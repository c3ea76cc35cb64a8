//! `rhyton quantize`.

use crate::output::{complain, say};
use rhyton::prelude::*;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub struct Arguments {
    /// The model, a .keras file
    model: PathBuf,
    /// Where the quantized model goes: a .keras file
    #[arg(long, short)]
    output: PathBuf,
    /// How: int8 rounds weights and inputs of Dense, Embedding and convolutions to whole numbers
    #[arg(long, default_value = "int8")]
    mode: String,
}

pub fn run(a: &Arguments) -> Result<()> {
    let loaded = load_keras(&a.model)?;
    if loaded.is_compiled() {
        let (mut model, warnings) = loaded.into_compiled()?;
        warnings.iter().for_each(|w| complain(&format!("warning: {w}")));
        model.quantize(&a.mode)?;
        model.save(&a.output)?;
    } else {
        let mut model = loaded.into_model();
        model.quantize(&a.mode)?;
        model.save(&a.output)?;
    }
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |m| m.len());
    say(&format!("{} bytes became {}", size(&a.model), size(&a.output)))
}
