//! A model around every layer of the table, for the tests of this crate and the seeds of the fuzzer.

use rhyton_nn::layers::*;
use rhyton_nn::{Applicable, Input, LayerRef, Model, Symbolic};
use rhyton_tensor::{Dim, Tensor};

/// A layer and the shapes of samples of its inputs.
pub type Case = (LayerRef, &'static [&'static [usize]]);

const VECTOR: &[&[usize]] = &[&[5]];
const TWO_VECTORS: &[&[usize]] = &[&[5], &[5]];
const STEPS: &[&[usize]] = &[&[7, 4]];
const TWO_STEPS: &[&[usize]] = &[&[7, 4], &[7, 4]];
const IMAGE: &[&[usize]] = &[&[6, 5, 4]];
const VOLUME: &[&[usize]] = &[&[4, 4, 3, 2]];

fn plain() -> Vec<Case> {
    vec![
        (Dense::new(3).tanh().into(), VECTOR),
        (Activation::new("sigmoid").into(), VECTOR),
        (ReLU::new().max_value(0.8).into(), VECTOR),
        (LeakyReLU::new().into(), VECTOR),
        (ELU::new().into(), VECTOR),
        (PReLU::new().into(), STEPS),
        (Softmax::new().into(), VECTOR),
        (Identity::new().into(), VECTOR),
        (Flatten::new().into(), STEPS),
        (Reshape::new([-1, 2]).into(), STEPS),
        (Permute::new([2, 1]).into(), STEPS),
        (RepeatVector::new(3).into(), VECTOR),
        (Dropout::new(0.4).into(), VECTOR),
        (SpatialDropout1D::new(0.4).into(), STEPS),
        (SpatialDropout2D::new(0.4).into(), IMAGE),
        (SpatialDropout3D::new(0.4).into(), VOLUME),
        (GaussianNoise::new(0.4).into(), VECTOR),
        (GaussianDropout::new(0.4).into(), VECTOR),
        (ActivityRegularization::new(0.1, 0.2).into(), VECTOR),
        (BatchNormalization::new().into(), VECTOR),
        (LayerNormalization::new().into(), VECTOR),
        (RMSNormalization::new().into(), VECTOR),
        (GroupNormalization::new(2).into(), STEPS),
        (UnitNormalization::new().into(), VECTOR),
        (Masking::new().into(), STEPS),
        (Rescaling::new(0.5).into(), VECTOR),
        (Add::new().into(), TWO_VECTORS),
        (Subtract::new().into(), TWO_VECTORS),
        (Multiply::new().into(), TWO_VECTORS),
        (Average::new().into(), TWO_VECTORS),
        (Maximum::new().into(), TWO_VECTORS),
        (Minimum::new().into(), TWO_VECTORS),
        (Concatenate::new().axis(1).into(), TWO_STEPS),
        (Dot::new(1).into(), TWO_VECTORS),
    ]
}

fn windows() -> Vec<Case> {
    vec![
        (Conv1D::new(3, 2).strides(2).padding("same").into(), STEPS),
        (Conv2D::new(4, (2, 3)).groups(2).into(), IMAGE),
        (Conv3D::new(2, 2).into(), VOLUME),
        (DepthwiseConv1D::new(3).into(), STEPS),
        (DepthwiseConv2D::new((1, 2)).depth_multiplier(2).into(), IMAGE),
        (SeparableConv1D::new(3, 2).into(), STEPS),
        (SeparableConv2D::new(3, 2).into(), IMAGE),
        (Conv1DTranspose::new(3, 3).strides(2).into(), STEPS),
        (Conv2DTranspose::new(3, (2, 3)).strides(2).into(), IMAGE),
        (Conv3DTranspose::new(2, 2).into(), VOLUME),
        (MaxPooling1D::new(3).into(), STEPS),
        (MaxPooling2D::new(2).into(), IMAGE),
        (MaxPooling3D::new((1, 2, 2)).into(), VOLUME),
        (AveragePooling1D::new(3).padding("same").into(), STEPS),
        (AveragePooling2D::new((2, 1)).into(), IMAGE),
        (AveragePooling3D::new(2).into(), VOLUME),
        (GlobalMaxPooling1D::new().into(), STEPS),
        (GlobalMaxPooling2D::new().into(), IMAGE),
        (GlobalMaxPooling3D::new().into(), VOLUME),
        (GlobalAveragePooling1D::new().into(), STEPS),
        (GlobalAveragePooling2D::new().into(), IMAGE),
        (GlobalAveragePooling3D::new().into(), VOLUME),
        (ZeroPadding1D::new((1, 2)).into(), STEPS),
        (ZeroPadding2D::new([[1, 2], [0, 3]]).into(), IMAGE),
        (ZeroPadding3D::new(1).into(), VOLUME),
        (Cropping1D::new((1, 2)).into(), STEPS),
        (Cropping2D::new((1, 2)).into(), IMAGE),
        (Cropping3D::new(1).into(), VOLUME),
        (UpSampling1D::new(2).into(), STEPS),
        (UpSampling2D::new((2, 3)).into(), IMAGE),
        (UpSampling3D::new((1, 2, 1)).into(), VOLUME),
    ]
}

fn sequences() -> Vec<Case> {
    vec![
        (Embedding::new(6, 3).into(), &[&[7]]),
        (SimpleRNN::new(3).go_backwards(true).into(), STEPS),
        (LSTM::new(3).return_sequences(true).into(), STEPS),
        (GRU::new(3).reset_after(false).into(), STEPS),
        (Bidirectional::new(LSTM::new(3)).into(), STEPS),
        (TimeDistributed::new(Dense::new(2)).into(), STEPS),
        (Attention::new().into(), TWO_STEPS),
        (AdditiveAttention::new().into(), TWO_STEPS),
        (MultiHeadAttention::new(2, 3).into(), TWO_STEPS),
    ]
}

/// A layer in a model of its own, with weights that are not its initial ones.
pub fn model_of((layer, shapes): &Case, i: usize) -> (Model, Vec<Tensor>) {
    let named = |k: usize, s: &[usize]| {
        Input::new(s.iter().map(|n| Dim::fixed(*n)).collect::<Vec<_>>()).symbolic_named(&format!("in{k}"))
    };
    let inputs: Vec<Symbolic> = shapes.iter().enumerate().map(|(k, s)| named(k, s)).collect();
    let outputs = layer.apply_all(inputs.as_slice());
    let mut model = Model::new(&inputs, &outputs).unwrap();
    let value = |seed: usize, k: usize| ((seed * 31 + k * 7) % 13) as f32 / 7.0;
    let weights: Vec<Tensor> = model
        .weights()
        .iter()
        .enumerate()
        .map(|(w, t)| Tensor::from_fn(t.shape(), |k| value(w + i, k)))
        .collect();
    model.set_weights(&weights).unwrap();
    let data = shapes
        .iter()
        .map(|s| Tensor::from_fn([&[2], *s].concat(), |k| (value(3, k) * 3.0).floor()))
        .collect();
    (model, data)
}

trait Named {
    fn symbolic_named(self, name: &str) -> Symbolic;
}
impl Named for Input {
    fn symbolic_named(self, name: &str) -> Symbolic {
        rhyton_nn::LayerExt::name(self, name).symbolic()
    }
}

pub fn cases() -> Vec<Case> {
    plain().into_iter().chain(windows()).chain(sequences()).collect()
}
