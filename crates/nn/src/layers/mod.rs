//! The layers, one file a topic, and their table (`table.rs`).

mod activation;
mod attention;
mod attention_simple;
mod batch_norm;
mod borders;
mod check;
mod conv;
mod dense;
mod embedding;
mod merge;
mod moments;
mod noise;
mod normalization;
mod operation;
mod pooling;
mod recurrent;
mod shape;
mod sizes;
mod table;
mod windows;
mod wrappers;

pub use self::activation::{Activation, ELU, LeakyReLU, PReLU, ReLU, Softmax};
pub use self::attention::MultiHeadAttention;
pub use self::attention_simple::{AdditiveAttention, Attention};
pub use self::batch_norm::BatchNormalization;
pub use self::borders::{
    Borders, Cropping1D, Cropping2D, Cropping3D, UpSampling1D, UpSampling2D, UpSampling3D, ZeroPadding1D,
    ZeroPadding2D, ZeroPadding3D,
};
pub use self::conv::{
    Conv1D, Conv1DTranspose, Conv2D, Conv2DTranspose, Conv3D, Conv3DTranspose, DepthwiseConv1D,
    DepthwiseConv2D, SeparableConv1D, SeparableConv2D,
};
pub use self::dense::Dense;
pub use self::embedding::{Embedding, Masking};
pub use self::merge::{Add, Average, Concatenate, Dot, Maximum, Minimum, Multiply, Subtract};
pub use self::noise::{
    ActivityRegularization, Dropout, GaussianDropout, GaussianNoise, SpatialDropout1D, SpatialDropout2D,
    SpatialDropout3D,
};
pub use self::normalization::{GroupNormalization, LayerNormalization, RMSNormalization, UnitNormalization};
pub use self::operation::Operation;
pub use self::pooling::{
    AveragePooling1D, AveragePooling2D, AveragePooling3D, GlobalAveragePooling1D, GlobalAveragePooling2D,
    GlobalAveragePooling3D, GlobalMaxPooling1D, GlobalMaxPooling2D, GlobalMaxPooling3D, MaxPooling1D,
    MaxPooling2D, MaxPooling3D,
};
pub use self::recurrent::{Bidirectional, GRU, LSTM, SimpleRNN};
pub use self::shape::{Flatten, Identity, Permute, RepeatVector, Rescaling, Reshape, Target};
pub use self::sizes::{PartialShape, Sizes};
pub use self::wrappers::{TimeDistributed, Wrapped};

use crate::constraints::Constraint;
use crate::initializers::Initializer;
use crate::layer::{Cx, Weight};
use crate::regularizers::Regularizer;
use rhyton_graph::Expr;
use rhyton_tensor::Shape;

/// The three settings that layers have for each weight.
pub(crate) type Tuning<'a> = (&'a Initializer, &'a Option<Regularizer>, &'a Option<Constraint>);

/// A weight from these settings.
pub(crate) fn parameter(
    cx: &mut Cx<'_>,
    name: &str,
    shape: impl Into<Shape>,
    (initializer, regularizer, constraint): Tuning,
) -> Expr {
    cx.add(Weight::new(name, shape, initializer).regularizer(regularizer).constraint(constraint))
}
