//! Compiled models in int8.

use crate::{Compiled, ModelExt};
use rhyton_model::Model;
use rhyton_tensor::{Error, Result};

impl Compiled {
    /// Turns the model's arithmetic into `mode` `int8`, as [`Model::quantize`] does. The optimizer starts anew; what
    /// the model was compiled with is kept.
    ///
    /// # Errors
    /// As for [`Model::quantize`].
    pub fn quantize(&mut self, mode: &str) -> Result<()> {
        let mut model = Model::clone(self);
        model.quantize(mode)?;
        *self = model.compile(self.arguments().clone())?;
        Ok(())
    }

    /// That the weights can be trained.
    ///
    /// # Errors
    /// When they are quantized.
    pub(crate) fn check_trainable(&self) -> Result<()> {
        if !self.is_quantized() {
            return Ok(());
        }
        Err(Error::new("a model quantized to int8 cannot be trained")
            .place(self.name())
            .fix("train the float32 model and quantize it afterwards"))
    }
}
