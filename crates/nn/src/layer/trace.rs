//! What a call of a layer asks for: weights, state, random numbers, from a [`Cx`] into a [`Trace`].

use super::{Args, Layer, LayerRef, Outputs, float_as};
use crate::constraints::Constraint;
use crate::initializers::Initializer;
use crate::policy;
use crate::regularizers::Regularizer;
use rhyton_graph::ops::Distribution;
use rhyton_graph::{Expr, Type, at_source, in_path};
use rhyton_tensor::{DType, Error, Result, Shape, Source, limits};
use serde_json::Value as Json;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// A weight (trainable) or a state (not trained by gradients) that a call asks for.
#[derive(Clone, Debug)]
pub struct Weight {
    /// Name within its object: `kernel`.
    pub name: String,
    /// Sizes; all must be known.
    pub shape: Shape,
    /// float32, int32 or, for quantized weights, int8.
    pub dtype: DType,
    /// How it starts.
    pub initializer: Initializer,
    /// Penalty added to the loss while it is trained.
    pub regularizer: Option<Regularizer>,
    /// Projection after every update.
    pub constraint: Option<Constraint>,
    /// False for state such as moving averages.
    pub trainable: bool,
    /// For quantized weights, the axis along which every entry has a scale of its own.
    pub scales: Option<usize>,
}

impl Weight {
    /// A float32 weight.
    pub fn new(name: &str, shape: impl Into<Shape>, initializer: &Initializer) -> Weight {
        Weight {
            name: name.into(),
            shape: shape.into(),
            dtype: DType::F32,
            initializer: initializer.clone(),
            regularizer: None,
            constraint: None,
            trainable: true,
            scales: None,
        }
    }

    /// With a penalty.
    pub fn regularizer(mut self, r: &Option<Regularizer>) -> Weight {
        self.regularizer.clone_from(r);
        self
    }

    /// With a projection.
    pub fn constraint(mut self, c: &Option<Constraint>) -> Weight {
        self.constraint.clone_from(c);
        self
    }

    /// As state: changed by [`Cx::update`], not by gradients.
    pub fn state(mut self) -> Weight {
        self.trainable = false;
        self
    }
}

/// A weight as a model knows it.
#[derive(Clone, Debug)]
pub struct Variable {
    /// What the layer asked for.
    pub weight: Weight,
    /// Keras's path: `sequential/dense/kernel`.
    pub path: String,
    /// The object that has it, by the attributes that lead there from the model: `layers/dense`, `layers/lstm/cell`.
    pub location: String,
    /// False when the weight is state or its layer is frozen.
    pub trainable: bool,
    /// The user's line that made the layer.
    pub source: Source,
    /// A value that a nested model brought along.
    pub initial: Option<rhyton_tensor::Tensor>,
}

impl Variable {
    /// The type of the weight's expressions.
    pub fn ty(&self) -> Type {
        Type::new(self.weight.dtype, self.weight.shape.clone())
    }
}

/// Larger weights are mistakes, or files that mean harm.
const LARGEST_WEIGHT: usize = 1 << 36;

/// The place of operations on tensors, which Keras does not count as layers: they are no objects of the model.
pub const OPERATIONS: &str = "_operations";

/// An object of the model, with weights or without.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// The attributes that lead to it: `layers/lstm/cell`; empty for the model itself.
    pub location: String,
    /// `lstm_cell`.
    pub name: String,
}

#[derive(Clone, Debug)]
struct Scope {
    /// The type in which weights are used.
    compute: DType,
    path: String,
    location: String,
    trainable: bool,
    source: Source,
    /// The innermost nested model that brings values along, and the length of its path.
    owner: Option<(Arc<dyn Layer>, usize)>,
}

/// Everything one trace of a model collects: its weights as parameters, updates of state, penalties.
pub struct Trace {
    /// Whether layers behave as in training (dropout, batch statistics).
    pub training: bool,
    /// Weights in the order they were asked for, with their parameters.
    pub variables: Vec<(Variable, Expr)>,
    /// New values of state: index into `variables` and value.
    pub updates: Vec<(usize, Expr)>,
    /// Penalties of activities; added to the loss.
    pub losses: Vec<Expr>,
    /// Every object visited, in order.
    pub places: Vec<Place>,
    /// Key of random numbers, int32\[2\]; `None` outside training.
    pub key: Option<Expr>,
    /// Shapes of the random numbers drawn so far.
    pub(crate) draws: Vec<Shape>,
    /// True where a wrapper only looks at what its layer does: see [`Cx::probe`].
    probing: bool,
    /// By variable, where in `updates` its newest value is: what the next call of the same layer sees.
    newest: HashMap<usize, usize>,
    by_path: HashMap<String, usize>,
    /// Locations of `places`.
    seen: HashSet<String>,
    scopes: HashMap<*const (), Scope>,
    streams: u32,
    /// Calls of layers so far.
    calls: u64,
    /// Calls that are under way, each inside of the one before.
    depth: usize,
}

