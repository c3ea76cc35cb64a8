//! Normalization within a sample: LayerNormalization, RMSNormalization, GroupNormalization,
//! UnitNormalization.

use crate::constraints::Constraint;
use crate::functions::unit_norm;
use crate::initializers::Initializer;
use crate::layers::{check, moments::moments, parameter};
use crate::regularizers::Regularizer;
use crate::{Args, Axes, Cx, Layer, Object, Outputs};
use rhyton_graph::{Expr, named};
use rhyton_tensor::{DType, Dim, Error, Result, Shape};
use serde_json::json;

/// `(x - mean) / sqrt(variance + epsilon)` over `axes`; with `keep_mean` the mean is not taken away.
fn standardize(x: &Expr, axes: &[usize], epsilon: f64, keep_mean: bool) -> Expr {
    let m = moments(x, axes, None);
    let scale = (m.variance + epsilon as f32).rsqrt();
    let shift = m.offset * &scale;
    let laid = |v: Expr| v.expand_dims(axes);
    if keep_mean { x * laid(scale) } else { m.shifted * laid(scale) - laid(shift) }
}

/// `y` times gamma plus beta, as far as there are these: they lie in `shape`, first the one that is `scaled` by.
fn scaled_and_shifted(y: Expr, gamma_beta: &[Expr], scaled: bool, shape: &Shape) -> Expr {
    let (gamma, beta) = gamma_beta.split_at(usize::from(scaled));
    let y = gamma.iter().fold(y, |y, gamma| y * gamma.reshape(shape.clone()));
    beta.iter().fold(y, |y, beta| y + beta.reshape(shape.clone()))
}

/// The axes of a setting, as ascending indices, and a shape that has their sizes and 1 elsewhere.
fn axes_of(class: &str, setting: &Axes, x: &Expr) -> Result<(Vec<usize>, Vec<usize>, Shape)> {
    let mut axes = vec![];
    for a in setting.as_slice() {
        axes.push(check::axis(class, *a, x)?);
    }
    axes.sort_unstable();
    axes.dedup();
    if axes.is_empty() {
        return Err(
            Error::new(format!("{class} got the axis {setting}")).expected("an axis or a list of axes")
        );
    }
    let mut laid = Shape::from(vec![1usize; x.rank()]);
    let mut sizes = vec![];
    for a in &axes {
        sizes.push(check::known(class, &x.shape()[*a], "normalized axis", x)?);
        laid.0[*a] = x.shape()[*a].clone();
    }
    Ok((axes, sizes, laid))
}

crate::layer! {
    /// Each sample scaled to mean 0 and variance 1 over `axis` (Ba et al. 2016):
    /// `gamma * (x - mean) / sqrt(variance + epsilon) + beta`.
    pub struct LayerNormalization {
        /// The axis or a list of axes.
        axis: Axes = Axes::One(-1),
        /// Added to the variance.
        epsilon: f64 = 1e-3,
        /// Adds `beta`.
        center: bool = true,
        /// Multiplies by `gamma`.
        scale: bool = true,
        /// Divides by the standard deviation without taking the mean away.
        rms_scaling: bool = false,
        /// How `beta` starts.
        beta_initializer: Initializer = "zeros".into(),
        /// How `gamma` starts.
        gamma_initializer: Initializer = "ones".into(),
        /// Penalty of `beta`.
        beta_regularizer: Option<Regularizer> = None,
        /// Penalty of `gamma`.
        gamma_regularizer: Option<Regularizer> = None,
        /// Projection of `beta`.
        beta_constraint: Option<Constraint> = None,
        /// Projection of `gamma`.
        gamma_constraint: Option<Constraint> = None,
    }
}

impl LayerNormalization {
    /// Over the last axis.
    #[track_caller]
    pub fn new() -> LayerNormalization {
        LayerNormalization::default()
    }

    fn output(&self, cx: &mut Cx<'_>, x: &Expr) -> Result<Expr> {
        let (axes, sizes, laid) = axes_of(self.class_name(), &self.axis, x)?;
        let (scale, center) = (self.scale || self.rms_scaling, self.center && !self.rms_scaling);
        let of_gamma = (&self.gamma_initializer, &self.gamma_regularizer, &self.gamma_constraint);
        let gamma = scale.then(|| parameter(cx, "gamma", sizes.clone(), of_gamma));
        let of_beta = (&self.beta_initializer, &self.beta_regularizer, &self.beta_constraint);
        let beta = center.then(|| parameter(cx, "beta", sizes, of_beta));
        let attrs = json!({
            "axes": axes, "epsilon": self.epsilon, "rms_scaling": self.rms_scaling,
            "scale": scale, "center": center,
        });
        let inputs: Vec<Expr> = std::iter::once(x.cast(DType::F32)).chain(gamma).chain(beta).collect();
        Ok(named::LAYER_NORM.apply(attrs, &inputs, |p| {
            let y = standardize(&p[0], &axes, self.epsilon, self.rms_scaling);
            scaled_and_shifted(y, &p[1..], scale, &laid)
        }))
    }
}

impl Layer for LayerNormalization {
    fn computes_in_float32(&self) -> bool {
        true
    }
    fn call(&self, cx: &mut Cx<'_>, args: &Args) -> Outputs {
        self.output(cx, &args.x()).into()
    }
    fn supports_masking(&self) -> bool {
        true
    }
}

