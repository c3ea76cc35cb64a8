//! The layers, one file a topic, and their table.

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
pub use self::sizes::Sizes;
pub use self::wrappers::{TimeDistributed, Wrapped};

use crate::constraints::Constraint;
use crate::initializers::Initializer;
use crate::layer::{Cx, Layer, Weight, from_config};
use crate::object::Row;
use crate::regularizers::Regularizer;
use rhyton_graph::Expr;
use rhyton_tensor::Shape;

/// A weight from the three settings that layers have for each.
pub(crate) fn parameter(
    cx: &mut Cx<'_>,
    name: &str,
    shape: impl Into<Shape>,
    (initializer, regularizer, constraint): (&Initializer, &Option<Regularizer>, &Option<Constraint>),
) -> Expr {
    cx.add(Weight::new(name, shape, initializer).regularizer(regularizer).constraint(constraint))
}

macro_rules! rows {
    ($($layer:ident: $doc:literal;)*) => {
        &[
            $(Row { class_name: stringify!($layer), names: &[], build: from_config::<$layer>, doc: $doc },)*
            Row {
                class_name: "Bidirectional",
                names: &[],
                build: Bidirectional::build,
                doc: "A recurrent layer run both ways.",
            },
            Row {
                class_name: "InputLayer",
                names: &[],
                build: crate::model::Input::build,
                doc: "Where data enters a model.",
            },
            Row {
                class_name: "Sequential",
                names: &[],
                build: crate::model::json::build_definition,
                doc: "Layers one after the other.",
            },
            Row {
                class_name: "Functional",
                names: &["Model"],
                build: crate::model::json::build_definition,
                doc: "Layers connected as a graph.",
            },
        ]
    };
}

/// The layers: one row per class.
pub(crate) static ROWS: &[Row<dyn Layer>] = rows! {
    Dense: "activation(x . kernel + bias)";
    Activation: "An activation function by name.";
    ReLU: "max(x, 0), with slope, ceiling and threshold.";
    LeakyReLU: "x above zero, a fraction of it below.";
    ELU: "x above zero, alpha * (exp(x) - 1) below.";
    PReLU: "x above zero, a learned fraction of it below.";
    Softmax: "exp(x) / sum(exp(x)) along an axis.";
    Identity: "Its input.";
    Rescaling: "x * scale + offset.";
    Flatten: "All axes of a sample as one.";
    Reshape: "Samples under other sizes.";
    Permute: "The axes of a sample in another order.";
    RepeatVector: "A vector as a sequence of itself.";
    Dropout: "Zeros inputs at random in training.";
    SpatialDropout1D: "Zeros whole channels of sequences at random in training.";
    SpatialDropout2D: "Zeros whole channels of images at random in training.";
    SpatialDropout3D: "Zeros whole channels of volumes at random in training.";
    GaussianNoise: "Adds normal noise in training.";
    GaussianDropout: "Multiplies by normal noise around one in training.";
    ActivityRegularization: "Adds a penalty of its input to the loss.";
    Conv1D: "Convolution over time.";
    Conv2D: "Convolution of images.";
    Conv3D: "Convolution of volumes.";
    DepthwiseConv1D: "Convolution over time of every channel by itself.";
    DepthwiseConv2D: "Convolution of images of every channel by itself.";
    SeparableConv1D: "Depthwise convolution over time, then a mixture of the channels.";
    SeparableConv2D: "Depthwise convolution of images, then a mixture of the channels.";
    Conv1DTranspose: "Transposed convolution over time.";
    Conv2DTranspose: "Transposed convolution of images.";
    Conv3DTranspose: "Transposed convolution of volumes.";
    MaxPooling1D: "The largest element of windows over time.";
    MaxPooling2D: "The largest element of windows over images.";
    MaxPooling3D: "The largest element of windows over volumes.";
    AveragePooling1D: "The mean of windows over time.";
    AveragePooling2D: "The mean of windows over images.";
    AveragePooling3D: "The mean of windows over volumes.";
    GlobalMaxPooling1D: "The largest element over all steps.";
    GlobalMaxPooling2D: "The largest element over images.";
    GlobalMaxPooling3D: "The largest element over volumes.";
    GlobalAveragePooling1D: "The mean over all steps that the mask keeps.";
    GlobalAveragePooling2D: "The mean over images.";
    GlobalAveragePooling3D: "The mean over volumes.";
    ZeroPadding1D: "Zeros before and after sequences.";
    ZeroPadding2D: "Zeros around images.";
    ZeroPadding3D: "Zeros around volumes.";
    Cropping1D: "Sequences without their ends.";
    Cropping2D: "Images without their borders.";
    Cropping3D: "Volumes without their borders.";
    UpSampling1D: "Every step several times.";
    UpSampling2D: "Images blown up.";
    UpSampling3D: "Volumes blown up.";
    BatchNormalization: "Mean 0 and variance 1 over the batch.";
    LayerNormalization: "Mean 0 and variance 1 within each sample.";
    RMSNormalization: "Mean square 1 within each sample.";
    GroupNormalization: "Mean 0 and variance 1 over groups of channels.";
    UnitNormalization: "Length 1 within each sample.";
    Embedding: "Rows of a table chosen by whole numbers.";
    Masking: "Marks steps that hold one value throughout as padding.";
    SimpleRNN: "A recurrent layer.";
    LSTM: "Long short-term memory.";
    GRU: "A gated recurrent unit.";
    TimeDistributed: "A layer at every time step.";
    Add: "The sum of its inputs.";
    Subtract: "The first input minus the second.";
    Multiply: "The product of its inputs.";
    Average: "The mean of its inputs.";
    Maximum: "The largest of its inputs.";
    Minimum: "The smallest of its inputs.";
    Concatenate: "Its inputs joined along an axis.";
    Dot: "Products of two inputs summed over an axis.";
    Attention: "The values weighted by how well query and key fit.";
    AdditiveAttention: "The values weighted by a learned sum of query and key.";
    MultiHeadAttention: "Every step looks at all steps, in several ways at once.";
};
