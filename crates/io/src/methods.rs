//! `model.save(path)` and its kin as methods.

use crate::{load_keras, load_weights, save_keras, save_weights};
use rhyton_model::Model;
use rhyton_tensor::Result;
use rhyton_train::Compiled;
use std::io::Write;
use std::path::Path;

/// Saving models.
pub trait Save {
    /// Writes the whole model to a `.keras` file, compiled ones with optimizer, loss and metrics.
    ///
    /// # Errors
    /// When the name ends otherwise or the file cannot be written; an old file is untouched then.
    fn save(&self, path: impl AsRef<Path>) -> Result<()>;

    /// Writes the weights alone: `.weights.h5`, `.safetensors` or `.npz`.
    ///
    /// # Errors
    /// When the name ends otherwise or the file cannot be written; an old file is untouched then.
    fn save_weights(&self, path: impl AsRef<Path>) -> Result<()>;
}

/// Loading models. What could not be taken over is said on standard error.
pub trait Load: Sized {
    /// Reads a `.keras` file of Rhyton or Keras 3.
    ///
    /// # Errors
    /// When the file is damaged, holds unknown layers or Python code, or (for [`Compiled`]) was saved before
    /// compiling.
    fn load(path: impl AsRef<Path>) -> Result<Self>;

    /// Replaces the weights by those in a file: `.weights.h5`, `.safetensors`, `.npz` or `.keras`.
    ///
    /// # Errors
    /// When a weight is missing or has another shape; the model is unchanged then.
    fn load_weights(&mut self, path: impl AsRef<Path>) -> Result<()>;
}

fn warn(warnings: &[String]) {
    // Nobody is left to tell when this fails.
    warnings.iter().for_each(|w| drop(writeln!(std::io::stderr().lock(), "warning: {w}")));
}

impl Save for Model {
    fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        save_keras(self, path)
    }
    fn save_weights(&self, path: impl AsRef<Path>) -> Result<()> {
        save_weights(self, path)
    }
}

impl Save for Compiled {
    fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        save_keras(self, path)
    }
    fn save_weights(&self, path: impl AsRef<Path>) -> Result<()> {
        save_weights(self, path)?;
        self.saved()
    }
}

impl Load for Model {
    fn load(path: impl AsRef<Path>) -> Result<Model> {
        let loaded = load_keras(path)?;
        warn(loaded.warnings());
        Ok(loaded.into_model())
    }
    fn load_weights(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let values = load_weights(self, path)?;
        self.set_weights(&values)
    }
}

impl Load for Compiled {
    fn load(path: impl AsRef<Path>) -> Result<Compiled> {
        let (compiled, warnings) = load_keras(path)?.into_compiled()?;
        warn(&warnings);
        Ok(compiled)
    }
    fn load_weights(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let values = load_weights(self, path)?;
        self.set_weights(&values)
    }
}
