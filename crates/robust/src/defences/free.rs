//! Free adversarial training.

use super::{Defence, forward_at, input};
use rhyton_graph::grad;
use rhyton_graph::ops::Distribution;
use rhyton_tensor::{Error, Result};
use rhyton_train::TrainStep;

rhyton_nn::object! {
    /// Several updates on a batch, whose gradients serve the attack's next step too (Shafahi et al. 2019). The change
    /// begins at a random point for each batch.
    pub struct FreeTraining {
        /// The largest change of a value.
        eps: f64 = 8.0 / 255.0,
        /// The number of updates on a batch.
        replays: usize = 4,
        /// Least value of an input.
        low: f64 = 0.0,
        /// Largest value of an input.
        high: f64 = 1.0,
    }
}

impl Defence for FreeTraining {
    fn step(&self, s: &mut TrainStep<'_>) -> Result<()> {
        if self.replays == 0 {
            return Err(Error::new("replays=0").expected("at least 1"));
        }
        let (x, eps) = (input(s)?, self.eps as f32);
        let clip =
            |at: &rhyton_graph::Expr| at.maximum(&number(self.low as f32)).minimum(&number(self.high as f32));
        let mut delta = (s.random(Distribution::Uniform, x.shape().clone()) * 2.0 - 1.0) * eps;
        let mut last = None;
        for _ in 0..self.replays {
            let at = clip(&(&x + &delta)).stop_gradient();
            let outputs = forward_at(s, &at);
            let loss = s.loss(&outputs);
            let slope = grad(&loss, std::slice::from_ref(&at)).swap_remove(0);
            s.descend(&loss);
            delta = (delta + slope.sign() * eps).maximum(&number(-eps)).minimum(&number(eps)).stop_gradient();
            last = Some((outputs, loss));
        }
        if let Some((outputs, loss)) = last {
            s.metrics(&outputs, &loss);
        }
        Ok(())
    }
}

fn number(x: f32) -> rhyton_graph::Expr {
    rhyton_graph::Expr::scalar(x)
}
