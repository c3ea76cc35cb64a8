//! Whether attributions depend on what the model has learned (Adebayo et al. 2018): with other weights or labels they
//! must change.

use crate::measures::spearman;
use crate::{Explainer, Explanation, Method, Target};
use rhyton_graph::Expr;
use rhyton_model::program::Build;
use rhyton_model::{Model, Tensors};
use rhyton_tensor::rng::Stream;
use rhyton_tensor::{DType, Dim, Error, Result, Shape, Tensor};

/// Which layers have weights drawn anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Randomised {
    /// From the last layer down: each, and all after it.
    #[default]
    Cascading,
    /// Each on its own.
    Independent,
}

/// How alike attributions stay.
#[derive(Clone, Debug)]
pub struct Likeness {
    /// The path of the layer whose weights were drawn anew last.
    pub layer: String,
    /// Spearman's rank correlation with what they were, for each sample.
    pub correlation: Vec<f32>,
}

impl Likeness {
    /// The mean over the samples.
    pub fn mean(&self) -> f32 {
        self.correlation.iter().sum::<f32>() / self.correlation.len().max(1) as f32
    }
}

/// Spearman's rank correlation of two explanations of the same samples, for each sample: of one model with another
/// that was trained on random labels, say. Near 0 for a method that says what a model has learned.
///
/// ```
/// # use rhyton_explain::{Explainer, methods::Saliency, similarity};
/// # use rhyton_model::Sequential;
/// # use rhyton_nn::layers::Dense;
/// # let reference = std::sync::Arc::<rhyton_graph::reference::ReferenceBackend>::default();
/// # rhyton_model::backend::set_backend(reference);
/// let model = Sequential::new([3]).add(Dense::new(2)).build()?;
/// let x = rhyton_tensor::Tensor::new([1, 3], vec![0.5f32, -0.2, 0.1])?;
/// let why = Explainer::new(&model).explain(Saliency::default(), &x, None)?;
/// assert!((similarity(&model, &why, &why, false)?[0] - 1.0).abs() < 1e-6);
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
///
/// # Errors
/// When they are of different shapes.
pub fn similarity(model: &Model, a: &Explanation, b: &Explanation, absolute: bool) -> Result<Vec<f32>> {
    let (mut build, mut rows, mut inputs) = (Build::new(&[model], false), vec![], vec![]);
    for (side, explanation) in [("a", a), ("b", b)] {
        let flat = explanation.attributions.iter().enumerate().map(|(i, t)| {
            let sizes = t.shape()[1..].iter().map(|n| Dim::fixed(*n)).collect();
            let given = build.input(&format!("{side}{i}"), Shape(sizes));
            inputs.push(t.clone());
            let n = t.shape()[1..].iter().product();
            given.reshape(Shape(vec![given.shape()[0].clone(), Dim::fixed(n)]))
        });
        let row = Expr::concat(&flat.collect::<Vec<Expr>>(), 1);
        rows.push(if absolute { row.abs() } else { row });
    }
    if let [a, b] = &rows[..] {
        let sizes = [a, b].map(|e| e.shape()[1].as_fixed());
        if sizes[0] != sizes[1] {
            return Err(Error::new(format!("attributions of {:?} and {:?} values", sizes[0], sizes[1]))
                .expected("two explanations of the same values"));
        }
        build.output("correlation", &spearman(a, b));
    }
    let inputs: Vec<Tensor> = inputs.iter().map(|t| t.cast(DType::F32)).collect();
    let program = build.compile("similarity", &model.backend()?)?;
    let found = program.over(model.values(), &inputs.iter().collect::<Vec<_>>(), 32)?;
    Ok(found.iter().flat_map(|t| t.to_vec::<f32>()).collect())
}

/// The layers that have weights, from the first to the last, each with the positions of its weights.
fn layers(model: &Model) -> Vec<(String, Vec<usize>)> {
    let mut found: Vec<(String, Vec<usize>)> = vec![];
    for (i, v) in model.variables().iter().enumerate() {
        let layer = v.path.rsplit_once('/').map_or("", |(layer, _)| layer);
        match found.iter_mut().find(|(name, _)| name == layer) {
            Some((_, those)) => those.push(i),
            None => found.push((layer.into(), vec![i])),
        }
    }
    found
}

