//! KernelSHAP and LIME: a linear model of the score over coalitions. Its weights are the attributions.

use super::shapley::{check, shuffled};
use crate::coalitions::{solve, weighted};
use crate::features::{Features, Groups, Sizes};
use crate::{Attribution, Baseline, Scene};
use rhyton_graph::Expr;
use rhyton_tensor::rng::Stream;
use rhyton_tensor::{Error, Result};

rhyton_nn::object! {
    /// Shapley values as the weights of a linear model of the score over drawn coalitions, fitted with Shapley's kernel
    /// and held to add up to the score less the baseline's (Lundberg, Lee 2017). With all coalitions it is exact.
    pub struct KernelShap {
        /// Number of coalitions, drawn in pairs with their opposites; all of them where they are no more.
        samples: usize = 512,
        /// Which elements go together; each on its own when left out.
        groups: Groups = Groups::default(),
        /// Blocks of these sizes go together.
        patch: Sizes = Sizes::default(),
        /// What absent groups are.
        baseline: Baseline = Baseline::default(),
    }
}

/// Coalitions other than none and all, with weights: all of them by Shapley's kernel, or so many drawn by it.
fn coalitions(n: usize, samples: usize, seed: u32) -> Vec<(Vec<bool>, f64)> {
    // The kernel of a size, over all coalitions of that size.
    let of_size: Vec<f64> = (1..n).map(|s| 1.0 / (s * (n - s)) as f64).collect();
    if n < 24 && (1usize << n) - 2 <= samples {
        let choose = |s: usize| (0..s).fold(1.0, |c, i| c * (n - i) as f64 / (i + 1) as f64);
        let members = |m: usize| (0..n).map(|g| m >> g & 1 == 1).collect::<Vec<bool>>();
        let each =
            |m: usize| (members(m), of_size[m.count_ones() as usize - 1] / choose(m.count_ones() as usize));
        return (1..(1usize << n) - 1).map(each).collect();
    }
    let (mut rng, total) = (Stream::new(u64::from(seed), 0, 0), of_size.iter().sum::<f64>());
    let mut drawn = vec![];
    while drawn.len() < samples {
        let mut at = f64::from(rng.uniform()) * total;
        let size = of_size.iter().position(|w| {
            at -= w;
            at < 0.0
        });
        let size = size.map_or(n - 1, |s| s + 1);
        let mut present = vec![false; n];
        shuffled(n, &mut rng).into_iter().take(size).for_each(|g| present[g] = true);
        drawn.push((present.iter().map(|p| !p).collect(), 1.0));
        drawn.push((present, 1.0));
    }
    drawn
}

impl Attribution for KernelShap {
    fn attribute(&self, scene: &mut Scene) -> Result<Vec<Expr>> {
        let baseline = scene.baseline(&self.baseline)?;
        let features = Features::new(scene, &self.groups, self.patch.given())?;
        let n = features.count;
        let (mut present, mut weights) = (vec![vec![false; n], vec![true; n]], vec![]);
        if n == 1 {
            weights = vec![vec![-1.0], vec![1.0]];
        } else {
            // Without the last group, whose weight is what is left of the whole gain: d_g = x_g - x_last.
            let drawn = coalitions(n, self.samples.max(2 * n), scene.seed);
            let m = n - 1;
            let row = |p: &[bool]| {
                (0..m).map(|g| f64::from(u8::from(p[g])) - f64::from(u8::from(p[m]))).collect::<Vec<f64>>()
            };
            let mut normal = vec![0.0; m * m];
            for (p, w) in &drawn {
                let d = row(p);
                (0..m * m).for_each(|i| normal[i] += w * d[i / m] * d[i % m]);
            }
            let sides: Vec<Vec<f64>> =
                drawn.iter().map(|(p, w)| row(p).into_iter().map(|d| d * w).collect()).collect();
            let solved = solve(m, &normal, &sides)?;
            // y - f(none) - x_last (f(all) - f(none)), so that none and all count too.
            let (mut none, mut all) = (vec![0.0; n], vec![0.0; n]);
            for ((p, _), s) in drawn.iter().zip(&solved) {
                let last = f64::from(u8::from(p[m]));
                for g in 0..m {
                    none[g] -= s[g] * (1.0 - last);
                    all[g] -= s[g] * last;
                }
            }
            let with_last = |mut w: Vec<f64>, whole: f64| {
                w.truncate(m);
                let rest = whole - w.iter().sum::<f64>();
                w.push(rest);
                w
            };
            weights.push(with_last(none, -1.0));
            weights.push(with_last(all, 1.0));
            weights.extend(solved.into_iter().map(|s| with_last(s, 0.0)));
            present.extend(drawn.into_iter().map(|(p, _)| p));
        }
        let found = weighted(scene, &features, &baseline, &present, &weights)?;
        check(scene, &features, &baseline, &found, 1e-3);
        Ok(found)
    }
}

