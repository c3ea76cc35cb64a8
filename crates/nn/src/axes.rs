//! [`Axes`]: axes in settings, as Keras users write them.

use crate::object::Setting;
use rhyton_tensor::limits;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::fmt;

/// One axis, or several; negative ones count from the end. Configurations keep what was written: `-1` or `[-1]`.
///
/// ```
/// use rhyton_nn::Object;
/// use rhyton_nn::layers::Softmax;
/// assert_eq!(Softmax::new().axis(-1).config()["axis"], -1);
/// assert_eq!(Softmax::new().axis([1, 2]).config()["axis"], serde_json::json!([1, 2]));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Axes {
    /// One axis.
    One(i64),
    /// Several axes.
    Several(Vec<i64>),
}

/// One size or several, written as axes are.
pub type OutputShape = Axes;

impl Axes {
    /// The axes, in the order in which they were written.
    pub fn as_slice(&self) -> &[i64] {
        match self {
            Axes::One(a) => std::slice::from_ref(a),
            Axes::Several(list) => list,
        }
    }
}

impl fmt::Display for Axes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Axes::One(a) => write!(f, "{a}"),
            Axes::Several(list) => write!(f, "{list:?}"),
        }
    }
}

impl From<i64> for Axes {
    fn from(a: i64) -> Axes {
        Axes::One(a)
    }
}
impl<const N: usize> From<[i64; N]> for Axes {
    fn from(list: [i64; N]) -> Axes {
        Axes::Several(list.to_vec())
    }
}
impl From<Vec<i64>> for Axes {
    fn from(list: Vec<i64>) -> Axes {
        Axes::Several(list)
    }
}

impl<X: Into<Axes>> Setting<Axes> for X {
    fn setting(self) -> Axes {
        self.into()
    }
}
impl<X: Into<Axes>> Setting<Option<Axes>> for X {
    fn setting(self) -> Option<Axes> {
        Some(self.into())
    }
}

impl<'de> Deserialize<'de> for Axes {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Axes, D::Error> {
        let value = Value::deserialize(d)?;
        let list = value.as_array().filter(|list| list.len() <= limits::AXES);
        let several = list.and_then(|list| list.iter().map(Value::as_i64).collect::<Option<Vec<i64>>>());
        let axes = value.as_i64().map(Axes::One).or(several.map(Axes::Several));
        axes.ok_or_else(|| serde::de::Error::custom(format!("{value} is no axis and no list of axes")))
    }
}
