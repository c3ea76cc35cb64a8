//! [`Activation`]: a function of a layer's result, named by a string as in Keras.

use crate::functions as f;
use crate::layer::{Args, Cx, LayerRef, Trace};
use crate::object::{Handle, Setting, unknown};
use rhyton_graph::Expr;
use rhyton_graph::expr::current_path;
use rhyton_graph::function::named;
use rhyton_tensor::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use std::fmt;
use std::sync::Arc;

/// One activation: adding one is adding a row.
pub struct Row {
    /// Its names, Keras's own first.
    pub names: &'static [&'static str],
    /// The function.
    pub apply: fn(&Expr) -> Expr,
    /// One line for listings.
    pub doc: &'static str,
}

macro_rules! rows {
    ($($($name:literal)|+ $f:path, $doc:literal;)*) => {
        &[$(Row { names: &[$($name),+], apply: $f, doc: $doc }),*]
    };
}

/// The activations.
pub static ROWS: &[Row] = rows! {
    "linear" Expr::clone, "x";
    "relu" f::relu, "max(x, 0)";
    "sigmoid" f::sigmoid, "1 / (1 + exp(-x))";
    "tanh" f::tanh, "hyperbolic tangent";
    "softmax" f::softmax, "exp(x) / sum(exp(x)) along the last axis";
    "log_softmax" f::log_softmax, "logarithm of softmax";
    "gelu" f::gelu, "x times the normal distribution function, exact";
    "silu" | "swish" f::silu, "x sigmoid(x)";
    "elu" f::elu, "x or exp(x) - 1";
    "selu" f::selu, "self-normalising elu";
    "celu" f::celu, "continuously differentiable elu";
    "relu6" f::relu6, "relu up to 6";
    "leaky_relu" f::leaky_relu, "x or 0.2 x";
    "softplus" f::softplus, "log(1 + exp(x))";
    "softsign" f::softsign, "x / (1 + |x|)";
    "exponential" f::exponential, "exp(x)";
    "hard_sigmoid" f::hard_sigmoid, "relu6(x + 3) / 6";
    "hard_silu" | "hard_swish" f::hard_silu, "x hard_sigmoid(x)";
    "hard_tanh" f::hard_tanh, "x between -1 and 1";
    "mish" f::mish, "x tanh(softplus(x))";
    "log_sigmoid" f::log_sigmoid, "logarithm of sigmoid";
    "glu" f::glu, "half of the last axis, gated by the other half";
    "squareplus" f::squareplus, "(x + sqrt(x^2 + 4)) / 2";
    "tanh_shrink" f::tanh_shrink, "x - tanh(x)";
    "soft_shrink" f::soft_shrink, "x moved towards 0 by 0.5";
    "hard_shrink" f::hard_shrink, "x, but 0 within 0.5 of 0";
    "sparse_plus" f::sparse_plus, "relu with a parabola between -1 and 1";
    "sparse_sigmoid" f::sparse_sigmoid, "(x + 1) / 2 between 0 and 1";
    "sparsemax" f::sparsemax, "sparse probabilities";
};

/// An activation function. Layer configurations hold its bare name: `"relu"`.
///
/// ```
/// use rhyton_nn::activations::Activation;
/// use rhyton_graph::{Expr, Type};
/// let y = Activation::from("softmax").apply(&Expr::param("x", Type::f32([2, 3])));
/// assert_eq!(y.shape().to_string(), "[2, 3]");
/// ```
#[derive(Clone)]
pub struct Activation(Choice);

#[derive(Clone)]
enum Choice {
    Row(&'static str, &'static Row),
    Custom(String, Arc<dyn Fn(&Expr) -> Expr + Send + Sync>),
    /// Keras allows a layer without weights where an activation stands.
    Layer(LayerRef),
    Unknown(String, Error),
}

