//! Smoothed attributions: a method at values with noise.

use crate::methods::Saliency;
use crate::{Attribution, Method, Place, Scene};
use rhyton_graph::Expr;
use rhyton_graph::ops::Distribution;
use rhyton_tensor::Result;

/// The mean and the variance of what `method` gives at the values with normal noise.
fn noisy(scene: &mut Scene, method: &Method, samples: usize, stdev: f64) -> Result<(Vec<Expr>, Vec<Expr>)> {
    let (method, values) = (method.get()?.clone(), scene.values());
    scene.moments(samples, |scene, turn| {
        let noisy = values.iter().map(|v| v + scene.noise(Distribution::Normal, turn, v) * stdev as f32);
        let noisy = noisy.collect();
        scene.moved(noisy, &*method)
    })
}

macro_rules! tunnels {
    ($($(#[$doc:meta])* $name:ident |$scene:ident, $mean:ident, $variance:ident, $n:ident| $body:expr;)*) => { $(
        rhyton_nn::object! {
            $(#[$doc])*
            pub struct $name {
                /// Number of noisy samples.
                samples: usize = 50,
                /// Standard deviation of the noise, in the units of the values.
                stdev: f64 = 0.15,
                /// What is computed at each.
                method: Method = Saliency::default().into(),
            }
        }

        impl Attribution for $name {
            fn place(&self) -> Place {
                self.method.get().map_or_else(|_| Place::default(), |m| m.place())
            }

            fn attribute(&self, $scene: &mut Scene) -> Result<Vec<Expr>> {
                let ($mean, $variance) = noisy($scene, &self.method, self.samples, self.stdev)?;
                let $n = self.samples as f32;
                $body
            }
        }
    )* };
}

tunnels! {
    /// The mean of a method's results at values with normal noise (Smilkov et al. 2017).
    SmoothGrad |scene, mean, variance, n| {
        scene.standard_error(variance.iter().map(|v| (v * (1.0 / n)).sqrt()).collect());
        Ok(mean)
    };
    /// The mean of their squares (Hooker et al. 2019).
    SmoothGradSquared |_scene, mean, variance, _n| {
        Ok(mean.iter().zip(&variance).map(|(m, v)| m * m + v).collect())
    };
    /// Their variance (Adebayo et al. 2018).
    VarGrad |_scene, _mean, variance, _n| Ok(variance);
}
