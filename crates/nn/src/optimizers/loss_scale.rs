//! A dynamic scale of the loss around another optimizer.

use super::pipeline::{Pipeline, Step};
use super::{Common, Moment, Optimizer, OptimizerRef, SGD, Settings, out_of_range};
use rhyton_graph::Expr;
use rhyton_tensor::{DType, Result};
use std::sync::LazyLock;

crate::object! {
    /// Multiplies the loss by a scale that halves, skipping the step, when a gradient is not finite, and doubles
    /// after `dynamic_growth_steps` good steps (Micikevicius et al. 2017).
    pub struct LossScaleOptimizer {
        /// The name in records.
        name: String = "loss_scale_optimizer".into(),
        /// The optimizer that changes the weights.
        inner_optimizer: OptimizerRef = SGD::default().into(),
        /// The scale at the start.
        initial_scale: f64 = 32768.0,
        /// Good steps until the scale doubles.
        dynamic_growth_steps: usize = 2000,
    }
}

impl LossScaleOptimizer {
    /// Around another optimizer.
    #[track_caller]
    pub fn new(inner: impl Into<OptimizerRef>) -> LossScaleOptimizer {
        LossScaleOptimizer { inner_optimizer: inner.into(), ..LossScaleOptimizer::default() }
    }

    /// One step of `inner` with unscaled gradients, unless one of them is not finite.
    pub(super) fn apply(
        &self,
        inner: &Pipeline,
        state: &[Expr],
        weights: &[Expr],
        gradients: &[Expr],
    ) -> Step {
        let (own, rest) = state.split_at(4.min(state.len()));
        let [iteration, rate, counter, scale] = own else {
            return Step { state: state.to_vec(), weights: weights.to_vec() };
        };
        let bad = |g: &Expr| g.is_finite().not().cast(DType::F32).sum_all();
        let zero = Expr::scalar(0.0f32);
        let count = gradients.iter().map(bad).reduce(|a, b| a + b).unwrap_or_else(|| zero.clone());
        let finite = count.equal(&zero);
        let unscaled: Vec<Expr> =
            gradients.iter().map(|g| if g.as_scalar().is_some() { g.clone() } else { g / scale }).collect();
        let step = inner.apply(rest, weights, &unscaled);
        let (first, one) = (Expr::scalar(0i32), Expr::scalar(1i32));
        let last = i32::try_from(self.dynamic_growth_steps).unwrap_or(i32::MAX) - 1;
        let grown = finite.and(&counter.equal(&Expr::scalar(last)));
        let counted = grown.not().and(&finite).select(&(counter + &one), &first);
        let rescaled = finite.select(&grown.select(&(scale * 2.0), scale), &(scale * 0.5));
        let kept = |new: &[Expr], old: &[Expr]| -> Vec<Expr> {
            new.iter().zip(old).map(|(new, old)| finite.select(new, old)).collect()
        };
        let mut state = vec![iteration.clone(), rate.clone(), counted, rescaled];
        state.extend(kept(&step.state, rest));
        Step { state, weights: kept(&step.weights, weights) }
    }
}

/// All of them are set on the optimizer inside.
impl Settings for LossScaleOptimizer {
    fn common(&self) -> &Common {
        static NONE: LazyLock<Common> =
            LazyLock::new(|| Common { learning_rate: 0.0.into(), ..Common::default() });
        &NONE
    }
}

impl Optimizer for LossScaleOptimizer {
    fn update(&self, _: &Moment, _: &Expr, w: &Expr, slots: &[Expr]) -> (Expr, Vec<Expr>) {
        (w.clone(), slots.to_vec())
    }

    fn check(&self) -> Result<()> {
        let class = "LossScaleOptimizer";
        if !(self.initial_scale.is_finite() && self.initial_scale > 0.0) {
            return Err(out_of_range(class, "initial_scale", self.initial_scale, "more than 0"));
        }
        if self.dynamic_growth_steps == 0 {
            return Err(out_of_range(class, "dynamic_growth_steps", 0, "at least 1"));
        }
        Ok(())
    }

    fn scaled(&self) -> Option<&LossScaleOptimizer> {
        Some(self)
    }
}
