//! [`Explainer`]: which score of which model is explained, and the programs that do it.

use crate::place::Spot;
use crate::{Check, Explanation, Method, Scene};
use rhyton_graph::Expr;
use rhyton_model::program::{Build, Program, class_labels, logits};
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
    /// The one at these positions of a sample's result.
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
    model: &'m Model,
    output: usize,
    target: Option<Target>,
    of: Of,
    batch_size: usize,
    seed: u32,
    arrays: HashMap<String, Tensor>,
}

impl<'m> Explainer<'m> {
    /// Explains the model's first output: the logit of a label or, without labels, of the predicted class.
    pub fn new(model: &'m Model) -> Explainer<'m> {
        let arrays = HashMap::new();
        Explainer { model, output: 0, target: None, of: Of::Logits, batch_size: 32, seed: 0, arrays }
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
        let given = if labels.is_some() { Target::Label } else { Target::Predicted };
        let target = self.target.clone().unwrap_or(given);
        self.clone().target(target).compile(method)?.explain(x, labels)
    }

    /// The method as a program for this model, to be run many times.
    ///
    /// # Errors
    /// When the method does not fit the model.
    pub fn compile(&self, method: impl Into<Method>) -> Result<Compiled<'m>> {
        let method = method.into();
        let method = method.get()?;
        let mut build = Build::new(&[self.model], false);
        let names = self.model.definition().input_names();
        let inputs: Vec<(String, Expr)> = names.into_iter().zip(build.inputs_of(0)).collect();
        let given: Vec<Expr> = inputs.iter().map(|(_, e)| e.clone()).collect();
        build.trust(&given);
        let outputs = build.call_inference(0, &given);
        build.check()?;
        let result = self.result(&outputs)?;
        let target = self.target.clone().unwrap_or_default();
        let picks = self.picks(&target, &result, &mut build)?;
        let spots = method.place().find(&inputs, &result)?;
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
        let attributions = method.attribute(&mut scene).map_err(|e| e.place(method.class_name()))?;
        self.finish(scene, attributions, method.class_name(), target)
    }

    /// What the score is picked from.
    fn result(&self, outputs: &[Expr]) -> Result<Expr> {
        let y = outputs.get(self.output).ok_or_else(|| {
            Error::new(format!("the model has no output {}", self.output))
                .expected(format!("a number below {}", outputs.len()))
        })?;
        if let Some(e) = y.error() {
            return Err(e.clone());
        }
        let y = if self.of == Of::Logits { logits(y) } else { y.clone() };
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
                if at.len() != sizes.len() || at.iter().zip(&sizes).any(|(i, n)| i >= n) {
                    return Err(Error::new(format!("no position {at:?} in a result of {sizes:?}")));
                }
                let mut picked = vec![0f32; sizes.iter().product()];
                let flat = at.iter().zip(&sizes).fold(0, |flat, (i, n)| flat * n + i);
                picked[flat] = 1.0;
                Ok(Expr::constant(&Tensor::new(sizes, picked)?).broadcast_to(result.shape().clone()))
            }
        }
    }

    fn finish(
        &self,
        scene: Scene,
        attributions: Vec<Expr>,
        method: &str,
        target: Target,
    ) -> Result<Compiled<'m>> {
        let classes = scene.result.shape().last().and_then(rhyton_tensor::Dim::as_fixed).unwrap_or(1);
        let score = scene.score(&scene.values);
        let mut build = scene.build;
        build.output("score", &score);
        let checks: Vec<(&'static str, f32)> = scene.checks.iter().map(|c| (c.name, c.tolerance)).collect();
        for c in &scene.checks {
            [&c.have, &c.want, &c.scale].into_iter().for_each(|e| build.output(c.name, e));
        }
        let (names, attributions) = merged(&scene.spots, attributions);
        let errors = scene.standard_error.map(|errors| merged(&scene.spots, errors).1);
        attributions.iter().chain(errors.iter().flatten()).for_each(|e| build.output("attribution", e));
        let program = build.compile("explain", &self.model.backend()?)?;
        Ok(Compiled {
            model: self.model,
            program,
            method: method.into(),
            names,
            labelled: target == Target::Label && classes > 1,
            classes,
            batch_size: self.batch_size,
            checks,
            has_errors: errors.is_some(),
            per_sample: scene.per_sample.into_iter().map(|p| (p.name, p.array)).collect(),
        })
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
pub struct Compiled<'m> {
    model: &'m Model,
    program: Program,
    method: String,
    names: Vec<String>,
    labelled: bool,
    classes: usize,
    batch_size: usize,
    checks: Vec<(&'static str, f32)>,
    has_errors: bool,
    per_sample: Vec<(String, Tensor)>,
}

impl Compiled<'_> {
    /// Explains the scores of `x`, of these classes.
    ///
    /// # Errors
    /// When the inputs do not fit the model, labels are missing, or one is none of the classes.
    pub fn explain<'a>(&self, x: impl Into<Tensors<'a>>, labels: Option<&Tensor>) -> Result<Explanation> {
        if self.batch_size == 0 {
            return Err(Error::new("batch_size=0").expected("at least 1"));
        }
        let mut inputs = self.model.check_inputs(x.into())?;
        let samples = inputs[0].shape()[0];
        if self.labelled {
            let labels = labels.ok_or_else(|| {
                Error::new("the class of each sample is to be explained, and no labels are given")
            })?;
            inputs.push(class_labels(labels, samples, self.classes)?);
        }
        for (name, array) in &self.per_sample {
            if array.shape()[0] != samples {
                return Err(Error::new(format!("the array '{name}' holds {} samples", array.shape()[0]))
                    .expected(format!("1, or {samples} like the data")));
            }
            inputs.push(array.clone());
        }
        let mut results =
            self.program.over_samples(self.model.values(), inputs, samples, self.batch_size)?.into_iter();
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
