//! Input times gradient.

use crate::{Attribution, Scene};
use rhyton_graph::Expr;
use rhyton_tensor::Result;

rhyton_nn::object! {
    /// Each value times the gradient of the score by it (Shrikumar, Greenside, Kundaje 2016).
    pub struct InputXGradient {}
}

impl Attribution for InputXGradient {
    fn attribute(&self, scene: &mut Scene) -> Result<Vec<Expr>> {
        let values = scene.values();
        let slopes = scene.gradient(&values);
        Ok(values.iter().zip(&slopes).map(|(x, g)| x * g).collect())
    }
}
