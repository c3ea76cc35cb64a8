//! The functional way: layers applied to symbolic values, which remember how they came about.

use rhyton_graph::{Expr, Type};
use rhyton_nn::layer::{
    Args, Cx, IntoLayer, Layer, LayerRef, Outputs, Trace, Value, default_name, plain_config,
};
use rhyton_nn::layers::PartialShape;
use rhyton_tensor::{DType, Dim, Error, Shape, Source};
use serde_json::{Map, Value as Json};
use std::sync::Arc;

/// A value that a model will compute: the result of applying a layer.
///
/// ```no_run
/// use rhyton_nn::layers::Dense;
/// use rhyton_model::{Applicable, Input, Model};
/// let x = Input::new([4]).symbolic();
/// let y = Dense::new(3).apply(&x);
/// let model = Model::new(&[x], &[y])?;
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
#[derive(Clone)]
pub struct Symbolic {
    pub(crate) call: Arc<SymbolicCall>,
    pub(crate) output: usize,
}

/// One application of a layer.
pub(crate) struct SymbolicCall {
    pub layer: LayerRef,
    pub inputs: Inputs,
    pub outputs: Vec<Value>,
    pub source: Source,
}

/// Long chains must not overflow the stack when they are dropped.
impl Drop for SymbolicCall {
    fn drop(&mut self) {
        let mut pending = std::mem::take(&mut self.inputs).into_all();
        while let Some(s) = pending.pop() {
            if let Some(mut call) = Arc::into_inner(s.call) {
                pending.append(&mut std::mem::take(&mut call.inputs).into_all());
            }
        }
    }
}

impl Symbolic {
    /// Element type and sizes, the batch axis included.
    pub fn ty(&self) -> &Type {
        self.value().expr.ty()
    }

    /// Sizes, the batch axis included.
    pub fn shape(&self) -> &Shape {
        &self.ty().shape
    }

    pub(crate) fn value(&self) -> &Value {
        &self.call.outputs[self.output]
    }
}

impl std::fmt::Debug for Symbolic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} -> {}", self.call.layer, self.ty())
    }
}

/// What a layer is applied to.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    pub(crate) positional: Vec<Symbolic>,
    pub(crate) named: Vec<(String, Vec<Symbolic>)>,
    /// Positional arguments that are no tensors, with their positions.
    pub(crate) literals: Vec<(usize, Json)>,
    pub(crate) settings: Map<String, Json>,
}

impl Inputs {
    /// Adds tensors with a name, like `initial_state`.
    pub fn named(mut self, name: &str, values: &[&Symbolic]) -> Inputs {
        self.named.push((name.into(), values.iter().map(|v| (*v).clone()).collect()));
        self
    }

    /// Adds a setting of the call, like `use_causal_mask`. `training` is kept for Keras and changes nothing: `fit`
    /// trains every layer, `evaluate` and `predict` none.
    pub fn setting(mut self, name: &str, value: impl Into<Json>) -> Inputs {
        self.settings.insert(name.into(), value.into());
        self
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Symbolic> {
        self.positional.iter().chain(self.named.iter().flat_map(|(_, v)| v))
    }

    fn into_all(self) -> Vec<Symbolic> {
        self.positional.into_iter().chain(self.named.into_iter().flat_map(|(_, v)| v)).collect()
    }

    fn args(&self, of: impl Fn(&Symbolic) -> Value) -> Args {
        Args {
            inputs: self.positional.iter().map(&of).collect(),
            named: self.named.iter().map(|(n, v)| (n.clone(), v.iter().map(&of).collect())).collect(),
            literals: self.literals.clone(),
            settings: obeyed(&self.settings),
        }
    }
}

/// What a layer hears of the settings of a call. Whether it trains is said by what runs the model: `fit` trains every
/// layer and `predict` none. Keras's files hold `training` at nearly every call of a Dropout or an LSTM, and Keras
/// overrules it, too.
pub(crate) fn obeyed(settings: &Map<String, Json>) -> Map<String, Json> {
    settings.iter().filter(|(name, _)| *name != "training").map(|(n, v)| (n.clone(), v.clone())).collect()
}

impl From<&Symbolic> for Inputs {
    fn from(s: &Symbolic) -> Inputs {
        Inputs { positional: vec![s.clone()], ..Inputs::default() }
    }
}
impl From<Symbolic> for Inputs {
    fn from(s: Symbolic) -> Inputs {
        (&s).into()
    }
}
impl<const N: usize> From<[&Symbolic; N]> for Inputs {
    fn from(s: [&Symbolic; N]) -> Inputs {
        Inputs { positional: s.into_iter().cloned().collect(), ..Inputs::default() }
    }
}
impl From<&[Symbolic]> for Inputs {
    fn from(s: &[Symbolic]) -> Inputs {
        Inputs { positional: s.to_vec(), ..Inputs::default() }
    }
}

/// Applying layers, owned or shared.
pub trait Applicable: IntoLayer {
    /// The layer's first result on these inputs.
    #[track_caller]
    fn apply(self, inputs: impl Into<Inputs>) -> Symbolic {
        self.apply_all(inputs).swap_remove(0)
    }

