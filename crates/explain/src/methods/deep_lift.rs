//! DeepLIFT.

use crate::rules::pair::{Pair, Rescale};
use crate::rules::reveal::{Parts, RevealCancel};
use crate::scene::or_poison;
use crate::{Attribution, Baseline, Scene};
use rhyton_graph::transform::Walked;
use rhyton_graph::{Expr, grad};
use rhyton_tensor::{Error, Result};
use serde::{Deserialize, Serialize};

/// What takes the place of slopes where a function is not linear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Multipliers {
    /// The change of the result over the change of the value.
    #[default]
    Rescale,
    /// One for what moved the value up and one for what moved it down, each over what the other has or has not done
    /// yet: causes that cancel each other are seen.
    RevealCancel,
}

impl rhyton_nn::Setting<Multipliers> for Multipliers {
    fn setting(self) -> Multipliers {
        self
    }
}

/// The largest error of summation to delta that passes, as a share of what adds up.
const TOLERANCE: f32 = 1e-3;

/// The score with DeepLIFT's multipliers for slopes, and that of the reference.
fn scores(scene: &Scene, reference: &[Expr], rule: Multipliers) -> Result<(Expr, Expr)> {
    let values = scene.values();
    let pairs =
        values.iter().zip(reference).map(|(x, x0)| (x, Pair { value: x.clone(), reference: x0.clone() }));
    let found = match rule {
        Multipliers::Rescale => {
            let given: Vec<(Expr, Pair)> = pairs.map(|(x, pair)| (x.clone(), pair)).collect();
            scene.walk(&Rescale, &given)?
        }
        Multipliers::RevealCancel => {
            let given: Vec<(Expr, Parts)> = pairs.map(|(x, pair)| (x.clone(), Parts::of(&pair))).collect();
            match scene.walk(&RevealCancel, &given)? {
                Walked::Image(parts) => Walked::Image(parts.pair()),
                Walked::Plain(e) => Walked::Plain(e),
            }
        }
    };
    match found {
        Walked::Image(Pair { value, reference }) => Ok((scene.pick(&value), scene.pick(&reference))),
        Walked::Plain(_) => Err(Error::new("the score does not depend on what is to be explained")),
    }
}

/// Multipliers times the way from the reference, and the change of the score.
fn contributions(scene: &Scene, reference: &[Expr], rule: Multipliers) -> Result<(Vec<Expr>, Expr)> {
    let values = scene.values();
    let (score, score0) = scores(scene, reference, rule)?;
    let m = grad(&score.sum_all(), &values);
    let found = m.iter().zip(values.iter().zip(reference)).map(|(m, (x, x0))| m * (x - x0)).collect();
    Ok((found, score - score0))
}

rhyton_nn::object! {
    /// What each value's difference from a reference contributes to the score's (Shrikumar, Greenside, Kundaje 2017), by the
    /// rescale rule or by reveal-cancel. Contributions add up to the difference of the scores, which is checked.
    pub struct DeepLift {
        /// The rule for what is not linear.
        rule: Multipliers = Multipliers::default(),
        /// The reference.
        baseline: Baseline = Baseline::default(),
    }
}

impl Attribution for DeepLift {
    fn attribute(&self, scene: &mut Scene) -> Result<Vec<Expr>> {
        let reference = scene.baseline(&self.baseline)?;
        let (found, gained) = contributions(scene, &reference, self.rule)?;
        scene.check_sum("summation to delta", &found, gained, TOLERANCE);
        Ok(found)
    }
}

rhyton_nn::object! {
    /// The mean of DeepLIFT's contributions over given samples as references (Lundberg, Lee 2017): Shapley values of the
    /// score, as nearly as its slopes are multipliers. They add up to the score minus the references' mean score.
    pub struct DeepShap {
        /// The array that holds the references.
        background: String = "background".into(),
    }
}

impl Attribution for DeepShap {
    fn attribute(&self, scene: &mut Scene) -> Result<Vec<Expr>> {
        let background = scene.background(&self.background)?;
        let rows = background[0].shape()[0].as_fixed().unwrap_or(1) as f32;
        let values = scene.values();
        let like = [&values[..], &[scene.score(&values)]].concat();
        let sums = Scene::sum_over(&background, &like, |x| {
            let inputs: Vec<Expr> = x.iter().map(|x| scene.for_all(x)).collect();
            let found = contributions(scene, &scene.values_of_inputs(&inputs), Multipliers::Rescale);
            or_poison(found.map(|(found, gained)| [found, vec![gained]].concat()), like.len())
        });
        let mut means: Vec<Expr> = sums.iter().map(|s| s * (1.0 / rows)).collect();
        let gained = means.remove(values.len());
        scene.check_sum("summation to delta", &means, gained, TOLERANCE);
        Ok(means)
    }
}
