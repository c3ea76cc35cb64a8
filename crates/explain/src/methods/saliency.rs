//! Saliency.

use crate::{Attribution, Scene};
use rhyton_graph::Expr;
use rhyton_tensor::Result;

rhyton_nn::object! {
    /// The gradient of the score by each value, with its sign (Simonyan, Vedaldi, Zisserman 2014).
    pub struct Saliency {
        /// Its size instead.
        absolute: bool = false,
    }
}

impl Attribution for Saliency {
    fn attribute(&self, scene: &mut Scene) -> Result<Vec<Expr>> {
        let slopes = scene.gradient(&scene.values());
        Ok(if self.absolute { slopes.iter().map(Expr::abs).collect() } else { slopes })
    }
}
