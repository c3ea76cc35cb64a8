//! [`Certifier`]: what a model's answers surely are near given inputs.

use crate::Norm;
use crate::bounds::{Ball, BoundRef};
use rhyton_graph::Expr;
use rhyton_model::program::{Build, Program, class_labels, logits};
use rhyton_model::{Model, Tensors};
use rhyton_tensor::{Dim, Error, Result, Shape, Tensor};

/// Bounds a model's first output - what its last softmax or sigmoid is applied to, if there is one - over all inputs
/// within a distance.
///
/// ```
/// # use rhyton_robust::{Certifier, bounds::Crown};
/// # use rhyton_model::Sequential;
/// # use rhyton_nn::layers::Dense;
/// # let reference = std::sync::Arc::<rhyton_graph::reference::ReferenceBackend>::default();
/// # rhyton_model::backend::set_backend(reference);
/// let model = Sequential::new([2]).add(Dense::new(4).relu()).add(Dense::new(3).softmax()).build()?;
/// let x = rhyton_tensor::Tensor::new([1, 2], vec![0.5f32, 0.4])?;
/// let found = Certifier::new(&model).certify(Crown::default(), &x, None, 0.01)?;
/// assert_eq!(found.lower.shape(), [1, 3]);
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
#[derive(Clone)]
pub struct Certifier<'m> {
    model: &'m Model,
    output: usize,
    input: usize,
    norm: Norm,
    bounds: Option<(f32, f32)>,
    batch_size: usize,
}

/// What is certain.
#[derive(Clone, Debug)]
pub struct Certified {
    /// The least value of each of the output's numbers, `[samples, n]`.
    pub lower: Tensor,
    /// The largest.
    pub upper: Tensor,
    /// By how much the label's number is at least above each other, `[samples, n]` (0 for itself), where there are
    /// labels.
    pub margins: Option<Tensor>,
    /// The labels.
    labels: Vec<i32>,
}

impl Certified {
    /// Whether each sample is surely taken for its label. None without labels.
    pub fn holds(&self) -> Vec<bool> {
        let Some(margins) = &self.margins else { return vec![] };
        let n = margins.shape()[1].max(1);
        let sure =
            |(m, label): (&[f32], &i32)| m.iter().enumerate().all(|(k, m)| k as i32 == *label || *m > 0.0);
        margins.to_vec::<f32>().chunks(n).zip(&self.labels).map(sure).collect()
    }

    /// The share of samples that are surely taken for their label.
    pub fn accuracy(&self) -> Option<f64> {
        let holds = self.holds();
        let sure = holds.iter().filter(|h| **h).count();
        self.margins.as_ref().map(|_| sure as f64 / holds.len().max(1) as f64)
    }
}

impl<'m> Certifier<'m> {
    /// Bounds the first output over changes of the first input.
    pub fn new(model: &'m Model) -> Certifier<'m> {
        Certifier { model, output: 0, input: 0, norm: Norm::Inf, bounds: None, batch_size: 32 }
    }

    /// Which output.
    pub fn output(mut self, output: usize) -> Self {
        self.output = output;
        self
    }

    /// Which input changes.
    pub fn input(mut self, input: usize) -> Self {
        self.input = input;
        self
    }

    /// What distance is measured in.
    pub fn norm(mut self, norm: Norm) -> Self {
        self.norm = norm;
        self
    }

    /// Least and largest value of an input, which need not be looked beyond.
    pub fn bounds(mut self, low: f32, high: f32) -> Self {
        self.bounds = Some((low, high));
        self
    }

    /// Samples in one run of the program.
    pub fn batch_size(mut self, n: usize) -> Self {
        self.batch_size = n;
        self
    }

    /// Bounds of the output for all inputs within the distance `eps` of `x`; with labels, of how far theirs is above.
    ///
    /// # Errors
    /// When the inputs do not fit the model, a label is none of its classes, or the method cannot bound an operation.
    pub fn certify<'a>(
        &self,
        method: impl Into<BoundRef>,
        x: impl Into<Tensors<'a>>,
        labels: Option<&Tensor>,
        eps: f64,
    ) -> Result<Certified> {
        if !(eps >= 0.0 && eps.is_finite()) {
            return Err(Error::new(format!("eps={eps}")).expected("a distance of at least 0"));
        }
        if self.batch_size == 0 {
            return Err(Error::new("batch_size=0").expected("at least 1"));
        }
        let inputs = self.model.check_inputs(x.into())?;
        let samples = inputs[0].shape()[0];
        let (program, n) = self.compile(&method.into(), labels.is_some(), eps)?;
        let labels = labels.map(|l| class_labels(l, samples, n.max(2))).transpose()?;
        let inputs = inputs.into_iter().chain(labels.clone()).collect();
        let mut all =
            program.over_samples(self.model.values(), inputs, samples, self.batch_size)?.into_iter();
        let mut next = || all.next().ok_or_else(|| Error::new("the program lost a result"));
        let (lower, upper) = (next()?, next()?);
        let margins = if labels.is_some() { Some(next()?) } else { None };
        Ok(Certified { lower, upper, margins, labels: labels.map_or(vec![], |l| l.to_vec()) })
    }

