//! Random weights whose variance fits the number of inputs and outputs of a unit.

use super::random::{normal, truncated, uniform};
use super::{Initialize, Seed};
use crate::object::Setting;
use rhyton_tensor::rng::Stream;
use rhyton_tensor::{Error, Result};
use serde::{Deserialize, Serialize};

/// Which number of connections the variance is divided by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fan {
    /// Inputs of a unit.
    #[serde(rename = "fan_in")]
    In,
    /// Outputs of a unit.
    #[serde(rename = "fan_out")]
    Out,
    /// Their mean.
    #[serde(rename = "fan_avg")]
    Average,
}

/// How the numbers are spread.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spread {
    /// Evenly.
    Uniform,
    /// Normally, within two standard deviations; the deviation after cutting is what fits.
    #[serde(alias = "normal")]
    TruncatedNormal,
    /// Normally.
    UntruncatedNormal,
}

impl Setting<Fan> for Fan {
    fn setting(self) -> Fan {
        self
    }
}
impl Setting<Spread> for Spread {
    fn setting(self) -> Spread {
        self
    }
}

/// Axes of inputs and outputs of a weight, where they are not the usual ones.
type Axes = Option<Vec<i64>>;

/// The number of inputs and outputs of a unit, for a weight of this shape: the last two sizes times the product of
/// all before them.
pub fn fans(shape: &[usize]) -> (usize, usize) {
    match shape {
        [] => (1, 1),
        [n] => (*n, *n),
        [field @ .., a, b] => {
            let field: usize = field.iter().product();
            (a * field, b * field)
        }
    }
}

fn product(shape: &[usize], axes: &[i64]) -> Option<usize> {
    axes.iter().try_fold(1usize, |n, a| {
        let at = if *a < 0 { *a + shape.len() as i64 } else { *a };
        shape.get(usize::try_from(at).ok()?)?.checked_mul(n)
    })
}

/// Everything the family shares.
struct Scaling<'a> {
    scale: f64,
    fan: Fan,
    spread: Spread,
    seed: Seed,
    axes: (&'a Axes, &'a Axes),
}

impl Scaling<'_> {
    fn fans(&self, shape: &[usize]) -> Result<(usize, usize)> {
        let (Some(inputs), Some(outputs)) = self.axes else { return Ok(fans(shape)) };
        match (product(shape, inputs), product(shape, outputs)) {
            (Some(i), Some(o)) => Ok((i, o)),
            _ => Err(Error::new(format!(
                "input_axes {inputs:?} and output_axes {outputs:?} of shape {shape:?}"
            ))
            .expected("axes that the weight has, each once")),
        }
    }

    fn check(&self, shape: &[usize]) -> Result<()> {
        self.fans(shape)?;
        if self.scale.is_finite() && self.scale > 0.0 {
            return Ok(());
        }
        Err(Error::new(format!("VarianceScaling got scale={}", self.scale)).expected("more than 0"))
    }

    fn values(&self, shape: &[usize], random: &mut Stream) -> Vec<f32> {
        /// The standard deviation of a standard normal number cut at 2.
        const CUT: f64 = 0.879_625_661_034_239_8;
        let (inputs, outputs) = self.fans(shape).unwrap_or((1, 1));
        let fan = match self.fan {
            Fan::In => inputs as f64,
            Fan::Out => outputs as f64,
            Fan::Average => (inputs + outputs) as f64 / 2.0,
        };
        let variance = self.scale / fan.max(1.0);
        let n = shape.iter().product();
        self.seed.with(random, |r| match self.spread {
            Spread::Uniform => uniform(n, -(3.0 * variance).sqrt(), (3.0 * variance).sqrt(), r),
            Spread::TruncatedNormal => truncated(n, 0.0, variance.sqrt() / CUT, r),
            Spread::UntruncatedNormal => normal(n, 0.0, variance.sqrt(), r),
        })
    }
}

macro_rules! family {
    ($($(#[$meta:meta])* $class:ident { $($(#[$fmeta:meta])* $field:ident : $ty:ty = $default:expr),* $(,)? }
        |$s:ident| ($scale:expr, $fan:expr, $spread:expr);)*) => { $(
        crate::object! {
            $(#[$meta])*
            pub struct $class {
                /// A seed of its own.
                seed: Seed = Seed::default(),
                $($(#[$fmeta])* $field: $ty = $default,)*
                /// The axes of a unit's inputs, where they are not the usual ones.
                input_axes: Axes = None,
                /// The axes of a unit's outputs, where they are not the usual ones.
                output_axes: Axes = None,
            }
        }
        impl $class {
            fn scaling(&self) -> Scaling<'_> {
                let $s = self;
                let axes = (&$s.input_axes, &$s.output_axes);
                Scaling { scale: $scale, fan: $fan, spread: $spread, seed: $s.seed, axes }
            }
        }
        impl Initialize for $class {
            fn values(&self, shape: &[usize], random: &mut Stream) -> Vec<f32> {
                self.scaling().values(shape, random)
            }
            fn check(&self, shape: &[usize]) -> Result<()> {
                self.scaling().check(shape)
            }
        }
    )* };
}

family! {
    /// Numbers of variance `scale / fan`.
    VarianceScaling {
        /// The variance times the number of connections.
        scale: f64 = 1.0,
        /// Which connections.
        mode: Fan = Fan::In,
        /// How the numbers are spread.
        distribution: Spread = Spread::TruncatedNormal,
    } |s| (s.scale, s.mode, s.distribution);
    /// Variance `2 / (inputs + outputs)`, evenly (Glorot and Bengio 2010).
    GlorotUniform {} |s| (1.0, Fan::Average, Spread::Uniform);
    /// Variance `2 / (inputs + outputs)`, truncated normal (Glorot and Bengio 2010).
    GlorotNormal {} |s| (1.0, Fan::Average, Spread::TruncatedNormal);
    /// Variance `2 / inputs`, evenly (He et al. 2015).
    HeUniform {} |s| (2.0, Fan::In, Spread::Uniform);
    /// Variance `2 / inputs`, truncated normal (He et al. 2015).
    HeNormal {} |s| (2.0, Fan::In, Spread::TruncatedNormal);
    /// Variance `1 / inputs`, evenly (LeCun et al. 1998).
    LecunUniform {} |s| (1.0, Fan::In, Spread::Uniform);
    /// Variance `1 / inputs`, truncated normal (LeCun et al. 1998).
    LecunNormal {} |s| (1.0, Fan::In, Spread::TruncatedNormal);
}
