//! Permutation importance of features: how much worse a model gets when one of them is shuffled.

use crate::features::at_least_one;
use crate::scene::PerSample;
use crate::{Explainer, Of, Place, Scene, Target};
use rhyton_graph::{Expr, Type};
use rhyton_model::Tensors;
use rhyton_model::program::sample_axes;
use rhyton_nn::losses::LossRef;
use rhyton_nn::losses::align;
use rhyton_tensor::rng::Stream;
use rhyton_tensor::{DType, Dim, Error, Result, Shape, Tensor};

/// By what a model is judged.
#[derive(Clone, Debug)]
pub enum Merit {
    /// The share of samples whose class is right: what importance counts is its fall.
    Accuracy,
    /// The mean of a loss: what importance counts is its rise.
    Loss(LossRef),
}

/// How much worse a model gets without each feature.
#[derive(Clone, Debug)]
pub struct Importance {
    /// The accuracy or the loss with all features as they are.
    pub whole: f64,
    /// Of each feature, in row-major order over all inputs: the mean fall of the accuracy or rise of the loss.
    pub mean: Vec<f64>,
    /// The standard deviation over the repeats.
    pub standard_deviation: Vec<f64>,
}

/// What the merit says of each sample, `[batch]`.
fn of_samples(merit: &Merit, scene: &mut Scene, y: &Tensor) -> Result<Expr> {
    let dtype = if y.dtype().is_float() { DType::F32 } else { DType::I32 };
    let sizes = y.shape()[1..].iter().map(|n| Dim::fixed(*n));
    let shape = Shape(std::iter::once(scene.batch()).chain(sizes).collect());
    let param = scene.build.typed_input("y", Type::new(dtype, shape));
    scene.per_sample.push(PerSample { param: param.clone(), name: "y".into(), array: y.try_cast(dtype)? });
    let predicted = scene.result(&scene.values());
    let (y, predicted) = align(&param, &predicted);
    let each = match merit {
        Merit::Loss(loss) => loss.get()?.losses(&y, &predicted),
        Merit::Accuracy => {
            let last = predicted.rank() - 1;
            let half = Expr::scalar(0.5f32);
            let classes = |e: &Expr| e.argmax(e.rank() - 1);
            let right = match predicted.shape()[last].is(1) || predicted.rank() == 1 {
                true => predicted.greater(&half).float().equal(&y.float().greater(&half).float()),
                false if y.shape() == predicted.shape() => classes(&predicted).equal(&classes(&y)),
                false => classes(&predicted).equal(&y.cast(DType::I32)),
            };
            right.cast(DType::F32)
        }
    };
    Ok(if each.rank() > 1 { each.mean(&sample_axes(&each)) } else { each })
}

/// The input with one element of each sample taken from another one.
fn shuffled(x: &Tensor, element: usize, from: &[usize]) -> Result<Tensor> {
    let size = x.len() / from.len().max(1);
    let old = x.to_vec::<f64>();
    let mut new = old.clone();
    from.iter().enumerate().for_each(|(to, from)| new[to * size + element] = old[from * size + element]);
    Tensor::new(x.shape().to_vec(), new)?.try_cast(x.dtype())
}

impl Explainer<'_> {
    /// How much worse the model gets when a feature is shuffled over all samples, `repeats` times (Breiman 2001; Fisher,
    /// Rudin, Dominici 2019): what it learned to do with that feature, as far as no other feature says the same.
    ///
    /// ```
    /// # use rhyton_explain::{Explainer, Merit};
    /// # use rhyton_model::Sequential;
    /// # use rhyton_nn::layers::Dense;
    /// # let reference = std::sync::Arc::<rhyton_graph::reference::ReferenceBackend>::default();
    /// # rhyton_model::backend::set_backend(reference);
    /// let mut model = Sequential::new([2]).add(Dense::new(1).use_bias(false)).build()?;
    /// model.set_weights(&[rhyton_tensor::Tensor::new([2, 1], vec![1.0f32, 0.0])?])?;
    /// let x = rhyton_tensor::Tensor::from_fn([20, 2], |i| (i as f32 * 0.7).sin());
    /// let y = model.predict(&x)?;
    /// let found = Explainer::new(&model).importance(&Merit::Loss("mse".into()), 5, &x, &y)?;
    /// assert!(found.mean[0] > 0.1 && found.mean[1] == 0.0);
    /// # Ok::<(), rhyton_tensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the inputs or targets do not fit the model.
    pub fn importance<'a>(
        &self,
        merit: &Merit,
        repeats: usize,
        x: impl Into<Tensors<'a>>,
        y: &Tensor,
    ) -> Result<Importance> {
        at_least_one("repeats", repeats)?;
        let x: Vec<Tensor> = x.into().0.into_iter().cloned().collect();
        let samples = x.first().and_then(|t| t.shape().first().copied()).unwrap_or(0);
        if y.shape().first() != Some(&samples) {
            return Err(Error::new(format!("targets of shape {:?} for {samples} samples", y.shape())));
        }
        let explainer = self.clone().of(Of::Output).target(Target::Predicted);
        let runner = explainer
            .program("importance", &Place::Inputs, |scene| Ok(vec![of_samples(merit, scene, y)?]))?;
        let judged = |x: &[Tensor]| -> Result<f64> {
            let each = runner.run(Tensors(x.iter().collect()), None)?.swap_remove(0).to_vec::<f64>();
            Ok(each.iter().sum::<f64>() / each.len().max(1) as f64)
        };
        let whole = judged(&x)?;
        let sign = if matches!(merit, Merit::Accuracy) { -1.0 } else { 1.0 };
        let (mut mean, mut standard_deviation) = (vec![], vec![]);
        let mut rng = Stream::new(u64::from(self.seed), 0, 0);
        for (i, input) in x.iter().enumerate() {
            for element in 0..input.len() / samples.max(1) {
                let mut worse = vec![];
                for _ in 0..repeats {
                    let mut from: Vec<usize> = (0..samples).collect();
                    rng.shuffle(&mut from);
                    let mut other = x.clone();
                    other[i] = shuffled(input, element, &from)?;
                    worse.push(sign * (judged(&other)? - whole));
                }
                let m = worse.iter().sum::<f64>() / repeats as f64;
                mean.push(m);
                let variance = worse.iter().map(|w| (w - m) * (w - m)).sum::<f64>() / repeats as f64;
                standard_deviation.push(variance.sqrt());
            }
        }
        Ok(Importance { whole, mean, standard_deviation })
    }
}
