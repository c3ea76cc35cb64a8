//! Whether attributions say what the model does when values are taken away or changed.

use super::ranks::{pearson, spearman};
use super::units::{Units, ends};
use super::{Measure, Measured};
use crate::features::{Sizes, at_least_one, list, table};
use crate::{Attribution, Baseline, Scene};
use rhyton_graph::Expr;
use rhyton_graph::function::for_each;
use rhyton_graph::ops::Distribution;
use rhyton_model::program::sample_axes;
use rhyton_tensor::rng::Stream;
use rhyton_tensor::{DType, Error, Result, Tensor};

/// A weighted sum of the points of a curve, `[batch]`.
fn weighted(curve: &Expr, weights: Vec<f64>) -> Expr {
    let weights = Tensor::vector(weights.into_iter().map(|w| w as f32).collect::<Vec<f32>>());
    curve.dot(&Expr::constant(&weights), &[1], &[0])
}

/// The weights of the trapezoid rule for points at these places.
fn trapezoid(at: &[f64]) -> Vec<f64> {
    let end = at.len() - 1;
    (0..=end).map(|i| (at[(i + 1).min(end)] - at[i.saturating_sub(1)]) / 2.0).collect()
}

/// The score while shares of the units, the most important first, go from the values to the baseline or back.
fn area(
    scene: &mut Scene,
    method: &dyn Attribution,
    baseline: &Baseline,
    steps: usize,
    insert: bool,
) -> Result<Measured<Expr>> {
    at_least_one("steps", steps)?;
    let units = Units::of(scene, method)?;
    let n = units.count;
    let (values, nothing) = ends(scene, baseline)?;
    let gone: Vec<usize> = (0..=steps).map(|k| k * n / steps).collect();
    let at: Vec<f64> = gone.iter().map(|g| *g as f64 / n as f64).collect();
    let (from, to) = if insert { (&nothing, &values) } else { (&values, &nothing) };
    let curve = units.curve(scene, &units.order(true), gone, from, to);
    Ok(Measured { value: weighted(&curve, trapezoid(&at)), curve: Some(curve) })
}

