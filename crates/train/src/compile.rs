//! [`Compile`]: how a model is to be trained.

use super::TrainStep;
use rhyton_graph::backend::Backend;
use rhyton_graph::expr::current_source;
use rhyton_model::Model;
use rhyton_nn::choice::{Choice, LossWeights, Losses, Metrics, PerOutput};
use rhyton_nn::optimizers::OptimizerRef;
use rhyton_tensor::{Error, Result, Source};
use serde_json::{Value as Json, json};
use std::sync::Arc;

/// Optimizer, loss and metrics: the arguments of [`ModelExt::compile`](crate::ModelExt::compile).
///
/// ```
/// use rhyton_train::Compile;
/// use rhyton_nn::optimizers::Adam;
/// Compile::new(Adam::new(1e-3), "sparse_categorical_crossentropy").metrics(["accuracy"]);
/// ```
#[derive(Clone)]
pub struct Compile {
    pub(crate) optimizer: OptimizerRef,
    pub(crate) loss: Losses,
    pub(crate) loss_weights: LossWeights,
    pub(crate) metrics: Metrics,
    pub(crate) weighted_metrics: Metrics,
    /// Further models of the training step.
    pub(crate) models: Vec<Model>,
    pub(crate) train_step: Option<TrainBody>,
    pub(crate) backend: Option<Arc<dyn Backend>>,
    pub(crate) source: Source,
}

/// A training step of the user's own.
#[derive(Clone)]
pub(crate) struct TrainBody(pub(crate) Arc<dyn Fn(&mut TrainStep<'_>) + Send + Sync>);

impl Compile {
    /// An optimizer and a loss, each by name or as an object; losses also as a list in the order of the outputs or
    /// [`by_output`](super::by_output).
    #[track_caller]
    pub fn new(optimizer: impl Into<OptimizerRef>, loss: impl Into<Losses>) -> Compile {
        Compile {
            optimizer: optimizer.into(),
            loss: loss.into(),
            loss_weights: PerOutput::None,
            metrics: PerOutput::None,
            weighted_metrics: PerOutput::None,
            models: vec![],
            train_step: None,
            backend: None,
            source: current_source(),
        }
    }

    /// A training step of one's own under [`fit`](super::Compiled::fit), as Keras's overridden `train_step`: with
    /// callbacks, history, progress, metrics, checkpoints and resuming. Evaluation stays what it is. Losses may then be
    /// left out.
    ///
    /// ```
    /// use rhyton_train::{Compile, PerOutput};
    /// // The mean of the loss and of its value for inputs turned around.
    /// Compile::new("adam", "mse").metrics(["mae"]).train_step(|s| {
    ///     let outputs = s.forward(true);
    ///     let loss = s.loss(&outputs);
    ///     let turned: Vec<_> = s.inputs().iter().map(|x| -x).collect();
    ///     let turned: Vec<_> = s.call(0, &turned).into_iter().map(Into::into).collect();
    ///     let both = (&loss + s.loss(&turned)) * 0.5;
    ///     s.descend(&both);
    ///     s.metrics(&outputs, &loss);
    ///     s.log("both", &both);
    /// });
    /// ```
    pub fn train_step(mut self, body: impl Fn(&mut TrainStep<'_>) + Send + Sync + 'static) -> Compile {
        self.train_step = Some(TrainBody(Arc::new(body)));
        self
    }

    /// Whether it has a training step of one's own. Files note it: they cannot hold the step.
    pub fn has_train_step(&self) -> bool {
        self.train_step.is_some()
    }

    /// Further models of the [`train_step`](Compile::train_step), numbered from 1: a generator, a teacher. Their
    /// weights and those of the compiled model are kept together, in training as in checkpoints;
    /// [`further_models`](super::Compiled::further_models) gives them back.
    pub fn models(mut self, models: impl Into<Vec<Model>>) -> Compile {
        self.models = models.into();
        self
    }

    /// Where the model runs, unless on the default backend.
    pub fn backend(mut self, backend: &Arc<dyn Backend>) -> Compile {
        self.backend = Some(backend.clone());
        self
    }

    /// Figures to show, without sample weights: a list for a model with one output, one entry or list for each
    /// output, or [`by_output`](super::by_output).
    pub fn metrics(mut self, metrics: impl Into<Metrics>) -> Compile {
        self.metrics = metrics.into();
        self
    }

    /// Figures to show, with sample and class weights.
    pub fn weighted_metrics(mut self, metrics: impl Into<Metrics>) -> Compile {
        self.weighted_metrics = metrics.into();
        self
    }

    /// Factors of the losses of several outputs in their sum: a list or [`by_output`](super::by_output).
    pub fn loss_weights(mut self, weights: impl Into<LossWeights>) -> Compile {
        self.loss_weights = weights.into();
        self
    }

    /// Keras's `compile_config`: names as they were given, objects as records.
    pub fn to_json(&self) -> Json {
        json!({
            "optimizer": self.optimizer.to_json(),
            "loss": self.loss.to_json(&Choice::to_json),
            "loss_weights": self.loss_weights.to_json(&|w: &f64| json!(w)),
            "metrics": self.metrics.to_json(&Choice::to_json),
            "weighted_metrics": self.weighted_metrics.to_json(&Choice::to_json),
            "run_eagerly": false,
            "steps_per_execution": 1,
            "jit_compile": true,
        })
    }

    /// From Keras's `compile_config`; what it does not say is as in Keras, whose optimizer is then RMSprop.
    ///
    /// # Errors
    /// When an object is unknown or its configuration does not fit.
    #[track_caller]
    pub fn from_json(config: &Json) -> Result<Compile> {
        let weight = |j: &Json| j.as_f64().ok_or_else(|| Error::new(format!("{j} is no weight of a loss")));
        Ok(Compile {
            optimizer: match &config["optimizer"] {
                Json::Null => OptimizerRef::named("rmsprop")?,
                record => OptimizerRef::from_json(record)?,
            },
            loss: PerOutput::from_json(&config["loss"], &Choice::from_json)?,
            loss_weights: PerOutput::from_json(&config["loss_weights"], &weight)?,
            metrics: PerOutput::from_json(&config["metrics"], &Choice::from_json)?,
            weighted_metrics: PerOutput::from_json(&config["weighted_metrics"], &Choice::from_json)?,
            models: vec![],
            train_step: None,
            backend: None,
            source: current_source(),
        })
    }
}

impl std::fmt::Debug for Compile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Compile {}", self.to_json())
    }
}
