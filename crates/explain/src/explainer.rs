//! [`Explainer`]: which score of which model is explained, and the programs that do it.

use crate::place::Spot;
use crate::runner::Runner;
use crate::scene::sound;
use crate::{Check, Explanation, Method, Place, Scene};
use rhyton_graph::Expr;
use rhyton_model::program::{Build, Values, logits};
use rhyton_model::{Model, Tensors};
use rhyton_tensor::{Error, Result, Shape, Tensor};
use std::collections::HashMap;

/// Which of a result's numbers is the score.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Target {
    /// That of the class with the largest one.
    #[default]
    Predicted,
    /// That of the class given for each sample. In a result of more axes, the sum over all places.
    Label,
    /// The one at these positions of a sample's result; of its last axes if fewer, then the sum over the others.
    Index(Vec<usize>),
}

/// Before or after the last activation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Of {
    /// What softmax, log_softmax or sigmoid of the output are applied to, if the output is one of them: a score that
    /// does not fall because another class's rises.
    #[default]
    Logits,
    /// The output itself.
    Output,
}

/// Explains a model's scores.
///
/// ```
/// # use rhyton_explain::{Explainer, Target, methods::Saliency};
/// # use rhyton_model::Sequential;
/// # use rhyton_nn::layers::Dense;
/// # let reference = std::sync::Arc::<rhyton_graph::reference::ReferenceBackend>::default();
/// # rhyton_model::backend::set_backend(reference);
/// let model = Sequential::new([2]).add(Dense::new(3).softmax()).build()?;
/// let x = rhyton_tensor::Tensor::new([4, 2], vec![0.5f32; 8])?;
/// let labels = rhyton_tensor::Tensor::vector(vec![0i32, 1, 2, 0]);
/// let why = Explainer::new(&model).batch_size(2).explain(Saliency::default(), &x, Some(&labels))?;
/// assert_eq!(why.scores.shape(), [4]);
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
#[derive(Clone)]
pub struct Explainer<'m> {
    pub(crate) model: &'m Model,
    pub(crate) output: usize,
    pub(crate) neuron: Option<Place>,
    pub(crate) target: Option<Target>,
    pub(crate) of: Of,
    pub(crate) batch_size: usize,
    pub(crate) seed: u32,
    pub(crate) arrays: HashMap<String, Tensor>,
}

impl<'m> Explainer<'m> {
    /// Explains the model's first output: the logit of a label or, without labels, of the predicted class.
    pub fn new(model: &'m Model) -> Explainer<'m> {
        let arrays = HashMap::new();
        Explainer {
            model,
            output: 0,
            neuron: None,
            target: None,
            of: Of::Logits,
            batch_size: 32,
            seed: 0,
            arrays,
        }
    }

    /// Which output.
    pub fn output(mut self, output: usize) -> Self {
        self.output = output;
        self
    }

    /// Which of its numbers.
    pub fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    /// Before or after the last activation.
    pub fn of(mut self, of: Of) -> Self {
        self.of = of;
        self
    }

    /// Samples in one run of the program.
    pub fn batch_size(mut self, n: usize) -> Self {
        self.batch_size = n;
        self
    }

    /// Seed of methods that draw random numbers.
    pub fn seed(mut self, seed: u32) -> Self {
        self.seed = seed;
        self
    }

    /// An array that settings of methods name: a baseline, samples to compare with.
    pub fn array(mut self, name: &str, array: &Tensor) -> Self {
        self.arrays.insert(name.into(), array.clone());
        self
    }

    /// Explains an element of what a layer gives instead of the model's output: `index` are its positions, those of the
    /// last axes if fewer; over the other axes, and over all calls of the layer, the sum.
    ///
    /// ```
    /// # use rhyton_explain::{Explainer, methods::IntegratedGradients};
    /// # use rhyton_model::Sequential;
    /// # use rhyton_nn::layers::Dense;
    /// # let reference = std::sync::Arc::<rhyton_graph::reference::ReferenceBackend>::default();
    /// # rhyton_model::backend::set_backend(reference);
    /// let model = Sequential::new([2]).add(Dense::new(3).relu()).add(Dense::new(2)).build()?;
    /// let x = rhyton_tensor::Tensor::new([1, 2], vec![0.5f32, -0.2])?;
    /// let second = Explainer::new(&model).neuron("dense", &[1]);
    /// let why = second.explain(IntegratedGradients::default().steps(500), &x, None)?;
    /// assert!(why.checks[0].is_met());
    /// # Ok::<(), rhyton_tensor::Error>(())
    /// ```
    pub fn neuron(mut self, layer: &str, index: &[usize]) -> Self {
        self.neuron = Some(Place::Layer { name: layer.into(), activated: true });
        self.target(Target::Index(index.to_vec()))
    }

    /// Explains the scores of `x`, of these classes.
    ///
    /// # Errors
    /// When the inputs do not fit the model, a label is none of its classes, or the method does not fit it.
    pub fn explain<'a>(
        &self,
        method: impl Into<Method>,
        x: impl Into<Tensors<'a>>,
        labels: Option<&Tensor>,
    ) -> Result<Explanation> {
        self.aimed(labels).compile(method)?.explain(x, labels)
    }

