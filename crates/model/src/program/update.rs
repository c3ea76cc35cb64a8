//! Gradients and optimizers of a [`Build`].

use super::{Build, Values};
use rhyton_graph::expr::topological;
use rhyton_graph::{Expr, grad};
use rhyton_nn::optimizers::{OptimizerRef, Pipeline};
use rhyton_tensor::{Error, Result};
use std::collections::HashSet;
use std::ops::Range;

/// An optimizer of a program.
pub(super) struct Optimizing {
    pipeline: Pipeline,
    /// The model whose weights it changes.
    model: usize,
    slots: Range<usize>,
}

impl Build {
    /// An optimizer for the trained weights of a model; the program knows it by its number.
    ///
    /// ```
    /// use rhyton_nn::{layers::Dense, optimizers::Adam};
    /// use rhyton_model::{Sequential, program::Build};
    /// let model = Sequential::new([3]).add(Dense::new(1)).build()?;
    /// let mut b = Build::new(&[&model], true);
    /// let x = b.inputs_of(0);
    /// let loss = b.call(0, &x)[0].abs().mean_all();
    /// let adam = b.optimizer(0, Adam::new(1e-3));
    /// let gradients = b.gradients(&loss, adam);
    /// // What is to happen to gradients happens here.
    /// b.step(adam, &gradients);
    /// # Ok::<(), rhyton_tensor::Error>(())
    /// ```
    pub fn optimizer(&mut self, model: usize, optimizer: impl Into<OptimizerRef>) -> usize {
        self.try_optimizer(model, &optimizer.into()).unwrap_or(self.optimizers.len())
    }

    fn try_optimizer(&mut self, model: usize, optimizer: &OptimizerRef) -> Option<usize> {
        let Some(called) = self.models.get(model) else {
            self.no_model(model);
            return None;
        };
        let trained = called.trace.variables.iter().map(|(v, _)| v).filter(|v| v.trainable);
        match Pipeline::new(optimizer, &trained.cloned().collect::<Vec<_>>()) {
            Ok(pipeline) => Some(self.with_pipeline(model, pipeline)),
            Err(e) => {
                self.problems.extend(e.problems);
                None
            }
        }
    }

    /// An optimizer that is set up already, for the trained weights of a model; returns its number. Its slots begin with
    /// what it begins with.
    pub fn with_pipeline(&mut self, model: usize, pipeline: Pipeline) -> usize {
        let (o, first) = (self.optimizers.len(), self.slots.len());
        for (name, ty) in pipeline.names().into_iter().zip(pipeline.types()) {
            let slot = self.add_slot(format!("optimizer.{o}/{name}"), Expr::param(&name, ty), None);
            self.slots[slot].large = self.slots[slot].param.rank() > 0;
        }
        self.optimizers.push(Optimizing { pipeline, model, slots: first..self.slots.len() });
        o
    }

    /// What every optimizer of the program is, in the order of their numbers.
    pub fn pipelines(&self) -> impl Iterator<Item = &Pipeline> {
        self.optimizers.iter().map(|o| &o.pipeline)
    }

    /// The names of the slots of an optimizer, in the order of [`Pipeline::names`].
    pub fn optimizer_slots(&self, optimizer: usize) -> Vec<String> {
        let slots = self.optimizers.get(optimizer).map_or(&[][..], |o| &self.slots[o.slots.clone()]);
        slots.iter().map(|s| s.name.clone()).collect()
    }

    /// Gradients of a scalar with respect to the trained weights of a model.
    #[track_caller]
    pub fn grad(&self, loss: &Expr, model: usize) -> Vec<Expr> {
        grad(loss, &self.weights(model))
    }

    /// Gradients of a loss for an optimizer, which may want the loss scaled.
    #[track_caller]
    pub fn gradients(&mut self, loss: &Expr, optimizer: usize) -> Vec<Expr> {
        let Some(o) = self.optimizers.get(optimizer) else { return vec![] };
        let scaled = o.pipeline.scale_loss(loss, &self.kept(o));
        self.minimized.push(loss.clone());
        self.grad(&scaled, o.model)
    }

    /// What an optimizer keeps, as it is at this point of the program.
    fn kept(&self, o: &Optimizing) -> Vec<Expr> {
        self.slots[o.slots.clone()].iter().map(|s| s.value.clone()).collect()
    }

    /// One step of an optimizer with its [`gradients`](Build::gradients). Later calls of the model see the new weights,
    /// as numbers that were assigned: a later loss is not differentiated through this step.
    pub fn step(&mut self, optimizer: usize, gradients: &[Expr]) {
        let Some(o) = self.optimizers.get(optimizer) else { return };
        let new = o.pipeline.apply(&self.kept(o), &self.weights(o.model), gradients);
        let (first, called) = (o.slots.start, &mut self.models[o.model]);
        let trained = called.trace.variables.iter_mut().enumerate().filter(|(_, (v, _))| v.trainable);
        let mut changed = vec![];
        for ((i, (_, w)), new) in trained.zip(new.weights).filter(|((_, (_, w)), new)| w.key() != new.key()) {
            // Gradients are taken with respect to the new weights, never through them.
            *w = new.stop_gradient();
            changed.push((called.slots.start + i, w.clone()));
        }
        let state = new.state.into_iter().enumerate().map(|(i, value)| (first + i, value));
        changed.into_iter().chain(state.collect::<Vec<_>>()).for_each(|(slot, v)| self.assign(slot, v));
    }

    /// One step of a new optimizer against `loss`. Returns the number of the optimizer.
    pub fn minimize(&mut self, loss: &Expr, model: usize, optimizer: impl Into<OptimizerRef>) -> usize {
        let Some(optimizer) = self.try_optimizer(model, &optimizer.into()) else {
            return self.optimizers.len();
        };
        self.check_depends(loss, model);
        let gradients = self.gradients(loss, optimizer);
        self.step(optimizer, &gradients);
        optimizer
    }

    fn check_depends(&mut self, loss: &Expr, model: usize) {
        let read: HashSet<u64> =
            topological(std::slice::from_ref(loss)).iter().map(|e| e.node().id).collect();
        let weights = self.weights(model);
        if !weights.is_empty() && !weights.iter().any(|w| read.contains(&w.node().id)) && !loss.is_poisoned()
        {
            let e =
                Error::new(format!("the loss does not depend on the weights of model {model} at this point"))
                    .fix("after an update, call the model again to get a loss of its new weights");
            self.problems.extend(e.problems);
        }
    }

    /// One step of a new optimizer with given gradients, one for each of the [`weights`](Build::weights).
    /// Returns the number of the optimizer.
    pub fn apply(&mut self, gradients: &[Expr], model: usize, optimizer: impl Into<OptimizerRef>) -> usize {
        let optimizer = self.optimizer(model, optimizer);
        self.step(optimizer, gradients);
        optimizer
    }
}

impl Optimizing {
    /// Puts what the optimizer begins with into `values`, unless it is there.
    pub(super) fn fill(&self, build: &Build, values: &mut Values) -> Result<()> {
        let slots = &build.slots[self.slots.clone()];
        if slots.iter().all(|s| values.has(&s.name)) {
            return Ok(());
        }
        let called = &build.models[self.model];
        let weights = called.trace.variables.iter().zip(&build.slots[called.slots.clone()]);
        let trained = weights
            .filter(|((v, _), _)| v.trainable)
            .map(|(_, slot)| values.get(&slot.name))
            .collect::<Result<Vec<_>>>()?;
        let starts = self.pipeline.start(&trained)?;
        slots.iter().zip(starts).try_for_each(|(slot, start)| values.insert(&slot.name, start))
    }
}
