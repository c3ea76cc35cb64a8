//! Follow the regularized leader.

use super::{Moment, Optimizer, Slot, Start, out_of_range};
use crate::layer::Variable;
use rhyton_graph::Expr;
use rhyton_tensor::Result;

crate::optimizer! {
    /// Follow the proximally regularized leader (McMahan et al. 2013): the weight is the closed solution of all
    /// gradients so far with l1 and l2 penalties, so that many weights are exactly 0.
    pub struct Ftrl("ftrl", 0.001) {
        /// How the rate falls with the sum of squares; at most 0.
        learning_rate_power: f64 = -0.5,
        /// Where the sums of squares start.
        initial_accumulator_value: f64 = 0.1,
        /// Weight of the sum of absolute values.
        l1_regularization_strength: f64 = 0.0,
        /// Weight of the sum of squares.
        l2_regularization_strength: f64 = 0.0,
        /// Weight of a penalty on the size of weights only.
        l2_shrinkage_regularization_strength: f64 = 0.0,
        /// Adds `beta / (2 * rate)` to the l2 penalty.
        beta: f64 = 0.0,
    }
}

impl Optimizer for Ftrl {
    fn slots(&self, _: &Variable) -> Vec<Slot> {
        let start = Start::Value(self.initial_accumulator_value as f32);
        vec![Slot { start, ..Slot::new("accumulator") }, Slot::new("linear")]
    }

    fn update(&self, at: &Moment, g: &Expr, w: &Expr, slots: &[Expr]) -> (Expr, Vec<Expr>) {
        let [a, linear] = slots else { return (w.clone(), slots.to_vec()) };
        let rate = &at.learning_rate;
        let l1 = Expr::scalar(self.l1_regularization_strength as f32);
        let l2 = self.l2_regularization_strength as f32 + Expr::scalar(self.beta as f32) / (rate * 2.0);
        let power = |x: &Expr| match self.learning_rate_power {
            // The usual power has a cheap name.
            -0.5 => x.sqrt(),
            p => x.pow(&Expr::scalar(-p as f32)),
        };
        let new = a + g * g;
        let shrunk = g + w * (2.0 * self.l2_shrinkage_regularization_strength) as f32;
        let linear = linear + (shrunk - (power(&new) - power(a)) / rate * w);
        let quadratic = power(&new) / rate + l2 * 2.0;
        let w = (linear.maximum(&-&l1).minimum(&l1) - &linear) / quadratic;
        (w, vec![new, linear])
    }

    fn check(&self) -> Result<()> {
        if self.learning_rate_power > 0.0 {
            return Err(out_of_range("Ftrl", "learning_rate_power", self.learning_rate_power, "at most 0"));
        }
        let others = [
            ("initial_accumulator_value", self.initial_accumulator_value),
            ("l1_regularization_strength", self.l1_regularization_strength),
            ("l2_regularization_strength", self.l2_regularization_strength),
            ("l2_shrinkage_regularization_strength", self.l2_shrinkage_regularization_strength),
        ];
        match others.into_iter().find(|(_, v)| *v < 0.0) {
            Some((name, v)) => Err(out_of_range("Ftrl", name, v, "at least 0")),
            None => Ok(()),
        }
    }
}
