//! One file a command: its arguments and what it does.

pub mod attack;
pub mod bench;
pub mod certify;
pub mod demo;
pub mod dump;
pub mod evaluate;
pub mod explain;
pub mod fit;
pub mod list;
pub mod predict;
pub mod quantize;
pub mod report;
pub mod summary;

use crate::output::Target;
use rhyton::{Error, Result};

/// Refuses a name that a model cannot have, before the work.
fn is_keras(option: &str, target: &Target) -> Result<()> {
    match target.file() {
        Some(path) if path.extension().is_none_or(|e| !e.eq_ignore_ascii_case("keras")) => {
            Err(Error::new(format!("the model cannot go to '{}'", path.display()))
                .place(option)
                .expected("a name that ends in .keras"))
        }
        _ => Ok(()),
    }
}