impl Trace {
    /// An empty trace.
    pub fn new(training: bool) -> Trace {
        let key = training.then(|| Expr::param("key", Type::new(DType::I32, [2])));
        Trace {
            training,
            variables: vec![],
            updates: vec![],
            losses: vec![],
            places: vec![],
            key,
            draws: vec![],
            probing: false,
            newest: HashMap::new(),
            by_path: HashMap::new(),
            seen: HashSet::new(),
            scopes: HashMap::new(),
            streams: 0,
            calls: 0,
            depth: 0,
        }
    }

    /// A trace over known weights: their parameters are made at once, in this order.
    pub fn over(variables: &[Variable], training: bool) -> Trace {
        let mut trace = Trace::new(training);
        for v in variables {
            trace.declare(v.clone());
        }
        trace
    }

    fn declare(&mut self, v: Variable) -> Expr {
        let param = Expr::param(&v.path, v.ty());
        self.by_path.insert(v.path.clone(), self.variables.len());
        self.variables.push((v, param.clone()));
        param
    }

    /// Notes an object of the model.
    pub fn visit(&mut self, location: String, name: &str) {
        if location.split('/').any(|part| part == OPERATIONS) {
            return;
        }
        if self.seen.insert(location.clone()) {
            self.places.push(Place { location, name: name.into() });
        }
    }

    /// The value that an update of this trace gave a variable; updates that were taken out are no longer known here.
    fn newest_value(&self, variable: usize) -> Option<&Expr> {
        let (owner, value) = self.updates.get(*self.newest.get(&variable)?)?;
        (*owner == variable).then_some(value)
    }

    /// Begins a call of a layer. A model called twice inside of a model called twice is small to write, not to trace.
    fn begin_call(&mut self) -> Result<()> {
        self.calls += 1;
        limits::CALLS.check(self.calls, || String::from("the model makes too many calls of layers"))?;
        if self.depth == limits::NESTING {
            return Err(Error::new("layers are nested too deeply")
                .expected(format!("at most {} inside of each other", limits::NESTING)));
        }
        self.depth += 1;
        Ok(())
    }

    /// Parameters of all weights, in order.
    pub fn params(&self) -> Vec<Expr> {
        self.variables.iter().map(|(_, p)| p.clone()).collect()
    }
}

/// What a layer's call may ask for.
pub struct Cx<'a> {
    trace: &'a mut Trace,
    scope: Scope,
}

