//! The methods, a file each.

mod input_x_gradient;
mod integrated_gradients;
mod saliency;

pub use input_x_gradient::InputXGradient;
pub use integrated_gradients::IntegratedGradients;
pub use saliency::Saliency;
