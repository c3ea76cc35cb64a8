//! Layers that disturb in training and are silent afterwards, and a penalty of activities.

use crate::layers::{PartialShape, check};
use crate::{Args, Cx, Layer, Object, Outputs};
use rhyton_graph::Expr;
use rhyton_graph::ops::Distribution;
use rhyton_tensor::{Dim, Error, Result, Shape};

/// Inverted dropout (Srivastava et al. 2014): zeros with probability `rate`, the rest divided by `1 - rate`.
/// One draw for every element of `noise`, which broadcasts to `x`.
pub(crate) fn dropout(cx: &mut Cx<'_>, x: &Expr, rate: f64, noise: Shape, seed: Option<u64>) -> Expr {
    if !cx.training() || rate <= 0.0 {
        return x.clone();
    }
    if rate >= 1.0 {
        return x.zeros_like();
    }
    x * keep(cx, rate, noise, seed)
}

/// `1 / (1 - rate)` with probability `1 - rate`, else zero.
pub(crate) fn keep(cx: &mut Cx<'_>, rate: f64, shape: Shape, seed: Option<u64>) -> Expr {
    let drawn = cx.random(Distribution::Uniform, shape, seed);
    let kept = Expr::scalar((1.0 / (1.0 - rate)) as f32);
    drawn.less(&Expr::scalar(rate as f32)).select(&Expr::scalar(0.0f32), &kept)
}

crate::layer! {
    /// Zeros inputs at random in training and scales up the rest (Srivastava et al. 2014).
    pub struct Dropout {
        /// The share of inputs that become zero.
        rate: f64 = 0.5,
        /// Gives the layer random numbers of its own.
        seed: Option<u64> = None,
        /// The sizes along which draws differ, `None` for the input's: `[None, Some(1), None]` drops whole features
        /// of sequences.
        noise_shape: Option<PartialShape> = None,
    }
}

impl Dropout {
    /// Zeros the share `rate` of the inputs.
    #[track_caller]
    pub fn new(rate: f64) -> Dropout {
        Dropout::default().rate(rate)
    }

    fn noise(&self, x: &Expr) -> Result<Shape> {
        let Some(noise_shape) = &self.noise_shape else { return Ok(x.shape().clone()) };
        let misfit = || {
            Error::new(format!("Dropout got the noise_shape {noise_shape} for {}", x.shape()))
                .expected("one size for every axis: the axis's own, 1, or null")
        };
        if noise_shape.0.len() != x.rank() {
            return Err(misfit());
        }
        let dim = |(size, own): (&Option<usize>, &Dim)| match size {
            None => Ok(own.clone()),
            Some(n) => Some(Dim::fixed(*n)).filter(|n| n.is(1) || n == own).ok_or_else(misfit),
        };
        noise_shape.0.iter().zip(x.shape().iter()).map(dim).collect::<Result<Vec<Dim>>>().map(Shape)
    }
}

impl Layer for Dropout {
    fn call(&self, cx: &mut Cx<'_>, args: &Args) -> Outputs {
        let x = args.x();
        match check::rate(self.class_name(), "rate", self.rate).and_then(|()| self.noise(&x)) {
            Ok(noise) => dropout(cx, &x, self.rate, noise, self.seed).into(),
            Err(e) => e.into(),
        }
    }
    fn supports_masking(&self) -> bool {
        true
    }
}

macro_rules! spatial_dropout {
    ($name:ident, $n:literal, $doc:literal $(, $field:ident)?) => {
        crate::layer! {
            #[doc = $doc]
            pub struct $name {
                /// The share of channels that become zero.
                rate: f64 = 0.5,
                /// Gives the layer random numbers of its own.
                seed: Option<u64> = None,
                $(
                /// `channels_last`.
                $field: String = "channels_last".into(),
                )?
            }
        }

        impl $name {
            /// Zeros the share `rate` of the channels.
            #[track_caller]
            pub fn new(rate: f64) -> $name {
                $name::default().rate(rate)
            }

            fn output(&self, cx: &mut Cx<'_>, x: &Expr) -> Result<Expr> {
                let class = self.class_name();
                check::rate(class, "rate", self.rate)?;
                check::spatial(class, x, $n)?;
                $( check::channels_last(class, &self.$field)?; )?
                let mut noise = vec![Dim::fixed(1); $n + 2];
                (noise[0], noise[$n + 1]) = (x.shape()[0].clone(), x.shape()[$n + 1].clone());
                Ok(dropout(cx, x, self.rate, Shape(noise), self.seed))
            }
        }

        impl Layer for $name {
            fn call(&self, cx: &mut Cx<'_>, args: &Args) -> Outputs {
                self.output(cx, &args.x()).into()
            }
            fn supports_masking(&self) -> bool {
                true
            }
        }
    };
}
spatial_dropout!(SpatialDropout1D, 1, "Drops whole channels of `[batch, steps, channels]` in training.");
spatial_dropout!(
    SpatialDropout2D,
    2,
    "Drops whole channels of `[batch, height, width, channels]` in training.",
    data_format
);
spatial_dropout!(
    SpatialDropout3D,
    3,
    "Drops whole channels of `[batch, depth, height, width, channels]` in training.",
    data_format
);