    /// The same with a target: labels that are given, or the predicted class.
    pub(crate) fn aimed(&self, labels: Option<&Tensor>) -> Explainer<'m> {
        let given = if labels.is_some() { Target::Label } else { Target::Predicted };
        let target = self.target.clone().unwrap_or(given);
        self.clone().target(target)
    }

    /// The method as a program for this model, to be run many times.
    ///
    /// # Errors
    /// When the method does not fit the model.
    pub fn compile(&self, method: impl Into<Method>) -> Result<CompiledMethod<'m>> {
        let method = method.into();
        let method = method.get()?;
        let (mut names, mut checks, mut has_errors) = (vec![], vec![], false);
        let runner = self.program("explain", &method.place(), |scene| {
            let found = method.attribute(scene).and_then(sound).map_err(|e| e.place(method.class_name()))?;
            let mut results = vec![scene.score(&scene.values)];
            for c in &scene.checks {
                checks.push((c.name, c.tolerance));
                results.extend([&c.have, &c.want, &c.scale].map(Expr::clone));
            }
            let found = merged(&scene.spots, found);
            names = found.0;
            results.extend(found.1);
            if let Some(errors) = scene.standard_error.take() {
                has_errors = true;
                results.extend(merged(&scene.spots, errors).1);
            }
            Ok(results)
        })?;
        Ok(CompiledMethod { runner, method: method.class_name().into(), names, checks, has_errors })
    }

    /// A program whose results, each with a row for each sample, `body` makes of the scene at a place.
    pub(crate) fn program(
        &self,
        name: &str,
        place: &Place,
        body: impl FnOnce(&mut Scene) -> Result<Vec<Expr>>,
    ) -> Result<Runner<'m>> {
        let (mut build, inputs, output) = Build::predicting(self.model, self.output)?;
        let names = self.model.definition().input_names();
        let inputs: Vec<(String, Expr)> = names.into_iter().zip(inputs).collect();
        let result = self.result(&output, &inputs)?;
        let target = self.target.clone().unwrap_or_default();
        let picks = self.picks(&target, &result, &mut build)?;
        let spots = place.find(&inputs, &result)?;
        let classes = result.shape().last().and_then(rhyton_tensor::Dim::as_fixed).unwrap_or(1);
        let mut scene = Scene {
            build,
            inputs,
            keys: spots.iter().map(|s| s.value.clone()).collect(),
            values: spots.iter().map(|s| s.value.clone()).collect(),
            spots,
            result,
            picks,
            arrays: self.arrays.clone(),
            per_sample: vec![],
            checks: vec![],
            standard_error: None,
            seed: self.seed,
            streams: 0,
        };
        let results = body(&mut scene)?;
        results.iter().for_each(|e| scene.build.output(name, e));
        Ok(Runner {
            model: self.model,
            program: scene.build.compile(name, &self.model.backend()?)?,
            labelled: target == Target::Label && classes > 1,
            classes,
            batch_size: self.batch_size,
            per_sample: scene.per_sample.into_iter().map(|p| (p.name, p.array)).collect(),
        })
    }

    /// What the score is picked from.
    fn result(&self, y: &Expr, inputs: &[(String, Expr)]) -> Result<Expr> {
        let y = match &self.neuron {
            Some(place) => {
                let calls = place.find(inputs, y)?.into_iter().map(|s| s.value);
                calls.reduce(|a, b| a + b).unwrap_or_else(|| y.clone())
            }
            None if self.of == Of::Logits => logits(y),
            None => y.clone(),
        };
        match y.rank() {
            0 | 1 => Err(Error::new(format!("the output has the shape {}: no scores of samples", y.shape()))),
            _ => Ok(y.float()),
        }
    }

    fn picks(&self, target: &Target, result: &Expr, build: &mut Build) -> Result<Expr> {
        let classes = result.shape().last().and_then(rhyton_tensor::Dim::as_fixed);
        let classes = classes.ok_or_else(|| Error::new("the number of classes is not known"))?;
        let places = |picks: Expr| {
            let between: Vec<usize> = (1..result.rank() - 1).collect();
            picks.expand_dims(&between).broadcast_to(result.shape().clone())
        };
        match target {
            Target::Label | Target::Predicted if classes == 1 => Ok(result.ones_like()),
            Target::Label => Ok(places(build.input_int("label", Shape::default()).one_hot(classes))),
            Target::Predicted => {
                let last = result.rank() - 1;
                Ok(result.argmax(last).one_hot(classes))
            }
            Target::Index(at) => {
                let sizes: Vec<usize> = result.shape()[1..].iter().filter_map(|d| d.as_fixed()).collect();
                let last = sizes.len().saturating_sub(at.len());
                let sizes = sizes[last..].to_vec();
                if at.len() != sizes.len() || at.iter().zip(&sizes).any(|(i, n)| i >= n) {
                    return Err(Error::new(format!("no position {at:?} in a result of {}", result.shape())));
                }
                let mut picked = vec![0f32; sizes.iter().product()];
                let flat = at.iter().zip(&sizes).fold(0, |flat, (i, n)| flat * n + i);
                picked[flat] = 1.0;
                Ok(Expr::constant(&Tensor::new(sizes, picked)?).broadcast_to(result.shape().clone()))
            }
        }
    }
}