/// Defines measures: settings and what they compute.
macro_rules! measures {
    ($($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $ty:ty = $default:expr),* $(,)? } |$me:ident, $scene:ident, $method:ident| $body:expr;)*) => { $(
        rhyton_nn::object! {
            $(#[$doc])*
            pub struct $name {
                $($(#[$fdoc])* $field: $ty = $default),*
            }
        }

        impl Measure for $name {
            fn measure(&self, $scene: &mut Scene, $method: &dyn Attribution) -> Result<Measured<Expr>> {
                let $me = self;
                $body
            }
        }
    )* };
}

measures! {
    /// The area under the score while the values with the largest attributions are replaced by the baseline, in equal
    /// shares until none is left (Petsiuk, Das, Saenko 2018). Small when attributions are right. The curve has
    /// `steps + 1` points from all values to none.
    Deletion {
        /// Number of steps.
        steps: usize = 20,
        /// What takes their place.
        baseline: Baseline = Baseline::default(),
    } |me, scene, method| area(scene, method, &me.baseline, me.steps, false);
    /// The area under the score while the values with the largest attributions are put into the baseline (Petsiuk, Das,
    /// Saenko 2018). Large when attributions are right.
    Insertion {
        /// Number of steps.
        steps: usize = 20,
        /// Where they are put in.
        baseline: Baseline = Baseline::default(),
    } |me, scene, method| area(scene, method, &me.baseline, me.steps, true);
    /// The scores after each step in which so many values, those with the largest attributions first, are replaced by
    /// the baseline, and the area under them with steps of width 1 (Bach et al. 2015).
    PixelFlipping {
        /// Values in one step.
        features_in_step: usize = 1,
        /// What takes their place.
        baseline: Baseline = Baseline::default(),
    } |me, scene, method| {
        let units = Units::of(scene, method)?;
        let gone = taken(units.count, me.features_in_step)?;
        let (values, nothing) = ends(scene, &me.baseline)?;
        let at: Vec<f64> = (0..gone.len()).map(|i| i as f64).collect();
        let curve = units.curve(scene, &units.order(true), gone, &values, &nothing);
        Ok(Measured { value: weighted(&curve, trapezoid(&at)), curve: Some(curve) })
    };
    /// 1 where the score never falls while values are put into the baseline, those with the smallest attributions
    /// first; else 0 (Arya et al. 2019).
    MonotonicityArya {
        /// Values in one step.
        features_in_step: usize = 1,
        /// Where they are put in.
        baseline: Baseline = Baseline::default(),
    } |me, scene, method| {
        let units = Units::of(scene, method)?;
        let gone = taken(units.count, me.features_in_step)?;
        let (values, nothing) = ends(scene, &me.baseline)?;
        let points = gone.len();
        let curve = units.curve(scene, &units.order(false), gone, &nothing, &values);
        let value = match points {
            1 => curve.entry(1, 0).ones_like(),
            n => {
                let falls = curve.slice(1, 1, n - 1).less(&curve.slice(1, 0, n - 1));
                Expr::scalar(1.0f32) - falls.cast(DType::F32).max(&[1])
            }
        };
        Ok(Measured { value, curve: Some(curve) })
    };
    /// Spearman's correlation of the attributions of pieces, in rising order, with the mean squared change of the score
    /// when even noise takes their place, `E (f(x') - f(x))^2 / f(x)^2` (Nguyen, Martínez 2020).
    MonotonicityNguyen {
        /// Values in a piece.
        features_in_step: usize = 1,
        /// Draws for each piece.
        samples: usize = 10,
        /// The least noise.
        low: f64 = 0.0,
        /// The largest.
        high: f64 = 1.0,
    } |me, scene, method| nguyen(me, scene, method);
    /// The mean of `(I . a - (f(x) - f(x - I)))^2` over changes I (Yeh et al. 2019): every block of the sizes `patch`
    /// replaced by the baseline in turn, or normal noise where there is no patch.
    Infidelity {
        /// Blocks of these sizes.
        patch: Sizes = Sizes::default(),
        /// What takes their place.
        baseline: Baseline = Baseline::default(),
        /// Number of draws of noise.
        samples: usize = 50,
        /// Its standard deviation.
        stdev: f64 = 0.1,
    } |me, scene, method| infidelity(me, scene, method);
    /// Pearson's correlation, over drawn subsets of the values, of the sum of their attributions with what the score
    /// loses when the baseline takes their place (Bhatt, Weller, Moura 2020).
    FaithfulnessCorrelation {
        /// Number of subsets.
        samples: usize = 100,
        /// Values in each; a quarter of all when left out.
        subset: Option<usize> = None,
        /// What takes their place.
        baseline: Baseline = Baseline::default(),
    } |me, scene, method| faithfulness(me, scene, method);
}

/// How many units are gone after each step.
fn taken(count: usize, in_step: usize) -> Result<Vec<usize>> {
    at_least_one("features_in_step", in_step)?;
    Ok((1..=count.div_ceil(in_step)).map(|k| (k * in_step).min(count)).collect())
}

fn nguyen(me: &MonotonicityNguyen, scene: &mut Scene, method: &dyn Attribution) -> Result<Measured<Expr>> {
    at_least_one("samples", me.samples)?;
    let units = Units::of(scene, method)?;
    let gone = taken(units.count, me.features_in_step)?;
    let order = units.order(false);
    let (values, draws) = (scene.values(), scene.count(me.samples));
    let score = scene.score(&values);
    let pieces = gone.len();
    let numbers = list((0..pieces).collect());
    let each = for_each("changes", &[numbers, list(gone)], |x| {
        let first = &x[0] * Expr::scalar(me.features_in_step as i32);
        let piece = order.less(&x[1]).and(&order.greater_equal(&first));
        let squares = Scene::sum_over(&[draws.clone()], &[score.clone()], |draw| {
            let turn = &x[0] * Expr::scalar(me.samples as i32) + &draw[0];
            let noise = values.iter().map(|v| {
                scene.noise(Distribution::Uniform, &turn, v) * (me.high - me.low) as f32 + me.low as f32
            });
            let noise: Vec<Expr> = noise.collect();
            let change = scene.score(&units.mixed(&piece, &values, &noise)) - &score;
            vec![&change * &change]
        });
        let inside = piece.cast(DType::F32);
        vec![&squares[0] * (1.0 / me.samples as f32), (&units.row * inside).sum(&[1])]
    });
    let size = &score * &score;
    let none = size.less(&Expr::scalar(1e-10f32));
    let moved = &each[0] / none.select(&size.ones_like(), &size);
    let [moved, attributed] = [&moved, &each[1]].map(|e| e.transpose(&[1, 0]));
    Ok(spearman(&attributed, &moved).into())
}

fn infidelity(me: &Infidelity, scene: &mut Scene, method: &dyn Attribution) -> Result<Measured<Expr>> {
    let attributions = method.attribute(scene)?;
    let (values, nothing) = ends(scene, &me.baseline)?;
    let score = scene.score(&values);
    let blocks = match me.patch.given() {
        Some(patch) => Some(crate::features::Features::new(scene, &crate::Groups::Each, Some(patch))?),
        None => None,
    };
    let turns = blocks.as_ref().map_or(me.samples, |b| b.count);
    at_least_one("samples", turns)?;
    let numbers = scene.count(turns);
    let squares = Scene::sum_over(&[numbers], &[score.clone()], |x| {
        let changes: Vec<Expr> = match &blocks {
            Some(blocks) => {
                let change = |((v, v0), of): ((&Expr, &Expr), &Expr)| {
                    of.equal(&x[0]).select(&(v - v0), &Expr::scalar(0.0f32))
                };
                values.iter().zip(&nothing).zip(&blocks.of).map(change).collect()
            }
            None => {
                values.iter().map(|v| scene.noise(Distribution::Normal, &x[0], v) * me.stdev as f32).collect()
            }
        };
        let without: Vec<Expr> = values.iter().zip(&changes).map(|(v, i)| v - i).collect();
        let sums = attributions.iter().zip(&changes).map(|(a, i)| {
            let product = a * i;
            product.sum(&sample_axes(&product))
        });
        let said = sums.reduce(|a, b| a + b).unwrap_or_else(|| score.zeros_like());
        let off = said - (&score - scene.score(&without));
        vec![&off * &off]
    });
    Ok((&squares[0] * (1.0 / turns as f32)).into())
}

fn faithfulness(
    me: &FaithfulnessCorrelation,
    scene: &mut Scene,
    method: &dyn Attribution,
) -> Result<Measured<Expr>> {
    at_least_one("samples", me.samples)?;
    let units = Units::of(scene, method)?;
    let n = units.count;
    let subset = me.subset.unwrap_or(n.div_ceil(4));
    if subset == 0 || subset > n {
        return Err(Error::new(format!("subsets of {subset} values"))
            .expected(format!("from 1 to {n}, all that are explained")));
    }
    let mut rng = Stream::new(u64::from(scene.seed), 0, 0);
    let mut drawn = vec![0f32; me.samples * n];
    for row in drawn.chunks_mut(n) {
        row[..subset].fill(1.0);
        rng.shuffle(row);
    }
    let drawn = table([me.samples, n], drawn)?;
    let (values, nothing) = ends(scene, &me.baseline)?;
    let score = scene.score(&values);
    let lost = for_each("changes", &[drawn.clone()], |x| {
        let flags = scene.for_all(&x[0].greater(&Expr::scalar(0.5f32)));
        vec![&score - scene.score(&units.mixed(&flags, &values, &nothing))]
    });
    let said = units.row.dot(&drawn, &[1], &[1]);
    Ok(pearson(&said, &lost[0].transpose(&[1, 0])).into())
}