crate::layer! {
    /// Adds normal noise in training.
    pub struct GaussianNoise {
        /// Standard deviation of the noise.
        stddev: f64 = 0.0,
        /// Gives the layer random numbers of its own.
        seed: Option<u64> = None,
    }
}

impl GaussianNoise {
    /// Noise of this standard deviation.
    #[track_caller]
    pub fn new(stddev: f64) -> GaussianNoise {
        GaussianNoise::default().stddev(stddev)
    }
}

impl Layer for GaussianNoise {
    fn call(&self, cx: &mut Cx<'_>, args: &Args) -> Outputs {
        let x = args.x();
        if let Err(e) = check::rate(self.class_name(), "stddev", self.stddev) {
            return e.into();
        }
        if !cx.training() || self.stddev == 0.0 {
            return x.into();
        }
        (&x + cx.random(Distribution::Normal, x.shape().clone(), self.seed) * self.stddev as f32).into()
    }
    fn supports_masking(&self) -> bool {
        true
    }
}

crate::layer! {
    /// Multiplies by normal numbers around one in training, of standard deviation `sqrt(rate / (1 - rate))`.
    pub struct GaussianDropout {
        /// As strong as dropping this share.
        rate: f64 = 0.5,
        /// Gives the layer random numbers of its own.
        seed: Option<u64> = None,
    }
}

impl GaussianDropout {
    /// As strong as dropping the share `rate`.
    #[track_caller]
    pub fn new(rate: f64) -> GaussianDropout {
        GaussianDropout::default().rate(rate)
    }
}

impl Layer for GaussianDropout {
    fn call(&self, cx: &mut Cx<'_>, args: &Args) -> Outputs {
        let x = args.x();
        if let Err(e) = check::rate(self.class_name(), "rate", self.rate) {
            return e.into();
        }
        if self.rate == 1.0 {
            return Error::new("GaussianDropout got the rate 1").expected("a rate below 1").into();
        }
        if !cx.training() || self.rate == 0.0 {
            return x.into();
        }
        let stddev = (self.rate / (1.0 - self.rate)).sqrt() as f32;
        (&x * (cx.random(Distribution::Normal, x.shape().clone(), self.seed) * stddev + 1.0)).into()
    }
    fn supports_masking(&self) -> bool {
        true
    }
}

crate::layer! {
    /// Its input; adds `l1 * sum |x| + l2 * sum x^2`, divided by the batch size, to the loss.
    pub struct ActivityRegularization {
        /// Factor of the absolute values.
        l1: f64 = 0.0,
        /// Factor of the squares.
        l2: f64 = 0.0,
    }
}

impl ActivityRegularization {
    /// Penalties with these factors.
    #[track_caller]
    pub fn new(l1: f64, l2: f64) -> ActivityRegularization {
        ActivityRegularization::default().l1(l1).l2(l2)
    }
}

impl Layer for ActivityRegularization {
    fn call(&self, cx: &mut Cx<'_>, args: &Args) -> Outputs {
        let x = args.x();
        let penalty = x.abs().sum_all() * self.l1 as f32 + (&x * &x).sum_all() * self.l2 as f32;
        let batch = x.shape().first().cloned().unwrap_or_else(|| 1usize.into());
        cx.add_loss(penalty / Expr::size(&batch));
        x.into()
    }
    fn supports_masking(&self) -> bool {
        true
    }
}
