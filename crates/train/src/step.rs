//! [`Step`]: a training step of one's own, compiled to one program.

use super::progress::{Console, Verbose};
use super::warnings::of_optimizer;
use rhyton_graph::Type;
use rhyton_model::backend;
use rhyton_model::program::{Build, Program, Values};
use rhyton_model::{Model, converts};
use rhyton_nn::optimizers::Pipeline;
use rhyton_tensor::{Error, Result, Tensor};

/// A training step of one's own: any losses over the outputs of any models, several optimizers, state. It is made of
/// the same expressions, gradients and optimizers as `compile`, and like there all of it is one program.
///
/// A critic whose gradient is kept near 1 (Gulrajani et al. 2017):
///
/// ```no_run
/// use rhyton_nn::optimizers::Adam;
/// use rhyton_train::Step;
/// # fn f(critic: rhyton_model::Model, real: rhyton_tensor::Tensor) -> rhyton_tensor::Result<()> {
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
    values: Values,
    /// Where each optimizer's learning rate lies; `None` with a schedule.
    rates: Vec<Option<String>>,
    outputs: Vec<String>,
    results: Vec<Tensor>,
    warnings: Vec<String>,
}

impl Step {
    /// The step that `body` describes over these models. `seed` starts the random numbers of layers and of
    /// [`Build::random`].
    ///
    /// # Errors
    /// Every expression that is wrong, optimizers with settings out of range, models that do not exist.
    pub fn build(models: impl Into<Vec<Model>>, seed: u32, body: impl FnOnce(&mut Build)) -> Result<Step> {
        let models = models.into();
        let backend = models.first().map_or_else(backend::backend, Model::backend)?;
        let mut b = Build::new(&models.iter().collect::<Vec<_>>(), true);
        body(&mut b);
        let mut warnings: Vec<String> = vec![];
        for warning in b.pipelines().flat_map(|p| of_optimizer(p.optimizer())) {
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        let rate = |(o, p): (usize, &Pipeline)| Some(b.optimizer_slots(o).swap_remove(p.learning_rate_at()?));
        let rates = b.pipelines().enumerate().map(rate).collect();
        let (mut values, outputs) = (Values::on(&backend)?, b.output_names());
        b.check()?;
        b.fill(&mut values)?;
        values.set("key", &Tensor::vector(vec![seed as i32, 0]))?;
        let program = b.compile("custom_step", &backend)?;
        let mut console = Console::new(Verbose::Silent, None);
        warnings.iter().for_each(|w| console.warn(w));
        Ok(Step { models, program, values, rates, outputs, results: vec![], warnings })
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
        let inputs = self.program.inputs();
        if batch.len() != inputs.len() {
            let names: Vec<&str> = inputs.iter().map(|(n, _)| n.as_str()).collect();
            return Err(Error::new(format!("the step got {} tensors", batch.len()))
                .expected(format!("one for each of its inputs {}", names.join(", "))));
        }
        if batch.iter().zip(inputs).all(|(t, (_, ty))| t.dtype() == ty.dtype) {
            self.program.run(&mut self.values, batch, &mut self.results)?;
        } else {
            let cast = |(t, (name, ty)): (&Tensor, &(String, Type))| {
                converts(t, ty.dtype).map_err(|e| e.place(format!("input '{name}'")))?;
                t.try_cast(ty.dtype)
            };
            let cast = batch.iter().zip(inputs).map(cast).collect::<Result<Vec<Tensor>>>()?;
            self.program.run(&mut self.values, &cast, &mut self.results)?;
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
    /// When the backend cannot give them.
    pub fn models(&mut self) -> Result<&[Model]> {
        for (m, model) in self.models.iter_mut().enumerate() {
            let weights = self.values.with_prefix(&format!("model.{m}/"))?;
            model.set_weights(&weights.into_iter().map(|(_, t)| t).collect::<Vec<_>>())?;
        }
        Ok(&self.models)
    }

    /// The models with the weights they have now.
    ///
    /// # Errors
    /// When the backend cannot give them.
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
            Some(Some(slot)) => self.values.set(slot, &Tensor::scalar(rate as f32)),
            Some(None) => Err(Error::new("the learning rate follows a schedule and cannot be set")),
            None => Err(Error::new(format!("the step has no optimizer {optimizer}"))
                .expected(format!("a number below {}", self.rates.len()))),
        }
    }

    /// Everything that changes from step to step, by name: for checkpoints.
    ///
    /// # Errors
    /// When the backend cannot give it.
    pub fn state(&self) -> Result<Vec<(String, Tensor)>> {
        self.values.with_prefix("")
    }

    /// Takes back what [`state`](Step::state) gave: the step goes on with the same bits.
    ///
    /// # Errors
    /// When it is the state of another step; then nothing is changed.
    pub fn set_state(&mut self, state: &[(String, Tensor)]) -> Result<()> {
        let own = self.state()?;
        let fits = own.len() == state.len()
            && own.iter().zip(state).all(|((n, t), (name, new))| {
                n == name && t.shape() == new.shape() && t.dtype() == new.dtype()
            });
        drop(own);
        if !fits {
            return Err(
                Error::new("the state belongs to another step").fix("build the step as it was built then")
            );
        }
        state.iter().try_for_each(|(name, t)| self.values.set(name, t))
    }
}

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let inputs: Vec<&str> = self.program.inputs().iter().map(|(n, _)| n.as_str()).collect();
        write!(f, "Step({}) -> {}", inputs.join(", "), self.outputs.join(", "))
    }
}
