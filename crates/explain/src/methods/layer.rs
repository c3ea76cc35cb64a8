//! What a layer's own values have to do with the score.

use super::{DeepLift, IntegratedGradients};
use crate::features::at_least_one;
use crate::{Attribution, Baseline, Place, Scene};
use rhyton_graph::Expr;
use rhyton_graph::function::scan;
use rhyton_tensor::{Error, Result};

/// Defines methods at a layer.
macro_rules! at_layers {
    ($($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $ty:ty = $default:expr),* $(,)? } |$me:ident, $scene:ident| $body:expr;)*) => { $(
        rhyton_nn::object! {
            $(#[$doc])*
            pub struct $name {
                /// The layer, by its name or the end of its path.
                layer: String = String::new(),
                /// Whether its activation belongs to it.
                activated: bool = false,
                $($(#[$fdoc])* $field: $ty = $default),*
            }
        }

        impl Attribution for $name {
            fn place(&self) -> Place {
                Place::Layer { name: self.layer.clone(), activated: self.activated }
            }

            fn attribute(&self, $scene: &mut Scene) -> Result<Vec<Expr>> {
                let $me = self;
                $body
            }
        }
    )* };
}

at_layers! {
    /// What a layer gives.
    LayerActivation {} |_me, scene| Ok(scene.values());
    /// The gradient of the score by what a layer gives.
    LayerGradient {} |_me, scene| Ok(scene.gradient(&scene.values()));
    /// The gradient of the score times what a layer gives.
    LayerGradientXActivation {} |_me, scene| {
        let values = scene.values();
        Ok(scene.gradient(&values).iter().zip(&values).map(|(g, a)| g * a).collect())
    };
    /// Integrated gradients by what a layer gives, on the straight path from what it gives for the baseline.
    LayerIntegratedGradients {
        /// Number of gradients.
        steps: usize = 50,
        /// Where the path begins: inputs.
        baseline: Baseline = Baseline::default(),
    } |me, scene| IntegratedGradients::default().steps(me.steps).baseline(me.baseline.clone()).attribute(scene);
    /// DeepLIFT's contributions of what a layer gives.
    LayerDeepLift {
        /// The reference: inputs.
        baseline: Baseline = Baseline::default(),
    } |me, scene| DeepLift::default().baseline(me.baseline.clone()).attribute(scene);
    /// How much of what flows from a baseline's inputs to the score flows through a layer's values (Dhamdhere,
    /// Sundararajan, Yan 2019): the gradient by them, times their change from step to step of the inputs' straight path.
    LayerConductance {
        /// Number of steps.
        steps: usize = 50,
        /// Where the path begins: inputs.
        baseline: Baseline = Baseline::default(),
    } |me, scene| along_inputs(scene, me.steps, &me.baseline, true);
    /// The gradient by a layer's values, averaged over the inputs' straight path from a baseline (Leino et al. 2018).
    InternalInfluence {
        /// Number of steps.
        steps: usize = 50,
        /// Where the path begins: inputs.
        baseline: Baseline = Baseline::default(),
    } |me, scene| along_inputs(scene, me.steps, &me.baseline, false);
}

/// The largest error of completeness that passes, as a share of what adds up.
const TOLERANCE: f32 = 0.05;

/// Gradients by the explained values while the inputs go from the baseline to their values in even steps: times the
/// values' change in each step, or their mean.
fn along_inputs(scene: &mut Scene, steps: usize, baseline: &Baseline, conduct: bool) -> Result<Vec<Expr>> {
    at_least_one("steps", steps)?;
    let (inputs, start) = (scene.inputs(), scene.baseline_inputs(baseline)?);
    if let Some(i) = inputs.iter().find(|i| !i.dtype().is_float()) {
        return Err(Error::new(format!(
            "there is no straight path between whole numbers, as the input of {} holds",
            i.ty()
        )));
    }
    let at = |share: &Expr| -> Vec<Expr> {
        inputs.iter().zip(&start).map(|(x, x0)| x0 + (x - x0) * share).collect()
    };
    let before = scene.values_of_inputs(&start);
    let n = before.len();
    let init: Vec<Expr> = before.iter().map(Expr::zeros_like).chain(before.iter().cloned()).collect();
    let (done, _) = scan("along_inputs", &init, &[scene.count(steps)], &[], false, |c, x, _| {
        let inputs = at(&((x[0].float() + 1.0) * (1.0 / steps as f32)));
        let values = scene.values_of_inputs(&inputs);
        let score = scene.pick(&scene.result_at(&inputs, &values)).sum_all();
        let slopes = rhyton_graph::grad(&score, &values);
        let (sums, last) = c.split_at(n);
        let each = |i: usize| match conduct {
            true => &slopes[i] * (&values[i] - &last[i]),
            false => &slopes[i] * (1.0 / steps as f32),
        };
        let sums = sums.iter().enumerate().map(|(i, s)| s + each(i));
        (sums.chain(values.iter().cloned()).collect(), vec![])
    });
    let found = done[..n].to_vec();
    if conduct {
        let gained = scene.score_of_inputs(&inputs) - scene.score_of_inputs(&start);
        scene.check_sum("completeness", &found, gained, TOLERANCE);
    }
    Ok(found)
}
