//! [`Build`]: what a program computes, as it is put together.

use super::run::ProgramParts;
use super::update::Optimizing;
use super::{Program, Values};
use crate::{Definition, Model};
use rhyton_graph::backend::Backend;
use rhyton_graph::ops::Distribution;
use rhyton_graph::{Expr, Type};
use rhyton_nn::layer::{Cx, Trace, Value, Variable};
use rhyton_tensor::{DType, Dim, Error, Problem, Result, Shape, Tensor};
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

/// What a program keeps from run to run.
pub(super) struct Slot {
    pub(super) name: String,
    pub(super) param: Expr,
    /// What it is at this point of the program, and at its end what the next run finds.
    pub(super) value: Expr,
    /// What it begins with; `None` where an optimizer knows.
    start: Option<Tensor>,
    /// Whether an update of it comes last and is large: weights, and what an optimizer keeps of each.
    pub(super) large: bool,
    assigned: bool,
}

impl Slot {
    fn new(name: String, param: Expr, start: Option<Tensor>) -> Slot {
        Slot { name, value: param.clone(), param, start, large: false, assigned: false }
    }
}

/// A model that the program calls.
pub(super) struct Called {
    definition: Arc<Definition>,
    pub(super) trace: Trace,
    pub(super) slots: Range<usize>,
}

/// A program in the making: inputs, models called on them, gradients, updates, outputs. Nothing here fails: errors
/// come out when it is compiled, all at once.
///
/// An update is an assignment. Whatever asks for a weight or state afterwards gets the new value as a number: no
/// gradient flows back through an update, and one program with two updates does what two programs would do.
///
/// ```
/// use rhyton_nn::layers::Dense;
/// use rhyton_model::{Sequential, program::Build};
/// let model = Sequential::new([3]).add(Dense::new(2)).build()?;
/// // The slope of the first output by the inputs.
/// let mut b = Build::new(&[&model], false);
/// let x = b.inputs_of(0);
/// let y = b.call(0, &x)[0].entry(1, 0);
/// let slope = rhyton_graph::grad(&y.sum_all(), &x)[0].clone();
/// b.output("slope", &slope);
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
pub struct Build {
    pub(super) models: Vec<Called>,
    pub(super) slots: Vec<Slot>,
    /// Names of slots.
    names: HashSet<String>,
    /// Slots in the order in which they were assigned first.
    assigned: Vec<usize>,
    /// The slot of the random key, where layers behave as in training.
    key: Option<usize>,
    pub(super) optimizers: Vec<Optimizing>,
    inputs: Vec<(String, Expr)>,
    checked: Vec<Expr>,
    outputs: Vec<(String, Expr)>,
    streams: u32,
    pub(super) problems: Vec<Problem>,
    /// Every loss that a step of an optimizer was against.
    pub(super) minimized: Vec<Expr>,
}

/// Random numbers of the program itself are apart from those of layers, whose streams count from 1.
const OWN_STREAMS: u32 = 1 << 31;

impl Build {
    /// A program over these models, which it knows by their numbers. Layers may behave as in training only where this
    /// says so: then there are random numbers, and each run gets others.
    pub fn new(models: &[&Model], training: bool) -> Build {
        let mut build = Build {
            models: vec![],
            slots: vec![],
            names: HashSet::new(),
            assigned: vec![],
            key: None,
            optimizers: vec![],
            inputs: vec![],
            checked: vec![],
            outputs: vec![],
            streams: OWN_STREAMS,
            problems: vec![],
            minimized: vec![],
        };
        models.iter().enumerate().for_each(|(m, model)| build.add_model(m, model, training));
        if training {
            let param = Expr::param("key", Type::new(DType::I32, [2]));
            for (m, called) in build.models.iter_mut().enumerate() {
                // Equal layers of two models draw different numbers.
                let apart = Tensor::vector(vec![(m as u32).wrapping_mul(0x9E37_79B9) as i32, 0]);
                let key = if m == 0 { param.clone() } else { &param + Expr::constant(&apart) };
                called.trace.key = Some(key);
            }
            build.key = Some(build.slots.len());
            build.add_slot("key".into(), param, Some(Tensor::vector(vec![0i32, 0])));
        }
        build
    }

