//! [`Activation`]: a function of a layer's result, named by a string as in Keras.

use crate::functions as f;
use crate::layer::{Args, Cx, LayerRef, Trace};
use crate::object::Object;
use crate::registry::Kind;
use crate::{Handle, Layer};
use rhyton_graph::Expr;
use rhyton_graph::expr::current_path;
use rhyton_graph::function::named;
use rhyton_tensor::{Error, Result};
use serde_json::{Map, Value};
use std::fmt;
use std::sync::Arc;

/// A function of a layer's result. One of one's own is an [`object!`](crate::object!) that implements this, and is
/// [registered](crate::registry::register) to be read from files.
pub trait Activate: Object {
    /// The function of `x`, of the same shape or another; poisoned when the shape does not fit.
    fn apply(&self, x: &Expr) -> Expr;

    /// The name in configurations and logs.
    fn name(&self) -> &str {
        self.class_name()
    }
}

/// An activation function. Layer configurations hold the bare name of those of Keras: `"relu"`. A layer without
/// weights may stand for one.
///
/// ```
/// use rhyton_nn::activations::Activation;
/// use rhyton_graph::{Expr, Type};
/// let y = Activation::from("softmax").apply(&Expr::param("x", Type::f32([2, 3])));
/// assert_eq!(y.shape().to_string(), "[2, 3]");
/// ```
pub type Activation = Handle<dyn Activate>;

impl<A: Activate> From<A> for Activation {
    fn from(a: A) -> Activation {
        Activation::new(Arc::new(a))
    }
}

/// Defines the activations of Keras: a name, the function, one line about it.
macro_rules! functions {
    ($($name:ident $f:path, $doc:literal;)*) => {
        $(
            #[doc = $doc]
            #[allow(non_camel_case_types)] // named as files name them
            #[derive(Debug, Default, serde::Deserialize)]
            struct $name {}

            impl Object for $name {
                fn class_name(&self) -> &'static str {
                    stringify!($name)
                }
                fn config(&self) -> Map<String, Value> {
                    Map::new()
                }
                fn record(&self) -> Option<Value> {
                    Some(stringify!($name).into())
                }
            }

            impl Activate for $name {
                #[track_caller]
                fn apply(&self, x: &Expr) -> Expr {
                    $f(x)
                }
            }
        )*

        crate::registry! {
            dyn Activate, "activation" in "keras.activations" {
                const EXACT: bool = true;
                fn absent() -> Option<Arc<dyn Activate>> {
                    Some(Arc::new(linear {}))
                }
                fn other(record: &Value) -> Option<Result<Arc<dyn Activate>>> {
                    of_layer(record)
                }
            };
            $($name $doc;)*
        }
    };
}

functions! {
    linear Expr::clone, "x";
    relu f::relu, "max(x, 0)";
    sigmoid f::sigmoid, "1 / (1 + exp(-x))";
    tanh f::tanh, "hyperbolic tangent";
    softmax f::softmax, "exp(x) / sum(exp(x)) along the last axis";
    log_softmax f::log_softmax, "logarithm of softmax";
    gelu f::gelu, "x times the normal distribution function, exact";
    silu f::silu, "x sigmoid(x)";
    swish f::silu, "x sigmoid(x)";
    elu f::elu, "x or exp(x) - 1";
    selu f::selu, "self-normalising elu";
    celu f::celu, "continuously differentiable elu";
    relu6 f::relu6, "relu up to 6";
    leaky_relu f::leaky_relu, "x or 0.2 x";
    softplus f::softplus, "log(1 + exp(x))";
    softsign f::softsign, "x / (1 + |x|)";
    exponential f::exponential, "exp(x)";
    hard_sigmoid f::hard_sigmoid, "relu6(x + 3) / 6";
    hard_silu f::hard_silu, "x hard_sigmoid(x)";
    hard_swish f::hard_silu, "x hard_sigmoid(x)";
    hard_tanh f::hard_tanh, "x between -1 and 1";
    mish f::mish, "x tanh(softplus(x))";
    log_sigmoid f::log_sigmoid, "logarithm of sigmoid";
    glu f::glu, "half of the last axis, gated by the other half";
    squareplus f::squareplus, "(x + sqrt(x^2 + 4)) / 2";
    tanh_shrink f::tanh_shrink, "x - tanh(x)";
    soft_shrink f::soft_shrink, "x moved towards 0 by 0.5";
    hard_shrink f::hard_shrink, "x, but 0 within 0.5 of 0";
    sparse_plus f::sparse_plus, "relu with a parabola between -1 and 1";
    sparse_sigmoid f::sparse_sigmoid, "(x + 1) / 2 between 0 and 1";
    sparsemax f::sparsemax, "sparse probabilities";
}

