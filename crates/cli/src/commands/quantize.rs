//! `rhyton quantize`.

use super::is_keras;
use crate::output::{Target, complain, say};
use rhyton::io::write_keras;
use rhyton::prelude::*;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub struct Arguments {
    /// The model, a .keras file
    model: PathBuf,
    /// Where the quantized model goes: a .keras file; - writes it to standard output
    #[arg(long, short, alias = "out")]
    output: Target,
    /// How: int8 rounds weights and inputs of Dense, Embedding and convolutions to whole numbers
    #[arg(long, default_value = "int8")]
    mode: String,
}

pub fn run(a: &Arguments) -> Result<()> {
    let loaded = load_keras(&a.model)?;
    is_keras("--output", &a.output)?;
    a.output.try_now("--output", 0)?;
    if loaded.is_compiled() {
        let (mut model, warnings) = loaded.into_compiled()?;
        warnings.iter().for_each(|w| complain(&format!("warning: {w}")));
        model.quantize(&a.mode)?;
        a.output.write(|out| write_keras(&model, out))?;
    } else {
        let mut model = loaded.into_model();
        model.quantize(&a.mode)?;
        a.output.write(|out| write_keras(&model, out))?;
    }
    let Some(output) = a.output.file() else { return Ok(()) };
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |m| m.len());
    say(&format!("{} bytes became {}", size(&a.model), size(output)))
}
