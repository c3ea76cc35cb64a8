//! What users name in `compile`: losses and metrics by string or as objects, for one output or several.

use crate::losses::{Loss, LossRef};
use crate::metrics::{Metric, MetricRef};
use crate::{Handle, Kind};
use rhyton_tensor::{Error, Result};
use serde_json::{Map, Value as Json};

/// A string, kept as it was given, or an object.
#[derive(Debug)]
pub enum Choice<T: ?Sized> {
    /// A name.
    Named(String),
    /// An object.
    Object(Handle<T>),
}

/// Values for one output or several.
#[derive(Clone, Debug, Default)]
pub enum PerOutput<T> {
    /// Nothing was given.
    #[default]
    None,
    /// One value.
    One(T),
    /// One for each output, in order; nothing where an output has none.
    List(Vec<PerOutput<T>>),
    /// By the name of the output.
    Named(Vec<(String, PerOutput<T>)>),
}

/// A loss, or losses per output.
pub type Losses = PerOutput<Choice<dyn Loss>>;
/// Metrics, or metrics per output.
pub type Metrics = PerOutput<Choice<dyn Metric>>;
/// Weights of the losses of several outputs.
pub type LossWeights = PerOutput<f64>;

impl<T: ?Sized> Clone for Choice<T> {
    fn clone(&self) -> Self {
        match self {
            Choice::Named(n) => Choice::Named(n.clone()),
            Choice::Object(o) => Choice::Object(o.clone()),
        }
    }
}

impl<T> PerOutput<T> {
    /// No value for this output.
    pub fn none() -> PerOutput<T> {
        PerOutput::None
    }

    /// The values of each of these outputs. A list names one output after the other; with a single output it is
    /// `flat` that says whether all its values are for this output (metrics are).
    ///
    /// # Errors
    /// For names that are no outputs, and lists of another length.
    pub fn spread(&self, argument: &str, outputs: &[String]) -> Result<Vec<Vec<&T>>> {
        let mut spread: Vec<Vec<&T>> = vec![vec![]; outputs.len()];
        match self {
            PerOutput::None => {}
            _ if outputs.len() == 1 && !matches!(self, PerOutput::Named(_)) => spread[0] = self.flat(),
            PerOutput::One(t) => spread.iter_mut().for_each(|s| s.push(t)),
            PerOutput::List(items) if items.len() == outputs.len() => {
                spread = items.iter().map(PerOutput::flat).collect();
            }
            PerOutput::List(items) => {
                return Err(Error::new(format!("{argument} lists {} entries", items.len()))
                    .place("compile")
                    .expected(format!("one for each of the outputs {}", outputs.join(", "))));
            }
            PerOutput::Named(items) => {
                for (name, value) in items {
                    let Some(i) = outputs.iter().position(|o| o == name) else {
                        return Err(Error::new(format!("{argument} names '{name}', which is no output"))
                            .place("compile")
                            .expected(format!("one of {}", outputs.join(", "))));
                    };
                    spread[i] = value.flat();
                }
            }
        }
        Ok(spread)
    }

    fn flat(&self) -> Vec<&T> {
        match self {
            PerOutput::None => vec![],
            PerOutput::One(t) => vec![t],
            PerOutput::List(v) => v.iter().flat_map(PerOutput::flat).collect(),
            PerOutput::Named(v) => v.iter().flat_map(|(_, v)| v.flat()).collect(),
        }
    }

    /// As Keras's `compile_config` holds it.
    pub fn to_json(&self, one: &impl Fn(&T) -> Json) -> Json {
        match self {
            PerOutput::None => Json::Null,
            PerOutput::One(t) => one(t),
            PerOutput::List(v) => Json::Array(v.iter().map(|p| p.to_json(one)).collect()),
            PerOutput::Named(v) => {
                Json::Object(v.iter().map(|(n, p)| (n.clone(), p.to_json(one))).collect::<Map<_, _>>())
            }
        }
    }

    /// From Keras's `compile_config`.
    pub fn from_json(json: &Json, one: &impl Fn(&Json) -> Result<T>) -> Result<PerOutput<T>> {
        Ok(match json {
            Json::Null => PerOutput::None,
            Json::Array(v) => {
                PerOutput::List(v.iter().map(|j| Self::from_json(j, one)).collect::<Result<_>>()?)
            }
            Json::Object(map) if !map.contains_key("class_name") => PerOutput::Named(
                map.iter().map(|(n, j)| Ok((n.clone(), Self::from_json(j, one)?))).collect::<Result<_>>()?,
            ),
            other => PerOutput::One(one(other)?),
        })
    }
}

impl<T: ?Sized + Kind> Choice<T> {
    /// A string as it is, or the record of an object.
    pub fn to_json(&self) -> Json {
        match self {
            Choice::Named(n) => Json::String(n.clone()),
            Choice::Object(o) => o.to_json(),
        }
    }

    /// A string, the record of an object, or that of one of Keras's functions, which is a name.
    pub fn from_json(json: &Json) -> Result<Choice<T>> {
        let function = json["class_name"] == "function";
        match json {
            Json::String(name) => Ok(Choice::Named(name.clone())),
            Json::Object(_) if function && json["config"].is_string() => {
                Ok(Choice::Named(json["config"].as_str().unwrap_or_default().into()))
            }
            _ => Handle::from_json(json).map(Choice::Object),
        }
    }
}

macro_rules! one {
    ($choice:ty, $object:path, $handle:ty) => {
        impl From<&str> for $choice {
            fn from(name: &str) -> Self {
                Choice::Named(name.into())
            }
        }
        impl<X: $object> From<X> for $choice {
            fn from(x: X) -> Self {
                Choice::Object(x.into())
            }
        }
        impl From<$handle> for $choice {
            fn from(x: $handle) -> Self {
                Choice::Object(x)
            }
        }
        impl From<&str> for PerOutput<$choice> {
            fn from(name: &str) -> Self {
                PerOutput::One(name.into())
            }
        }
        impl<X: $object> From<X> for PerOutput<$choice> {
            fn from(x: X) -> Self {
                PerOutput::One(x.into())
            }
        }
        impl From<$handle> for PerOutput<$choice> {
            fn from(x: $handle) -> Self {
                PerOutput::One(x.into())
            }
        }
    };
}
one!(Choice<dyn Loss>, Loss, LossRef);
one!(Choice<dyn Metric>, Metric, MetricRef);

impl From<f64> for LossWeights {
    fn from(w: f64) -> Self {
        PerOutput::One(w)
    }
}
impl<T, X: Into<PerOutput<T>>, const N: usize> From<[X; N]> for PerOutput<T> {
    fn from(items: [X; N]) -> Self {
        PerOutput::List(items.into_iter().map(Into::into).collect())
    }
}
impl<T, X: Into<PerOutput<T>>> From<Vec<X>> for PerOutput<T> {
    fn from(items: Vec<X>) -> Self {
        PerOutput::List(items.into_iter().map(Into::into).collect())
    }
}
impl<T, X: Into<PerOutput<T>>> From<Option<X>> for PerOutput<T> {
    fn from(x: Option<X>) -> Self {
        x.map_or(PerOutput::None, Into::into)
    }
}

/// Values by the name of the output: `by_output([("price", "mse"), ("kind", "sparse_categorical_crossentropy")])`.
pub fn by_output<T, X: Into<PerOutput<T>>, const N: usize>(items: [(&str, X); N]) -> PerOutput<T> {
    PerOutput::Named(items.into_iter().map(|(n, x)| (n.into(), x.into())).collect())
}