    /// The beginning of a program about what a model predicts: its inputs, whose numbers the caller makes sure of (see
    /// [`trust`](Build::trust)), and its output of this number.
    ///
    /// # Errors
    /// Every layer whose inputs do not fit; when there is no such output.
    pub fn predicting(model: &Model, output: usize) -> Result<(Build, Vec<Expr>, Expr)> {
        let mut build = Build::new(&[model], false);
        let inputs = build.inputs_of(0);
        build.trust(&inputs);
        let outputs = build.call_inference(0, &inputs);
        build.check()?;
        let y = outputs.get(output).ok_or_else(|| {
            Error::new(format!("the model has no output {output}"))
                .expected(format!("a number below {}", outputs.len()))
        })?;
        match y.error() {
            Some(e) => Err(e.clone()),
            None => Ok((build, inputs, y.clone())),
        }
    }

    fn add_model(&mut self, m: usize, model: &Model, training: bool) {
        let mut trace = Trace::over(model.variables(), training);
        trace.key = None;
        let first = self.slots.len();
        for ((v, param), value) in trace.variables.iter().zip(model.weights()) {
            let name = format!("model.{m}/{}", v.path);
            let large = v.trainable && param.rank() > 0;
            self.names.insert(name.clone());
            self.slots.push(Slot { large, ..Slot::new(name, param.clone(), Some(value.clone())) });
        }
        let definition = model.shared_definition().clone();
        self.models.push(Called { definition, trace, slots: first..self.slots.len() });
    }

    /// A slot; one whose name is taken gets a number.
    pub(super) fn add_slot(&mut self, name: String, param: Expr, start: Option<Tensor>) -> usize {
        let mut unique = name.clone();
        for i in 1.. {
            if self.names.insert(unique.clone()) {
                break;
            }
            unique = format!("{name}_{i}");
        }
        self.slots.push(Slot::new(unique, param, start));
        self.slots.len() - 1
    }

    pub(super) fn assign(&mut self, slot: usize, value: Expr) {
        self.slots[slot].value = value;
        if !std::mem::replace(&mut self.slots[slot].assigned, true) {
            self.assigned.push(slot);
        }
    }

    /// A float32 input `[batch, shape..]`.
    #[track_caller]
    pub fn input(&mut self, name: &str, shape: impl Into<Shape>) -> Expr {
        self.batch_input(name, DType::F32, shape.into())
    }

    /// An int32 input `[batch, shape..]`: labels, indices.
    #[track_caller]
    pub fn input_int(&mut self, name: &str, shape: impl Into<Shape>) -> Expr {
        self.batch_input(name, DType::I32, shape.into())
    }

    #[track_caller]
    fn batch_input(&mut self, name: &str, dtype: DType, mut shape: Shape) -> Expr {
        shape.0.insert(0, Dim::symbol("batch"));
        self.typed_input(name, Type::new(dtype, shape))
    }

    /// An input of this type, with or without a batch axis.
    #[track_caller]
    pub fn typed_input(&mut self, name: &str, ty: Type) -> Expr {
        let param = Expr::param(name, ty);
        self.inputs.push((name.into(), param.clone()));
        param
    }

    /// The inputs that a model takes, by its names.
    #[track_caller]
    pub fn inputs_of(&mut self, model: usize) -> Vec<Expr> {
        let Some(called) = self.models.get(model) else { return vec![self.no_model(model)] };
        let definition = called.definition.clone();
        let named = definition.input_names().into_iter().zip(&definition.input_types);
        named.map(|(name, ty)| self.typed_input(&name, ty.clone())).collect()
    }

    /// The caller makes sure that numbers of these inputs that choose rows or classes are among those that there are.
    pub fn trust(&mut self, inputs: &[Expr]) {
        self.checked.extend_from_slice(inputs);
    }

    /// The outputs of a model in training mode (dropout, batch statistics), with the weights it has at this point of
    /// the program. Calling it again shares them.
    pub fn call(&mut self, model: usize, inputs: &[Expr]) -> Vec<Expr> {
        self.call_as(model, inputs, true)
    }

    /// The outputs of a model as in prediction.
    pub fn call_inference(&mut self, model: usize, inputs: &[Expr]) -> Vec<Expr> {
        self.call_as(model, inputs, false)
    }

    fn call_as(&mut self, model: usize, inputs: &[Expr], training: bool) -> Vec<Expr> {
        let inputs: Vec<Value> = inputs.iter().cloned().map(Value::from).collect();
        self.call_masked(model, &inputs, training).into_iter().map(|v| v.expr).collect()
    }

