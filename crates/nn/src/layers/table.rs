//! The table of layers: one row per class, with examples that the tests take their gradients, shapes and files of.

use super::*;
use crate::Object;
use crate::layer::{Layer, LayerRef, build};
use rhyton_tensor::Result;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use std::sync::Arc;

crate::registry! {
    dyn Layer, "layer" in "keras.layers" {
        fn build<L: Object + DeserializeOwned + Into<LayerRef>>(config: Json) -> Result<Arc<dyn Layer>> {
            build::<L>(config)
        }
    };
    Dense "activation(x . kernel + bias)":
        Dense::new(3).tanh() => [5],
        Dense::new(3).use_bias(false) => [4, 5];
    Activation "An activation function by name.": Activation::new("sigmoid") => [5];
    ReLU "max(x, 0), with slope, ceiling and threshold.":
        ReLU::new().max_value(0.8).negative_slope(0.1).threshold(0.2) => [5],
        ReLU::new() => [5];
    LeakyReLU "x above zero, a fraction of it below.": LeakyReLU::new() => [5];
    ELU "x above zero, alpha * (exp(x) - 1) below.": ELU::new().alpha(0.7) => [5];
    PReLU "x above zero, a learned fraction of it below.":
        PReLU::new() => [3, 5],
        PReLU::new().shared_axes([1]) => [3, 5];
    Softmax "exp(x) / sum(exp(x)) along an axis.":
        Softmax::new() => [5],
        Softmax::new().axis([1, 2]) => [3, 2, 2];
    Identity "Its input.": Identity::new() => [5];
    Rescaling "x * scale + offset.": Rescaling::new(0.3).offset(-0.5) => [5];
    Flatten "All axes of a sample as one.": Flatten::new() => [3, 4];
    Reshape "Samples under other sizes.": Reshape::new([-1, 2]) => [3, 4];
    Permute "The axes of a sample in another order.": Permute::new([3, 1, 2]) => [3, 4, 5];
    RepeatVector "A vector as a sequence of itself.": RepeatVector::new(3) => [4];
    Dropout "Zeros inputs at random in training.":
        Dropout::new(0.4) => [5],
        Dropout::new(0.4).noise_shape([None, Some(1), None]) => [3, 5];
    SpatialDropout1D "Zeros whole channels of sequences at random in training.":
        SpatialDropout1D::new(0.4) => [3, 5];
    SpatialDropout2D "Zeros whole channels of images at random in training.":
        SpatialDropout2D::new(0.4) => [3, 2, 5];
    SpatialDropout3D "Zeros whole channels of volumes at random in training.":
        SpatialDropout3D::new(0.4) => [3, 2, 2, 5];
    GaussianNoise "Adds normal noise in training.": GaussianNoise::new(0.4) => [5];
    GaussianDropout "Multiplies by normal noise around one in training.": GaussianDropout::new(0.4) => [5];
    ActivityRegularization "Adds a penalty of its input to the loss.":
        ActivityRegularization::new(0.1, 0.2) => [5];
    Conv1D "Convolution over time.":
        Conv1D::new(3, 2).strides(2).padding("same").gelu() => [7, 4],
        Conv1D::new(3, 3).dilation_rate(2).padding("causal") => [7, 4];
    Conv2D "Convolution of images.":
        Conv2D::new(4, (2, 3)).groups(2).padding("same").strides((2, 1)) => [5, 6, 4],
        Conv2D::new(3, 3).use_bias(false) => [5, 6, 4];
    Conv3D "Convolution of volumes.": Conv3D::new(2, 2) => [3, 4, 3, 2];
    DepthwiseConv1D "Convolution over time of every channel by itself.":
        DepthwiseConv1D::new(3).depth_multiplier(2) => [7, 4];
    DepthwiseConv2D "Convolution of images of every channel by itself.":
        DepthwiseConv2D::new((1, 2)).depth_multiplier(2).padding("same") => [5, 6, 4];
    SeparableConv1D "Depthwise convolution over time, then a mixture of the channels.":
        SeparableConv1D::new(3, 2).padding("causal") => [7, 4];
    SeparableConv2D "Depthwise convolution of images, then a mixture of the channels.":
        SeparableConv2D::new(3, 2).depth_multiplier(2).strides(2) => [5, 6, 4];
    Conv1DTranspose "Transposed convolution over time.":
        Conv1DTranspose::new(3, 3).strides(2).output_padding(1) => [7, 4];
    Conv2DTranspose "Transposed convolution of images.":
        Conv2DTranspose::new(3, (2, 3)).strides(2).padding("same") => [5, 6, 4];
    Conv3DTranspose "Transposed convolution of volumes.": Conv3DTranspose::new(2, 2) => [3, 4, 3, 2];
    MaxPooling1D "The largest element of windows over time.":
        MaxPooling1D::new(3).padding("same").strides(2) => [7, 4];
    MaxPooling2D "The largest element of windows over images.": MaxPooling2D::new(2) => [5, 6, 4];
    MaxPooling3D "The largest element of windows over volumes.": MaxPooling3D::new((1, 2, 2)) => [3, 4, 3, 2];
    AveragePooling1D "The mean of windows over time.":
        AveragePooling1D::new(3).padding("same").strides(2) => [7, 4];
    AveragePooling2D "The mean of windows over images.":
        AveragePooling2D::new((2, 1)).padding("same") => [5, 6, 4];
    AveragePooling3D "The mean of windows over volumes.": AveragePooling3D::new(2) => [3, 4, 3, 2];
    GlobalMaxPooling1D "The largest element over all steps.":
        GlobalMaxPooling1D::new().keepdims(true) => [7, 4];
    GlobalMaxPooling2D "The largest element over images.": GlobalMaxPooling2D::new() => [5, 6, 4];
    GlobalMaxPooling3D "The largest element over volumes.": GlobalMaxPooling3D::new() => [3, 4, 3, 2];
    GlobalAveragePooling1D "The mean over all steps that the mask keeps.":
        GlobalAveragePooling1D::new() => [7, 4];
    GlobalAveragePooling2D "The mean over images.": GlobalAveragePooling2D::new().keepdims(true) => [5, 6, 4];
    GlobalAveragePooling3D "The mean over volumes.": GlobalAveragePooling3D::new() => [3, 4, 3, 2];
    ZeroPadding1D "Zeros before and after sequences.": ZeroPadding1D::new((1, 2)) => [7, 4];
    ZeroPadding2D "Zeros around images.": ZeroPadding2D::new([[1, 2], [0, 3]]) => [5, 6, 4];
    ZeroPadding3D "Zeros around volumes.": ZeroPadding3D::new(1) => [3, 4, 3, 2];
    Cropping1D "Sequences without their ends.": Cropping1D::new((1, 2)) => [7, 4];
    Cropping2D "Images without their borders.": Cropping2D::new((1, 2)) => [5, 6, 4];
    Cropping3D "Volumes without their borders.": Cropping3D::new([[1, 1], [1, 0], [0, 1]]) => [3, 4, 3, 2];
    UpSampling1D "Every step several times.": UpSampling1D::new(2) => [7, 4];
    UpSampling2D "Images blown up.":
        UpSampling2D::new((2, 3)) => [5, 6, 4],
        UpSampling2D::new(2).interpolation("bilinear") => [5, 6, 4];
    UpSampling3D "Volumes blown up.": UpSampling3D::new((1, 2, 1)) => [3, 4, 3, 2];
    BatchNormalization "Mean 0 and variance 1 over the batch.":
        BatchNormalization::new() => [5],
        BatchNormalization::new().axis(1).scale(false) => [2, 4];
    LayerNormalization "Mean 0 and variance 1 within each sample.":
        LayerNormalization::new() => [5],
        LayerNormalization::new().axis([1, 2]).scale(false) => [3, 4],
        LayerNormalization::new().rms_scaling(true) => [5];
    RMSNormalization "Mean square 1 within each sample.": RMSNormalization::new() => [5];
    GroupNormalization "Mean 0 and variance 1 over groups of channels.": GroupNormalization::new(2) => [3, 4];
    UnitNormalization "Length 1 within each sample.": UnitNormalization::new() => [5];
    Embedding "Rows of a table chosen by whole numbers.": Embedding::new(6, 3) => [4];
    Masking "Marks steps that hold one value throughout as padding.": Masking::new() => [3, 4];
    SimpleRNN "A recurrent layer.":
        SimpleRNN::new(3).return_sequences(true).go_backwards(true) => [4, 3],
        SimpleRNN::new(3).recurrent_dropout(0.3) => [4, 3] [3];
    LSTM "Long short-term memory.":
        LSTM::new(3) => [4, 3],
        LSTM::new(3).return_sequences(true).return_state(true) => [4, 3] [3] [3],
        LSTM::new(3).dropout(0.3).recurrent_dropout(0.3) => [4, 3];
    GRU "A gated recurrent unit.":
        GRU::new(3).return_state(true).dropout(0.3) => [4, 3],
        GRU::new(3).reset_after(false).go_backwards(true).return_sequences(true) => [4, 3],
        GRU::new(3).reset_after(false).use_bias(false) => [4, 3];
    Bidirectional (Bidirectional::build) "A recurrent layer run both ways.":
        Bidirectional::new(LSTM::new(3)) => [4, 3],
        Bidirectional::new(GRU::new(3).return_sequences(true)).merge_mode("sum") => [4, 3],
        Bidirectional::new(SimpleRNN::new(3).return_state(true)).merge_mode(None::<String>) => [4, 3] [3] [3];
    TimeDistributed "A layer at every time step.": TimeDistributed::new(Dense::new(2)) => [4, 3];
    Add "The sum of its inputs.": Add::new() => [4, 3] [4, 3] [3];
    Subtract "The first input minus the second.": Subtract::new() => [4, 3] [4, 3];
    Multiply "The product of its inputs.": Multiply::new() => [4, 3] [4, 3];
    Average "The mean of its inputs.": Average::new() => [4, 3] [4, 3] [4, 3];
    Maximum "The largest of its inputs.": Maximum::new() => [4, 3] [4, 3];
    Minimum "The smallest of its inputs.": Minimum::new() => [4, 3] [4, 3];
    Concatenate "Its inputs joined along an axis.": Concatenate::new().axis(1) => [4, 3] [1, 3];
    Dot "Products of two inputs summed over an axis.":
        Dot::new(1) => [4, 3] [4, 3],
        Dot::new(-1).normalize(true) => [3] [3];
    Attention "The values weighted by how well query and key fit.":
        Attention::new() => [4, 3] [5, 3],
        Attention::new().use_scale(true).score_mode("concat").dropout(0.2) => [4, 3] [5, 2] [5, 3];
    AdditiveAttention "The values weighted by a learned sum of query and key.":
        AdditiveAttention::new() => [4, 3] [5, 3];
    MultiHeadAttention "Every step looks at all steps, in several ways at once.":
        MultiHeadAttention::new(2, 3) => [4, 3] [5, 4],
        MultiHeadAttention::new(2, 3).value_dim(2).output_shape(5).use_gate(true).dropout(0.2) => [4, 3] [5, 4] [5, 2];
}
