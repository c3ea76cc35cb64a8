//! Guided backpropagation and deconvolution: other rules for ReLU on the way back.

use crate::{Attribution, Scene};
use rhyton_graph::Expr;
use rhyton_graph::named::RELU;
use rhyton_graph::transform::{Backward, Occurrence};
use rhyton_tensor::Result;

/// What a ReLU passes back: only what is positive and, if `where_active`, only where it was positive itself.
struct Rectified {
    where_active: bool,
}

impl Backward for Rectified {
    fn rule(&self, at: &Occurrence, cotangents: &[Option<Expr>]) -> Option<Vec<Option<Expr>>> {
        if at.named != Some(&RELU) {
            return None;
        }
        let zero = Expr::scalar(0.0f32);
        let positive = cotangents[0].as_ref()?.maximum(&zero);
        let active = at.results[0].greater(&zero);
        Some(vec![Some(if self.where_active { active.select(&positive, &zero) } else { positive })])
    }
}

rhyton_nn::object! {
    /// The gradient, of which a ReLU passes on what is positive, where it was positive (Springenberg et al. 2015).
    pub struct GuidedBackprop {}
}

impl Attribution for GuidedBackprop {
    fn attribute(&self, scene: &mut Scene) -> Result<Vec<Expr>> {
        Ok(scene.backward(&Rectified { where_active: true }))
    }
}

rhyton_nn::object! {
    /// The gradient, of which a ReLU passes on what is positive, wherever it was (Zeiler, Fergus 2014).
    pub struct Deconvolution {}
}

impl Attribution for Deconvolution {
    fn attribute(&self, scene: &mut Scene) -> Result<Vec<Expr>> {
        Ok(scene.backward(&Rectified { where_active: false }))
    }
}
