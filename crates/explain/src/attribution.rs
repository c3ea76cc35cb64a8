//! [`Attribution`]: a method that says how much each value had to do with a score.

use crate::methods::*;
use crate::{Place, Scene};
use rhyton_graph::Expr;
use rhyton_nn::{Handle, Object};
use rhyton_tensor::Result;

/// A method of attribution. A new one is a file in `methods/` and a row of the registry below.
pub trait Attribution: Object {
    /// Which values are explained.
    fn place(&self) -> Place {
        Place::Inputs
    }

    /// What each of the scene's values had to do with the score of its sample: one expression for each value,
    /// `[batch, ..]`.
    ///
    /// # Errors
    /// When a setting makes no sense for this model.
    fn attribute(&self, scene: &mut Scene) -> Result<Vec<Expr>>;
}

/// A shared method.
pub type Method = Handle<dyn Attribution>;

// The methods.
rhyton_nn::registry! {
    local dyn Attribution, "attribution" in "rhyton.explain";
    Saliency "the gradient of the score";
    InputXGradient ["gradient_x_input"] "the gradient times the value";
    IntegratedGradients ["integrated_gradients_trapezoid"] "the gradient along a straight path from a baseline, times the way":
        IntegratedGradients::default().steps(8);
}
