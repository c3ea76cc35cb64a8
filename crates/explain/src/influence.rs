//! TracIn (Pruthi et al. 2020): which training samples made the loss of a sample fall, and which made it rise.

use crate::place::belongs;
use rhyton_graph::function::for_each;
use rhyton_graph::{Expr, Type, grad};
use rhyton_model::program::{Build, Program};
use rhyton_model::{Model, Tensors};
use rhyton_nn::losses::{LossRef, align};
use rhyton_tensor::{DType, Dim, Error, Result, Shape, Tensor};

/// The influence of training samples: over checkpoints of the training, the rate of learning times the product of the
/// loss's gradients of a training sample and of the sample asked about. Above 0, training on it helped.
///
/// ```
/// # use rhyton_explain::Influence;
/// # use rhyton_model::Sequential;
/// # use rhyton_nn::layers::Dense;
/// # use rhyton_tensor::Tensor;
/// # let reference = std::sync::Arc::<rhyton_graph::reference::ReferenceBackend>::default();
/// # rhyton_model::backend::set_backend(reference);
/// let model = Sequential::new([2]).add(Dense::new(1).use_bias(false)).build()?;
/// let x = Tensor::new([2, 2], vec![1.0f32, 0.0, 0.0, 1.0])?;
/// let y = Tensor::new([2, 1], vec![5.0f32, 5.0])?;
/// let influence = Influence::new(&model, "mse").checkpoint(model.weights(), 0.1);
/// let found = influence.of((&x, &y), (&x, &y))?;
/// // Each helps itself; they share no weight.
/// let [a, b, c, d] = found.to_vec::<f32>()[..] else { panic!() };
/// assert!(a > 0.0 && d > 0.0 && b == 0.0 && c == 0.0);
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
#[derive(Clone)]
pub struct Influence<'m> {
    model: &'m Model,
    loss: LossRef,
    checkpoints: Vec<(Vec<Tensor>, f64)>,
    layer: Option<String>,
    batch_size: usize,
}

impl<'m> Influence<'m> {
    /// Of samples of this model's training with this loss.
    pub fn new(model: &'m Model, loss: impl Into<LossRef>) -> Influence<'m> {
        Influence { model, loss: loss.into(), checkpoints: vec![], layer: None, batch_size: 32 }
    }

    /// A point of the training: the model's weights and the rate of learning then. Without any, the weights as they
    /// are and the rate 1.
    pub fn checkpoint(mut self, weights: &[Tensor], rate: f64) -> Self {
        self.checkpoints.push((weights.to_vec(), rate));
        self
    }

    /// Only the weights of a layer, by its name or the end of its path: the last one says most, and is the fastest.
    pub fn layer(mut self, name: &str) -> Self {
        self.layer = Some(name.into());
        self
    }

    /// Samples in one run of the program.
    pub fn batch_size(mut self, n: usize) -> Self {
        self.batch_size = n;
        self
    }

    /// The influence of each training sample on each sample asked about: `[asked, training]`. Both are inputs and
    /// targets.
    ///
    /// # Errors
    /// When samples do not fit the model or the loss, or there is no such layer.
    pub fn of<'a>(
        &self,
        training: (impl Into<Tensors<'a>>, &Tensor),
        asked: (impl Into<Tensors<'a>>, &Tensor),
    ) -> Result<Tensor> {
        let (training, asked) = (self.samples(training)?, self.samples(asked)?);
        let [gradients, products] = [self.gradients(&training)?, self.products()?];
        let now = [(self.model.weights().to_vec(), 1.0)];
        let points = if self.checkpoints.is_empty() { &now[..] } else { &self.checkpoints };
        let rows = |samples: &[Tensor]| samples[0].shape()[0];
        let mut sum = vec![0f64; rows(&training) * rows(&asked)];
        for (weights, rate) in points {
            let mut model = self.model.clone();
            model.set_weights(weights)?;
            let of = |samples: &[Tensor]| {
                let inputs: Vec<&Tensor> = samples.iter().collect();
                Ok(gradients.over(model.values(), &inputs, self.batch_size)?.swap_remove(0))
            };
            let (training, asked): (Result<Tensor>, Result<Tensor>) = (of(&training), of(&asked));
            let mut found = vec![];
            products.infer(model.values(), &[asked?, training?], &mut found)?;
            sum.iter_mut().zip(found[0].to_vec::<f64>()).for_each(|(s, x)| *s += rate * x);
        }
        let sum: Vec<f32> = sum.into_iter().map(|x| x as f32).collect();
        Tensor::new([rows(&asked), rows(&training)], sum)
    }

    /// Checked inputs and, last, targets.
    fn samples<'a>(&self, (x, y): (impl Into<Tensors<'a>>, &Tensor)) -> Result<Vec<Tensor>> {
        let mut all = self.model.check_inputs(x.into())?;
        if y.shape().first() != all[0].shape().first() {
            return Err(Error::new(format!(
                "targets of shape {:?} for {} samples",
                y.shape(),
                all[0].shape()[0]
            )));
        }
        all.push(y.try_cast(if y.dtype().is_float() { DType::F32 } else { DType::I32 })?);
        Ok(all)
    }

