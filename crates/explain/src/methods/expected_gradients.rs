//! Expected gradients.

use crate::{Attribution, Scene};
use rhyton_graph::Expr;
use rhyton_graph::ops::Distribution;
use rhyton_tensor::{DType, Error, Result};

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
        if self.samples == 0 {
            return Err(Error::new("samples=0").expected("at least 1"));
        }
        let (values, background) = (scene.values(), scene.background(&self.background)?);
        let rows = background[0].shape()[0].as_fixed().unwrap_or(1);
        let like = [&values[..], &values[..]].concat();
        let sums = Scene::sum_over(&[scene.count(self.samples)], &like, |x| {
            let draw = |scene: &mut Scene| {
                scene.random(Distribution::Uniform, &x[0], [1]).reshape(rhyton_tensor::Shape::default())
            };
            let (row, along) = (draw(scene), draw(scene));
            let row = (row * rows as f32).floor().cast(DType::I32);
            let inputs: Vec<Expr> = background.iter().map(|b| scene.for_all(&b.gather(0, &row))).collect();
            let start = scene.values_of_inputs(&inputs);
            let end: Vec<Expr> = values
                .iter()
                .map(|v| match self.stdev {
                    0.0 => v.clone(),
                    stdev => {
                        let noise = scene.random(Distribution::Normal, &x[0], v.shape()[1..].to_vec());
                        v + scene.for_all(&noise) * stdev as f32
                    }
                })
                .collect();
            let way: Vec<Expr> = end.iter().zip(&start).map(|(x, b)| x - b).collect();
            let at: Vec<Expr> = start.iter().zip(&way).map(|(b, way)| b + way * &along).collect();
            let each: Vec<Expr> = scene.gradient(&at).iter().zip(&way).map(|(g, way)| g * way).collect();
            let squares: Vec<Expr> = each.iter().map(|a| a * a).collect();
            [each, squares].concat()
        });
        let (sum, squares) = sums.split_at(values.len());
        let n = self.samples as f32;
        let mean: Vec<Expr> = sum.iter().map(|s| s * (1.0 / n)).collect();
        let spread = |(s, m): (&Expr, &Expr)| {
            ((s * (1.0 / n) - m * m).maximum(&Expr::scalar(0.0f32)) * (1.0 / n)).sqrt()
        };
        scene.standard_error(squares.iter().zip(&mean).map(spread).collect());
        Ok(mean)
    }
}
