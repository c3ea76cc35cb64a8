//! Class activation maps: where a layer's channels that speak for the score are active.

use super::GuidedBackprop;
use crate::resize::resized;
use crate::scene::or_poison;
use crate::{Attribution, Place, Scene};
use rhyton_graph::Expr;
use rhyton_graph::function::for_each;
use rhyton_tensor::{Error, Result};

/// The axes of places: all but batch and channels.
fn places(activation: &Expr) -> Result<Vec<usize>> {
    match activation.rank() {
        0..=2 => {
            Err(Error::new(format!("the layer gives {}: there are no places to map", activation.shape()))
                .expected("[batch, places.., channels]")
                .fix("choose a convolution, or another layer before the places are put together"))
        }
        rank => Ok((1..rank - 1).collect()),
    }
}

fn positive(e: &Expr) -> Expr {
    e.maximum(&Expr::scalar(0.0f32))
}

/// The sum over channels, `[batch, places.., 1]`.
fn over_channels(e: &Expr) -> Expr {
    let last = e.rank() - 1;
    e.sum(&[last]).expand_dims(&[last])
}

/// Grad-CAM of an activation `a` whose gradient is `g`.
fn grad_cam(a: &Expr, g: &Expr) -> Result<Expr> {
    let axes = places(a)?;
    let weights = g.mean(&axes).expand_dims(&axes);
    Ok(positive(&over_channels(&(a * weights))))
}

/// Defines maps: settings, and what is made of activation and gradient.
macro_rules! maps {
    ($($(#[$doc:meta])* $name:ident |$a:ident, $g:ident| $map:expr;)*) => { $(
        rhyton_nn::object! {
            $(#[$doc])*
            pub struct $name {
                /// The layer, by its name or the end of its path.
                layer: String = String::new(),
                /// Whether its activation belongs to it.
                activated: bool = false,
            }
        }

        impl Attribution for $name {
            fn place(&self) -> Place {
                Place::Layer { name: self.layer.clone(), activated: self.activated }
            }

            fn attribute(&self, scene: &mut Scene) -> Result<Vec<Expr>> {
                let values = scene.values();
                let slopes = scene.gradient(&values);
                let map = |$a: &Expr, $g: &Expr| -> Result<Expr> { $map };
                values.iter().zip(&slopes).map(|(a, g)| map(a, g)).collect()
            }
        }
    )* };
}

maps! {
    /// The activations of a layer's channels, weighted by the mean gradient of each channel, as far as the sum is positive
    /// (Selvaraju et al. 2017): `[batch, places.., 1]` at the layer's own places.
    GradCam |a, g| grad_cam(a, g);
    /// Grad-CAM whose weights count places by how their gradient bends (Chattopadhay et al. 2018).
    GradCamPlusPlus |a, g| {
        let axes = places(a)?;
        let square = g * g;
        let below = &square * 2.0 + (a * &square * g).sum(&axes).expand_dims(&axes);
        let zero = Expr::scalar(0.0f32);
        let none = below.equal(&zero);
        let share = none.select(&zero, &(&square / none.select(&below.ones_like(), &below)));
        let weights = (share * positive(g)).sum(&axes).expand_dims(&axes);
        Ok(positive(&over_channels(&(a * weights))))
    };
    /// The activations times their positive gradients, place by place (Jiang et al. 2021).
    LayerCam |a, g| {
        places(a)?;
        Ok(positive(&over_channels(&(a * positive(g)))))
    };
}

rhyton_nn::object! {
    /// Guided backpropagation times Grad-CAM, resized to the input (Selvaraju et al. 2017).
    pub struct GuidedGradCam {
        /// The layer, by its name or the end of its path.
        layer: String = String::new(),
        /// Whether its activation belongs to it.
        activated: bool = false,
    }
}

impl Attribution for GuidedGradCam {
    fn attribute(&self, scene: &mut Scene) -> Result<Vec<Expr>> {
        let place = Place::Layer { name: self.layer.clone(), activated: self.activated };
        let at_layer = scene.at_layer(&place)?;
        let guided = GuidedBackprop {}.attribute(scene)?;
        let maps = at_layer.iter().map(|(a, g)| grad_cam(a, g)).collect::<Result<Vec<Expr>>>()?;
        let Some(map) = maps.into_iter().reduce(|a, b| a + b) else { return Ok(guided) };
        guided.iter().map(|g| Ok(g * resized(&map, g)?)).collect()
    }
}

rhyton_nn::object! {
    /// The activations of a layer's channels, weighted by the score of the input seen through each (Wang et al. 2020):
    /// channels are resized to the input and brought between 0 and 1; what they weigh is the softmax of the rises over
    /// the baseline's score.
    pub struct ScoreCam {
        /// The layer, by its name or the end of its path.
        layer: String = String::new(),
        /// Whether its activation belongs to it.
        activated: bool = true,
        /// What the input is where it is not seen.
        baseline: crate::Baseline = crate::Baseline::default(),
    }
}

impl Attribution for ScoreCam {
    fn place(&self) -> Place {
        Place::Layer { name: self.layer.clone(), activated: self.activated }
    }

    fn attribute(&self, scene: &mut Scene) -> Result<Vec<Expr>> {
        let (inputs, nothing) = (scene.inputs(), scene.baseline_inputs(&self.baseline)?);
        let without = scene.score_of_inputs(&nothing);
        let map = |a: &Expr| -> Result<Expr> {
            let axes = places(a)?;
            let (low, high) = (a.min(&axes).expand_dims(&axes), a.max(&axes).expand_dims(&axes));
            let zero = Expr::scalar(0.0f32);
            let none = high.equal(&low);
            let shown = (a - &low) / none.select(&high.ones_like(), &(&high - &low));
            let last = a.rank() - 1;
            let channels: Vec<usize> = std::iter::once(last).chain(0..last).collect();
            let rises = for_each("channels", &[shown.transpose(&channels)], |x| {
                let mask = x[0].expand_dims(&[last]);
                let seen = inputs.iter().zip(&nothing).map(|(x, x0)| Ok(x0 + (x - x0) * resized(&mask, x)?));
                let seen = or_poison(seen.collect(), inputs.len());
                vec![scene.score_of_inputs(&seen) - &without]
            });
            let weights = rhyton_nn::functions::softmax(&rises[0].transpose(&[1, 0])).expand_dims(&axes);
            Ok(over_channels(&(a * weights)).maximum(&zero))
        };
        scene.values().iter().map(map).collect()
    }
}