    /// The program, and how many numbers the output has.
    fn compile(&self, method: &BoundRef, labelled: bool, eps: f64) -> Result<(Program, usize)> {
        let method = method.get()?;
        let (mut build, inputs, output) = Build::predicting(self.model, self.output)?;
        let x = inputs.get(self.input).ok_or_else(|| {
            Error::new(format!("the model has no input {}", self.input))
                .expected(format!("a number below {}", inputs.len()))
        })?;
        if !x.dtype().is_float() {
            return Err(Error::new("an input of whole numbers has no small changes")
                .place(self.model.definition().input_names().swap_remove(self.input)));
        }
        let (output, n) = flat(&logits(&output).float())?;
        let label = labelled.then(|| build.input_int("label", Shape::default()));
        build.trust(label.as_slice());
        let eps = Expr::scalar(eps as f32);
        let ball = Ball { x: x.clone(), eps, norm: self.norm, bounds: self.bounds };
        let batch = x.shape()[0].clone();
        let each = identity(n, &batch)?;
        let ends = method.least(&ball, &output, &Expr::concat(&[each.clone(), -&each], 0));
        let ends = ends.map_err(|e| e.place(method.class_name()))?;
        build.output("lower", &ends.slice(1, 0, n));
        build.output("upper", &-ends.slice(1, n, n));
        if let Some(label) = &label {
            let margins = margins(&label.one_hot(n.max(2)), n, &batch)?;
            build.output("margins", &method.least(&ball, &output, &margins)?);
        }
        Ok((build.compile("certify", &self.model.backend()?)?, n))
    }
}

/// An output as `[batch, n]`.
pub(crate) fn flat(output: &Expr) -> Result<(Expr, usize)> {
    if let Some(e) = output.error() {
        return Err(e.clone());
    }
    let sizes: Option<Vec<usize>> = output.shape().iter().skip(1).map(Dim::as_fixed).collect();
    let sizes = sizes.filter(|_| output.rank() > 0).ok_or_else(|| {
        Error::new(format!("the output has the shape {}", output.shape()))
            .expected("a fixed number of values a sample")
    })?;
    let n = sizes.iter().product();
    Ok((output.reshape([output.shape()[0].clone(), Dim::fixed(n)]), n))
}

/// The factors of each number alone: `[n, batch, n]`.
pub(crate) fn identity(n: usize, batch: &Dim) -> Result<Expr> {
    let one = (0..n * n).map(|i| if i / n == i % n { 1.0f32 } else { 0.0 }).collect::<Vec<_>>();
    let one = Expr::constant(&Tensor::new([n, 1, n], one)?);
    Ok(one.broadcast_to([Dim::fixed(n), batch.clone(), Dim::fixed(n)]))
}

/// The factors of the label's number minus each other: `[n, batch, n]`. A single number stands for the second of two
/// classes, the first of which has 0.
pub(crate) fn margins(one_hot: &Expr, n: usize, batch: &Dim) -> Result<Expr> {
    if n == 1 {
        let sign = one_hot.slice(1, 1, 1) * 2.0 - 1.0;
        return Ok(sign.expand_dims(&[0]));
    }
    Ok(one_hot.expand_dims(&[0]) - identity(n, batch)?)
}

impl std::fmt::Debug for Certifier<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Certifier({})", self.model.name())
    }
}
