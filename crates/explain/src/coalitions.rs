//! Scores of coalitions: some groups of values present, the others at the baseline. Shapley values, KernelSHAP and LIME
//! are weighted sums of these.

use crate::Scene;
use crate::features::{Features, table};
use rhyton_graph::Expr;
use rhyton_graph::function::for_each;
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

/// Solves `a x = b` for symmetric positive `a` (row-major, `n` by `n`) and several right sides, by Cholesky's method.
pub(crate) fn solve(n: usize, a: &[f64], b: &[Vec<f64>]) -> Result<Vec<Vec<f64>>> {
    let mut l = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..=i {
            let sum: f64 = (0..j).map(|k| l[i * n + k] * l[j * n + k]).sum();
            let rest = a[i * n + j] - sum;
            if i == j && rest <= 1e-12 * a[i * n + i].abs() {
                return Err(Error::new("the samples do not tell the groups apart").fix("draw more samples"));
            }
            l[i * n + j] = if i == j { rest.sqrt() } else { rest / l[j * n + j] };
        }
    }
    let each = |b: &Vec<f64>| {
        let mut x = b.clone();
        for i in 0..n {
            let sum: f64 = (0..i).map(|k| l[i * n + k] * x[k]).sum();
            x[i] = (x[i] - sum) / l[i * n + i];
        }
        for i in (0..n).rev() {
            let sum: f64 = (i + 1..n).map(|k| l[k * n + i] * x[k]).sum();
            x[i] = (x[i] - sum) / l[i * n + i];
        }
        x
    };
    Ok(b.iter().map(each).collect())
}