impl<'a> Cx<'a> {
    /// The outermost context of a trace; `path` is empty or the model's name.
    pub fn root(trace: &'a mut Trace, path: &str, source: &Source) -> Cx<'a> {
        let scope = Scope {
            compute: DType::F32,
            path: path.into(),
            location: String::new(),
            trainable: true,
            source: source.clone(),
            owner: None,
        };
        Cx { trace, scope }
    }

    /// Whether layers behave as in training.
    pub fn training(&self) -> bool {
        self.trace.training
    }

    /// Whether the layer being called is trainable (neither it nor a model around it is frozen).
    pub fn trainable(&self) -> bool {
        self.scope.trainable
    }

    /// The path of the layer being called, like `sequential/dense_1`.
    pub fn path(&self) -> &str {
        &self.scope.path
    }

    /// A float32 weight; the same one for the same name.
    #[track_caller]
    pub fn weight(&mut self, name: &str, shape: impl Into<Shape>, initializer: &Initializer) -> Expr {
        self.add(Weight::new(name, shape, initializer))
    }

    /// A float32 state that [`Cx::update`] changes.
    #[track_caller]
    pub fn state(&mut self, name: &str, shape: impl Into<Shape>, initializer: &Initializer) -> Expr {
        self.add(Weight::new(name, shape, initializer).state())
    }

    /// A weight with all its settings; the same one for the same name.
    #[track_caller]
    pub fn add(&mut self, weight: Weight) -> Expr {
        let path = join(&self.scope.path, &weight.name);
        if let Some(i) = self.trace.by_path.get(&path) {
            let (known, param) = &self.trace.variables[*i];
            if known.weight.shape != weight.shape {
                return Expr::poison(
                    Error::new(format!(
                        "the weight '{}' has the shape {} but this call needs {}",
                        weight.name, known.weight.shape, weight.shape
                    ))
                    .fix("a shared layer must get inputs of one shape"),
                );
            }
            return self.used(&known.weight, self.trace.newest_value(*i).unwrap_or(param));
        }
        let Some(sizes) = weight.shape.as_fixed() else {
            let what = format!("the weight '{}' would have the unknown shape {}", weight.name, weight.shape);
            return Expr::poison(Error::new(what).fix("give the input a fixed size along this axis"));
        };
        let elements = sizes.iter().try_fold(1usize, |n, size| n.checked_mul(*size));
        if elements.is_none_or(|n| n > LARGEST_WEIGHT) {
            let what = format!("the weight '{}' would have the shape {}", weight.name, weight.shape);
            return Expr::poison(Error::new(what).expected(format!("at most {LARGEST_WEIGHT} elements")));
        }
        let checks = [
            weight.initializer.get().and_then(|i| i.check(&sizes)).err(),
            weight.regularizer.as_ref().and_then(|r| r.get().err()),
            weight.constraint.as_ref().and_then(|c| c.get().err()),
        ];
        if let Some(e) = checks.into_iter().flatten().next() {
            return Expr::poison(e);
        }
        let initial = self
            .scope
            .owner
            .as_ref()
            .and_then(|(model, at)| model.initial(path.get(*at..).unwrap_or_default()));
        let param = self.trace.declare(Variable {
            path,
            location: self.scope.location.clone(),
            trainable: weight.trainable && self.scope.trainable,
            source: self.scope.source.clone(),
            initial,
            weight: weight.clone(),
        });
        self.used(&weight, &param)
    }

    /// A weight as the layer uses it. State keeps its precision.
    fn used(&self, weight: &Weight, param: &Expr) -> Expr {
        if weight.trainable && weight.dtype == DType::F32 {
            param.cast(self.scope.compute)
        } else {
            param.clone()
        }
    }

    /// Assigns the state `name` of this layer: what asks for it from here on, and the next step, get this value.
    /// No gradient flows back through an assignment.
    pub fn update(&mut self, name: &str, value: Expr) {
        if let Some(i) = self.trace.by_path.get(&join(&self.scope.path, name)) {
            let dtype = self.trace.variables[*i].0.weight.dtype;
            self.trace.newest.insert(*i, self.trace.updates.len());
            self.trace.updates.push((*i, value.cast(dtype).stop_gradient()));
        }
    }

    /// Adds a scalar to the loss.
    pub fn add_loss(&mut self, loss: Expr) {
        self.trace.losses.push(loss);
    }

    /// Random numbers that differ from call to call and from step to step; there are none outside training.
    /// `seed` separates layers that a user seeded.
    #[track_caller]
    pub fn random(&mut self, distribution: Distribution, shape: impl Into<Shape>, seed: Option<u64>) -> Expr {
        let Some(key) = self.trace.key.clone() else {
            return Expr::poison(
                Error::new("random numbers are drawn only in training")
                    .fix("call the layer without training=true"),
            );
        };
        let shape = shape.into();
        self.trace.draws.push(shape.clone());
        self.trace.streams += 1;
        let stream = self.trace.streams ^ (seed.unwrap_or(0) as u32).wrapping_mul(0x9E37_79B9);
        Expr::random(&key, distribution, stream, shape)
    }

    /// What calling `layer` would do, without a trace of it in this trace; `None` within another probe, so that
    /// wrappers in wrappers do not take twice as long at every depth.
    pub(crate) fn probe(&self, layer: &LayerRef, args: &Args) -> Option<(Trace, Outputs)> {
        if self.trace.probing {
            return None;
        }
        let mut trace = Trace::new(self.trace.training);
        trace.probing = true;
        let outputs = Cx::root(&mut trace, "", &self.scope.source).call(layer, "", "probe", args);
        Some((trace, outputs))
    }

    /// Runs `f` and forgets the penalties of activities that it adds.
    pub(crate) fn without_penalties<R>(&mut self, f: impl FnOnce(&mut Cx<'_>) -> R) -> R {
        let before = self.trace.losses.len();
        let made = f(&mut Cx { trace: &mut *self.trace, scope: self.scope.clone() });
        self.trace.losses.truncate(before);
        made
    }

    /// Runs `f` for a part of this layer that owns weights: `attribute` is where the layer keeps it, `name` its place in
    /// paths.
    pub fn part<R>(&mut self, attribute: &str, name: &str, f: impl FnOnce(&mut Cx<'_>) -> R) -> R {
        let scope = Scope {
            path: join(&self.scope.path, name),
            location: join(&self.scope.location, attribute),
            ..self.scope.clone()
        };
        self.enter(scope, name, f)
    }

    /// Calls another layer, which keeps its weights at `attribute` of this one. A layer already called in this
    /// trace keeps the place of its first call. The setting `training` of `args` holds for the layer and all
    /// inside it.
    pub fn call(&mut self, layer: &LayerRef, attribute: &str, name: &str, args: &Args) -> Outputs {
        let layer = match layer.get() {
            Ok(l) => l.clone(),
            Err(e) => return Expr::poison(e.clone()).into(),
        };
        if let Err(e) = self.trace.begin_call() {
            return e.into();
        }
        let identity = Arc::as_ptr(&layer).cast::<()>();
        let known = self.trace.scopes.get(&identity).cloned();
        let policy = layer.base().policy();
        let inside = if layer.computes_in_float32() { DType::F32 } else { policy.compute_dtype() };
        let scope = known.unwrap_or_else(|| {
            let path = join(&self.scope.path, name);
            let owner = match layer.is_model() {
                true => Some((layer.clone(), path.len() + 1)),
                false => self.scope.owner.clone(),
            };
            Scope {
                compute: inside,
                location: join(&self.scope.location, attribute),
                trainable: self.scope.trainable && layer.base().trainable,
                source: layer.base().source.clone(),
                path,
                owner,
            }
        });
        self.trace.scopes.insert(identity, scope.clone());
        let outer = self.trace.training;
        if let Some(training) = args.settings.get("training").and_then(Json::as_bool) {
            self.trace.training = training;
        }
        let outputs = policy::within(policy, || {
            self.enter(scope, name, |cx| call_layer(&*layer, cx, args, policy.compute_dtype()))
        });
        self.trace.training = outer;
        self.trace.depth -= 1;
        outputs
    }

    /// Notes an object without weights of its own.
    pub fn visit(&mut self, attribute: &str, name: &str) {
        self.trace.visit(join(&self.scope.location, attribute), name);
    }

    fn enter<R>(&mut self, scope: Scope, name: &str, f: impl FnOnce(&mut Cx<'_>) -> R) -> R {
        self.trace.visit(scope.location.clone(), name);
        let (path, source) = (scope.path.clone(), scope.source.clone());
        let mut cx = Cx { trace: &mut *self.trace, scope };
        in_path(&path, || at_source(&source, || f(&mut cx)))
    }
}

fn join(a: &str, b: &str) -> String {
    if a.is_empty() { b.into() } else { format!("{a}/{b}") }
}

/// Calls a layer with what every call does: poison goes through, floats are converted to the type in which the layer
/// computes and afterwards to `outside`, masks are passed on, activities are penalised.
fn call_layer(layer: &dyn Layer, cx: &mut Cx<'_>, args: &Args, outside: DType) -> Outputs {
    if let Some(bad) = args.inputs.iter().find(|v| v.expr.is_poisoned()) {
        return bad.clone().into();
    }
    if let Some(Err(e)) = &layer.base().dtype {
        return e.clone().into();
    }
    let through = layer.passes_types();
    let mut outputs =
        if through { layer.call(cx, args) } else { layer.call(cx, &args.of_type(cx.scope.compute)) };
    if !through {
        outputs.0.iter_mut().for_each(|v| v.expr = float_as(&v.expr, outside));
    }
    if layer.supports_masking() {
        let mask = args.mask(0);
        outputs.0.iter_mut().for_each(|v| v.mask = v.mask.take().or_else(|| mask.clone()));
    }
    if let Some(regularizer) = &layer.base().activity_regularizer {
        for v in &outputs.0 {
            let penalty = match regularizer.get() {
                Ok(r) => r.penalty(&float_as(&v.expr, DType::F32)),
                Err(e) => Expr::poison(e),
            };
            let batch = v.expr.shape().first().cloned().unwrap_or_else(|| 1usize.into());
            cx.add_loss(penalty / Expr::size(&batch));
        }
    }
    outputs
}
