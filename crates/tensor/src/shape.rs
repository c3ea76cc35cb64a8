//! The sizes of a value.

use crate::{Bindings, Dim, Error, Result, limits, memory};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The sizes of a value, outermost first.
#[derive(Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Shape(pub Vec<Dim>);

impl Shape {
    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// Product of all sizes.
    pub fn elements(&self) -> Dim {
        self.0.iter().fold(Dim::fixed(1), |a, d| a * d)
    }

    /// Checks that an array can have these sizes, as far as they are known.
    ///
    /// # Errors
    /// When there are more axes than [`limits::AXES`], a size is beyond the limits of [`Dim`], or the known ones alone
    /// make more elements than [`memory::MOST_ELEMENTS`].
    pub fn check(&self) -> Result<()> {
        if self.rank() > limits::AXES {
            return Err(Error::new(format!("an array would have {} axes", self.rank()))
                .expected(format!("at most {}", limits::AXES))
                .fix("check the sizes that the layer was given"));
        }
        if let Some(axis) = self.0.iter().position(Dim::is_too_large) {
            return Err(Error::new(format!("the size of axis {axis} is too large"))
                .fix("check the sizes of the layers, and the shapes they lead to"));
        }
        let fixed = memory::extent(self.0.iter().filter_map(Dim::as_fixed));
        let symbolic = self.0.iter().filter(|d| d.as_fixed().is_none());
        match fixed.map(|n| symbolic.fold(Dim::fixed(n), |n, d| n * d)) {
            Some(n) if !n.is_too_large() => Ok(()),
            _ => Err(memory::too_many(self.to_string())),
        }
    }

    /// The sizes, when none holds a symbol.
    pub fn as_fixed(&self) -> Option<Vec<usize>> {
        self.0.iter().map(Dim::as_fixed).collect()
    }

    /// The sizes under `bindings`.
    pub fn eval(&self, bindings: &Bindings) -> Option<Vec<usize>> {
        self.0.iter().map(|d| d.eval(bindings)).collect()
    }

    /// As Keras prints it: symbols are `None`, a single axis keeps its comma.
    pub fn keras(&self) -> String {
        let sizes: Vec<String> =
            self.0.iter().map(|d| d.as_fixed().map_or("None".into(), |n| n.to_string())).collect();
        if sizes.len() == 1 { format!("({},)", sizes[0]) } else { format!("({})", sizes.join(", ")) }
    }
}

impl std::ops::Deref for Shape {
    type Target = [Dim];
    fn deref(&self) -> &[Dim] {
        &self.0
    }
}

impl<D: Into<Dim>> FromIterator<D> for Shape {
    fn from_iter<I: IntoIterator<Item = D>>(iter: I) -> Shape {
        Shape(iter.into_iter().map(Into::into).collect())
    }
}

impl From<Vec<Dim>> for Shape {
    fn from(v: Vec<Dim>) -> Shape {
        Shape(v)
    }
}

impl From<&[Dim]> for Shape {
    fn from(v: &[Dim]) -> Shape {
        Shape(v.to_vec())
    }
}

impl From<&[usize]> for Shape {
    fn from(v: &[usize]) -> Shape {
        v.iter().copied().collect()
    }
}

impl From<Vec<usize>> for Shape {
    fn from(v: Vec<usize>) -> Shape {
        v.into_iter().collect()
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(v: [usize; N]) -> Shape {
        v.into_iter().collect()
    }
}

impl<const N: usize> From<[Dim; N]> for Shape {
    fn from(v: [Dim; N]) -> Shape {
        Shape(v.to_vec())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, d) in self.0.iter().enumerate() {
            write!(f, "{}{d}", if i > 0 { ", " } else { "" })?;
        }
        f.write_str("]")
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
