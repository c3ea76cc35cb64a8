//! Scores of coalitions: some groups of values present, the others at the baseline. Shapley values, KernelSHAP and LIME
//! are weighted sums of these.

use crate::Scene;
use crate::features::{Features, table};
use rhyton_graph::Expr;
use rhyton_graph::function::for_each;
use rhyton_tensor::statistics::Cholesky;
use rhyton_tensor::{Error, Result};

/// Attributions that are sums over coalitions: coalition `m` has the groups `present[m]` and counts `weights[m][g]` for
/// group `g`.
pub(crate) fn weighted(
    scene: &Scene,
    features: &Features,
    baseline: &[Expr],
    present: &[Vec<bool>],
    weights: &[Vec<f64>],
) -> Result<Vec<Expr>> {
    let values = scene.values();
    let groups = features.count;
    let flags = present.iter().flatten().map(|p| f32::from(u8::from(*p))).collect();
    let flags = table([present.len(), groups], flags)?;
    let scores =
        for_each("coalitions", &[flags], |x| vec![scene.score(&features.mixed(&values, baseline, &x[0]))]);
    let weights = table([present.len(), groups], weights.iter().flatten().map(|w| *w as f32).collect())?;
    // Sums of many scores lose least around the first one.
    let origin = scores[0].entry(0, 0);
    let by_group = weights.dot(&(&scores[0] - origin.expand_dims(&[0])), &[0], &[0]);
    Ok(features.spread(&by_group))
}

/// The x of `a x = b` for symmetric positive `a` (row-major, `n` by `n`) and several b.
pub(crate) fn solve(n: usize, a: &[f64], b: &[Vec<f64>]) -> Result<Vec<Vec<f64>>> {
    let known = Cholesky::new(n, a)
        .ok_or_else(|| Error::new("the samples do not tell the groups apart").fix("draw more samples"))?;
    Ok(b.iter().map(|b| known.solve(b)).collect())
}
