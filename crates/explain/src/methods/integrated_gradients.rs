//! Integrated gradients.

use crate::features::at_least_one;
use crate::{Attribution, Baseline, Scene};
use rhyton_graph::Expr;
use rhyton_tensor::{Result, Tensor};
use serde::{Deserialize, Serialize};

/// Where on the path gradients are taken, and what each counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quadrature {
    /// Gauss and Legendre's points.
    #[default]
    #[serde(alias = "gauss_legendre")]
    Gausslegendre,
    /// Points from end to end, of `1 / steps` each and half of that at the ends, as Captum has it: all together count
    /// `1 - 1 / steps`.
    #[serde(alias = "riemann_trapezoid")]
    Trapezoid,
    /// The beginnings of equal pieces.
    #[serde(alias = "riemann_left")]
    Left,
    /// Their ends.
    #[serde(alias = "riemann_right")]
    Right,
    /// Their middles.
    #[serde(alias = "riemann_middle")]
    Middle,
}

impl rhyton_nn::Setting<Quadrature> for Quadrature {
    fn setting(self) -> Quadrature {
        self
    }
}

impl Quadrature {
    /// Points in [0, 1] and their weights.
    fn points(self, n: usize) -> (Vec<f64>, Vec<f64>) {
        let each = 1.0 / n as f64;
        let even = |shift: f64| (0..n).map(|i| (i as f64 + shift) * each).collect::<Vec<f64>>();
        match self {
            Quadrature::Gausslegendre => gauss_legendre(n),
            Quadrature::Left => (even(0.0), vec![each; n]),
            Quadrature::Middle => (even(0.5), vec![each; n]),
            Quadrature::Right => (even(1.0), vec![each; n]),
            Quadrature::Trapezoid => {
                let pieces = n.max(2) as f64 - 1.0;
                let end = |i: usize| if i == 0 || i == n - 1 { 0.5 } else { 1.0 };
                ((0..n).map(|i| i as f64 / pieces).collect(), (0..n).map(|i| end(i) * each).collect())
            }
        }
    }
}

/// Roots of the Legendre polynomial of degree `n` by Newton's method, moved from [-1, 1] to [0, 1].
fn gauss_legendre(n: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut points, mut weights) = (vec![0.0; n], vec![0.0; n]);
    for i in 0..n {
        let mut x = (std::f64::consts::PI * (i as f64 + 0.75) / (n as f64 + 0.5)).cos();
        let mut slope = 1.0;
        for _ in 0..100 {
            let (mut p, mut before) = (1.0, 0.0);
            for k in 0..n {
                let k = k as f64;
                (p, before) = (((2.0 * k + 1.0) * x * p - k * before) / (k + 1.0), p);
            }
            slope = n as f64 * (x * p - before) / (x * x - 1.0);
            let step = p / slope;
            x -= step;
            if step.abs() < 1e-15 {
                break;
            }
        }
        points[n - 1 - i] = (1.0 + x) / 2.0;
        weights[n - 1 - i] = 1.0 / ((1.0 - x * x) * slope * slope);
    }
    (points, weights)
}

rhyton_nn::object! {
    /// The gradient of the score, integrated along the straight path from a baseline to the value, times the way
    /// (Sundararajan, Taly, Yan 2017): `(x - x0) * integral of dF(x0 + a (x - x0)) da`. Attributions add up to the
    /// difference of the scores (completeness), which is checked.
    pub struct IntegratedGradients {
        /// Number of gradients.
        steps: usize = 50,
        /// Where they are taken.
        quadrature: Quadrature = Quadrature::default(),
        /// Where the path begins.
        baseline: Baseline = Baseline::default(),
    }
}

/// The largest error of completeness that passes, as a share of what adds up.
const TOLERANCE: f32 = 0.02;

impl Attribution for IntegratedGradients {
    fn attribute(&self, scene: &mut Scene) -> Result<Vec<Expr>> {
        at_least_one("steps", self.steps)?;
        let (values, start) = (scene.values(), scene.baseline(&self.baseline)?);
        let way: Vec<Expr> = values.iter().zip(&start).map(|(x, x0)| x - x0).collect();
        let (points, weights) = self.quadrature.points(self.steps);
        let sequence = |v: Vec<f64>| {
            Expr::constant(&Tensor::vector(v.into_iter().map(|x| x as f32).collect::<Vec<_>>()))
        };
        let mean = Scene::sum_over(&[sequence(points), sequence(weights)], &values, |x| {
            let at: Vec<Expr> = start.iter().zip(&way).map(|(x0, way)| x0 + way * &x[0]).collect();
            scene.gradient(&at).iter().map(|g| g * &x[1]).collect()
        });
        let attributions: Vec<Expr> = mean.iter().zip(&way).map(|(g, way)| g * way).collect();
        let gained = scene.score(&values) - scene.score(&start);
        scene.check_sum("completeness", &attributions, gained, TOLERANCE);
        Ok(attributions)
    }
}
