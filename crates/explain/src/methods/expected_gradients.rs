//! Expected gradients.

use crate::{Attribution, Scene};
use rhyton_graph::Expr;
use rhyton_graph::ops::Distribution;
use rhyton_tensor::{DType, Result, Shape};

rhyton_nn::object! {
    /// Integrated gradients over many baselines at once: the mean of `(x - b) dF(b + a (x - b))` for baselines b drawn
    /// from given samples and a drawn evenly from [0, 1] (Erion et al. 2021); with noise on x, GradientSHAP (Lundberg, Lee
    /// 2017). The sum should be the score minus the baselines' mean score, as nearly as the standard error allows.
    pub struct ExpectedGradients {
        /// Number of draws.
        samples: usize = 100,
        /// The array that holds the baselines.
        background: String = "background".into(),
        /// Standard deviation of noise that is added to x.
        stdev: f64 = 0.0,
    }
}

impl Attribution for ExpectedGradients {
    fn attribute(&self, scene: &mut Scene) -> Result<Vec<Expr>> {
        let (values, background) = (scene.values(), scene.background(&self.background)?);
        let rows = background[0].shape()[0].as_fixed().unwrap_or(1);
        let (mean, variance) = scene.moments(self.samples, |scene, turn| {
            let draw =
                |scene: &mut Scene| scene.random(Distribution::Uniform, turn, [1]).reshape(Shape::default());
            let (row, along) = (draw(scene), draw(scene));
            let row = (row * rows as f32).floor().cast(DType::I32);
            let inputs: Vec<Expr> = background.iter().map(|b| scene.for_all(&b.gather(0, &row))).collect();
            let start = scene.values_of_inputs(&inputs);
            let end = values.iter().map(|v| match self.stdev {
                0.0 => v.clone(),
                stdev => v + scene.noise(Distribution::Normal, turn, v) * stdev as f32,
            });
            let way: Vec<Expr> = end.collect::<Vec<Expr>>().iter().zip(&start).map(|(x, b)| x - b).collect();
            let at: Vec<Expr> = start.iter().zip(&way).map(|(b, way)| b + way * &along).collect();
            Ok(scene.gradient(&at).iter().zip(&way).map(|(g, way)| g * way).collect())
        })?;
        let share = 1.0 / self.samples as f32;
        scene.standard_error(variance.iter().map(|v| (v * share).sqrt()).collect());
        Ok(mean)
    }
}
