//! BatchNormalization.

use crate::constraints::Constraint;
use crate::initializers::Initializer;
use crate::layers::{check, moments::moments, parameter};
use crate::regularizers::Regularizer;
use crate::{Args, Axes, Cx, Layer, Object, Outputs};
use rhyton_graph::{Expr, named};
use rhyton_tensor::{DType, Error, Result, Shape};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

crate::layer! {
    /// Inputs scaled to mean 0 and variance 1 over the batch (Ioffe and Szegedy 2015):
    /// `gamma * (x - mean) / sqrt(variance + epsilon) + beta`, one mean and variance per entry of `axis`.
    ///
    /// In training the statistics are those of the batch, and moving averages follow them:
    /// `moving = moving * momentum + batch * (1 - momentum)`. Otherwise, and when the layer is frozen, the
    /// moving averages are used.
    pub struct BatchNormalization {
        /// The axis of the features.
        axis: Axes = Axes::One(-1),
        /// How slowly the moving averages follow.
        momentum: f64 = 0.99,
        /// Added to the variance.
        epsilon: f64 = 1e-3,
        /// Adds `beta`.
        center: bool = true,
        /// Multiplies by `gamma`.
        scale: bool = true,
        /// How `beta` starts.
        beta_initializer: Initializer = "zeros".into(),
        /// How `gamma` starts.
        gamma_initializer: Initializer = "ones".into(),
        /// How the moving mean starts.
        moving_mean_initializer: Initializer = "zeros".into(),
        /// How the moving variance starts.
        moving_variance_initializer: Initializer = "ones".into(),
        /// Penalty of `beta`.
        beta_regularizer: Option<Regularizer> = None,
        /// Penalty of `gamma`.
        gamma_regularizer: Option<Regularizer> = None,
        /// Projection of `beta`.
        beta_constraint: Option<Constraint> = None,
        /// Projection of `gamma`.
        gamma_constraint: Option<Constraint> = None,
        /// Kept for Keras: one machine sees the whole batch.
        synchronized: bool = false,
        /// Batch renormalization, which is not supported.
        renorm: bool = false,
        /// Kept for Keras: the bounds `rmax`, `rmin` and `dmax`.
        renorm_clipping: Option<BTreeMap<String, f64>> = None,
        /// Kept for Keras.
        renorm_momentum: f64 = 0.99,
    }
}

impl BatchNormalization {
    /// Over the last axis, with momentum 0.99.
    #[track_caller]
    pub fn new() -> BatchNormalization {
        BatchNormalization::default()
    }

    fn output(&self, cx: &mut Cx<'_>, x: &Expr, mask: Option<Expr>) -> Result<Expr> {
        let class = self.class_name();
        if self.renorm {
            return Err(
                Error::new("BatchNormalization with renorm is not supported").fix("set renorm to false")
            );
        }
        let axis = self.axis.as_slice().first().copied().unwrap_or(-1);
        let axis = check::axis(class, axis, x)?;
        let size = check::known(class, &x.shape()[axis], "axis of features", x)?;
        let of_gamma = (&self.gamma_initializer, &self.gamma_regularizer, &self.gamma_constraint);
        let gamma = self.scale.then(|| parameter(cx, "gamma", [size], of_gamma));
        let of_beta = (&self.beta_initializer, &self.beta_regularizer, &self.beta_constraint);
        let beta = self.center.then(|| parameter(cx, "beta", [size], of_beta));
        let mean = cx.state("moving_mean", [size], &self.moving_mean_initializer);
        let variance = cx.state("moving_variance", [size], &self.moving_variance_initializer);
        let gamma = gamma.unwrap_or_else(|| mean.ones_like());
        let beta = beta.unwrap_or_else(|| mean.zeros_like());
        let attrs = json!({ "axis": axis, "epsilon": self.epsilon });
        let x = x.cast(DType::F32);
        if !(cx.training() && cx.trainable()) {
            let inputs = [x, gamma, beta, mean, variance];
            return Ok(named::BATCH_NORM.apply(attrs, &inputs, |p| {
                let scale = &p[1] * (&p[4] + self.epsilon as f32).rsqrt();
                let shift = &p[2] - &p[3] * &scale;
                &p[0] * along(&scale, axis, &p[0]) + along(&shift, axis, &p[0])
            }));
        }
        let inputs: Vec<Expr> = [x, gamma, beta].into_iter().chain(mask).collect();
        let [y, batch_mean, batch_variance] = train(attrs, &inputs, axis, self.epsilon as f32);
        let follow = |old: Expr, new: Expr| old * self.momentum as f32 + new * (1.0 - self.momentum) as f32;
        cx.update("moving_mean", follow(mean, batch_mean));
        cx.update("moving_variance", follow(variance, batch_variance));
        Ok(y)
    }
}

/// A vector of features laid along `axis` of values like `x`.
fn along(v: &Expr, axis: usize, x: &Expr) -> Expr {
    let mut shape = Shape::from(vec![1usize; x.rank()]);
    shape.0[axis] = x.shape()[axis].clone();
    v.reshape(shape)
}

/// The named function `batch_norm_train`: (x, gamma, beta, mask when there is one) to (y, mean, variance).
fn train(attrs: Json, inputs: &[Expr], axis: usize, epsilon: f32) -> [Expr; 3] {
    named::BATCH_NORM_TRAIN.apply_all(attrs, inputs, |p| {
        let x = &p[0];
        let axes: Vec<usize> = (0..x.rank()).filter(|a| *a != axis).collect();
        // With a mask, only the steps it keeps count.
        let weights = p.get(3).map(|m| {
            let missing: Vec<usize> = (m.rank()..x.rank()).collect();
            m.cast(DType::F32).expand_dims(&missing).broadcast_to(x.shape().clone())
        });
        let m = moments(x, &axes, weights.as_ref());
        let scale = &p[1] * (&m.variance + epsilon).rsqrt();
        let shift = &p[2] - m.offset * &scale;
        let y = m.shifted * along(&scale, axis, x) + along(&shift, axis, x);
        [y, m.mean, m.variance]
    })
}

impl Layer for BatchNormalization {
    fn computes_in_float32(&self) -> bool {
        true
    }
    fn call(&self, cx: &mut Cx<'_>, args: &Args) -> Outputs {
        self.output(cx, &args.x(), args.mask(0)).into()
    }
    fn supports_masking(&self) -> bool {
        true
    }
}
