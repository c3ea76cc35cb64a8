//! [`Model`]: a definition and its weights.

use crate::backend;
use crate::definition::Ranks;
use crate::program::Guard;
use crate::program::{Build, Program, Values};
use crate::{Definition, Form, Symbolic};
use rhyton_graph::backend::Backend;
use rhyton_graph::{Expr, expr};
use rhyton_nn::layer::{Base, Cx, LayerRef, Place, Trace, Value, Variable};
use rhyton_tensor::rng::Stream;
use rhyton_tensor::{Error, Result, Source, Tensor, memory};
use std::sync::{Arc, OnceLock};

/// A model: its layers and one map from path to weight.
pub struct Model {
    definition: Arc<Definition>,
    variables: Vec<Variable>,
    places: Vec<Place>,
    /// The weights in the order of `variables`, then what a compiled model keeps besides.
    values: Values,
    /// Where its programs run; the default backend when not set.
    backend: Option<Arc<dyn Backend>>,
    predictor: OnceLock<Arc<Program>>,
    /// Checks indices that come from the inputs.
    guard: Guard,
}

/// A model traced once: what compiling a step starts from.
pub struct Traced {
    /// Weights, updates of state, penalties, random key.
    pub trace: Trace,
    /// Parameters of the inputs.
    pub inputs: Vec<Expr>,
    /// The outputs.
    pub outputs: Vec<Value>,
    /// Every value of the model, by call and output.
    pub values: Vec<Vec<Value>>,
}

impl Model {
    /// The model between symbolic inputs and outputs.
    ///
    /// # Errors
    /// Every layer whose inputs do not fit, and outputs that depend on inputs not listed.
    #[track_caller]
    pub fn new(inputs: &[Symbolic], outputs: &[Symbolic]) -> Result<Model> {
        let base = Base::here();
        let source = base.source.clone();
        let bad: Vec<Expr> = outputs.iter().map(|o| o.value().expr.clone()).collect();
        if let Some(e) = Error::from_problems(expr::problems(&bad)) {
            return Err(e);
        }
        Definition::of(base, Form::Functional, inputs, outputs)
            .and_then(|d| Model::from_definition(d, 0))
            .map_err(|e| e.source(&source))
    }

    /// A model with initial weights drawn from `seed`.
    ///
    /// # Errors
    /// Every layer whose inputs do not fit.
    pub fn from_definition(definition: Definition, seed: u64) -> Result<Model> {
        let mut model = Model::blank(definition)?;
        model.initialize(seed)?;
        Ok(model)
    }

    /// A model with the weights that `values` gives for its variables. Nothing is drawn before, so a forged
    /// configuration cannot make memory fill up with weights that no file holds.
    ///
    /// # Errors
    /// Every layer whose inputs do not fit, what `values` reports, and weights of other shapes.
    pub fn with_weights(
        definition: Definition,
        values: impl FnOnce(&[Variable]) -> Result<Vec<Tensor>>,
    ) -> Result<Model> {
        let mut model = Model::blank(definition)?;
        let values = values(&model.variables)?;
        model.set_weights(&values)?;
        Ok(model)
    }

    /// The model without values for its weights.
    fn blank(definition: Definition) -> Result<Model> {
        let traced = trace(&definition, Trace::new(false))?;
        let outputs: Vec<Expr> = traced.outputs.iter().map(|v| v.expr.clone()).collect();
        let guard = Guard::new(&[], &traced.inputs, &outputs, &[]);
        let mut variables: Vec<Variable> = traced.trace.variables.into_iter().map(|(v, _)| v).collect();
        let ranks = Ranks::of(&definition);
        variables.sort_by_cached_key(|v| ranks.rank(&v.location));
        Ok(Model {
            definition: Arc::new(definition),
            variables,
            places: traced.trace.places,
            values: backend::backend().map_or_else(|_| Ok(Values::default()), |b| Values::on(&b))?,
            backend: None,
            predictor: OnceLock::new(),
            guard,
        })
    }

    /// An error when an index in the inputs chooses no row of its table.
    pub(crate) fn check_indices(&self, inputs: &[Tensor]) -> Result<()> {
        self.guard.check_all(&|| self.backend(), inputs, &self.definition.input_types)
    }

    /// The model on a backend other than the default one. What was compiled for it before is compiled anew.
    ///
    /// # Errors
    /// When the backend has no room for the weights.
    pub fn on(mut self, backend: &Arc<dyn Backend>) -> Result<Model> {
        self.values = self.values.moved_to(backend)?;
        (self.backend, self.predictor) = (Some(backend.clone()), OnceLock::new());
        self.guard = self.guard.clone();
        Ok(self)
    }

    /// The backend that runs the model's programs.
    ///
    /// # Errors
    /// When none was chosen and no crate that was linked registered one.
    pub fn backend(&self) -> Result<Arc<dyn Backend>> {
        self.backend.clone().map_or_else(backend::backend, Ok)
    }

