//! [`Step`]: a training step of one's own, compiled into one program from the same parts that `fit` uses.

use crate::backend::Program;
use crate::layer::{Args, Layer, Trace, Value, Variable};
use crate::model::Model;
use crate::optimizers::{OptimizerRef, Pipeline};
use crate::{Cx, Outputs};
use rhyton_graph::{Expr, Type, expr, grad};
use rhyton_tensor::{DType, Dim, Error, Problem, Result, Shape, Source, Tensor};
use std::ops::Range;
use std::panic::Location;

/// One of the models of a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ModelId(usize);

struct Member {
    model: Model,
    trace: Trace,
    /// New values of trained weights, where an optimizer changes them.
    trained: Option<Vec<(usize, Expr)>>,
}

struct Tuning {
    state: Vec<Expr>,
    start: Vec<Tensor>,
    new: Vec<Expr>,
}

/// Collects what a step does.
///
/// ```no_run
/// use rhyton_nn::layers::Dense;
/// use rhyton_nn::optimizers::Adam;
/// use rhyton_nn::training::StepBuilder;
/// use rhyton_nn::Sequential;
/// let model = Sequential::new([4]).add(Dense::new(1)).build()?;
/// let mut b = StepBuilder::new();
/// let net = b.model(model);
/// let (x, y) = (b.input("x", [4]), b.input("y", [1]));
/// let error = b.call(net, &[x.clone()]) - y;
/// // Mean squared error, and a penalty of the gradient with respect to the input.
/// let loss = (&error * &error).mean_all();
/// let slope = rhyton_graph::grad(&loss, &[x]).remove(0);
/// let loss = loss + (&slope * &slope).mean_all() * 0.1;
/// b.minimize(net, Adam::new(1e-3), &loss);
/// b.output("loss", &loss);
/// let mut step = b.build()?;
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
#[derive(Default)]
pub struct StepBuilder {
    members: Vec<Member>,
    inputs: Vec<Expr>,
    own: Vec<(Expr, Tensor, Option<Expr>)>,
    tunings: Vec<Tuning>,
    outputs: Vec<(String, Expr)>,
    problems: Vec<Problem>,
}

impl StepBuilder {
    /// A step that does nothing yet.
    pub fn new() -> StepBuilder {
        StepBuilder::default()
    }

    /// Takes a model into the step.
    pub fn model(&mut self, model: Model) -> ModelId {
        let trace = Trace::over(model.variables(), true);
        self.members.push(Member { model, trace, trained: None });
        ModelId(self.members.len() - 1)
    }

    /// A float32 input of samples of `shape`; the batch axis is added.
    #[track_caller]
    pub fn input(&mut self, name: &str, shape: impl Into<Shape>) -> Expr {
        self.input_of(name, DType::F32, shape)
    }

    /// An input of another element type.
    #[track_caller]
    pub fn input_of(&mut self, name: &str, dtype: DType, shape: impl Into<Shape>) -> Expr {
        let sizes = std::iter::once(Dim::symbol("batch")).chain(shape.into().0);
        let x = Expr::param(name, Type::new(dtype, sizes.collect::<Shape>()));
        self.inputs.push(x.clone());
        x
    }

    /// A tensor that the step remembers; [`update`](StepBuilder::update) changes it.
    #[track_caller]
    pub fn state(&mut self, name: &str, start: Tensor) -> Expr {
        let value = Expr::param(name, Type::new(start.dtype(), start.shape()));
        self.own.push((value.clone(), start, None));
        value
    }

    /// Gives a remembered tensor a new value at the end of the step.
    pub fn update(&mut self, state: &Expr, value: Expr) {
        match self.own.iter_mut().find(|(s, ..)| s.key() == state.key()) {
            Some((.., new)) => *new = Some(value),
            None => self.wrong(Error::new("only what `state` returned can be updated")),
        }
    }

    /// The first output of a model for these inputs, with layers as in training.
    #[track_caller]
    pub fn call(&mut self, id: ModelId, inputs: &[Expr]) -> Expr {
        self.call_all(id, inputs).swap_remove(0)
    }

    /// All outputs of a model for these inputs, with layers as in training.
    #[track_caller]
    pub fn call_all(&mut self, id: ModelId, inputs: &[Expr]) -> Vec<Expr> {
        let here = Source(Location::caller());
        let Some(member) = self.members.get_mut(id.0) else {
            return vec![Expr::poison(Error::new("the model belongs to another step"))];
        };
        let definition = member.model.definition().clone();
        let mut cx = Cx::root(&mut member.trace, &definition.root_path(), here);
        let args = Args::new(inputs.iter().cloned().map(Value::from).collect());
        let Outputs(out) = definition.call(&mut cx, &args);
        out.into_iter().map(|v| v.expr).collect()
    }

    /// Gradients of a scalar loss with respect to the trainable weights of a model, in their order.
    #[track_caller]
    pub fn gradients(&self, id: ModelId, loss: &Expr) -> Vec<Expr> {
        grad(loss, &self.weights(id).into_iter().map(|(_, w)| w).collect::<Vec<_>>())
    }

    fn weights(&self, id: ModelId) -> Vec<(usize, Expr)> {
        let all = self.members.get(id.0).map(|m| m.trace.variables.as_slice()).unwrap_or_default();
        let trained = all.iter().enumerate().filter(|(_, (v, _))| v.trainable);
        trained.map(|(i, (_, w))| (i, w.clone())).collect()
    }

    /// Changes the trainable weights of a model to make the loss smaller.
    #[track_caller]
    pub fn minimize(&mut self, id: ModelId, optimizer: impl Into<OptimizerRef>, loss: &Expr) {
        self.tune(id, &optimizer.into(), |b, pipeline, state| {
            b.gradients(id, &pipeline.scale_loss(loss, state))
        });
    }

