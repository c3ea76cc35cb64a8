//! Sizes in settings: [`Sizes`], one per spatial axis, and [`PartialShape`], of which some are left open.

use crate::Setting;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// One size for each of `N` spatial axes: `3` stands for the same size along all of them, `(3, 5)` and `[3,
/// 5]` name them one by one. Configurations hold a list.
///
/// ```
/// use rhyton_nn::layers::Conv2D;
/// let a = Conv2D::new(8, 3);
/// let b = Conv2D::new(8, (3, 3));
/// assert_eq!(a.kernel_size, b.kernel_size);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sizes<const N: usize>(pub [usize; N]);

impl<const N: usize> std::ops::Deref for Sizes<N> {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        &self.0
    }
}

impl<const N: usize> From<usize> for Sizes<N> {
    fn from(n: usize) -> Self {
        Sizes([n; N])
    }
}
impl<const N: usize> From<[usize; N]> for Sizes<N> {
    fn from(n: [usize; N]) -> Self {
        Sizes(n)
    }
}
impl From<(usize, usize)> for Sizes<2> {
    fn from((a, b): (usize, usize)) -> Self {
        Sizes([a, b])
    }
}
impl From<(usize, usize, usize)> for Sizes<3> {
    fn from((a, b, c): (usize, usize, usize)) -> Self {
        Sizes([a, b, c])
    }
}

impl<const N: usize, X: Into<Sizes<N>>> Setting<Sizes<N>> for X {
    fn setting(self) -> Sizes<N> {
        self.into()
    }
}
impl<const N: usize, X: Into<Sizes<N>>> Setting<Option<Sizes<N>>> for X {
    fn setting(self) -> Option<Sizes<N>> {
        Some(self.into())
    }
}

/// What configurations hold.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    One(usize),
    Each(Vec<usize>),
}

impl<const N: usize> Serialize for Sizes<N> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.0.as_slice().serialize(s)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Sizes<N> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        match Written::deserialize(d)? {
            Written::One(n) => Ok(n.into()),
            Written::Each(v) => v.try_into().map(Sizes).map_err(|v: Vec<usize>| {
                serde::de::Error::custom(format!("{} sizes for {N} spatial axes", v.len()))
            }),
        }
    }
}

/// A size for every axis, or `None` where it is left open. Configurations hold a list with `null` for those.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PartialShape(pub Vec<Option<usize>>);

impl fmt::Display for PartialShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = |n: &Option<usize>| n.map_or("null".into(), |n| n.to_string());
        write!(f, "[{}]", self.0.iter().map(size).collect::<Vec<_>>().join(","))
    }
}

impl<const N: usize> From<[Option<usize>; N]> for PartialShape {
    fn from(sizes: [Option<usize>; N]) -> Self {
        PartialShape(sizes.to_vec())
    }
}

impl<X: Into<PartialShape>> Setting<PartialShape> for X {
    fn setting(self) -> PartialShape {
        self.into()
    }
}
impl<X: Into<PartialShape>> Setting<Option<PartialShape>> for X {
    fn setting(self) -> Option<PartialShape> {
        Some(self.into())
    }
}