    /// The outputs of a model with their masks, for inputs with theirs.
    pub fn call_masked(&mut self, model: usize, inputs: &[Value], training: bool) -> Vec<Value> {
        let Some(called) = self.models.get_mut(model) else { return vec![self.no_model(model).into()] };
        let (definition, trace) = (&called.definition, &mut called.trace);
        trace.training = training;
        let mut cx = Cx::root(trace, &definition.root_path(), &definition.base.source);
        let values = definition.trace(&mut cx, inputs);
        let outputs = match definition.results(&values) {
            Ok(outputs) => outputs,
            Err(e) => vec![Expr::poison(e).into(); definition.outputs.len()],
        };
        // What calls the model next, and the next run, see the state that this call left; the last update stands.
        let (updates, first) = (std::mem::take(&mut trace.updates), called.slots.start);
        for (i, value) in updates {
            self.models[model].trace.variables[i].1 = value.clone();
            self.assign(first + i, value);
        }
        outputs
    }

    pub(super) fn no_model(&mut self, model: usize) -> Expr {
        let n = self.models.len();
        let e = Error::new(format!("the step has no model {model}")).expected(format!("a number below {n}"));
        self.problems.extend(e.problems.clone());
        Expr::poison(e)
    }

    /// The trained weights of a model, as they are at this point of the program.
    pub fn weights(&self, model: usize) -> Vec<Expr> {
        let variables = self.models.get(model).map_or(&[][..], |m| &m.trace.variables);
        variables.iter().filter(|(v, _)| v.trainable).map(|(_, w)| w.clone()).collect()
    }

    /// Penalties of a model's trained weights and, of all calls so far, of its activities: to be added to a loss.
    pub fn penalties(&self, model: usize) -> Expr {
        self.penalty_terms(model).into_iter().reduce(|a, b| a + b).unwrap_or_else(|| Expr::scalar(0.0f32))
    }

    /// The terms of [`penalties`](Build::penalties).
    pub fn penalty_terms(&self, model: usize) -> Vec<Expr> {
        let Some(Called { trace, .. }) = self.models.get(model) else { return vec![] };
        let of_weight = |(v, w): &(Variable, Expr)| {
            let regularizer = v.weight.regularizer.as_ref().filter(|_| v.trainable)?;
            Some(regularizer.get().map_or_else(Expr::poison, |r| r.penalty(w)))
        };
        trace.variables.iter().filter_map(of_weight).chain(trace.losses.iter().cloned()).collect()
    }

    /// A tensor that is kept from run to run; [`update`](Build::update) changes it.
    #[track_caller]
    pub fn state(&mut self, name: &str, start: Tensor) -> Expr {
        let dtype = if start.dtype().is_float() { DType::F32 } else { DType::I32 };
        start.try_cast(dtype).map_or_else(Expr::poison, |start| self.keep(format!("state/{name}"), start))
    }

    /// [`state`](Build::state) in a slot of just this name, in the type it has.
    #[track_caller]
    pub fn keep(&mut self, name: String, start: Tensor) -> Expr {
        let param = Expr::param(&name, Type::new(start.dtype(), start.shape().to_vec()));
        self.add_slot(name, param.clone(), Some(start));
        param
    }

    /// Gives a state its value of the next run.
    pub fn update(&mut self, state: &Expr, value: &Expr) {
        match self.slots.iter().position(|s| s.param.key() == state.key()) {
            Some(slot) => self.assign(slot, value.clone()),
            None => self.problems.extend(Error::new("only what `state` made can be updated").problems),
        }
    }

    /// The name of the slot of what `state` or `keep` made.
    pub fn slot_of(&self, state: &Expr) -> Option<&str> {
        self.slots.iter().find(|s| s.param.key() == state.key()).map(|s| &*s.name)
    }

    /// Random numbers that differ from run to run.
    #[track_caller]
    pub fn random(&mut self, distribution: Distribution, shape: impl Into<Shape>) -> Expr {
        let Some(key) = self.key else {
            return Expr::poison(Error::new("random numbers are drawn only in programs for training"));
        };
        self.streams += 1;
        Expr::random(&self.slots[key].param, distribution, self.streams, shape)
    }

    /// Notes an error, to come out with all others.
    pub fn report(&mut self, e: Error) {
        self.problems.extend(e.problems);
    }

    /// Whether a step of an optimizer was against a loss.
    pub fn minimizes(&self) -> bool {
        !self.minimized.is_empty()
    }

    /// Every loss that a step of an optimizer was against, as one.
    pub fn minimized(&self) -> Option<Expr> {
        self.minimized.iter().cloned().reduce(|a, b| a + b)
    }

    /// Names a value that a run returns.
    pub fn output(&mut self, name: &str, value: &Expr) {
        self.outputs.push((name.into(), value.clone()));
    }

    /// Names of the outputs, in the order in which a run returns them.
    pub fn output_names(&self) -> Vec<String> {
        self.outputs.iter().map(|(n, _)| n.clone()).collect()
    }