    /// All results of the layer on these inputs.
    #[track_caller]
    fn apply_all(self, inputs: impl Into<Inputs>) -> Vec<Symbolic> {
        apply(self.into(), inputs.into(), &Source::here())
    }
}
impl<L: IntoLayer> Applicable for L {}

/// Traces the layer once over parameters of the inputs' types, to learn the types of its results.
pub(crate) fn apply(layer: LayerRef, inputs: Inputs, source: &Source) -> Vec<Symbolic> {
    let mut trace = Trace::new(false);
    let name = layer.get().map(|l| default_name(&**l)).unwrap_or_default();
    let args = inputs.args(|s| s.value().clone());
    let Outputs(traced) = Cx::root(&mut trace, "", source).call(&layer, "", &name, &args);
    let outputs: Vec<Value> = traced
        .iter()
        .map(|v| Value {
            expr: if v.expr.is_poisoned() {
                v.expr.clone()
            } else {
                Expr::param("value", v.expr.ty().clone())
            },
            mask: v.mask.as_ref().map(|m| Expr::param("mask", m.ty().clone())),
        })
        .collect();
    let n = outputs.len();
    let call = Arc::new(SymbolicCall { layer, inputs, outputs, source: source.clone() });
    (0..n).map(|output| Symbolic { call: call.clone(), output }).collect()
}

rhyton_nn::layer! {
    /// Where data enters a model.
    pub struct Input as "InputLayer" {
        /// Sizes with the batch axis; `None` where a size is not known.
        batch_shape: PartialShape = PartialShape(vec![None]),
        /// `float32` or `int32`.
        dtype: String = "float32".into(),
        /// Kept for Keras.
        sparse: bool = false,
        /// Kept for Keras.
        ragged: bool = false,
        /// Kept for Keras.
        optional: bool = false,
    }
}

impl Input {
    /// An input of samples of `shape`, without the batch axis. A named size is one known when data comes:
    /// `vec![Dim::symbol("time"), 16.into()]`.
    #[track_caller]
    pub fn new(shape: impl Into<Shape>) -> Input {
        let shape = shape.into();
        let sizes = std::iter::once(None).chain(shape.iter().map(Dim::as_fixed));
        Input::default().batch_shape(PartialShape(sizes.collect()))
    }

    /// Integers: indices of an embedding.
    pub fn int32(self) -> Input {
        self.dtype("int32")
    }

    /// The `build` of the row. Keras 2 wrote the shape as `batch_input_shape`.
    pub(crate) fn build(mut config: Json) -> rhyton_tensor::Result<Arc<dyn Layer>> {
        if let Some(map) = config.as_object_mut()
            && let Some(shape) = map.shift_remove("batch_input_shape")
        {
            map.entry("batch_shape").or_insert(shape);
        }
        rhyton_nn::layer::build::<Input>(config)
    }

    /// The input as a value to apply layers to.
    #[track_caller]
    pub fn symbolic(self) -> Symbolic {
        apply(self.into(), Inputs::default(), &Source::here()).swap_remove(0)
    }

    /// The type of the input; unknown sizes are named after the input, so that two inputs may differ in length.
    pub(crate) fn ty(&self, name: &str) -> rhyton_tensor::Result<Type> {
        let dtype = match DType::from_name(&self.dtype) {
            Some(d) if d.is_float() => DType::F32,
            Some(DType::Bool) => DType::Bool,
            Some(_) => DType::I32,
            None => return Err(Error::new(format!("an input cannot be of type '{}'", self.dtype))),
        };
        let bad = || Error::new("an input's batch_shape is no list of sizes").place(name);
        if self.batch_shape.0.is_empty() {
            return Err(bad());
        }
        let mut dims = vec![Dim::symbol("batch")];
        for (axis, size) in self.batch_shape.0.iter().enumerate().skip(1) {
            dims.push(match size {
                None => Dim::symbol(&format!("{}_{axis}", symbol_name(name))),
                Some(n) => Some(*n).filter(|n| *n < 1 << 32).map(Dim::fixed).ok_or_else(bad)?,
            });
        }
        Ok(Type::new(dtype, dims))
    }
}

/// A name that the text form of sizes can hold.
fn symbol_name(name: &str) -> String {
    let clean: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if clean.starts_with(|c: char| c.is_ascii_alphabetic()) { clean } else { format!("x{clean}") }
}

impl Layer for Input {
    fn config_named(&self, name: &str) -> Map<String, Json> {
        plain_config(self, name)
    }
    fn passes_types(&self) -> bool {
        true
    }
    /// A fresh parameter; a model puts its data in this place.
    fn call(&self, cx: &mut Cx<'_>, _: &Args) -> Outputs {
        match self.ty(cx.path()) {
            Ok(ty) => Expr::param(cx.path(), ty).into(),
            Err(e) => e.into(),
        }
    }
}
