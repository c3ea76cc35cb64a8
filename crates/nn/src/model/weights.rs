//! [`Model`]: a definition and its weights.

use crate::backend::Program;
use crate::indices::Guard;
use crate::layer::{Base, Cx, LayerRef, Place, Trace, Value, Variable};
use crate::model::definition::Ranks;
use crate::model::{Definition, Form, Symbolic};
use rhyton_graph::{Expr, expr};
use rhyton_tensor::rng::Stream;
use rhyton_tensor::{Error, Result, Source, Tensor, memory};
use std::collections::HashMap;
use std::panic::Location;
use std::sync::{Arc, Mutex, PoisonError};

/// A model: its layers and one map from path to weight.
pub struct Model {
    definition: Arc<Definition>,
    variables: Vec<Variable>,
    places: Vec<Place>,
    /// The weights, then the rest of a compiled model's state: programs take one list, predicting a prefix.
    state: Vec<Tensor>,
    predictor: Mutex<Option<Program>>,
    /// Checks indices that come from the inputs.
    guard: Mutex<Guard>,
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
        let source = base.source;
        let bad: Vec<Expr> = outputs.iter().map(|o| o.value().expr.clone()).collect();
        if let Some(e) = Error::from_problems(expr::problems(&bad)) {
            return Err(e);
        }
        Definition::of(base, Form::Functional, inputs, outputs)
            .and_then(|d| Model::from_definition(d, 0))
            .map_err(|e| e.source(source))
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
        let guard = Guard::new(&traced.inputs, 0, &outputs, &[]);
        let mut variables: Vec<Variable> = traced.trace.variables.into_iter().map(|(v, _)| v).collect();
        let ranks = Ranks::of(&definition);
        variables.sort_by_cached_key(|v| ranks.rank(&v.location));
        Ok(Model {
            definition: Arc::new(definition),
            variables,
            places: traced.trace.places,
            state: vec![],
            predictor: Mutex::new(None),
            guard: Mutex::new(guard),
        })
    }

    /// An error when an index in the inputs chooses no row of its table.
    pub(crate) fn check_indices(&self, inputs: &[Tensor]) -> Result<()> {
        // A check that was cut off left nothing behind.
        let mut guard = self.guard.lock().unwrap_or_else(PoisonError::into_inner);
        guard.check_all(inputs, &self.definition.input_types)
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
        self.replace_weights(values);
        Ok(())
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

    /// The weights, in the order of [`Model::variables`].
    pub fn weights(&self) -> &[Tensor] {
        &self.state[..self.variables.len()]
    }

    /// The weights and the state that a compiled model keeps behind them.
    pub(crate) fn state(&self) -> &[Tensor] {
        &self.state
    }

    /// The same, to be updated in place by programs.
    pub(crate) fn state_mut(&mut self) -> &mut Vec<Tensor> {
        &mut self.state
    }

    fn replace_weights(&mut self, values: Vec<Tensor>) {
        let old = self.state.len().min(self.variables.len());
        self.state.splice(..old, values);
    }

    /// The weight with this path.
    pub fn weight(&self, path: &str) -> Option<&Tensor> {
        self.variables.iter().position(|v| v.path == path).map(|i| &self.state[i])
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
        self.replace_weights(cast.collect::<Result<_>>()?);
        Ok(())
    }

    /// Takes over every weight of `other` that has the same path and shape; returns how many.
    pub fn copy_weights_from(&mut self, other: &Model) -> usize {
        let mut copied = 0;
        let others: HashMap<&str, &Tensor> =
            other.variables.iter().map(|v| v.path.as_str()).zip(other.weights()).collect();
        for (v, value) in self.variables.iter().zip(&mut self.state) {
            if let Some(t) = others.get(v.path.as_str()).filter(|t| t.shape() == value.shape()) {
                *value = (*t).clone();
                copied += 1;
            }
        }
        copied
    }

    /// Number of elements of all weights, trainable weights only, and state only.
    pub fn count_params(&self) -> (usize, usize, usize) {
        let count = |trainable: bool| {
            let of = self.variables.iter().zip(&self.state).filter(|(v, _)| v.trainable == trainable);
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
        definition.values = self.variables.iter().map(|v| strip(&v.path)).zip(self.state).collect();
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
        let here = Source(Location::caller());
        let mut outputs = self.predict_all(x, 32).map_err(|e| e.source(here))?;
        if outputs.len() > 1 {
            let names = self.definition.output_names().join(", ");
            return Err(Error::new(format!("the model has several outputs: {names}"))
                .source(here)
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
        let n = inputs[0].shape()[0];
        let mut guard = self.predictor.lock().map_err(|_| Error::new("an earlier prediction was cut off"))?;
        if guard.is_none() {
            *guard = Some(self.compile_predictor()?);
        }
        let Some(program) = guard.as_mut() else { return Ok(vec![]) };
        let mut state = self.weights().to_vec();
        let step = batch_size;
        if n <= step {
            let mut out = vec![];
            program.run(&mut state, &inputs, &mut out)?;
            return Ok(out);
        }
        let mut parts: Vec<Vec<Tensor>> = vec![];
        for start in (0..n).step_by(step) {
            let batch = inputs
                .iter()
                .map(|t| t.slice_rows(start..n.min(start + step)))
                .collect::<Result<Vec<_>>>()?;
            let mut out = vec![];
            program.run(&mut state, &batch, &mut out)?;
            if parts.is_empty() {
                fits_all(&out, n)?;
            }
            parts.push(out);
        }
        let outputs = self.definition.outputs.len();
        (0..outputs)
            .map(|o| Tensor::concat_rows(&parts.iter().map(|p| p[o].clone()).collect::<Vec<_>>()))
            .collect()
    }

    fn compile_predictor(&self) -> Result<Program> {
        let traced = self.trace(false)?;
        let weights = traced.trace.params();
        let state = weights.len();
        let params = weights.iter().chain(&traced.inputs).cloned().collect();
        let results = traced.outputs.into_iter().map(|v| v.expr).collect();
        Program::compile_given("predict", params, state, results, &[], &traced.inputs, None)
    }
}

/// Whether there is memory for the outputs of all `n` samples, in parts and joined, when those of a batch are these.
fn fits_all(batch: &[Tensor], n: usize) -> Result<()> {
    let all = |t: &Tensor| {
        let rows = t.shape().first().copied().unwrap_or(1).max(1);
        t.data().bytes().div_ceil(rows).saturating_mul(n)
    };
    let bytes = batch.iter().fold(0usize, |sum, t| sum.saturating_add(all(t)));
    memory::fits(bytes.saturating_mul(2)).map_err(|e| {
        e.place(format!("the outputs of {n} samples"))
            .fix("predict fewer samples at once, or allow more memory")
    })
}

fn trace(definition: &Definition, mut trace: Trace) -> Result<Traced> {
    let (types, names) = (&definition.input_types, definition.input_names());
    let inputs: Vec<Expr> = types.iter().zip(&names).map(|(t, n)| Expr::param(n, t.clone())).collect();
    let given: Vec<Value> = inputs.iter().cloned().map(Value::from).collect();
    trace.visit(String::new(), &definition.name());
    let mut cx = Cx::root(&mut trace, &definition.root_path(), definition.base.source);
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
        Model {
            definition: self.definition.clone(),
            variables: self.variables.clone(),
            places: self.places.clone(),
            state: self.weights().to_vec(),
            predictor: Mutex::new(None),
            guard: Mutex::new(self.guard.lock().unwrap_or_else(PoisonError::into_inner).clone()),
        }
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Model {} ({} weights)", self.name(), self.count_params().0)
    }
}