    /// Leaves out every update and output: what is computed can be looked at, and nothing changes.
    pub fn only_look(&mut self) {
        self.slots.iter_mut().for_each(|s| s.value = s.param.clone());
        (self.outputs, self.minimized, self.key) = (vec![], vec![], None);
        let inputs = self.inputs.iter().map(|(_, e)| e);
        self.checked = self.slots.iter().map(|s| &s.param).chain(inputs).cloned().collect();
    }

    /// Puts what every slot begins with into `values`, unless it is there already.
    ///
    /// # Errors
    /// When a value of the same name has another shape or type, or there is no memory.
    pub fn fill(&self, values: &mut Values) -> Result<()> {
        for slot in &self.slots {
            match &slot.start {
                _ if values.has(&slot.name) => check_kept(slot, values)?,
                Some(start) => values.insert(&slot.name, start.clone())?,
                None => {}
            }
        }
        self.optimizers.iter().try_for_each(|o| o.fill(self, values))
    }

    /// Compiles the program, which runs over values that [`fill`](Build::fill) has prepared.
    ///
    /// # Errors
    /// Every expression that is wrong, optimizers with settings out of range, models that do not exist.
    pub fn compile(mut self, name: &str, backend: &Arc<dyn Backend>) -> Result<Program> {
        self.minimized.clear();
        self.end()?;
        Program::compile(self.parts(name, false), backend)
    }

    /// Compiles a step of training. Its first result is the sum of the losses that were minimized. Where that is not
    /// finite, a step that `holds` changes nothing: it ends before the updates of weights and of what optimizers keep
    /// of them, which come last anyway, and small values become what they were.
    ///
    /// # Errors
    /// As for [`compile`](Build::compile).
    pub fn compile_step(mut self, name: &str, holds: bool, backend: &Arc<dyn Backend>) -> Result<Program> {
        self.end()?;
        let parts = self.parts(name, holds);
        let stopping = parts.watch.is_some();
        let program = Program::compile(parts, backend)?;
        if !stopping || program.stops {
            return Ok(program);
        }
        // Something after the updates needs what was there before.
        self.slots.iter_mut().for_each(|s| s.large = false);
        Program::compile(self.parts(name, holds), backend)
    }

    /// What is known to be wrong so far.
    ///
    /// # Errors
    /// Models that do not exist, optimizers with settings out of range.
    pub fn check(&self) -> Result<()> {
        Error::from_problems(self.problems.clone()).map_or(Ok(()), Err)
    }

    fn end(&mut self) -> Result<()> {
        self.check()?;
        if let Some(key) = self.key {
            let next = &self.slots[key].param + Expr::constant(&Tensor::vector(vec![0i32, 1]));
            self.assign(key, next);
        }
        Ok(())
    }

    fn parts<'a>(&self, name: &'a str, holds: bool) -> ProgramParts<'a> {
        let loss = self.minimized();
        let finite = loss.as_ref().filter(|_| holds).map(Expr::is_finite);
        let (mut results, mut updates, mut held) = (vec![], vec![], vec![]);
        let changed = |s: &&usize| self.slots[**s].value.key() != self.slots[**s].param.key();
        for at in self.assigned.iter().filter(changed) {
            let slot = &self.slots[*at];
            updates.push((results.len(), *at));
            results.push(match &finite {
                Some(_) if slot.large => {
                    held.push(*at);
                    slot.value.clone()
                }
                Some(finite) => finite.select(&slot.value, &slot.param),
                None => slot.value.clone(),
            });
        }
        let watch = (!held.is_empty()).then_some((results.len(), held));
        results.extend(loss.into_iter().chain(self.outputs.iter().map(|(_, e)| e.clone())));
        ProgramParts {
            name,
            slots: self.slots.iter().map(|s| (s.name.clone(), s.param.clone())).collect(),
            inputs: self.inputs.clone(),
            results,
            updates,
            checked: self.checked.clone(),
            watch,
        }
    }
}

fn check_kept(slot: &Slot, values: &Values) -> Result<()> {
    let (kept, ty) = (values.get(&slot.name)?, slot.param.ty());
    if kept.dtype() == ty.dtype && ty.shape.as_fixed().is_some_and(|s| s == kept.shape()) {
        return Ok(());
    }
    Err(Error::new(format!("'{}' is kept as {} {:?}", slot.name, kept.dtype(), kept.shape()))
        .expected(ty.to_string())
        .fix("give the program's state another name, or start from values without it"))
}
