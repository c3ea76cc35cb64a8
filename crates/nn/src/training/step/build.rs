//! [`StepBuilder`]: what the body of a [`Step`] can use.

use super::super::warnings::of_optimizer;
use super::Step;
use crate::backend::Program;
use crate::layer::{Cx, Trace, Value, Variable};
use crate::model::Model;
use crate::optimizers::{OptimizerRef, Pipeline};
use rhyton_graph::expr::topological;
use rhyton_graph::ops::Distribution;
use rhyton_graph::{Expr, Type, grad};
use rhyton_tensor::{DType, Dim, Error, Problem, Result, Shape, Tensor};
use std::collections::HashSet;
use std::ops::Range;

/// A tensor that the program keeps from step to step.
struct Kept {
    name: String,
    start: Tensor,
    param: Expr,
    /// What it is after the step.
    value: Expr,
}

impl Kept {
    fn new(name: String, start: Tensor, param: Expr) -> Kept {
        Kept { name, start, value: param.clone(), param }
    }
}

/// Collects what a step does. Nothing here fails: errors come out of [`Step::build`], all at once.
pub struct StepBuilder {
    models: Vec<Model>,
    traces: Vec<Trace>,
    /// Weights as the programs gets them, per model.
    weights: Vec<Vec<Expr>>,
    key: Expr,
    optimizers: Vec<(Pipeline, Vec<Expr>, Vec<Expr>, usize)>,
    own: Vec<Kept>,
    inputs: Vec<(String, Expr)>,
    outputs: Vec<(String, Expr)>,
    streams: u32,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

/// Random numbers of the step itself are apart from those of layers, whose streams count from 1.
const OWN_STREAMS: u32 = 1 << 31;

impl StepBuilder {
    pub(super) fn new(models: Vec<Model>) -> StepBuilder {
        let key = Expr::param("key", Type::new(DType::I32, [2]));
        let trace = |(i, m): (usize, &Model)| {
            let mut trace = Trace::over(m.variables(), true);
            // Equal layers of two models draw different numbers.
            let apart = Tensor::vector(vec![(i as u32).wrapping_mul(0x9E37_79B9) as i32, 0]);
            trace.key = Some(if i == 0 { key.clone() } else { &key + Expr::constant(&apart) });
            trace
        };
        let traces: Vec<Trace> = models.iter().enumerate().map(trace).collect();
        StepBuilder {
            weights: traces.iter().map(Trace::params).collect(),
            models,
            traces,
            key,
            optimizers: vec![],
            own: vec![],
            inputs: vec![],
            outputs: vec![],
            streams: OWN_STREAMS,
            problems: vec![],
            warnings: vec![],
        }
    }

    /// A float32 input `[batch, shape..]`.
    #[track_caller]
    pub fn input(&mut self, name: &str, shape: impl Into<Shape>) -> Expr {
        self.typed_input(name, DType::F32, shape.into())
    }

    /// An int32 input `[batch, shape..]`: labels, indices.
    #[track_caller]
    pub fn input_int(&mut self, name: &str, shape: impl Into<Shape>) -> Expr {
        self.typed_input(name, DType::I32, shape.into())
    }

    #[track_caller]
    fn typed_input(&mut self, name: &str, dtype: DType, mut shape: Shape) -> Expr {
        shape.0.insert(0, Dim::symbol("batch"));
        let param = Expr::param(name, Type::new(dtype, shape));
        self.inputs.push((name.into(), param.clone()));
        param
    }

    /// The outputs of a model in training mode (dropout, batch statistics), with the weights it has at this point of
    /// the step. Calling it again shares them.
    pub fn call(&mut self, model: usize, inputs: &[Expr]) -> Vec<Expr> {
        self.call_as(model, inputs, true)
    }

    /// The outputs of a model as in prediction.
    pub fn call_inference(&mut self, model: usize, inputs: &[Expr]) -> Vec<Expr> {
        self.call_as(model, inputs, false)
    }

    fn call_as(&mut self, model: usize, inputs: &[Expr], training: bool) -> Vec<Expr> {
        let Some((definition, trace)) =
            self.models.get(model).map(Model::definition).zip(self.traces.get_mut(model))
        else {
            return vec![self.no_model(model)];
        };
        trace.training = training;
        let given: Vec<Value> = inputs.iter().cloned().map(Value::from).collect();
        let mut cx = Cx::root(trace, &definition.root_path(), definition.base.source);
        let values = definition.trace(&mut cx, &given);
        let outputs = match definition.results(&values) {
            Ok(outputs) => outputs.into_iter().map(|v| v.expr).collect(),
            Err(e) => vec![Expr::poison(e); definition.outputs.len()],
        };
        // The next call of the model sees the state that this one left.
        for (i, value) in std::mem::take(&mut trace.updates) {
            trace.variables[i].1 = value;
        }
        outputs
    }

