//! RISE.

use crate::resize::resized;
use crate::scene::or_poison;
use crate::{Attribution, Baseline, Scene};
use rhyton_graph::Expr;
use rhyton_graph::ops::Distribution;
use rhyton_model::program::per_sample;
use rhyton_tensor::{DType, Error, Result, Shape};

rhyton_nn::object! {
    /// The mean score of the input seen through random masks, place by place (Petsiuk, Das, Saenko 2018): coarse masks of 0
    /// and 1, enlarged smoothly and shifted by chance. It asks nothing of the model's inside.
    pub struct Rise {
        /// Number of masks.
        samples: usize = 500,
        /// Cells of a mask along each axis of places.
        cells: usize = 7,
        /// The share of cells that let through.
        share: f64 = 0.5,
        /// What is seen where a mask does not let through.
        baseline: Baseline = Baseline::default(),
    }
}

impl Attribution for Rise {
    fn attribute(&self, scene: &mut Scene) -> Result<Vec<Expr>> {
        if self.samples == 0 || self.cells == 0 || !(self.share > 0.0 && self.share < 1.0) {
            let what = format!("samples={}, cells={}, share={}", self.samples, self.cells, self.share);
            return Err(Error::new(what).expected("at least 1 of both, and a share between 0 and 1"));
        }
        let (values, baseline) = (scene.values(), scene.baseline(&self.baseline)?);
        if let Some(v) = values.iter().find(|v| v.rank() < 3) {
            return Err(Error::new(format!("there are no places in {}", v.shape()))
                .expected("[batch, places.., channels]")
                .fix("use a method that takes values one by one: shapley_sampling, kernel_shap"));
        }
        let sums = Scene::sum_over(&[scene.count(self.samples)], &values, |turn| {
            let masks = values.iter().map(|v| self.mask(scene, v, &turn[0])).collect();
            let masks = or_poison(masks, values.len());
            let seen = values.iter().zip(&baseline).zip(&masks).map(|((x, x0), m)| x0 + (x - x0) * m);
            let score = scene.score(&seen.collect::<Vec<Expr>>());
            let each = |(m, v): (&Expr, &Expr)| per_sample(&score, v) * m;
            masks.iter().zip(&values).map(each).collect()
        });
        let counted = 1.0 / (self.samples as f64 * self.share) as f32;
        Ok(sums.iter().map(|s| s * counted).collect())
    }
}

impl Rise {
    /// A mask over the places of `v`, `[1, places.., 1]`.
    fn mask(&self, scene: &mut Scene, v: &Expr, turn: &Expr) -> Result<Expr> {
        let sample = crate::features::sample_shape(v)?;
        let places = &sample[..sample.len() - 1];
        let coarse: Vec<usize> = places.iter().map(|_| self.cells + 1).chain([1]).collect();
        let open = scene.random(Distribution::Uniform, turn, coarse).less(&Expr::scalar(self.share as f32));
        let size = |n: &usize| n.div_ceil(self.cells);
        let large: Vec<usize> =
            [1].into_iter().chain(places.iter().map(|n| size(n) * (self.cells + 1))).chain([1]).collect();
        let mut mask = resized(&open.cast(DType::F32).expand_dims(&[0]), &Expr::full(large, 0.0))?;
        for (i, n) in places.iter().enumerate() {
            let shift =
                scene.random(Distribution::Uniform, turn, [1]).reshape(Shape::default()) * size(n) as f32;
            mask = mask.gather(i + 1, &(Expr::iota([*n], 0) + shift.floor().cast(DType::I32)));
        }
        Ok(mask)
    }
}
