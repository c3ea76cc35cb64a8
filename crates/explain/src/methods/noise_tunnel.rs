//! Smoothed attributions: a method at values with noise.

use crate::methods::Saliency;
use crate::{Attribution, Method, Place, Scene};
use rhyton_graph::Expr;
use rhyton_graph::ops::Distribution;
use rhyton_tensor::{Error, Result};

/// The mean and the variance of what `method` gives at the values with normal noise.
fn moments(scene: &mut Scene, method: &Method, samples: usize, stdev: f64) -> Result<(Vec<Expr>, Vec<Expr>)> {
    let method = method.get()?.clone();
    if samples == 0 {
        return Err(Error::new("samples=0").expected("at least 1"));
    }
    let values = scene.values();
    let like = [&values[..], &values[..]].concat();
    let mut failed = None;
    let turns = scene.count(samples);
    let sums = Scene::sum_over(&[turns], &like, |x| {
        let noisy: Vec<Expr> = values
            .iter()
            .map(|v| {
                let noise = scene.random(Distribution::Normal, &x[0], v.shape()[1..].to_vec());
                v + scene.for_all(&noise) * stdev as f32
            })
            .collect();
        let found = scene.moved(noisy, &*method).unwrap_or_else(|e| {
            failed = Some(e.clone());
            vec![Expr::poison(e); values.len()]
        });
        let squares: Vec<Expr> = found.iter().map(|a| a * a).collect();
        [found, squares].concat()
    });
    if let Some(e) = failed {
        return Err(e);
    }
    let (sum, squares) = sums.split_at(values.len());
    let n = samples as f32;
    let mean: Vec<Expr> = sum.iter().map(|s| s * (1.0 / n)).collect();
    let zero = Expr::scalar(0.0f32);
    let variance = squares.iter().zip(&mean).map(|(s, m)| (s * (1.0 / n) - m * m).maximum(&zero)).collect();
    Ok((mean, variance))
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
                let ($mean, $variance) = moments($scene, &self.method, self.samples, self.stdev)?;
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