impl Activation {
    /// The activation of this name.
    ///
    /// # Errors
    /// When there is none; the error proposes the nearest name.
    pub fn named(name: &str) -> Result<Activation> {
        for row in ROWS {
            if let Some(known) = row.names.iter().find(|n| **n == name) {
                return Ok(Activation(Choice::Row(known, row)));
            }
        }
        Err(unknown("activation", name, ROWS.iter().flat_map(|r| r.names.iter().copied())))
    }

    /// An activation of one's own.
    pub fn custom(name: &str, f: impl Fn(&Expr) -> Expr + Send + Sync + 'static) -> Activation {
        Activation(Choice::Custom(name.into(), Arc::new(f)))
    }

    /// Its name in configurations and logs.
    pub fn name(&self) -> &str {
        match &self.0 {
            Choice::Row(name, _) => name,
            Choice::Custom(name, _) | Choice::Unknown(name, _) => name,
            Choice::Layer(layer) => layer.get().map_or("layer", |l| l.class_name()),
        }
    }

    /// The function of `x`; poisoned when the name is unknown or the shape does not fit.
    #[track_caller]
    pub fn apply(&self, x: &Expr) -> Expr {
        match &self.0 {
            Choice::Row(_, row) => (row.apply)(x),
            Choice::Custom(name, f) => named(name, Value::Null, std::slice::from_ref(x), |p| f(&p[0])),
            Choice::Layer(layer) => call_layer(layer, x),
            Choice::Unknown(_, e) => Expr::poison(e.clone()),
        }
    }

    /// From what configurations hold: a name, the record of a function or of a layer without weights.
    ///
    /// # Errors
    /// When the name is unknown or the record describes neither.
    pub fn from_json(value: &Value) -> Result<Activation> {
        match value {
            Value::Null => Ok(Activation::default()),
            Value::String(name) => Activation::named(name),
            record if record["class_name"] == "function" && record["config"].is_string() => {
                Activation::named(record["config"].as_str().unwrap_or_default())
            }
            record => Ok(Activation(Choice::Layer(Handle::from_json(record)?))),
        }
    }
}

/// Calls a layer that stands for a function: it may own no weights and no state.
fn call_layer(layer: &LayerRef, x: &Expr) -> Expr {
    let layer = match layer.get() {
        Ok(layer) => layer,
        Err(e) => return Expr::poison(e),
    };
    let mut trace = Trace::new(false);
    let mut cx = Cx::root(&mut trace, &current_path(), layer.base().source);
    let outputs = layer.call(&mut cx, &Args::new(vec![x.clone().into()]));
    match &outputs.0[..] {
        [one] if trace.variables.is_empty() => one.expr.clone(),
        _ => Expr::poison(
            Error::new(format!("{} cannot be an activation", layer.class_name()))
                .expected("a layer without weights that returns one value")
                .fix("add it as a layer of its own"),
        ),
    }
}

/// The identity.
impl Default for Activation {
    fn default() -> Activation {
        Activation(Choice::Row("linear", &ROWS[0]))
    }
}

impl fmt::Debug for Activation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl From<&str> for Activation {
    #[track_caller]
    fn from(name: &str) -> Activation {
        match Activation::named(name) {
            Ok(a) => a,
            // No closure: the caller's line would be lost.
            Err(e) => Activation(Choice::Unknown(name.into(), e.here())),
        }
    }
}

impl From<LayerRef> for Activation {
    fn from(layer: LayerRef) -> Activation {
        Activation(Choice::Layer(layer))
    }
}

impl<X: Into<Activation>> Setting<Activation> for X {
    #[track_caller]
    fn setting(self) -> Activation {
        self.into()
    }
}

impl Serialize for Activation {
    fn serialize<S: Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        match &self.0 {
            Choice::Layer(layer) => layer.serialize(s),
            _ => self.name().serialize(s),
        }
    }
}

impl<'de> Deserialize<'de> for Activation {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Activation, D::Error> {
        Activation::from_json(&Value::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}