    /// Changes the trainable weights of a model by gradients given in their order.
    #[track_caller]
    pub fn apply(&mut self, id: ModelId, optimizer: impl Into<OptimizerRef>, gradients: &[Expr]) {
        self.tune(id, &optimizer.into(), |_, _, _| gradients.to_vec());
    }

    #[track_caller]
    fn tune(
        &mut self,
        id: ModelId,
        optimizer: &OptimizerRef,
        gradients: impl FnOnce(&StepBuilder, &Pipeline, &[Expr]) -> Vec<Expr>,
    ) {
        let weights = self.weights(id);
        let Some(member) = self.members.get(id.0) else { return };
        if member.trained.is_some() {
            return self.wrong(Error::new("a model can be changed once in a step").fix("add the losses up"));
        }
        let variable = |i: &usize| member.model.variables()[*i].clone();
        let variables: Vec<Variable> = weights.iter().map(|(i, _)| variable(i)).collect();
        let values: Vec<Tensor> = weights.iter().map(|(i, _)| member.model.weights()[*i].clone()).collect();
        let pipeline = match Pipeline::new(optimizer, &variables) {
            Ok(p) => p,
            Err(e) => return self.wrong(e.place("optimizer")),
        };
        let start = match pipeline.start(&values) {
            Ok(s) => s,
            Err(e) => return self.wrong(e.place("optimizer")),
        };
        let state: Vec<Expr> = pipeline.types().into_iter().map(|t| Expr::param("optimizer", t)).collect();
        let gradients = gradients(self, &pipeline, &state);
        if gradients.len() != weights.len() {
            let what = format!("{} gradients for {} weights", gradients.len(), weights.len());
            return self.wrong(Error::new(what).expected("one for each trainable weight, in their order"));
        }
        let old: Vec<Expr> = weights.iter().map(|(_, w)| w.clone()).collect();
        let step = pipeline.apply(&state, &old, &gradients);
        self.members[id.0].trained = Some(weights.iter().map(|(i, _)| *i).zip(step.weights).collect());
        self.tunings.push(Tuning { state, start, new: step.state });
    }

    #[track_caller]
    fn wrong(&mut self, e: Error) {
        self.problems.extend(e.source(Source(Location::caller())).problems);
    }

    /// A value that every run returns.
    pub fn output(&mut self, name: &str, value: &Expr) {
        self.outputs.push((name.into(), value.clone()));
    }

    /// The compiled step.
    ///
    /// # Errors
    /// Everything that went wrong while it was put together.
    pub fn build(mut self) -> Result<Step> {
        let values: Vec<Expr> = self.outputs.iter().map(|(_, e)| e.clone()).collect();
        let mut all = values.clone();
        let (mut params, mut start, mut updates, mut results) = (vec![], vec![], vec![], values);
        let mut ranges = vec![];
        for member in &self.members {
            let first = params.len();
            params.extend(member.trace.params());
            start.extend(member.model.weights().iter().cloned());
            ranges.push(first..params.len());
            let moved = member.trace.updates.iter().cloned().chain(member.trained.iter().flatten().cloned());
            updates.extend(moved.map(|(i, value)| (first + i, value)));
            if let Some(key) = &member.trace.key {
                updates.push((params.len(), key + Expr::constant(&Tensor::vector(vec![0i32, 1]))));
                params.push(key.clone());
                start.push(Tensor::vector(vec![ranges.len() as i32, 0]));
            }
        }
        for tuning in self.tunings {
            updates.extend(tuning.new.into_iter().enumerate().map(|(i, v)| (params.len() + i, v)));
            params.extend(tuning.state);
            start.extend(tuning.start);
        }
        for (value, first, new) in self.own {
            updates.extend(new.map(|v| (params.len(), v)));
            params.push(value);
            start.push(first);
        }
        all.extend(updates.iter().map(|(_, v)| v.clone()));
        self.problems.extend(expr::problems(&all));
        if let Some(e) = Error::from_problems(self.problems) {
            return Err(e.place("step"));
        }
        let (state, shown) = (params.len(), results.len());
        params.extend(self.inputs);
        let pairs: Vec<(usize, usize)> =
            updates.iter().enumerate().map(|(i, (p, _))| (shown + i, *p)).collect();
        results.extend(updates.into_iter().map(|(_, v)| v));
        Ok(Step {
            program: Program::compile("step", params, state, results, &pairs)?,
            names: self.outputs.into_iter().map(|(n, _)| n).collect(),
            models: self.members.into_iter().map(|m| m.model).zip(ranges).collect(),
            state: start,
            results: vec![],
        })
    }
}

/// A compiled training step of one's own.
pub struct Step {
    program: Program,
    names: Vec<String>,
    models: Vec<(Model, Range<usize>)>,
    state: Vec<Tensor>,
    results: Vec<Tensor>,
}

impl Step {
    /// Runs the step on a batch: the inputs in the order they were declared. Returns its outputs by name.
    ///
    /// # Errors
    /// When a shape or type does not fit; then nothing was changed.
    pub fn run(&mut self, batch: &[Tensor]) -> Result<Vec<(&str, Tensor)>> {
        self.program.run(&mut self.state, batch, &mut self.results)?;
        Ok(self.names.iter().map(String::as_str).zip(self.results.iter().cloned()).collect())
    }

    /// A model with the weights it has now.
    ///
    /// # Errors
    /// When the model belongs to another step.
    pub fn model(&self, id: ModelId) -> Result<Model> {
        let known = self.models.get(id.0);
        let (model, at) = known.ok_or_else(|| Error::new("the model belongs to another step"))?;
        let mut model = model.clone();
        model.set_weights(&self.state[at.clone()])?;
        Ok(model)
    }
}