impl Activation {
    /// An activation of one's own. Files keep its name only: one that files can bring back is a type that implements
    /// [`Activate`].
    pub fn custom(name: &str, f: impl Fn(&Expr) -> Expr + Send + Sync + 'static) -> Activation {
        Custom { name: name.into(), body: Box::new(f) }.into()
    }

    /// Its name in configurations and logs; that of its class for a layer.
    pub fn name(&self) -> &str {
        self.known().map_or("unknown", |a| a.name())
    }

    /// The function of `x`; poisoned when the name is unknown or the shape does not fit.
    #[track_caller]
    pub fn apply(&self, x: &Expr) -> Expr {
        match self.get() {
            Ok(a) => a.apply(x),
            Err(e) => Expr::poison(e),
        }
    }
}

/// The identity.
impl Default for Activation {
    fn default() -> Activation {
        linear {}.into()
    }
}

struct Custom {
    name: String,
    body: Box<dyn Fn(&Expr) -> Expr + Send + Sync>,
}

impl fmt::Debug for Custom {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.name)
    }
}

impl Object for Custom {
    fn class_name(&self) -> &'static str {
        "CustomActivation"
    }
    fn config(&self) -> Map<String, Value> {
        Map::new()
    }
    fn record(&self) -> Option<Value> {
        Some(self.name.clone().into())
    }
}

impl Activate for Custom {
    #[track_caller]
    fn apply(&self, x: &Expr) -> Expr {
        named(&self.name, Value::Null, std::slice::from_ref(x), |p| (self.body)(&p[0]))
    }
    fn name(&self) -> &str {
        &self.name
    }
}

/// A layer that stands for a function: it may own no weights and no state.
#[derive(Debug)]
struct OfLayer(LayerRef);

/// The activation of a layer's record; `None` where it is one of an activation of one's own.
fn of_layer(record: &Value) -> Option<Result<Arc<dyn Activate>>> {
    let registered = record["registered_name"].as_str().filter(|name| name.contains('>'));
    let known = |name: &str| <dyn Layer>::registry().find(name).is_ok();
    if registered.is_some_and(|name| !known(name)) {
        return None;
    }
    Some(LayerRef::from_json(record).map(|layer| Arc::new(OfLayer(layer)) as Arc<dyn Activate>))
}

impl From<LayerRef> for Activation {
    fn from(layer: LayerRef) -> Activation {
        OfLayer(layer).into()
    }
}

impl Object for OfLayer {
    fn class_name(&self) -> &'static str {
        self.0.known().map_or("layer", |l| l.class_name())
    }
    fn config(&self) -> Map<String, Value> {
        self.0.known().map(|l| l.config()).unwrap_or_default()
    }
    fn record(&self) -> Option<Value> {
        Some(self.0.to_json())
    }
}

impl Activate for OfLayer {
    fn apply(&self, x: &Expr) -> Expr {
        let layer = match self.0.get() {
            Ok(layer) => layer,
            Err(e) => return Expr::poison(e),
        };
        let mut trace = Trace::new(false);
        let mut cx = Cx::root(&mut trace, &current_path(), &layer.base().source);
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
}
