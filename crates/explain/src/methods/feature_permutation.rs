//! Feature permutation.

use crate::features::{Features, Groups, Sizes, at_least_one};
use crate::{Attribution, Scene};
use rhyton_graph::Expr;
use rhyton_graph::function::for_each;
use rhyton_graph::ops::Distribution;
use rhyton_tensor::{DType, Result, Shape};

rhyton_nn::object! {
    /// How much the score falls when a value, or a group of them, is taken from another sample of the batch (Fisher, Rudin,
    /// Dominici 2019): samples hand it on by a drawn number of places, so that none keeps its own. What is said of a sample
    /// depends on the others of its batch.
    pub struct FeaturePermutation {
        /// Number of draws for each group, whose mean is taken.
        samples: usize = 1,
        /// Which elements go together; each on its own when left out.
        groups: Groups = Groups::default(),
        /// Blocks of these sizes go together.
        patch: Sizes = Sizes::default(),
    }
}

impl Attribution for FeaturePermutation {
    fn attribute(&self, scene: &mut Scene) -> Result<Vec<Expr>> {
        at_least_one("samples", self.samples)?;
        let values = scene.values();
        let features = Features::new(scene, &self.groups, self.patch.given())?;
        let (score, batch) = (scene.score(&values), scene.batch());
        let (rows, size) = (Expr::iota(Shape(vec![batch.clone()]), 0), Expr::size(&batch).cast(DType::I32));
        let (groups, draws) = (scene.count(features.count), scene.count(self.samples));
        let fell = for_each("features", &[groups], |group| {
            let sums = Scene::sum_over(&[draws.clone()], &[score.clone()], |draw| {
                let turn = &group[0] * Expr::scalar(self.samples as i32) + &draw[0];
                let drawn = scene.random(Distribution::Uniform, &turn, [1]).reshape(Shape::default());
                let by = (drawn * (size.float() - 1.0)).floor().cast(DType::I32) + Expr::scalar(1i32);
                let next = &rows + by;
                let from = next.less(&size).select(&next, &(&next - &size));
                let each = |(v, of): (&Expr, &Expr)| of.equal(&group[0]).select(&v.gather(0, &from), v);
                let mixed: Vec<Expr> = values.iter().zip(&features.of).map(each).collect();
                vec![&score - scene.score(&mixed)]
            });
            vec![&sums[0] * (1.0 / self.samples as f32)]
        });
        Ok(features.spread(&fell[0]))
    }
}
