//! Activation maximisation: inputs for which a score is high.

use crate::{Explainer, Place, Scene};
use rhyton_graph::function::scan;
use rhyton_graph::ops::Distribution;
use rhyton_graph::{Expr, grad};
use rhyton_model::Tensors;
use rhyton_model::program::sample_axes;
use rhyton_tensor::{DType, Error, Result, Shape, Tensor};

rhyton_nn::object! {
    /// How to look for an input with a high score (Erhan et al. 2009; Mahendran, Vedaldi 2016).
    pub struct Maximise {
        /// Steps along the gradient.
        steps: usize = 100,
        /// The root mean square of a step, in the units of the inputs.
        rate: f64 = 0.05,
        /// What the sum of squares costs.
        l2: f64 = 0.0,
        /// What the sum of differences between neighbouring places costs.
        total_variation: f64 = 0.0,
        /// Each step looks at the input moved around by up to so many places.
        jitter: usize = 0,
        /// The least value of an input.
        low: Option<f64> = None,
        /// The largest.
        high: Option<f64> = None,
    }
}

/// The axes of places: all but batch and channels, or the one there is.
fn places(x: &Expr) -> std::ops::Range<usize> {
    1..(x.rank() - 1).max(2).min(x.rank())
}

/// The values moved around along an axis by `by` places, an int32 number less than the size either way.
fn rolled(x: &Expr, axis: usize, by: &Expr) -> Expr {
    let Some(n) = x.shape()[axis].as_fixed() else { return x.clone() };
    let (n, zero) = (Expr::scalar(n as i32), Expr::scalar(0i32));
    let at = Expr::iota(Shape(vec![x.shape()[axis].clone()]), 0) + by;
    let at = at.less(&zero).select(&(&at + &n), &at);
    x.gather(axis, &at.less(&n).select(&at, &(&at - &n)))
}

impl Maximise {
    fn check(&self, scene: &Scene) -> Result<()> {
        if self.steps == 0 || self.rate <= 0.0 {
            return Err(Error::new(format!("steps={}, rate={}", self.steps, self.rate)).expected("above 0"));
        }
        for (value, spot) in scene.values().iter().zip(&scene.spots) {
            if spot.token_of.is_some() {
                return Err(Error::new("an input of whole numbers has no direction to go in")
                    .place(format!("input '{}'", spot.name)));
            }
            let sizes = crate::features::sample_shape(value)?;
            if places(value).any(|axis| sizes[axis - 1] <= self.jitter) {
                return Err(Error::new(format!("jitter={} in samples of {sizes:?}", self.jitter))
                    .expected("less than the sizes of a sample"));
            }
        }
        Ok(())
    }

    /// What is to rise: the score less what size and roughness cost.
    fn objective(&self, scene: &Scene, x: &[Expr]) -> Expr {
        let mut sum = scene.score(x).sum_all();
        for x in x {
            sum = sum - (x * x).sum_all() * self.l2 as f32;
            for axis in places(x).filter(|_| self.total_variation != 0.0) {
                let n = x.shape()[axis].as_fixed().unwrap_or(1);
                if n > 1 {
                    let steps = x.slice(axis, 1, n - 1) - x.slice(axis, 0, n - 1);
                    sum = sum - steps.abs().sum_all() * self.total_variation as f32;
                }
            }
        }
        sum
    }

    /// One step from `x`.
    fn step(&self, scene: &mut Scene, x: &[Expr], turn: &Expr) -> Vec<Expr> {
        let mut moves = vec![];
        let moved: Vec<Expr> = x
            .iter()
            .map(|x| {
                let axes = if self.jitter > 0 { places(x) } else { 0..0 };
                let by: Vec<(usize, Expr)> = axes.map(|axis| (axis, self.drawn(scene, turn))).collect();
                let moved = by.iter().fold(x.clone(), |x, (axis, by)| rolled(&x, *axis, by));
                moves.push(by);
                moved
            })
            .collect();
        let slopes = grad(&self.objective(scene, &moved), &moved);
        let each = |((x, g), by): ((&Expr, &Expr), &Vec<(usize, Expr)>)| {
            let g = by.iter().fold(g.clone(), |g, (axis, by)| rolled(&g, *axis, &(Expr::scalar(0i32) - by)));
            let axes = sample_axes(&g);
            let size = (&g * &g).mean(&axes).sqrt().maximum(&Expr::scalar(1e-12f32)).expand_dims(&axes);
            let mut next = x + g / size * self.rate as f32;
            if let Some(low) = self.low {
                next = next.maximum(&Expr::scalar(low as f32));
            }
            if let Some(high) = self.high {
                next = next.minimum(&Expr::scalar(high as f32));
            }
            next
        };
        x.iter().zip(&slopes).zip(&moves).map(each).collect()
    }

    /// A number of places from `-jitter` to `jitter`.
    fn drawn(&self, scene: &mut Scene, turn: &Expr) -> Expr {
        let even = scene.random(Distribution::Uniform, turn, [1]).reshape(Shape::default());
        (even * (2 * self.jitter + 1) as f32).floor().cast(DType::I32) - Expr::scalar(self.jitter as i32)
    }
}

impl Explainer<'_> {
    /// Inputs with a high score, one for each of `start`, found by going up the gradient from there in one compiled loop.
    /// Gives the inputs and, `[samples]`, their scores. With [`neuron`](Explainer::neuron): what a neuron looks for.
    ///
    /// ```
    /// # use rhyton_explain::{Explainer, Maximise, Target};
    /// # use rhyton_model::Sequential;
    /// # use rhyton_nn::layers::Dense;
    /// # let reference = std::sync::Arc::<rhyton_graph::reference::ReferenceBackend>::default();
    /// # rhyton_model::backend::set_backend(reference);
    /// let mut model = Sequential::new([2]).add(Dense::new(1).use_bias(false)).build()?;
    /// model.set_weights(&[rhyton_tensor::Tensor::new([2, 1], vec![1.0f32, -1.0])?])?;
    /// let start = rhyton_tensor::Tensor::new([1, 2], vec![0.5f32, 0.5])?;
    /// let how = Maximise::default().steps(20).low(0.0).high(1.0);
    /// let (found, scores) = Explainer::new(&model).maximise(&how, &start, None)?;
    /// assert_eq!(found[0].to_vec::<f32>(), [1.0, 0.0]);
    /// assert_eq!(scores.to_vec::<f32>(), [1.0]);
    /// # Ok::<(), rhyton_tensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// When an input holds whole numbers, a setting makes no sense, or `start` does not fit the model.
    pub fn maximise<'a>(
        &self,
        how: &Maximise,
        start: impl Into<Tensors<'a>>,
        labels: Option<&Tensor>,
    ) -> Result<(Vec<Tensor>, Tensor)> {
        let runner = self.aimed(labels).program("maximise", &Place::Inputs, |scene| {
            how.check(scene)?;
            let (values, turns) = (scene.values(), scene.count(how.steps));
            let (found, _) = scan("maximise", &values, &[turns], &[], false, |x, turn, _| {
                (how.step(scene, x, &turn[0]), vec![])
            });
            let score = scene.score(&found);
            Ok([found, vec![score]].concat())
        })?;
        let mut found = runner.run(start.into(), labels)?;
        let scores = found.pop().ok_or_else(|| Error::new("the program lost a result"))?;
        Ok((found, scores))
    }
}