    fn no_model(&mut self, model: usize) -> Expr {
        let n = self.models.len();
        let e = Error::new(format!("the step has no model {model}")).expected(format!("a number below {n}"));
        self.problems.extend(e.problems.clone());
        Expr::poison(e)
    }

    /// The trained weights of a model, as they are at this point of the step.
    pub fn weights(&self, model: usize) -> Vec<Expr> {
        let variables = self.traces.get(model).map_or(&[][..], |t| &t.variables);
        variables.iter().filter(|(v, _)| v.trainable).map(|(_, w)| w.clone()).collect()
    }

    /// Gradients of a scalar with respect to the trained weights of a model.
    #[track_caller]
    pub fn grad(&self, loss: &Expr, model: usize) -> Vec<Expr> {
        grad(loss, &self.weights(model))
    }

    /// Penalties of a model's weights and, of all calls so far, of its activities: to be added to a loss.
    pub fn penalties(&self, model: usize) -> Expr {
        let Some(trace) = self.traces.get(model) else { return Expr::scalar(0.0f32) };
        let of_weight = |(v, w): &(Variable, Expr)| {
            let regularizer = v.weight.regularizer.as_ref().filter(|_| v.trainable)?;
            Some(regularizer.get().map_or_else(Expr::poison, |r| r.penalty(w)))
        };
        let terms = trace.variables.iter().filter_map(of_weight).chain(trace.losses.iter().cloned());
        terms.reduce(|a, b| a + b).unwrap_or_else(|| Expr::scalar(0.0f32))
    }

    /// One step of a new optimizer against `loss`. Later calls of the model see the new weights, as numbers that
    /// were assigned: a later loss is not differentiated through this step. Returns the number of the optimizer.
    pub fn minimize(&mut self, loss: &Expr, model: usize, optimizer: impl Into<OptimizerRef>) -> usize {
        let Some((pipeline, state)) = self.optimizer(model, optimizer.into()) else {
            return self.optimizers.len();
        };
        let weights = self.weights(model);
        let read: HashSet<u64> =
            topological(std::slice::from_ref(loss)).iter().map(|e| e.node().id).collect();
        if !weights.is_empty() && !weights.iter().any(|w| read.contains(&w.node().id)) && !loss.is_poisoned()
        {
            let e =
                Error::new(format!("the loss does not depend on the weights of model {model} at this point"))
                    .fix("after an update, call the model again to get a loss of its new weights");
            self.problems.extend(e.problems);
        }
        let gradients = grad(&pipeline.scale_loss(loss, &state), &weights);
        self.step(pipeline, state, model, &gradients)
    }

    /// One step of a new optimizer with given gradients, one for each of the [`weights`](StepBuilder::weights).
    /// Returns the number of the optimizer.
    pub fn apply(&mut self, gradients: &[Expr], model: usize, optimizer: impl Into<OptimizerRef>) -> usize {
        match self.optimizer(model, optimizer.into()) {
            Some((pipeline, state)) => self.step(pipeline, state, model, gradients),
            None => self.optimizers.len(),
        }
    }

