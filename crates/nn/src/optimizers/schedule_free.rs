//! AdamW without a schedule.

use super::{Moment, Optimizer, Slot, Start, moved};
use crate::layer::Variable;
use rhyton_graph::Expr;

crate::optimizer! {
    /// AdamW whose weights average the path of `z` instead of following a falling rate (Defazio et al. 2024).
    pub struct ScheduleFreeAdamW("schedule_free_adam_w", 0.0025) {
        /// How much of the average a weight is; the rest is `z`.
        beta_1: f64 = 0.9,
        /// Decay of the second moment.
        beta_2: f64 = 0.999,
        /// Added to the root of the second moment.
        epsilon: f64 = 1e-8,
        /// Steps over which the rate rises.
        warmup_steps: usize = 0,
    }
}

impl Optimizer for ScheduleFreeAdamW {
    fn slots(&self, _: &Variable) -> Vec<Slot> {
        vec![Slot { start: Start::Weight, ..Slot::new("momentum") }, Slot::new("velocity")]
    }

    fn update(&self, at: &Moment, g: &Expr, w: &Expr, slots: &[Expr]) -> (Expr, Vec<Expr>) {
        let [z, v] = slots else { return (w.clone(), slots.to_vec()) };
        let mut rate = at.learning_rate.clone();
        if self.warmup_steps > 0 {
            let risen = &at.step / Expr::scalar(self.warmup_steps as f32);
            rate = rate * risen.minimum(&Expr::scalar(1.0f32));
        }
        let v = moved(v, &(g * g), self.beta_2);
        let root = (&v / at.correction(self.beta_2)).sqrt() + self.epsilon as f32;
        let new_z = z - g * rate / root;
        let beta = self.beta_1 as f32;
        let old_x = (w - z * (1.0 - beta)) / Expr::scalar(beta);
        let share = 1.0 / &at.step;
        let x = (1.0 - &share) * old_x + share * &new_z;
        (&new_z * (1.0 - beta) + x * beta, vec![new_z, v])
    }
}
