//! Training against certified bounds.

use super::{Defence, input, labels, scores};
use crate::Norm;
use crate::bounds::{Ball, Bound, Crown, Ibp};
use crate::certifier::margins;
use rhyton_graph::Expr;
use rhyton_nn::functions::log_softmax;
use rhyton_nn::layer::Value;
use rhyton_tensor::{Dim, Error, Result, Tensor};
use rhyton_train::TrainStep;

rhyton_nn::object! {
    /// `kappa L(z) + (1 - kappa) L(worst z)`: the worst logits are what interval bounds allow (Gowal et al. 2019), or,
    /// with `crown`, linear bounds between intervals, which give way to intervals as `eps` grows (Zhang et al. 2020).
    pub struct IntervalTraining {
        /// The largest change of a value, at the end.
        eps: f64 = 0.3,
        /// Steps of training with clean samples only.
        warmup: usize = 2000,
        /// Steps in which `eps` grows from 0.
        ramp: usize = 10000,
        /// What clean samples count at the end; all at the beginning.
        kappa: f64 = 0.5,
        /// Whether linear bounds are mixed in.
        crown: bool = false,
        /// Least value of an input.
        low: f64 = 0.0,
        /// Largest value of an input.
        high: f64 = 1.0,
    }
}

impl Defence for IntervalTraining {
    fn step(&self, s: &mut TrainStep<'_>) -> Result<()> {
        let (x, inputs) = (input(s)?, s.inputs().to_vec());
        let turn = s.state("interval_training", Tensor::scalar(0.0f32));
        s.update(&turn, &(&turn + 1.0));
        let done = (&turn - self.warmup as f32) / self.ramp.max(1) as f32;
        let done = done.maximum(&Expr::scalar(0.0f32)).minimum(&Expr::scalar(1.0f32));
        let outputs = s.forward(true);
        let clean = s.loss(&outputs);
        let bounded: Vec<Value> = s.call_inference(0, &inputs).into_iter().map(Value::from).collect();
        let z = scores(&bounded);
        let n = z.shape().last().and_then(Dim::as_fixed).filter(|_| z.rank() == 2);
        let n = n.ok_or_else(|| {
            Error::new(format!("the output has the shape {}", z.shape())).expected("[batch, classes]")
        })?;
        let one_hot = labels(s, n)?.one_hot(n);
        let factors = margins(&one_hot, n, &x.shape()[0])?;
        let bounds = Some((self.low as f32, self.high as f32));
        let ball = Ball { x, eps: &done * self.eps as f32, norm: Norm::Inf, bounds };
        let mut least = Ibp::default().least(&ball, &z, &factors)?;
        if self.crown {
            let linear = Crown::default().fast(true).least(&ball, &z, &factors)?;
            least = &least * &done + linear * (1.0 - &done);
        }
        let worst = -(log_softmax(&-least) * one_hot).sum(&[1]).mean_all();
        let share = &done * (1.0 - self.kappa) as f32;
        let loss = clean * (1.0 - &share) + worst * share;
        s.descend(&loss);
        s.metrics(&outputs, &loss);
        Ok(())
    }
}