    /// Draws all weights anew; nested trained models keep what they brought along.
    ///
    /// # Errors
    /// When an initializer is unknown.
    pub fn initialize(&mut self, seed: u64) -> Result<()> {
        self.fits()?;
        let draw = |(i, v): (usize, &Variable)| {
            if let Some(t) = &v.initial {
                return Ok(t.clone());
            }
            let shape = v.weight.shape.as_fixed().unwrap_or_default();
            let mut random = Stream::new(seed, 0, i as u32 + 1);
            let initializer = v.weight.initializer.get()?;
            // Given back at once: initializers take it again, and cannot say that there is none.
            let bytes = memory::elements(&shape)?.saturating_mul(initializer.bytes_per_element());
            memory::room::<u8>(bytes).map_err(|e| e.place(&v.path))?;
            let values = initializer.values(&shape, &mut random);
            Tensor::new(shape, values)?.try_cast(v.weight.dtype)
        };
        let values = self.variables.iter().enumerate().map(draw).collect::<Result<Vec<_>>>()?;
        self.replace_weights(values)
    }

    /// Whether the memory limit allows the weights, before the first one is drawn.
    fn fits(&self) -> Result<()> {
        let of = |v: &Variable| {
            let shape = v.weight.shape.as_fixed().unwrap_or_default();
            // What a nested model brought along is there already.
            if v.initial.is_some() { 0 } else { memory::bytes(v.weight.dtype, &shape).unwrap_or(usize::MAX) }
        };
        let bytes = self.variables.iter().fold(0usize, |n, v| n.saturating_add(of(v)));
        let most = self.variables.iter().max_by_key(|v| of(v));
        memory::fits(bytes).map_err(|e| match most {
            Some(v) => e.place(format!(
                "the weights of {}; the largest is {} of {}",
                self.name(),
                v.path,
                v.weight.shape
            )),
            None => e,
        })
    }

    /// The layers and how they are connected.
    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    /// The model's name.
    pub fn name(&self) -> String {
        self.definition.name()
    }

    /// What is known of each weight, in Keras's order.
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// Every object that weight files name.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// The definition, to be shared.
    pub(crate) fn shared_definition(&self) -> &Arc<Definition> {
        &self.definition
    }

    /// The weights, in the order of [`Model::variables`].
    pub fn weights(&self) -> &[Tensor] {
        self.values.tensors().get(..self.variables.len()).unwrap_or_default()
    }

    /// The weights by the names of a program's slots, `model.0/` and a weight's path, and what a compiled model keeps
    /// besides.
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// The same, to be written by programs.
    pub fn values_mut(&mut self) -> &mut Values {
        &mut self.values
    }

    fn replace_weights(&mut self, values: Vec<Tensor>) -> Result<()> {
        let mut weights = self.variables.iter().zip(values);
        weights.try_for_each(|(v, t)| self.values.insert(&slot_of(v), t))
    }

    /// The weight with this path.
    pub fn weight(&self, path: &str) -> Option<&Tensor> {
        self.variables.iter().position(|v| v.path == path).map(|i| &self.weights()[i])
    }

    /// Replaces all weights.
    ///
    /// # Errors
    /// When the number or a shape differs; then nothing is changed.
    pub fn set_weights(&mut self, values: &[Tensor]) -> Result<()> {
        if values.len() != self.variables.len() {
            return Err(Error::new(format!(
                "{} weights for a model with {}",
                values.len(),
                self.variables.len()
            ))
            .place(self.name()));
        }
        for (v, t) in self.variables.iter().zip(values) {
            if v.weight.shape.as_fixed().as_deref() != Some(t.shape()) {
                return Err(Error::new(format!("a weight of shape {:?} does not fit", t.shape()))
                    .place(&v.path)
                    .expected(v.weight.shape.to_string()));
            }
        }
        let cast = self.variables.iter().zip(values).map(|(v, t)| t.try_cast(v.weight.dtype));
        self.replace_weights(cast.collect::<Result<_>>()?)
    }

    /// Number of elements of all weights, trainable weights only, and state only.
    pub fn count_params(&self) -> (usize, usize, usize) {
        let count = |trainable: bool| {
            let of = self.variables.iter().zip(self.weights()).filter(|(v, _)| v.trainable == trainable);
            of.map(|(_, t)| t.len()).sum::<usize>()
        };
        let (trainable, rest) = (count(true), count(false));
        (trainable + rest, trainable, rest)
    }

    /// The model with its weights as a layer of another model.
    pub fn into_layer(self) -> LayerRef {
        let prefix = self.definition.root_path();
        let strip = |p: &str| p.strip_prefix(&prefix).unwrap_or(p).trim_start_matches('/').to_string();
        let mut definition = (*self.definition).clone();
        definition.values =
            self.variables.iter().map(|v| strip(&v.path)).zip(self.weights().to_vec()).collect();
        definition.into()
    }

