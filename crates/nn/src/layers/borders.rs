//! Borders added or cut, and inputs blown up: ZeroPadding, Cropping, UpSampling.

use crate::layers::{Sizes, check};
use crate::{Args, Cx, Layer, Object, Outputs, Setting};
use rhyton_graph::Expr;
use rhyton_tensor::{Dim, Error, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Positions before and after the input along each of `N` spatial axes. `2` stands for two everywhere, `(1,
/// 2)` for one at both ends of the first axis and two at those of the second, `[[1, 2], [0, 3]]` names all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Borders<const N: usize>(pub [[usize; 2]; N]);

impl<const N: usize> From<usize> for Borders<N> {
    fn from(n: usize) -> Self {
        Borders([[n; 2]; N])
    }
}
impl<const N: usize> From<[[usize; 2]; N]> for Borders<N> {
    fn from(n: [[usize; 2]; N]) -> Self {
        Borders(n)
    }
}
/// Before and after the only axis.
impl From<(usize, usize)> for Borders<1> {
    fn from((before, after): (usize, usize)) -> Self {
        Borders([[before, after]])
    }
}
impl From<(usize, usize)> for Borders<2> {
    fn from((a, b): (usize, usize)) -> Self {
        Borders([[a; 2], [b; 2]])
    }
}
impl From<(usize, usize, usize)> for Borders<3> {
    fn from((a, b, c): (usize, usize, usize)) -> Self {
        Borders([[a; 2], [b; 2], [c; 2]])
    }
}
impl<const N: usize, X: Into<Borders<N>>> Setting<Borders<N>> for X {
    fn setting(self) -> Borders<N> {
        self.into()
    }
}

impl<const N: usize> Serialize for Borders<N> {
    /// Keras writes one axis without the outer list.
    fn serialize<S: Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        if N == 1 { self.0[0].serialize(s) } else { self.0.as_slice().serialize(s) }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Same(usize),
    Flat(Vec<usize>),
    Each(Vec<[usize; 2]>),
}

impl<'de, const N: usize> Deserialize<'de> for Borders<N> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        let pairs: Vec<[usize; 2]> = match Written::deserialize(d)? {
            Written::Same(n) => vec![[n; 2]; N],
            Written::Flat(v) => match v.as_slice() {
                [before, after] if N == 1 => vec![[*before, *after]],
                sizes => sizes.iter().map(|n| [*n; 2]).collect(),
            },
            Written::Each(v) => v,
        };
        pairs.try_into().map(Borders).map_err(|v: Vec<[usize; 2]>| {
            serde::de::Error::custom(format!("borders of {} axes for {N} spatial axes", v.len()))
        })
    }
}

/// Zeros around the spatial axes.
fn pad(x: &Expr, borders: &[[usize; 2]]) -> Result<Expr> {
    let widen = |x: Expr, (i, [lo, hi]): (usize, &[usize; 2])| x.pad(i + 1, *lo, *hi, 0, 0.0);
    Ok(borders.iter().enumerate().fold(x.clone(), widen))
}

/// Cuts the ends of the spatial axes.
fn crop(class: &str, x: &Expr, borders: &[[usize; 2]]) -> Result<Expr> {
    let mut y = x.clone();
    for (i, [lo, hi]) in borders.iter().enumerate() {
        let size = &x.shape()[i + 1];
        if size.as_fixed().is_some_and(|n| n <= lo + hi) {
            let what = format!("{class} cuts {lo} and {hi} of the {size} positions along axis {}", i + 1);
            return Err(Error::new(what).expected("at least one position left"));
        }
        y = y.slice(i + 1, *lo, size.clone() - (lo + hi));
    }
    Ok(y)
}

macro_rules! borders {
    ($name:ident, $n:literal, $field:ident = $start:literal, $doc:literal, $apply:expr $(, $format:ident)?) => {
        crate::layer! {
            #[doc = $doc]
            pub struct $name {
                /// Positions before and after each axis.
                $field: Borders<$n> = $start.into(),
                $(
                /// `channels_last`.
                $format: String = "channels_last".into(),
                )?
            }
        }

        impl $name {
            /// With these borders: `1`, `(1, 2)` or `[[1, 2], ..]`, see [`Borders`].
            #[track_caller]
            pub fn new($field: impl Setting<Borders<$n>>) -> $name {
                $name::default().$field($field)
            }

            fn output(&self, x: &Expr) -> Result<Expr> {
                let class = self.class_name();
                $( check::channels_last(class, &self.$format)?; )?
                check::spatial(class, x, $n)?;
                if let Some(n) = self.$field.0.iter().flatten().find(|n| **n > check::LARGEST) {
                    return Err(Error::new(format!("{class} got a border of {n}"))
                        .expected(format!("at most {}", check::LARGEST)));
                }
                let apply: fn(&str, &Expr, &[[usize; 2]]) -> Result<Expr> = $apply;
                apply(class, x, &self.$field.0)
            }
        }

        impl Layer for $name {
            fn call(&self, _: &mut Cx<'_>, args: &Args) -> Outputs {
                self.output(&args.x()).into()
            }
        }
    };
}
borders!(
    ZeroPadding1D,
    1,
    padding = 1usize,
    "Zeros before and after a sequence.",
    |_, x, b| pad(x, b),
    data_format
);
borders!(ZeroPadding2D, 2, padding = 1usize, "Zeros around images.", |_, x, b| pad(x, b), data_format);
borders!(ZeroPadding3D, 3, padding = 1usize, "Zeros around volumes.", |_, x, b| pad(x, b), data_format);
borders!(Cropping1D, 1, cropping = 1usize, "A sequence without its ends.", crop);
borders!(Cropping2D, 2, cropping = 0usize, "Images without their borders.", crop, data_format);
borders!(Cropping3D, 3, cropping = 1usize, "Volumes without their borders.", crop, data_format);

