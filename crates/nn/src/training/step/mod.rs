//! [`Step`]: a training step of one's own, compiled to one program.

mod build;

pub use build::StepBuilder;

use super::progress::{Console, Verbose};
use crate::backend::Program;
use crate::model::{Model, converts};
use rhyton_tensor::{DType, Error, Result, Tensor};
use std::ops::Range;

/// A training step of one's own: any losses over the outputs of any models, several optimizers, state. It is made of
/// the same expressions, gradients and optimizers as `compile`, and like there all of it is one program.
///
/// A critic whose gradient is kept near 1 (Gulrajani et al. 2017):
///
/// ```no_run
/// use rhyton_nn::optimizers::Adam;
/// use rhyton_nn::training::Step;
/// # fn f(critic: rhyton_nn::Model, real: rhyton_tensor::Tensor) -> rhyton_tensor::Result<()> {
/// let mut step = Step::build([critic], 7, |s| {
///     let x = s.input("x", [2]);
///     let score = s.call(0, &[x.clone()])[0].clone();
///     let slope = rhyton_graph::grad(&score.sum_all(), &[x])[0].clone();
///     let excess = (&slope * &slope).sum(&[1]).sqrt() - 1.0;
///     let loss = (&excess * &excess).mean_all() * 10.0 - score.mean_all();
///     s.minimize(&loss, 0, Adam::new(1e-3));
///     s.output("loss", &loss);
/// })?;
/// step.run(&[real])?;
/// println!("{:?}", step.value("loss"));
/// # Ok(())
/// # }
/// ```
pub struct Step {
    models: Vec<Model>,
    program: Program,
    /// Weights of the models, states of the optimizers, own state, random key.
    state: Vec<Tensor>,
    names: Vec<String>,
    weights: Vec<Range<usize>>,
    /// Where each optimizer's learning rate lies; `None` with a schedule.
    rates: Vec<Option<usize>>,
    inputs: Vec<(String, DType)>,
    outputs: Vec<String>,
    results: Vec<Tensor>,
    warnings: Vec<String>,
}

impl Step {
    /// The step that `body` describes over these models. `seed` starts the random numbers of layers and of
    /// [`StepBuilder::random`].
    ///
    /// # Errors
    /// Every expression that is wrong, optimizers with settings out of range, models that do not exist.
    pub fn build(
        models: impl Into<Vec<Model>>,
        seed: u32,
        body: impl FnOnce(&mut StepBuilder),
    ) -> Result<Step> {
        let mut builder = StepBuilder::new(models.into());
        body(&mut builder);
        let step = builder.finish(seed)?;
        let mut console = Console::new(Verbose::Silent, None);
        step.warnings.iter().for_each(|w| console.warn(w));
        Ok(step)
    }

    /// What in the step is almost surely a mistake, as [`Step::build`] wrote it to standard error.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Runs the step on one batch: a tensor for each input, in the order they were declared. Returns the outputs, in
    /// the order they were named.
    ///
    /// # Errors
    /// When number, shapes or types do not fit, or an index or label chooses nothing; then nothing has changed.
    pub fn run(&mut self, batch: &[Tensor]) -> Result<&[Tensor]> {
        if batch.len() != self.inputs.len() {
            let names: Vec<&str> = self.inputs.iter().map(|(n, _)| n.as_str()).collect();
            return Err(Error::new(format!("the step got {} tensors", batch.len()))
                .expected(format!("one for each of its inputs {}", names.join(", "))));
        }
        if batch.iter().zip(&self.inputs).all(|(t, (_, d))| t.dtype() == *d) {
            self.program.run(&mut self.state, batch, &mut self.results)?;
        } else {
            let cast = |(t, (name, d)): (&Tensor, &(String, DType))| {
                converts(t, *d).map_err(|e| e.place(format!("input '{name}'")))?;
                t.try_cast(*d)
            };
            let cast = batch.iter().zip(&self.inputs).map(cast).collect::<Result<Vec<Tensor>>>()?;
            self.program.run(&mut self.state, &cast, &mut self.results)?;
        }
        Ok(&self.results)
    }

    /// An output of the last run.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.outputs.iter().position(|n| n == name).and_then(|i| self.results.get(i))
    }

    /// An output of the last run that is a number.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.get(name).filter(|t| t.len() == 1).map(|t| t.data().get_f64(0))
    }

    /// The models with the weights they have now.
    ///
    /// # Errors
    /// Never in practice: shapes cannot change.
    pub fn models(&mut self) -> Result<&[Model]> {
        for (model, at) in self.models.iter_mut().zip(&self.weights) {
            model.set_weights(&self.state[at.clone()])?;
        }
        Ok(&self.models)
    }

    /// The models with the weights they have now.
    ///
    /// # Errors
    /// Never in practice: shapes cannot change.
    pub fn into_models(mut self) -> Result<Vec<Model>> {
        self.models()?;
        Ok(self.models)
    }

    /// Sets the learning rate of the optimizer number `optimizer`, in the order of their use.
    ///
    /// # Errors
    /// When there is no such optimizer, or it follows a schedule.
    pub fn set_learning_rate(&mut self, optimizer: usize, rate: f64) -> Result<()> {
        match self.rates.get(optimizer) {
            Some(Some(at)) => {
                self.state[*at] = Tensor::scalar(rate as f32);
                Ok(())
            }
            Some(None) => Err(Error::new("the learning rate follows a schedule and cannot be set")),
            None => Err(Error::new(format!("the step has no optimizer {optimizer}"))
                .expected(format!("a number below {}", self.rates.len()))),
        }
    }

    /// Everything that changes from step to step, by name: for checkpoints.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        self.names.iter().cloned().zip(self.state.iter().cloned()).collect()
    }

    /// Takes back what [`state`](Step::state) gave: the step goes on with the same bits.
    ///
    /// # Errors
    /// When it is the state of another step; then nothing is changed.
    pub fn set_state(&mut self, state: &[(String, Tensor)]) -> Result<()> {
        let own = self.names.iter().zip(&self.state);
        let fits = state.len() == self.state.len()
            && own.zip(state).all(|((n, t), (name, new))| {
                n == name && t.shape() == new.shape() && t.dtype() == new.dtype()
            });
        if !fits {
            return Err(
                Error::new("the state belongs to another step").fix("build the step as it was built then")
            );
        }
        self.state = state.iter().map(|(_, t)| t.clone()).collect();
        Ok(())
    }
}

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let inputs: Vec<&str> = self.inputs.iter().map(|(n, _)| n.as_str()).collect();
        write!(f, "Step({}) -> {}", inputs.join(", "), self.outputs.join(", "))
    }
}
