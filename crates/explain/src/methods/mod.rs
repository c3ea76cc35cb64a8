//! The methods, a file each.

mod attention_rollout;
mod cam;
mod deep_lift;
mod expected_gradients;
mod feature_ablation;
mod feature_permutation;
mod given;
mod input_x_gradient;
mod integrated_gradients;
mod layer;
mod lrp;
mod noise_tunnel;
mod rectified;
mod rise;
mod saliency;
mod shapley;
mod surrogate;

pub use attention_rollout::AttentionRollout;
pub use cam::{GradCam, GradCamPlusPlus, GuidedGradCam, LayerCam, ScoreCam};
pub use deep_lift::{DeepLift, DeepShap, Multipliers};
pub use expected_gradients::ExpectedGradients;
pub use feature_ablation::{FeatureAblation, Occlusion};
pub use feature_permutation::FeaturePermutation;
pub use given::Given;
pub use input_x_gradient::InputXGradient;
pub use integrated_gradients::{IntegratedGradients, Quadrature};
pub use layer::*;
pub use lrp::*;
pub use noise_tunnel::{SmoothGrad, SmoothGradSquared, VarGrad};
pub use rectified::{Deconvolution, GuidedBackprop};
pub use rise::Rise;
pub use saliency::Saliency;
pub use shapley::{ShapleySampling, ShapleyValues};
pub use surrogate::{KernelShap, Lime};
