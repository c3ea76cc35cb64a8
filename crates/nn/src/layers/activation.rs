//! Activations as layers, and the shortcuts `.relu()`, `.softmax()`, .. of layers that have one.

use crate::activations::Activation as Function;
use crate::constraints::Constraint;
use crate::functions;
use crate::initializers::Initializer;
use crate::layers::{check, parameter};
use crate::regularizers::Regularizer;
use crate::{Args, Axes, Cx, Layer, Object, Outputs};
use rhyton_graph::Expr;
use rhyton_tensor::{Error, Result};

macro_rules! shortcuts {
    ($($layer:ident),* $(,)?) => { $(
        impl super::$layer {
            /// With the activation `relu`.
            #[track_caller]
            pub fn relu(self) -> Self { self.activation("relu") }
            /// With the activation `gelu`.
            #[track_caller]
            pub fn gelu(self) -> Self { self.activation("gelu") }
            /// With the activation `sigmoid`.
            #[track_caller]
            pub fn sigmoid(self) -> Self { self.activation("sigmoid") }
            /// With the activation `tanh`.
            #[track_caller]
            pub fn tanh(self) -> Self { self.activation("tanh") }
            /// With the activation `softmax`.
            #[track_caller]
            pub fn softmax(self) -> Self { self.activation("softmax") }
        }
    )* };
}
shortcuts!(
    Dense,
    Conv1D,
    Conv2D,
    Conv3D,
    DepthwiseConv1D,
    DepthwiseConv2D,
    SeparableConv1D,
    SeparableConv2D,
    Conv1DTranspose,
    Conv2DTranspose,
    Conv3DTranspose,
    SimpleRNN,
    LSTM,
    GRU,
);

crate::layer! {
    /// An activation function, element by element.
    pub struct Activation {
        /// The function.
        activation: Function = "linear".into(),
    }
}

impl Activation {
    /// The named activation: `Activation::new("relu")`.
    #[track_caller]
    pub fn new(activation: impl crate::Setting<Function>) -> Activation {
        Activation::default().activation(activation)
    }
}

impl Layer for Activation {
    fn call(&self, _: &mut Cx<'_>, args: &Args) -> Outputs {
        self.activation.apply(&args.x()).into()
    }
    fn supports_masking(&self) -> bool {
        true
    }
}

crate::layer! {
    /// `max(x, 0)`, with a slope below the threshold and a ceiling when they are set.
    pub struct ReLU {
        /// The ceiling.
        max_value: Option<f64> = None,
        /// The slope below the threshold.
        negative_slope: f64 = 0.0,
        /// Smaller values count as negative.
        threshold: f64 = 0.0,
    }
}

impl ReLU {
    /// `max(x, 0)`.
    #[track_caller]
    pub fn new() -> ReLU {
        ReLU::default()
    }
}

impl Layer for ReLU {
    fn call(&self, _: &mut Cx<'_>, args: &Args) -> Outputs {
        let (x, class) = (args.x(), self.class_name());
        if self.negative_slope < 0.0 || self.threshold < 0.0 || self.max_value.is_some_and(|m| m < 0.0) {
            return Error::new(format!("{class} got a negative setting"))
                .expected("max_value, negative_slope and threshold of at least 0")
                .into();
        }
        if self.max_value.is_none() && self.negative_slope == 0.0 && self.threshold == 0.0 {
            return Function::from("relu").apply(&x).into();
        }
        let (slope, ceiling) = (self.negative_slope as f32, self.max_value.map(|m| m as f32));
        functions::threshold_relu(&x, self.threshold as f32, slope, ceiling).into()
    }
    fn supports_masking(&self) -> bool {
        true
    }
}

crate::layer! {
    /// `x` above zero, `negative_slope * x` below.
    pub struct LeakyReLU {
        /// The slope below zero.
        negative_slope: f64 = 0.3,
    }
}

impl LeakyReLU {
    /// Keras's slope of 0.3.
    #[track_caller]
    pub fn new() -> LeakyReLU {
        LeakyReLU::default()
    }
}

impl Layer for LeakyReLU {
    fn call(&self, _: &mut Cx<'_>, args: &Args) -> Outputs {
        functions::leaky_relu_with(&args.x(), self.negative_slope as f32).into()
    }
    fn supports_masking(&self) -> bool {
        true
    }
}