/// Every position `times` times along `axis`.
fn repeat(x: &Expr, axis: usize, times: usize) -> Expr {
    let mut shape = x.shape().clone();
    let size = shape[axis].clone();
    shape.0.insert(axis + 1, Dim::fixed(times));
    let wide = x.expand_dims(&[axis + 1]).broadcast_to(shape.clone());
    shape.0.remove(axis + 1);
    shape.0[axis] = size * times;
    wide.reshape(shape)
}

/// Linear interpolation along `axis` between positions as centres of pixels, edges repeated.
fn stretch(x: &Expr, axis: usize, times: usize) -> Expr {
    let n = x.shape()[axis].clone();
    if times == 1 || n.is(1) {
        return repeat(x, axis, times);
    }
    let before = Expr::concat(&[x.slice(axis, 0, 1), x.slice(axis, 0, n.clone() - 1usize)], axis);
    let after =
        Expr::concat(&[x.slice(axis, 1, n.clone() - 1usize), x.slice(axis, n.clone() - 1usize, 1)], axis);
    let phases: Vec<Expr> = (0..times)
        .map(|phase| {
            // The centre of the new pixel, seen from the centre of the old one.
            let shift = (phase as f32 + 0.5) / times as f32 - 0.5;
            let neighbour = if shift < 0.0 { &before } else { &after };
            (x * (1.0 - shift.abs()) + neighbour * shift.abs()).expand_dims(&[axis + 1])
        })
        .collect();
    let mut shape = x.shape().clone();
    shape.0[axis] = n * times;
    Expr::concat(&phases, axis + 1).reshape(shape)
}

crate::layer! {
    /// Every step `size` times: `[batch, steps * size, channels]`.
    pub struct UpSampling1D {
        /// How often.
        size: usize = 2,
    }
}

crate::layer! {
    /// Images blown up: `[batch, height * size, width * size, channels]`.
    pub struct UpSampling2D {
        /// How many times larger.
        size: Sizes<2> = 2usize.into(),
        /// `channels_last`.
        data_format: String = "channels_last".into(),
        /// `nearest` repeats pixels, `bilinear` mixes neighbours.
        interpolation: String = "nearest".into(),
    }
}

crate::layer! {
    /// Volumes blown up by repeating positions.
    pub struct UpSampling3D {
        /// How many times larger.
        size: Sizes<3> = 2usize.into(),
        /// `channels_last`.
        data_format: String = "channels_last".into(),
    }
}

/// Every spatial axis `sizes` times larger.
fn upsample(class: &str, x: &Expr, sizes: &[usize], format: &str, interpolation: &str) -> Result<Expr> {
    check::channels_last(class, format)?;
    check::spatial(class, x, sizes.len())?;
    for size in sizes {
        check::positive(class, "size", *size)?;
    }
    let grow = match interpolation {
        "nearest" => repeat,
        "bilinear" => stretch,
        other => {
            return Err(Error::new(format!("{class} got the interpolation '{other}'"))
                .expected("'nearest' or 'bilinear'"));
        }
    };
    Ok(sizes.iter().enumerate().fold(x.clone(), |x, (i, times)| grow(&x, i + 1, *times)))
}

macro_rules! upsampling {
    ($name:ident, $size:ty, |$me:ident| $sizes:expr, $format:expr, $interpolation:expr) => {
        impl $name {
            /// `size` times larger.
            #[track_caller]
            pub fn new(size: impl Setting<$size>) -> $name {
                $name::default().size(size)
            }
        }

        impl Layer for $name {
            fn call(&self, _: &mut Cx<'_>, args: &Args) -> Outputs {
                let $me = self;
                upsample(self.class_name(), &args.x(), $sizes, $format, $interpolation).into()
            }
        }
    };
}
upsampling!(UpSampling1D, usize, |me| &[me.size], "channels_last", "nearest");
upsampling!(UpSampling2D, Sizes<2>, |me| &me.size, &me.data_format, &me.interpolation);
upsampling!(UpSampling3D, Sizes<3>, |me| &me.size, &me.data_format, "nearest");