    /// The program that gives each sample's gradient, `[batch, weights]`.
    fn gradients(&self, samples: &[Tensor]) -> Result<Program> {
        let loss = self.loss.get()?.clone();
        let mut build = Build::new(&[self.model], false);
        let mut given = build.inputs_of(0);
        build.trust(&given);
        if let Some(y) = samples.last() {
            let sizes = y.shape()[1..].iter().map(|n| Dim::fixed(*n));
            let shape = Shape(std::iter::once(Dim::symbol("batch")).chain(sizes).collect());
            given.push(build.typed_input("y", Type::new(y.dtype(), shape)));
        }
        let trained = self.model.variables().iter().filter(|v| v.trainable);
        let is_asked = |path: &str| self.layer.as_ref().is_none_or(|name| belongs(path, name));
        let weights: Vec<Expr> = build
            .weights(0)
            .into_iter()
            .zip(trained)
            .filter(|(_, v)| is_asked(&v.path))
            .map(|(w, _)| w)
            .collect();
        if weights.is_empty() {
            let layer = self.layer.clone().unwrap_or_default();
            return Err(Error::new(format!("no layer '{layer}' has weights that are trained")));
        }
        let found = for_each("each_sample", &given, |x| {
            let one: Vec<Expr> = x.iter().map(|x| x.expand_dims(&[0])).collect();
            let (y, x) = one.split_last().map_or((&one[0], &one[..]), |(y, x)| (y, x));
            let outputs = build.call_inference(0, x);
            let (y, predicted) = align(y, &outputs[0].float());
            let slopes = grad(&loss.losses(&y, &predicted).mean_all(), &weights);
            let flat = |g: &Expr| {
                let n: usize = g.shape().iter().filter_map(Dim::as_fixed).product();
                g.float().reshape([n])
            };
            vec![Expr::concat(&slopes.iter().map(flat).collect::<Vec<Expr>>(), 0)]
        });
        build.output("gradients", &found[0]);
        build.compile("gradients", &self.model.backend()?)
    }

    /// The program that multiplies gradients, `[asked, weights]` and `[training, weights]`.
    fn products(&self) -> Result<Program> {
        let mut build = Build::new(&[], false);
        let of = |build: &mut Build, name: &str| {
            build.typed_input(name, Type::f32(Shape(vec![Dim::symbol(name), Dim::symbol("weights")])))
        };
        let (asked, training) = (of(&mut build, "asked"), of(&mut build, "training"));
        build.output("influence", &asked.dot(&training, &[1], &[1]));
        build.compile("influence", &self.model.backend()?)
    }
}