/// One attribution for each name: the vectors of an input of whole numbers are summed, those of several embeddings too.
fn merged(spots: &[Spot], attributions: Vec<Expr>) -> (Vec<String>, Vec<Expr>) {
    let (mut names, mut merged): (Vec<String>, Vec<Expr>) = (vec![], vec![]);
    for (spot, a) in spots.iter().zip(attributions) {
        let a = if spot.token_of.is_some() && a.rank() > 2 { a.sum(&[a.rank() - 1]) } else { a };
        match names.iter().position(|n| *n == spot.name).filter(|_| spot.token_of.is_some()) {
            Some(at) => merged[at] = &merged[at] + a,
            None => {
                names.push(spot.name.clone());
                merged.push(a);
            }
        }
    }
    (names, merged)
}

/// A method as a program for a model.
pub struct CompiledMethod<'m> {
    runner: Runner<'m>,
    method: String,
    names: Vec<String>,
    checks: Vec<(&'static str, f32)>,
    has_errors: bool,
}

impl CompiledMethod<'_> {
    /// Explains the scores of `x`, of these classes.
    ///
    /// # Errors
    /// When the inputs do not fit the model, labels are missing, or one is none of the classes.
    pub fn explain<'a>(&self, x: impl Into<Tensors<'a>>, labels: Option<&Tensor>) -> Result<Explanation> {
        self.explain_with(self.runner.model.values(), x.into(), labels)
    }

    /// The same as if the model had these weights.
    pub(crate) fn explain_with(
        &self,
        values: &Values,
        x: Tensors<'_>,
        labels: Option<&Tensor>,
    ) -> Result<Explanation> {
        let mut results = self.runner.run_with(values, x, labels)?.into_iter();
        let mut next = || results.next().ok_or_else(|| Error::new("the program lost a result"));
        let scores = next()?;
        let mut checks = vec![];
        for (name, tolerance) in &self.checks {
            let [have, want, scale] = [next()?, next()?, next()?].map(|t| t.to_vec::<f32>());
            checks.push(Check { name, have, want, scale, tolerance: *tolerance });
        }
        let mut tensors = || (0..self.names.len()).map(|_| next()).collect::<Result<Vec<Tensor>>>();
        let attributions = tensors()?;
        let standard_error = if self.has_errors { Some(tensors()?) } else { None };
        let (method, names) = (self.method.clone(), self.names.clone());
        Ok(Explanation { method, names, attributions, scores, standard_error, checks })
    }
}
