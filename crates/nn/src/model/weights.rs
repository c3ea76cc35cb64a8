//! [`Model`]: a definition and its weights.

use crate::backend::Program;
use crate::layer::{Base, Cx, LayerRef, Place, Trace, Value, Variable};
use crate::model::{Definition, Form, Symbolic};
use rhyton_graph::{Expr, Type, expr};
use rhyton_tensor::rng::Stream;
use rhyton_tensor::{DType, Error, Result, Source, Tensor};
use std::panic::Location;
use std::sync::{Arc, Mutex};

/// A model: its layers and one map from path to weight.
pub struct Model {
    definition: Arc<Definition>,
    variables: Vec<Variable>,
    places: Vec<Place>,
    values: Vec<Tensor>,
    predictor: Mutex<Option<Program>>,
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
        let mut variables: Vec<Variable> = traced.trace.variables.into_iter().map(|(v, _)| v).collect();
        variables.sort_by_key(|v| definition.rank(&v.location));
        Ok(Model {
            definition: Arc::new(definition),
            variables,
            places: traced.trace.places,
            values: vec![],
            predictor: Mutex::new(None),
        })
    }

    /// Draws all weights anew; nested trained models keep what they brought along.
    ///
    /// # Errors
    /// When an initializer is unknown.
    pub fn initialize(&mut self, seed: u64) -> Result<()> {
        let draw = |(i, v): (usize, &Variable)| {
            if let Some(t) = &v.initial {
                return Ok(t.clone());
            }
            let shape = v.weight.shape.as_fixed().unwrap_or_default();
            let mut random = Stream::new(seed, 0, i as u32 + 1);
            let values = v.weight.initializer.get()?.values(&shape, &mut random);
            Ok(Tensor::new(shape, values)?.cast(v.weight.dtype))
        };
        self.values = self.variables.iter().enumerate().map(draw).collect::<Result<_>>()?;
        Ok(())
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
        &self.values
    }

    /// The weights, to be updated in place by programs whose state starts with them.
    pub(crate) fn weights_mut(&mut self) -> &mut Vec<Tensor> {
        &mut self.values
    }

    /// The weight with this path.
    pub fn weight(&self, path: &str) -> Option<&Tensor> {
        self.variables.iter().position(|v| v.path == path).map(|i| &self.values[i])
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
        self.values = self.variables.iter().zip(values).map(|(v, t)| t.cast(v.weight.dtype)).collect();
        Ok(())
    }

    /// Takes over every weight of `other` that has the same path and shape; returns how many.
    pub fn copy_weights_from(&mut self, other: &Model) -> usize {
        let mut copied = 0;
        for (v, value) in self.variables.iter().zip(&mut self.values) {
            if let Some(t) = other.weight(&v.path).filter(|t| t.shape() == value.shape()) {
                *value = t.clone();
                copied += 1;
            }
        }
        copied
    }

    /// Number of elements of all weights, trainable weights only, and state only.
    pub fn count_params(&self) -> (usize, usize, usize) {
        let count = |trainable: bool| {
            let of = self.variables.iter().zip(&self.values).filter(|(v, _)| v.trainable == trainable);
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
        definition.values = self.variables.iter().map(|v| strip(&v.path)).zip(self.values).collect();
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
        let inputs = self.check_inputs(x.into())?;
        let n = inputs[0].shape()[0];
        let mut guard = self.predictor.lock().map_err(|_| Error::new("an earlier prediction was cut off"))?;
        if guard.is_none() {
            *guard = Some(self.compile_predictor()?);
        }
        let Some(program) = guard.as_mut() else { return Ok(vec![]) };
        let mut state = self.values.clone();
        let step = batch_size.max(1);
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
        let params = weights.into_iter().chain(traced.inputs).collect();
        let results = traced.outputs.into_iter().map(|v| v.expr).collect();
        Program::compile("predict", params, state, results, &[])
    }

    /// The inputs in the types of the model, checked against its shapes.
    ///
    /// # Errors
    /// When the number, a shape or a number of samples does not fit, or a value is NaN.
    pub fn check_inputs(&self, x: Tensors<'_>) -> Result<Vec<Tensor>> {
        let (types, names) = (self.definition.input_types()?, self.definition.input_names());
        if x.0.len() != types.len() {
            return Err(Error::new(format!("the model takes {} inputs, got {}", types.len(), x.0.len()))
                .place(self.name())
                .expected(names.join(", ")));
        }
        let samples = x.0[0].shape().first().copied().unwrap_or(0);
        if samples == 0 {
            return Err(Error::new("there are no samples").place(format!("input '{}'", names[0])));
        }
        let each = x.0.iter().zip(types.iter().zip(&names));
        each.map(|(t, (ty, name))| check_input(t, ty, name, samples)).collect()
    }
}

