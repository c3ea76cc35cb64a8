//! Shapley values, exact and sampled.

use crate::coalitions::weighted;
use crate::features::{Features, Groups, Sizes, at_least_one, table};
use crate::{Attribution, Baseline, Scene};
use rhyton_graph::Expr;
use rhyton_graph::function::for_each;
use rhyton_tensor::rng::Stream;
use rhyton_tensor::{Error, Result};

/// Coalitions of more groups would be more than a million.
const MOST_GROUPS: usize = 20;

rhyton_nn::object! {
    /// What each group of values adds to the score, on average over all orders in which groups may come in (Shapley
    /// 1953): exact, from the scores of all `2^groups` coalitions. Each element carries its group's value. They add up
    /// to the score less the baseline's, which is checked.
    pub struct ShapleyValues {
        /// Which elements go together; each on its own when left out.
        groups: Groups = Groups::default(),
        /// Blocks of these sizes go together.
        patch: Sizes = Sizes::default(),
        /// What absent groups are.
        baseline: Baseline = Baseline::default(),
    }
}

impl Attribution for ShapleyValues {
    fn attribute(&self, scene: &mut Scene) -> Result<Vec<Expr>> {
        let baseline = scene.baseline(&self.baseline)?;
        let features = Features::new(scene, &self.groups, self.patch.given())?;
        let n = features.count;
        if n > MOST_GROUPS {
            return Err(Error::new(format!("{n} groups have 2^{n} coalitions"))
                .expected(format!("at most {MOST_GROUPS} groups"))
                .fix(
                    "put elements together with groups or patch, or sample: shapley_sampling, kernel_shap",
                ));
        }
        let present: Vec<Vec<bool>> =
            (0..1usize << n).map(|m| (0..n).map(|g| m >> g & 1 == 1).collect()).collect();
        // Of size s with the group: 1 / (n binomial(n-1, s-1)); without it: as much less, for size s + 1.
        let mut of_size = vec![1.0 / n as f64; n];
        for s in 1..n {
            of_size[s] = of_size[s - 1] * s as f64 / (n - s) as f64;
        }
        let weight = |p: &Vec<bool>| -> Vec<f64> {
            let size = p.iter().filter(|x| **x).count();
            p.iter().map(|has| if *has { of_size[size - 1] } else { -of_size[size.min(n - 1)] }).collect()
        };
        let weights: Vec<Vec<f64>> = present.iter().map(weight).collect();
        let found = weighted(scene, &features, &baseline, &present, &weights)?;
        check(scene, &features, &baseline, &found, 1e-3);
        Ok(found)
    }
}

/// The numbers below `n` in an order that is drawn.
pub(super) fn shuffled(n: usize, rng: &mut Stream) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    rng.shuffle(&mut order);
    order
}

/// Notes that the values of the groups should add up to the score less the baseline's.
pub(super) fn check(
    scene: &mut Scene,
    features: &Features,
    baseline: &[Expr],
    found: &[Expr],
    tolerance: f32,
) {
    // An element stands for its group: it counts for one share of it.
    let ones: Vec<Expr> = features.of.iter().map(|of| of.ones_like().float()).collect();
    let sizes = ones.iter().zip(&features.of).map(|(one, of)| {
        let flat = one.reshape([one.shape().elements()]);
        let of = of.reshape([of.shape().elements()]);
        of.one_hot(features.count).dot(&flat, &[0], &[0])
    });
    let Some(sizes) = sizes.reduce(|a, b| a + b) else { return };
    let shared: Vec<Expr> = found.iter().zip(&features.of).map(|(a, of)| a / sizes.gather(0, of)).collect();
    let gained = scene.score(&scene.values()) - scene.score(baseline);
    scene.check_sum("efficiency", &shared, gained, tolerance);
}

rhyton_nn::object! {
    /// Shapley values over orders that are drawn, with their standard error (Castro, Gómez, Tejada 2009).
    pub struct ShapleySampling {
        /// Number of orders.
        samples: usize = 25,
        /// Which elements go together; each on its own when left out.
        groups: Groups = Groups::default(),
        /// Blocks of these sizes go together.
        patch: Sizes = Sizes::default(),
        /// What absent groups are.
        baseline: Baseline = Baseline::default(),
    }
}

impl Attribution for ShapleySampling {
    fn attribute(&self, scene: &mut Scene) -> Result<Vec<Expr>> {
        at_least_one("samples", self.samples)?;
        let (values, baseline) = (scene.values(), scene.baseline(&self.baseline)?);
        let features = Features::new(scene, &self.groups, self.patch.given())?;
        let n = features.count;
        let mut rng = Stream::new(u64::from(scene.seed), 0, 0);
        let orders: Vec<Vec<usize>> = (0..self.samples).map(|_| shuffled(n, &mut rng)).collect();
        // Where in the order a group comes.
        let mut turns = vec![0f32; self.samples * n];
        for (row, order) in orders.iter().enumerate() {
            order.iter().enumerate().for_each(|(turn, g)| turns[row * n + g] = turn as f32);
        }
        let turns = table([self.samples, n], turns)?;
        let counts = scene.count(n + 1);
        // Scores after 0, 1, .. groups; what a group adds is the difference at its turn.
        let gains = for_each("orders", &[turns], |order| {
            let scores = for_each("turns", &[counts.clone()], |k| {
                let present = order[0].less(&k[0].float()).float();
                vec![scene.score(&features.mixed(&values, &baseline, &present))]
            });
            let steps = scores[0].slice(0, 1, n) - scores[0].slice(0, 0, n);
            vec![steps.gather(0, &order[0].cast(rhyton_tensor::DType::I32))]
        });
        let mean = gains[0].mean(&[0]);
        let off = &gains[0] - mean.expand_dims(&[0]);
        let error = ((&off * &off).mean(&[0]) * (1.0 / self.samples as f32)).sqrt();
        let found = features.spread(&mean);
        check(scene, &features, &baseline, &found, 1e-3);
        scene.standard_error(features.spread(&error));
        Ok(found)
    }
}