impl Explainer<'_> {
    /// How alike a method's attributions stay when layers' weights are drawn anew: layer after layer, from the last to
    /// the first. A method that says what the model has learned must give other attributions; one that keeps near 1
    /// only shows the input. Without labels, the classes are those that the model predicts with its own weights.
    ///
    /// ```
    /// # use rhyton_explain::{Explainer, Randomised, methods::Saliency};
    /// # use rhyton_model::Sequential;
    /// # use rhyton_nn::layers::Dense;
    /// # let reference = std::sync::Arc::<rhyton_graph::reference::ReferenceBackend>::default();
    /// # rhyton_model::backend::set_backend(reference);
    /// let model = Sequential::new([6]).add(Dense::new(4).relu()).add(Dense::new(2)).build()?;
    /// let x = rhyton_tensor::Tensor::from_fn([3, 6], |i| (i as f32).sin());
    /// let explainer = Explainer::new(&model);
    /// let steps = explainer.randomised(Saliency::default(), Randomised::Cascading, false, &x, None)?;
    /// assert!(steps[0].layer.ends_with("dense_1") && steps[1].layer.ends_with("dense"));
    /// # Ok::<(), rhyton_tensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// As for [`explain`](Explainer::explain).
    pub fn randomised<'a>(
        &self,
        method: impl Into<Method>,
        which: Randomised,
        absolute: bool,
        x: impl Into<Tensors<'a>>,
        labels: Option<&Tensor>,
    ) -> Result<Vec<Likeness>> {
        let (x, mut explainer) = (x.into().0, self.aimed(labels));
        let predicted = match explainer.target {
            Some(Target::Predicted) => Some(self.predicted(&x)?),
            _ => None,
        };
        if predicted.is_some() {
            explainer = explainer.target(Target::Label);
        }
        let labels = predicted.as_ref().or(labels);
        let program = explainer.compile(method)?;
        let given = || Tensors(x.clone());
        let first = program.explain_with(self.model.values(), given(), labels)?;
        let (mut model, mut steps) = (self.model.clone(), vec![]);
        for (layer, weights) in layers(self.model).into_iter().rev() {
            let mut values = match which {
                Randomised::Cascading => model.weights().to_vec(),
                Randomised::Independent => self.model.weights().to_vec(),
            };
            for i in weights {
                values[i] = drawn(self.model, i, self.seed)?;
            }
            model.set_weights(&values)?;
            let now = program.explain_with(model.values(), given(), labels)?;
            steps.push(Likeness { layer, correlation: similarity(self.model, &first, &now, absolute)? });
        }
        Ok(steps)
    }

    /// The classes that the model predicts.
    fn predicted(&self, x: &[&Tensor]) -> Result<Tensor> {
        let results = self.model.predict_all(Tensors(x.to_vec()), self.batch_size)?;
        let Some((scores, [samples, classes])) = results.get(self.output).map(|t| (t, t.shape())) else {
            return Err(Error::new("there is not one predicted class for each sample").fix("give labels"));
        };
        let (samples, classes, scores) = (*samples, *classes, scores.to_vec::<f32>());
        let largest = |s: usize| {
            let row = &scores[s * classes..(s + 1) * classes];
            (0..classes).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap_or(0) as i32
        };
        Ok(Tensor::vector((0..samples).map(largest).collect::<Vec<i32>>()))
    }
}

/// A weight as its layer would start it.
fn drawn(model: &Model, i: usize, seed: u32) -> Result<Tensor> {
    let v = &model.variables()[i];
    let shape = v.weight.shape.as_fixed().unwrap_or_default();
    let mut random = Stream::new(u64::from(seed), 1, i as u32);
    let values = v.weight.initializer.get()?.values(&shape, &mut random);
    Tensor::new(shape, values)?.try_cast(v.weight.dtype)
}
