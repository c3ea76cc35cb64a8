//! Concept activation vectors (Kim et al. 2018): whether the score rises in the direction of a concept, given by examples.

use crate::coalitions::solve;
use crate::measures::joined;
use crate::{Explainer, Place};
use rhyton_graph::Expr;
use rhyton_model::Tensors;
use rhyton_tensor::statistics::beta_cdf;
use rhyton_tensor::{Error, Result, Tensor};

/// What a concept has to do with a score.
#[derive(Clone, Debug)]
pub struct Concept {
    /// The share of samples whose score rises towards the concept, for the classifier against each random set.
    pub scores: Vec<f64>,
    /// The same for classifiers of one random set against the next: what chance gives.
    pub random: Vec<f64>,
    /// The probability that means so far apart come by chance: Welch's t-test of the two lists, two-sided.
    pub p_value: f64,
    /// The share of examples on the right side of each classifier. Near a half, the layer does not know the concept.
    pub accuracies: Vec<f64>,
}

impl Concept {
    /// The mean share of samples whose score rises towards the concept.
    pub fn mean(&self) -> f64 {
        mean(&self.scores)
    }
}

fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len().max(1) as f64
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// What a squared weight of a classifier costs, as a share of the mean squared length of an example.
const RIDGE: f64 = 1e-2;

/// The direction from the examples `no` to the examples `yes`: the weights of the linear least squares of 1 and -1,
/// small ones preferred, of length 1. And the share of examples on the right side.
fn direction(yes: &[Vec<f64>], no: &[Vec<f64>]) -> Result<(Vec<f64>, f64)> {
    let all: Vec<&Vec<f64>> = yes.iter().chain(no).collect();
    let (n, width) = (all.len(), yes[0].len());
    let centre: Vec<f64> = (0..width).map(|i| all.iter().map(|x| x[i]).sum::<f64>() / n as f64).collect();
    let rows: Vec<Vec<f64>> =
        all.iter().map(|x| x.iter().zip(&centre).map(|(x, c)| x - c).collect()).collect();
    let mut products: Vec<f64> = (0..n * n).map(|i| dot(&rows[i / n], &rows[i % n])).collect();
    let cost = RIDGE * (0..n).map(|i| products[i * n + i]).sum::<f64>() / n as f64;
    if cost <= 0.0 {
        return Err(Error::new("all examples look the same to the layer"));
    }
    (0..n).for_each(|i| products[i * n + i] += cost);
    let sides: Vec<f64> = (0..n).map(|i| if i < yes.len() { 1.0 } else { -1.0 }).collect();
    let centred: Vec<f64> = sides.iter().map(|s| s - mean(&sides)).collect();
    let counts = solve(n, &products, &[centred])?.swap_remove(0);
    let mut w: Vec<f64> = (0..width).map(|i| rows.iter().zip(&counts).map(|(r, c)| r[i] * c).sum()).collect();
    let length = dot(&w, &w).sqrt().max(f64::MIN_POSITIVE);
    w.iter_mut().for_each(|x| *x /= length);
    let along: Vec<f64> = rows.iter().map(|r| dot(r, &w)).collect();
    let middle = (mean(&along[..yes.len()]) + mean(&along[yes.len()..])) / 2.0;
    let right = along.iter().zip(&sides).filter(|(a, s)| (**a > middle) == (**s > 0.0)).count();
    Ok((w, right as f64 / n as f64))
}