crate::layer! {
    /// `x` above zero, `alpha * (exp(x) - 1)` below.
    pub struct ELU {
        /// The limit for very negative values, negated.
        alpha: f64 = 1.0,
    }
}

impl ELU {
    /// With `alpha` 1.
    #[track_caller]
    pub fn new() -> ELU {
        ELU::default()
    }
}

impl Layer for ELU {
    fn call(&self, _: &mut Cx<'_>, args: &Args) -> Outputs {
        functions::elu_with(&args.x(), self.alpha as f32).into()
    }
    fn supports_masking(&self) -> bool {
        true
    }
}

crate::layer! {
    /// `x` above zero, `alpha * x` below, with a learned `alpha` per feature (He et al. 2015).
    pub struct PReLU {
        /// How the slopes start.
        alpha_initializer: Initializer = "Zeros".into(),
        /// Penalty of the slopes.
        alpha_regularizer: Option<Regularizer> = None,
        /// Projection of the slopes.
        alpha_constraint: Option<Constraint> = None,
        /// Axes along which one slope serves all, counted from 1 (the batch axis is 0): `[1, 2]` for images.
        shared_axes: Option<Axes> = None,
    }
}

impl PReLU {
    /// One slope per feature of a sample.
    #[track_caller]
    pub fn new() -> PReLU {
        PReLU::default()
    }

    fn output(&self, cx: &mut Cx<'_>, x: &Expr) -> Result<Expr> {
        let class = self.class_name();
        let mut shared = vec![];
        for a in self.shared_axes.iter().flat_map(Axes::as_slice) {
            shared.push(check::axis(class, *a, x)?);
        }
        let mut sizes = vec![];
        for (axis, dim) in x.shape().iter().enumerate().skip(1) {
            sizes.push(if shared.contains(&axis) { 1 } else { check::known(class, dim, "features", x)? });
        }
        let of_alpha = (&self.alpha_initializer, &self.alpha_regularizer, &self.alpha_constraint);
        let alpha = parameter(cx, "alpha", sizes, of_alpha);
        Ok(functions::prelu(x, &alpha))
    }
}

impl Layer for PReLU {
    fn call(&self, cx: &mut Cx<'_>, args: &Args) -> Outputs {
        self.output(cx, &args.x()).into()
    }
    fn supports_masking(&self) -> bool {
        true
    }
}

crate::layer! {
    /// `exp(x) / sum(exp(x))` along one axis or several; masked positions get nothing.
    pub struct Softmax {
        /// The axis or a list of axes.
        axis: Axes = Axes::One(-1),
    }
}

impl Softmax {
    /// Over the last axis.
    #[track_caller]
    pub fn new() -> Softmax {
        Softmax::default()
    }

    fn output(&self, x: &Expr, mask: Option<Expr>) -> Result<Expr> {
        let mut axes = vec![];
        for a in self.axis.as_slice() {
            axes.push(check::axis(self.class_name(), *a, x)?);
        }
        let mut x = x.clone();
        if let Some(mask) = &mask {
            // Keras adds the same number, so that a row without any position stays finite.
            x = x + mask.select(&Expr::scalar(0.0f32), &Expr::scalar(-1e9f32));
        }
        // Axes move to the end, where the function works, and become one.
        let rest: Vec<usize> = (0..x.rank()).filter(|a| !axes.contains(a)).collect();
        let order: Vec<usize> = rest.iter().chain(&axes).copied().collect();
        let moved = x.transpose(&order);
        let mut flat = moved.shape()[..rest.len()].to_vec();
        flat.push(moved.shape()[rest.len()..].iter().fold(1usize.into(), |n, d| n * d));
        let y = Function::from("softmax").apply(&moved.reshape(flat)).reshape(moved.shape().clone());
        let back: Vec<usize> = (0..order.len()).filter_map(|a| order.iter().position(|o| *o == a)).collect();
        let y = y.transpose(&back);
        Ok(match mask {
            Some(mask) => mask.select(&y, &Expr::scalar(0.0f32)),
            None => y,
        })
    }
}

impl Layer for Softmax {
    fn call(&self, _: &mut Cx<'_>, args: &Args) -> Outputs {
        // The mask of a sequence has no axis for features; it says nothing about them.
        let x = args.x();
        let mask = args.mask(0).filter(|m| m.rank() == x.rank());
        self.output(&x, mask).into()
    }
    fn supports_masking(&self) -> bool {
        true
    }
}
