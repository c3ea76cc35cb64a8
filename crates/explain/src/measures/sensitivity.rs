//! How far attributions change near a sample.

use super::units::{Units, joined};
use super::{Measure, Measured};
use crate::features::at_least_one;
use crate::scene::or_poison;
use crate::{Attribution, Scene};
use rhyton_graph::Expr;
use rhyton_graph::function::for_each;
use rhyton_graph::ops::Distribution;
use rhyton_tensor::Result;

/// The Euclidean norm of rows.
fn norm(row: &Expr) -> Expr {
    (row * row).sum(&[1]).sqrt()
}

/// `|a(x + r) - a(x)| / |x|` for drawn r: `[samples, batch]`.
fn changes(scene: &mut Scene, method: &dyn Attribution, samples: usize, radius: f64) -> Result<Expr> {
    at_least_one("samples", samples)?;
    let (values, here) = (scene.values(), Units::of(scene, method)?.row);
    let size = norm(&joined(scene, &values)).maximum(&Expr::scalar(f32::MIN_POSITIVE));
    let turns = scene.count(samples);
    let found = for_each("draws", &[turns], |x| {
        let near = values
            .iter()
            .map(|v| v + (scene.noise(Distribution::Uniform, &x[0], v) * 2.0 - 1.0) * radius as f32);
        let near: Vec<Expr> = near.collect();
        let there = scene.moved(near, method).and_then(|found| Ok(vec![Units::new(scene, &found)?.row]));
        vec![norm(&(&or_poison(there, 1)[0] - &here)) / &size]
    });
    Ok(found[0].clone())
}

/// Defines measures: what is made of the changes.
macro_rules! sensitivities {
    ($($(#[$doc:meta])* $name:ident |$changes:ident| $value:expr;)*) => { $(
        rhyton_nn::object! {
            $(#[$doc])*
            pub struct $name {
                /// Number of draws.
                samples: usize = 10,
                /// Noise is drawn evenly between minus this and this, for each value.
                radius: f64 = 0.2,
            }
        }

        impl Measure for $name {
            fn measure(&self, scene: &mut Scene, method: &dyn Attribution) -> Result<Measured<Expr>> {
                let $changes = changes(scene, method, self.samples, self.radius)?;
                Ok(Measured { value: $value, curve: Some($changes.transpose(&[1, 0])) })
            }
        }
    )* };
}

sensitivities! {
    /// The largest change of the attributions under noise, `max |a(x + r) - a(x)| / |x|` (Yeh et al. 2019).
    MaxSensitivity |changes| changes.max(&[0]);
    /// Their mean change (Yeh et al. 2019).
    AvgSensitivity |changes| changes.mean(&[0]);
}