impl Explainer<'_> {
    /// Whether the scores of `x` rise towards a concept at a layer. `concept` holds examples of it, each of `random` other
    /// inputs; at least two such sets, better ten or more, since the significance is that over the sets.
    ///
    /// ```
    /// # use rhyton_explain::Explainer;
    /// # use rhyton_model::Sequential;
    /// # use rhyton_nn::layers::Dense;
    /// # use rhyton_tensor::{Tensor, rng::Stream};
    /// # let reference = std::sync::Arc::<rhyton_graph::reference::ReferenceBackend>::default();
    /// # rhyton_model::backend::set_backend(reference);
    /// let model = Sequential::new([3]).add(Dense::new(4)).add(Dense::new(2)).build()?;
    /// let mut rng = Stream::new(1, 0, 0);
    /// let mut some = |n, shift: f32| Tensor::from_fn([n, 3], |i| rng.normal() + if i % 3 == 0 { shift } else { 0.0 });
    /// let (x, concept, random) = (some(6, 0.0), some(20, 5.0), [some(20, 0.0), some(20, 0.0), some(20, 0.0)]);
    /// let found = Explainer::new(&model).concept("dense", &concept, &random, &x, None)?;
    /// assert!(found.scores.len() == 3 && found.accuracies[0] > 0.9);
    /// # Ok::<(), rhyton_tensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// When there is no such layer, there are fewer than two random sets, or the inputs do not fit the model.
    pub fn concept(
        &self,
        layer: &str,
        concept: &Tensor,
        random: &[Tensor],
        x: &Tensor,
        labels: Option<&Tensor>,
    ) -> Result<Concept> {
        if random.len() < 2 {
            return Err(
                Error::new(format!("{} sets of random examples", random.len())).expected("at least 2")
            );
        }
        let place = Place::Layer { name: layer.into(), activated: true };
        let explainer = self.aimed(labels);
        let activations = Explainer { target: None, ..explainer.clone() };
        let activations =
            activations.program("activations", &place, |scene| Ok(vec![joined(scene, &scene.values())]))?;
        let at_layer = |x: &Tensor| -> Result<Vec<Vec<f64>>> {
            let t = activations.run(Tensors(vec![x]), None)?.swap_remove(0);
            Ok(t.to_vec::<f64>().chunks(t.shape()[1].max(1)).map(<[f64]>::to_vec).collect())
        };
        let yes = at_layer(concept)?;
        let others = random.iter().map(at_layer).collect::<Result<Vec<_>>>()?;
        let towards = others.iter().map(|no| direction(&yes, no)).collect::<Result<Vec<_>>>()?;
        let by_chance = (0..others.len()).map(|i| direction(&others[i], &others[(i + 1) % others.len()]));
        let by_chance = by_chance.collect::<Result<Vec<_>>>()?;
        let all: Vec<f32> =
            towards.iter().chain(&by_chance).flat_map(|(w, _)| w.iter().map(|x| *x as f32)).collect();
        let width = yes[0].len();
        let all = Expr::constant(&Tensor::new([2 * others.len(), width], all)?);
        let slopes = explainer.program("concept", &place, |scene| {
            let slopes = scene.gradient(&scene.values());
            Ok(vec![joined(scene, &slopes).dot(&all, &[1], &[1])])
        })?;
        let slopes = slopes.run(Tensors(vec![x]), labels)?.swap_remove(0).to_vec::<f32>();
        let n = 2 * others.len();
        let rises = |set: usize| {
            let up = slopes.chunks(n).filter(|row| row[set] > 0.0).count();
            up as f64 / (slopes.len() / n).max(1) as f64
        };
        let (scores, random): (Vec<f64>, Vec<f64>) =
            ((0..n / 2).map(rises).collect(), (n / 2..n).map(rises).collect());
        let p_value = welch(&scores, &random);
        Ok(Concept { scores, random, p_value, accuracies: towards.into_iter().map(|(_, a)| a).collect() })
    }
}

/// The probability of a difference of means like this under Welch's t-test, two-sided.
fn welch(a: &[f64], b: &[f64]) -> f64 {
    let share = |x: &[f64]| {
        let m = mean(x);
        let squares: f64 = x.iter().map(|v| (v - m) * (v - m)).sum();
        squares / (x.len() as f64 - 1.0) / x.len() as f64
    };
    let (va, vb, apart) = (share(a), share(b), mean(a) - mean(b));
    if va + vb <= 0.0 {
        return if apart == 0.0 { 1.0 } else { 0.0 };
    }
    let t2 = apart * apart / (va + vb);
    let below = va * va / (a.len() as f64 - 1.0) + vb * vb / (b.len() as f64 - 1.0);
    let freedom = (va + vb) * (va + vb) / below;
    beta_cdf(freedom / (freedom + t2), freedom / 2.0, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_that_are_apart_are_told_from_those_that_are_not() {
        assert!(welch(&[0.9, 1.0, 0.95], &[0.4, 0.5, 0.6]) < 0.01);
        assert!(welch(&[0.4, 0.6, 0.5], &[0.5, 0.6, 0.4]) > 0.9);
    }
}
