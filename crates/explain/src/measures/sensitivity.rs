//! How far attributions change near a sample.

use super::units::{Units, joined, positive};
use super::{Measure, Measured};
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
    positive("samples", samples)?;
    let (values, here) = (scene.values(), Units::of(scene, method)?.row);
    let size = norm(&joined(scene, &values)).maximum(&Expr::scalar(f32::MIN_POSITIVE));
    let mut failed = None;
    let turns = scene.count(samples);
    let found = for_each("draws", &[turns], |x| {
        let near = values.iter().map(|v| {
            let noise = scene.random(Distribution::Uniform, &x[0], v.shape()[1..].to_vec());
            v + scene.for_all(&((noise * 2.0 - 1.0) * radius as f32))
        });
        let near: Vec<Expr> = near.collect();
        let there = scene.moved(near, method).and_then(|found| Ok(Units::new(scene, &found)?.row));
        match there {
            Ok(there) => vec![norm(&(there - &here)) / &size],
            Err(e) => {
                failed = Some(e.clone());
                vec![Expr::poison(e)]
            }
        }
    });
    failed.map_or_else(|| Ok(found[0].clone()), Err)
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