crate::layer! {
    /// `scale * x / sqrt(mean(x^2) + epsilon)` over `axis` (Zhang and Sennrich 2019).
    pub struct RMSNormalization {
        /// The axis or a list of axes.
        axis: Axes = Axes::One(-1),
        /// Added to the mean square.
        epsilon: f64 = 1e-6,
    }
}

impl RMSNormalization {
    /// Over the last axis.
    #[track_caller]
    pub fn new() -> RMSNormalization {
        RMSNormalization::default()
    }

    fn output(&self, cx: &mut Cx<'_>, x: &Expr) -> Result<Expr> {
        let (axes, sizes, laid) = axes_of(self.class_name(), &self.axis, x)?;
        let scale = cx.weight("scale", sizes, &"ones".into());
        let attrs = json!({ "axes": axes, "epsilon": self.epsilon });
        Ok(named::RMS_NORM.apply(attrs, &[x.cast(DType::F32), scale], |p| {
            let square = (&p[0] * &p[0]).mean(&axes).expand_dims(&axes);
            &p[0] * (square + self.epsilon as f32).rsqrt() * p[1].reshape(laid)
        }))
    }
}

impl Layer for RMSNormalization {
    fn computes_in_float32(&self) -> bool {
        true
    }
    fn call(&self, cx: &mut Cx<'_>, args: &Args) -> Outputs {
        self.output(cx, &args.x()).into()
    }
}

crate::layer! {
    /// Each sample scaled to mean 0 and variance 1 over groups of channels and all positions (Wu and He
    /// 2018).
    pub struct GroupNormalization {
        /// Number of groups; -1 makes every channel a group.
        groups: i64 = 32,
        /// The axis of the channels.
        axis: i64 = -1,
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
        /// Penalty of `beta`.
        beta_regularizer: Option<Regularizer> = None,
        /// Penalty of `gamma`.
        gamma_regularizer: Option<Regularizer> = None,
        /// Projection of `beta`.
        beta_constraint: Option<Constraint> = None,
        /// Projection of `gamma`.
        gamma_constraint: Option<Constraint> = None,
    }
}

impl GroupNormalization {
    /// With this many groups.
    #[track_caller]
    pub fn new(groups: i64) -> GroupNormalization {
        GroupNormalization::default().groups(groups)
    }

    fn output(&self, cx: &mut Cx<'_>, x: &Expr) -> Result<Expr> {
        let class = self.class_name();
        let (axes, sizes, laid) = axes_of(class, &self.axis.into(), x)?;
        let (axis, channels) = (axes[0], sizes[0]);
        let groups = if self.groups == -1 { channels } else { self.groups.max(0) as usize };
        if groups == 0 || channels % groups != 0 || axis == 0 {
            let what = format!("{class} cannot split {channels} channels into {} groups", self.groups);
            return Err(Error::new(what).expected("groups that divide the channels, or -1"));
        }
        let mut split = x.shape().clone();
        split.0.splice(axis..=axis, [Dim::fixed(groups), Dim::fixed(channels / groups)]);
        let over: Vec<usize> = (1..=x.rank()).filter(|a| *a != axis).collect();
        let of_gamma = (&self.gamma_initializer, &self.gamma_regularizer, &self.gamma_constraint);
        let gamma = self.scale.then(|| parameter(cx, "gamma", [channels], of_gamma));
        let of_beta = (&self.beta_initializer, &self.beta_regularizer, &self.beta_constraint);
        let beta = self.center.then(|| parameter(cx, "beta", [channels], of_beta));
        let attrs = json!({
            "groups": groups, "axis": axis, "epsilon": self.epsilon,
            "scale": gamma.is_some(), "center": beta.is_some(),
        });
        let shape = x.shape().clone();
        let inputs: Vec<Expr> = std::iter::once(x.cast(DType::F32)).chain(gamma).chain(beta).collect();
        Ok(named::GROUP_NORM.apply(attrs, &inputs, |p| {
            let y = standardize(&p[0].reshape(split), &over, self.epsilon, false).reshape(shape);
            scaled_and_shifted(y, &p[1..], self.scale, &laid)
        }))
    }
}

impl Layer for GroupNormalization {
    fn computes_in_float32(&self) -> bool {
        true
    }
    fn call(&self, cx: &mut Cx<'_>, args: &Args) -> Outputs {
        self.output(cx, &args.x()).into()
    }
    fn supports_masking(&self) -> bool {
        true
    }
}

crate::layer! {
    /// Each sample scaled to length one over `axis`.
    pub struct UnitNormalization {
        /// The axis or a list of axes.
        axis: Axes = Axes::One(-1),
    }
}

impl UnitNormalization {
    /// Over the last axis.
    #[track_caller]
    pub fn new() -> UnitNormalization {
        UnitNormalization::default()
    }
}

impl Layer for UnitNormalization {
    fn computes_in_float32(&self) -> bool {
        true
    }
    fn call(&self, _: &mut Cx<'_>, args: &Args) -> Outputs {
        let x = args.x();
        match axes_of(self.class_name(), &self.axis, &x) {
            Ok((axes, ..)) => unit_norm(&x, &axes, 1e-24).into(),
            Err(e) => e.into(),
        }
    }
    fn supports_masking(&self) -> bool {
        true
    }
}
