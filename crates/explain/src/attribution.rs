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
    ExpectedGradients ["gradient_shap"] "integrated gradients from many baselines, drawn": ExpectedGradients::default().samples(8);
    SmoothGrad "the mean of a method's results at values with noise": SmoothGrad::default().samples(4);
    SmoothGradSquared "the mean of their squares": SmoothGradSquared::default().samples(4);
    VarGrad "their variance": VarGrad::default().samples(4);
    GuidedBackprop "the gradient, of which ReLU passes on what is positive where it was positive";
    Deconvolution "the gradient, of which ReLU passes on what is positive";
    DeepLift "contributions to the difference from a reference, by rescale or reveal-cancel";
    DeepShap "the mean of DeepLIFT's contributions over many references";
    LrpEpsilon "relevance in proportion to contributions";
    LrpGamma "relevance, positive weights counting more";
    LrpZPlus "relevance in proportion to positive contributions";
    LrpAlphaBeta "relevance for positive contributions less relevance for negative ones";
    LrpFlat "relevance in equal shares";
    LrpWSquare "relevance in proportion to squared weights";
    LrpEpsilonPlus "epsilon for dense layers, z-plus for convolutions";
    LrpEpsilonGammaBox "epsilon for dense layers, gamma for convolutions, bounded inputs";
    LrpEpsilonAlpha2Beta1 "epsilon for dense layers, alpha-beta for convolutions";
    FeatureAblation "how much the score falls without each value";
    FeaturePermutation "how much the score falls with each value of another sample";
    Occlusion "how much the score falls without each window": Occlusion::default().window(vec![2]);
    Rise "the mean score of the input seen through random masks": Rise::default().samples(8);
    ShapleyValues "what each value adds, over all orders";
    ShapleySampling ["shapley_value_sampling"] "what each value adds, over orders that are drawn": ShapleySampling::default().samples(4);
    KernelShap "Shapley values as the weights of a linear model";
    Lime "the weights of a linear model near the sample": Lime::default().samples(50);
    GradCam "where channels that speak for the score are active";
    GradCamPlusPlus ["grad_cam_plus_plus", "grad_cam++"] "Grad-CAM with weights by place";
    LayerCam "activations times positive gradients";
    ScoreCam "where channels are active through which the score rises";
    GuidedGradCam "guided backpropagation where Grad-CAM is";
    LayerActivation "what a layer gives";
    LayerGradient "the gradient by what a layer gives";
    LayerGradientXActivation "that gradient times what it gives";
    LayerIntegratedGradients "integrated gradients by what a layer gives";
    LayerDeepLift "DeepLIFT's contributions of what a layer gives";
    LayerConductance "what flows to the score through a layer";
    InternalInfluence "the mean gradient by what a layer gives, from a baseline's inputs on";
    AttentionRollout "what is attended to, through all layers";
    Lrp "a rule for each kind of layer and for layers by name";
}