fn check_input(t: &Tensor, ty: &Type, name: &str, samples: usize) -> Result<Tensor> {
    let place = format!("input '{name}'");
    let mut t = t.clone();
    // A flat list of numbers is a list of samples of one number, as in Keras.
    if t.rank() + 1 == ty.shape.rank() && ty.shape.last().is_some_and(|d| d.is(1)) {
        let mut shape = t.shape().to_vec();
        shape.push(1);
        t = t.reshape(shape)?;
    }
    let fits = t.rank() == ty.shape.rank()
        && t.shape().iter().zip(ty.shape.iter()).skip(1).all(|(n, d)| d.as_fixed().is_none_or(|d| d == *n));
    if !fits {
        let mut e = Error::new(format!("the data has the shape {:?}", t.shape()))
            .place(place)
            .expected(format!("{} (any number of samples first)", ty.shape.keras()));
        if t.rank() + 1 == ty.shape.rank() {
            e = e.fix("add the missing axis with reshape");
        }
        return Err(e);
    }
    if t.shape()[0] != samples {
        return Err(
            Error::new(format!("{} samples, but the first input has {samples}", t.shape()[0])).place(place)
        );
    }
    if ty.dtype == DType::I32 && t.dtype().is_float() {
        let whole = t.to_vec::<f32>().iter().all(|x| x.fract() == 0.0 && x.abs() < 2e9);
        if !whole {
            return Err(Error::new("indices must be whole numbers").place(place).expected("int32"));
        }
    }
    let t = t.cast(ty.dtype);
    if t.as_slice::<f32>().is_some_and(|v| v.iter().any(|x| x.is_nan())) {
        return Err(Error::new("the data holds NaN").place(place).fix("drop or fill missing values first"));
    }
    Ok(t)
}

fn trace(definition: &Definition, mut trace: Trace) -> Result<Traced> {
    let (types, names) = (definition.input_types()?, definition.input_names());
    let inputs: Vec<Expr> = types.iter().zip(&names).map(|(t, n)| Expr::param(n, t.clone())).collect();
    let given: Vec<Value> = inputs.iter().cloned().map(Value::from).collect();
    trace.places.push(Place { location: String::new(), name: definition.name() });
    let mut cx = Cx::root(&mut trace, &definition.root_path(), definition.base.source);
    let values = definition.trace(&mut cx, &given);
    let all: Vec<Expr> = values.iter().flatten().map(|v| v.expr.clone()).collect();
    if let Some(e) = Error::from_problems(expr::problems(&all)) {
        return Err(e);
    }
    let outputs = definition
        .outputs
        .iter()
        .map(|(c, o)| {
            values[*c].get(*o).cloned().ok_or_else(|| Error::new(format!("a layer has no output {o}")))
        })
        .collect::<Result<Vec<Value>>>()?;
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
            values: self.values.clone(),
            predictor: Mutex::new(None),
        }
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Model {} ({} weights)", self.name(), self.count_params().0)
    }
}