    /// Traces the model over parameters for its weights (in order) and inputs.
    ///
    /// # Errors
    /// Every layer whose inputs do not fit.
    pub fn trace(&self, training: bool) -> Result<Traced> {
        trace(&self.definition, Trace::over(&self.variables, training))
    }

    /// The outputs for all samples of `x`, computed 32 at a time.
    ///
    /// # Errors
    /// When the inputs do not fit the model or hold NaN, or the model has several outputs
    /// (see [`Model::predict_all`]).
    #[track_caller]
    pub fn predict<'a>(&self, x: impl Into<Tensors<'a>>) -> Result<Tensor> {
        let here = Source::here();
        let mut outputs = self.predict_all(x, 32).map_err(|e| e.source(&here))?;
        if outputs.len() > 1 {
            let names = self.definition.output_names().join(", ");
            return Err(Error::new(format!("the model has several outputs: {names}"))
                .source(&here)
                .fix("use predict_all"));
        }
        Ok(outputs.swap_remove(0))
    }

    /// Every output for all samples of `x`, computed `batch_size` at a time.
    ///
    /// # Errors
    /// When the inputs do not fit the model or hold NaN.
    pub fn predict_all<'a>(&self, x: impl Into<Tensors<'a>>, batch_size: usize) -> Result<Vec<Tensor>> {
        if batch_size == 0 {
            return Err(Error::new("batch_size=0").place("predict").expected("at least 1"));
        }
        let inputs = self.check_inputs(x.into())?;
        let samples = inputs[0].shape()[0];
        self.predictor()?.over_samples(&self.values, inputs, samples, batch_size)
    }

    /// The program that predicts: shared by all threads, and by copies of the model.
    /// It takes inputs that [`check_inputs`](Model::check_inputs) has checked, and the model's [`values`](Model::values).
    ///
    /// # Errors
    /// When the backend cannot be had or lacks something.
    pub fn predictor(&self) -> Result<&Program> {
        if self.predictor.get().is_none() {
            let mut b = Build::new(&[self], false);
            let x = b.inputs_of(0);
            b.trust(&x);
            let outputs = b.call_inference(0, &x);
            self.definition.output_names().iter().zip(&outputs).for_each(|(name, y)| b.output(name, y));
            drop(self.predictor.set(Arc::new(b.compile("predict", &self.backend()?)?)));
        }
        self.predictor.get().map(|p| &**p).ok_or_else(|| Error::new("the model was not compiled"))
    }
}

/// The name of a weight's value: that of a slot of programs whose first model this is.
fn slot_of(v: &Variable) -> String {
    format!("model.0/{}", v.path)
}

fn trace(definition: &Definition, mut trace: Trace) -> Result<Traced> {
    let (types, names) = (&definition.input_types, definition.input_names());
    let inputs: Vec<Expr> = types.iter().zip(&names).map(|(t, n)| Expr::param(n, t.clone())).collect();
    let given: Vec<Value> = inputs.iter().cloned().map(Value::from).collect();
    trace.visit(String::new(), &definition.name());
    let mut cx = Cx::root(&mut trace, &definition.root_path(), &definition.base.source);
    let values = definition.trace(&mut cx, &given);
    let all: Vec<Expr> = values.iter().flatten().map(|v| v.expr.clone()).collect();
    if let Some(e) = Error::from_problems(expr::problems(&all)) {
        return Err(e);
    }
    let outputs = definition.results(&values)?;
    Ok(Traced { trace, inputs, outputs, values })
}

/// One tensor or several, as arguments.
pub struct Tensors<'a>(pub Vec<&'a Tensor>);

impl<'a> From<&'a Tensor> for Tensors<'a> {
    fn from(t: &'a Tensor) -> Self {
        Tensors(vec![t])
    }
}
impl<'a> From<&'a [Tensor]> for Tensors<'a> {
    fn from(t: &'a [Tensor]) -> Self {
        Tensors(t.iter().collect())
    }
}
impl<'a> From<&'a Vec<Tensor>> for Tensors<'a> {
    fn from(t: &'a Vec<Tensor>) -> Self {
        Tensors(t.iter().collect())
    }
}
impl<'a, const N: usize> From<[&'a Tensor; N]> for Tensors<'a> {
    fn from(t: [&'a Tensor; N]) -> Self {
        Tensors(t.to_vec())
    }
}

impl Clone for Model {
    fn clone(&self) -> Model {
        let mut values = self.values.clone();
        // Where this fails, the copy keeps more than it needs.
        drop(values.retain(|name| name.starts_with("model.0/")));
        Model {
            definition: self.definition.clone(),
            variables: self.variables.clone(),
            places: self.places.clone(),
            values,
            backend: self.backend.clone(),
            predictor: self.predictor.clone(),
            guard: self.guard.clone(),
        }
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Model {} ({} weights)", self.name(), self.count_params().0)
    }
}