rhyton_nn::object! {
    /// The weights of a linear model of the score over coalitions near the sample (Ribeiro, Singh, Guestrin 2016): each
    /// group is present by chance, near is what leaves few out, and large weights cost.
    pub struct Lime {
        /// Number of coalitions.
        samples: usize = 1000,
        /// Which elements go together; each on its own when left out.
        groups: Groups = Groups::default(),
        /// Blocks of these sizes go together.
        patch: Sizes = Sizes::default(),
        /// What absent groups are.
        baseline: Baseline = Baseline::default(),
        /// How fast coalitions count less with the cosine distance d from all groups: `exp(-d^2 / width^2)`.
        kernel_width: f64 = 0.25,
        /// What a squared weight costs.
        ridge: f64 = 1.0,
    }
}

impl Attribution for Lime {
    fn attribute(&self, scene: &mut Scene) -> Result<Vec<Expr>> {
        if self.samples == 0 || self.kernel_width <= 0.0 || self.ridge <= 0.0 {
            return Err(Error::new(format!(
                "samples={}, kernel_width={}, ridge={}",
                self.samples, self.kernel_width, self.ridge
            ))
            .expected("numbers above 0"));
        }
        let baseline = scene.baseline(&self.baseline)?;
        let features = Features::new(scene, &self.groups, self.patch.given())?;
        let (n, mut rng) = (features.count, Stream::new(u64::from(scene.seed), 0, 0));
        let mut present = vec![vec![true; n]];
        present.extend((1..self.samples).map(|_| (0..n).map(|_| rng.uniform() < 0.5).collect::<Vec<bool>>()));
        let near = |p: &Vec<bool>| {
            let share = p.iter().filter(|x| **x).count() as f64 / n as f64;
            let d = 1.0 - share.sqrt();
            (-(d * d) / (self.kernel_width * self.kernel_width)).exp()
        };
        let counts: Vec<f64> = present.iter().map(near).collect();
        let total: f64 = counts.iter().sum();
        let mean: Vec<f64> = (0..n)
            .map(|g| present.iter().zip(&counts).filter(|(p, _)| p[g]).map(|(_, w)| w).sum::<f64>() / total)
            .collect();
        // Around the weighted means, so that the intercept costs nothing.
        let centred: Vec<Vec<f64>> =
            present.iter().map(|p| (0..n).map(|g| f64::from(u8::from(p[g])) - mean[g]).collect()).collect();
        let mut normal = vec![0.0; n * n];
        for (d, w) in centred.iter().zip(&counts) {
            (0..n * n).for_each(|i| normal[i] += w * d[i / n] * d[i % n]);
        }
        (0..n).for_each(|g| normal[g * n + g] += self.ridge);
        let sides: Vec<Vec<f64>> =
            centred.iter().zip(&counts).map(|(d, w)| d.iter().map(|x| x * w).collect()).collect();
        weighted(scene, &features, &baseline, &present, &solve(n, &normal, &sides)?)
    }
}