    fn optimizer(&mut self, model: usize, optimizer: OptimizerRef) -> Option<(Pipeline, Vec<Expr>)> {
        let Some(trace) = self.traces.get(model) else {
            self.no_model(model);
            return None;
        };
        for warning in of_optimizer(&optimizer) {
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
        let trained = trace.variables.iter().map(|(v, _)| v).filter(|v| v.trainable);
        match Pipeline::new(&optimizer, &trained.cloned().collect::<Vec<_>>()) {
            Ok(pipeline) => {
                let state = pipeline.types().into_iter().map(|t| Expr::param("optimizer", t)).collect();
                Some((pipeline, state))
            }
            Err(e) => {
                self.problems.extend(e.problems);
                None
            }
        }
    }

    fn step(&mut self, pipeline: Pipeline, state: Vec<Expr>, model: usize, gradients: &[Expr]) -> usize {
        let new = pipeline.apply(&state, &self.weights(model), gradients);
        let trained = self.traces[model].variables.iter_mut().filter(|(v, _)| v.trainable);
        // An update is an assignment: gradients are taken with respect to the new weights, never through them.
        let changed = trained.zip(new.weights).filter(|((_, old), new)| old.key() != new.key());
        changed.for_each(|((_, w), new)| *w = new.stop_gradient());
        self.optimizers.push((pipeline, state, new.state, model));
        self.optimizers.len() - 1
    }

    /// A tensor that is kept from step to step; [`update`](StepBuilder::update) changes it.
    #[track_caller]
    pub fn state(&mut self, name: &str, start: Tensor) -> Expr {
        let start = if start.dtype().is_float() { start.cast(DType::F32) } else { start.cast(DType::I32) };
        let param = Expr::param(name, Type::new(start.dtype(), start.shape().to_vec()));
        self.own.push(Kept::new(format!("state/{name}"), start, param.clone()));
        param
    }

    /// Gives a state its value of the next step.
    pub fn update(&mut self, state: &Expr, value: &Expr) {
        match self.own.iter_mut().find(|k| k.param.key() == state.key()) {
            Some(kept) => kept.value = value.clone(),
            None => self.problems.extend(Error::new("only what `state` made can be updated").problems),
        }
    }

    /// Random numbers that differ from step to step.
    #[track_caller]
    pub fn random(&mut self, distribution: Distribution, shape: impl Into<Shape>) -> Expr {
        self.streams += 1;
        Expr::random(&self.key, distribution, self.streams, shape)
    }

    /// Names a value that [`Step::run`] returns.
    pub fn output(&mut self, name: &str, value: &Expr) {
        self.outputs.push((name.into(), value.clone()));
    }

    /// All that is kept, in the order of the program's state, and where the weights of each model lie.
    fn kept(&self, seed: u32) -> Result<(Vec<Kept>, Vec<Range<usize>>)> {
        let (mut kept, mut ranges): (Vec<Kept>, _) = (vec![], vec![]);
        for (m, model) in self.models.iter().enumerate() {
            let first = kept.len();
            let params = self.weights[m].iter().zip(&self.traces[m].variables);
            kept.extend(params.zip(model.weights()).map(|((param, (v, value)), start)| Kept {
                name: format!("model.{m}/{}", v.path),
                start: start.clone(),
                param: param.clone(),
                value: value.clone(),
            }));
            ranges.push(first..kept.len());
        }
        for (o, (pipeline, params, values, model)) in self.optimizers.iter().enumerate() {
            let all = self.models[*model].variables().iter().zip(self.models[*model].weights());
            let trained: Vec<Tensor> = all.filter(|(v, _)| v.trainable).map(|(_, t)| t.clone()).collect();
            let parts =
                pipeline.names().into_iter().zip(pipeline.start(&trained)?).zip(params.iter().zip(values));
            kept.extend(parts.map(|((name, start), (param, value))| Kept {
                name: format!("optimizer.{o}/{name}"),
                start,
                param: param.clone(),
                value: value.clone(),
            }));
        }
        let own = |k: &Kept| Kept {
            value: k.value.clone(),
            ..Kept::new(k.name.clone(), k.start.clone(), k.param.clone())
        };
        kept.extend(self.own.iter().map(own));
        let key = Tensor::vector(vec![seed as i32, 0]);
        let next = &self.key + Expr::constant(&Tensor::vector(vec![0i32, 1]));
        kept.push(Kept { value: next, ..Kept::new("key".into(), key, self.key.clone()) });
        Ok((kept, ranges))
    }

    pub(super) fn finish(self, seed: u32) -> Result<Step> {
        let this = self;
        if let Some(e) = Error::from_problems(this.problems.clone()) {
            return Err(e);
        }
        let (kept, weights) = this.kept(seed)?;
        let mut results: Vec<Expr> = this.outputs.iter().map(|(_, e)| e.clone()).collect();
        let mut updates = vec![];
        for (i, k) in kept.iter().enumerate().filter(|(_, k)| k.value.key() != k.param.key()) {
            updates.push((results.len(), i));
            results.push(k.value.clone());
        }
        let params =
            kept.iter().map(|k| &k.param).chain(this.inputs.iter().map(|(_, e)| e)).cloned().collect();
        let program = Program::compile("custom_step", params, kept.len(), results, &updates)?;
        let mut first = weights.last().map_or(0, |r| r.end);
        let rates = this.optimizers.iter().map(|(pipeline, state, ..)| {
            let at = pipeline.learning_rate_at().map(|i| first + i);
            first += state.len();
            at
        });
        Ok(Step {
            rates: rates.collect(),
            program,
            names: kept.iter().map(|k| k.name.clone()).collect(),
            state: kept.into_iter().map(|k| k.start).collect(),
            weights,
            inputs: this.inputs.into_iter().map(|(n, e)| (n, e.dtype())).collect(),
            outputs: this.outputs.into_iter().map(|(n, _)| n).collect(),
            results: vec![],
            models: this.models,
            warnings: this.warnings,
        })
    }
}
