//! What a user reads when a layer does not fit: what, expected, fix. The texts are part of the interface.

mod support;

use rhyton_model::Sequential;
use rhyton_model::{Applicable, Input};
use rhyton_nn::LayerRef;
use rhyton_nn::layers::*;
use rhyton_tensor::Tensor;
use support::*;

fn zeros(shape: &[usize]) -> Tensor {
    tensor(shape, &vec![0.0; shape.iter().product()])
}

/// The error of a layer on one input of `shape`.
fn on(layer: impl Into<LayerRef>, shape: &[usize]) -> String {
    error_of(layer, &[zeros(shape)])
}

#[test]
fn ranks() {
    assert_eq!(
        on(Conv2D::new(8, 3), &[2, 28, 28]),
        "Conv2D takes [batch, height, width, channels], got [batch, 28, 28] | fix: add the channel axis with \
         Reshape, or to the shape of the model's input"
    );
    assert_eq!(
        on(MaxPooling1D::new(2), &[2, 8, 8, 1]),
        "MaxPooling1D takes [batch, steps, channels], got [batch, 8, 8, 1] | expected: 3 axes, the batch axis \
         included"
    );
    assert_eq!(
        on(LSTM::new(4), &[2, 8]),
        "LSTM takes [batch, steps, features], got [batch, 8] | fix: give every step a list of features with \
         Reshape, or indices a meaning with Embedding"
    );
    assert_eq!(
        error_of(MultiHeadAttention::new(2, 4), &[zeros(&[2, 8]), zeros(&[2, 8])]),
        "MultiHeadAttention takes [batch, steps, features], got [batch, 8] | fix: Reshape the input to three axes"
    );
    assert_eq!(
        on(RepeatVector::new(2), &[2, 3, 4]),
        "RepeatVector takes [batch, features], got [batch, 3, 4] | fix: Flatten the samples first"
    );
}

#[test]
fn windows() {
    assert_eq!(
        on(Conv2D::new(8, 5), &[1, 4, 4, 1]),
        "the window [5, 5] of Conv2D is larger than its input [4, 4] | fix: use a smaller window, padding 'same', \
         or fewer poolings before"
    );
    assert_eq!(
        on(Conv2D::new(8, 3).padding("smae"), &[1, 4, 4, 1]),
        "Conv2D got padding 'smae' | expected: 'valid' or 'same'"
    );
    assert_eq!(
        on(Conv1D::new(8, 3).padding("full"), &[1, 4, 1]),
        "Conv1D got padding 'full' | expected: 'valid', 'same' or 'causal'"
    );
    assert_eq!(
        on(AveragePooling2D::new(2).padding("causal"), &[1, 4, 4, 1]),
        "AveragePooling2D got padding 'causal' | expected: 'valid' or 'same' | fix: only Conv1D and its kin know an \
         order of time"
    );
    assert_eq!(
        on(Conv2D::new(8, 3).strides(2).dilation_rate(2), &[1, 8, 8, 1]),
        "Conv2D got strides [2, 2] together with dilation_rate [2, 2] | expected: strides or a dilation_rate, not \
         both"
    );
    assert_eq!(
        on(MaxPooling2D::new((2, 0)), &[1, 4, 4, 1]),
        "MaxPooling2D got window size [2, 0] | expected: sizes from 1 to 65536"
    );
    assert_eq!(
        on(Conv2DTranspose::new(1, 3).strides(2).output_padding(2), &[1, 4, 4, 1]),
        "Conv2DTranspose got output_padding 2 with strides 2 | expected: an output_padding below the strides"
    );
    assert_eq!(
        on(Cropping1D::new(2), &[1, 4, 1]),
        "Cropping1D cuts 2 and 2 of the 4 positions along axis 1 | expected: at least one position left"
    );
}

#[test]
fn channels() {
    assert_eq!(
        on(Conv2D::new(8, 3).groups(2), &[1, 4, 4, 3]),
        "Conv2D cannot split the 3 channels of its input into 2 groups | expected: groups that divide the input's \
         channels and the filters"
    );
    assert_eq!(
        on(Conv2D::new(8, 3).data_format("channels_first"), &[1, 4, 4, 3]),
        "Conv2D with data_format 'channels_first' is not supported | expected: channels_last: [batch, .., channels] \
         | fix: move the channels to the last axis, with Permute for instance"
    );
    assert_eq!(
        on(GroupNormalization::new(3), &[1, 4, 8]),
        "GroupNormalization cannot split 8 channels into 3 groups | expected: groups that divide the channels, or -1"
    );
}

#[test]
fn settings() {
    assert_eq!(on(Dense::new(0), &[1, 4]), "Dense got units 0 | expected: units of at least 1");
    assert_eq!(on(Conv1D::new(0, 1), &[1, 4, 1]), "Conv1D got filters 0 | expected: filters of at least 1");
    assert_eq!(on(Dropout::new(1.5), &[1, 4]), "Dropout got the rate 1.5 | expected: a number from 0 to 1");
    assert_eq!(
        on(Dropout::new(0.5).noise_shape([None, Some(3)]), &[1, 4]),
        "Dropout got the noise_shape [null,3] for [batch, 4] | expected: one size for every axis: the axis's own, 1, \
         or null"
    );
    assert_eq!(
        on(LSTM::new(2).stateful(true), &[1, 4, 2]),
        "LSTM with stateful is not supported | fix: return the state and pass it on as initial_state"
    );
    assert_eq!(
        on(BatchNormalization::new().axis(4), &[1, 4]),
        "BatchNormalization got the axis 4, but the input [batch, 4] has 2 axes | expected: -2 to 1"
    );
    assert_eq!(
        on(Bidirectional::new(LSTM::new(2)).merge_mode("mean"), &[1, 4, 2]),
        "Bidirectional got the merge_mode 'mean' | expected: 'concat', 'sum', 'mul', 'ave' or none"
    );
    assert_eq!(
        on(Bidirectional::new(Dense::new(2)), &[1, 4, 2]),
        "Bidirectional cannot run Dense both ways | expected: a recurrent layer: LSTM, GRU or SimpleRNN"
    );
    assert_eq!(
        on(UpSampling2D::new(2).interpolation("cubic"), &[1, 4, 4, 2]),
        "UpSampling2D got the interpolation 'cubic' | expected: 'nearest' or 'bilinear'"
    );
}

#[test]
fn shapes() {
    assert_eq!(
        on(Reshape::new([5, -1]), &[2, 3, 4]),
        "Reshape cannot make samples of [5, -1] from samples of [3, 4] | expected: 12 elements in a sample | fix: \
         the sizes must divide the elements"
    );
    assert_eq!(
        on(Reshape::new([2, 3]), &[2, 12]),
        "Reshape cannot make samples of [2, 3] from samples of [12] | expected: 12 elements in a sample | fix: the \
         product of the sizes must be the number of elements"
    );
    assert_eq!(
        on(Permute::new([1, 1]), &[2, 3, 4]),
        "Permute got the axes [1, 1] for an input [batch, 3, 4] | expected: each of 1 to 2 once; the batch axis stays"
    );
    assert_eq!(
        error_of(Concatenate::new(), &[zeros(&[1, 2, 3]), zeros(&[1, 4, 3])]),
        "Concatenate along axis 2 got [batch, 2, 3], [batch, 4, 3] | expected: equal sizes along every axis but 2"
    );
    assert_eq!(
        error_of(Add::new(), &[zeros(&[1, 2]), zeros(&[1, 3])]),
        "Add got inputs of shapes [batch, 2], [batch, 3] | expected: equal shapes, or sizes of 1 where they differ | \
         fix: bring the inputs to one shape with Dense, a convolution of window 1, or Reshape"
    );
    assert_eq!(
        error_of(Subtract::new(), &[zeros(&[1, 2])]),
        "Subtract got 1 inputs | expected: exactly 2 inputs | fix: apply it to a list: Subtract::new().apply([&a, \
         &b])"
    );
    assert_eq!(
        error_of(Dot::new(1), &[zeros(&[1, 2]), zeros(&[1, 3])]),
        "Dot over axis 1 of [batch, 2] and axis 1 of [batch, 3] | expected: two axes of one size behind the batch \
         axis"
    );
    assert_eq!(
        error_of(GRU::new(3), &[zeros(&[1, 2, 2]), zeros(&[1, 4])]),
        "GRU got the initial_state [batch, 4] | expected: 1 of shape [batch, 3]"
    );
    assert_eq!(
        on(MultiHeadAttention::new(2, 2), &[1, 2, 2]),
        "MultiHeadAttention got 1 inputs | expected: query and value, and a key when it is not the value | fix: for \
         self attention, apply it to [&x, &x]"
    );
}

#[test]
fn absurd_sizes_are_refused_before_anything_is_computed() {
    let huge = usize::MAX;
    let image: &[usize] = &[1, 4, 4, 2];
    assert_eq!(
        on(Dense::new(huge), &[1, 4]),
        "Dense got units 18446744073709551615 | expected: units of at most 1073741824"
    );
    let layers: Vec<(LayerRef, &[usize])> = vec![
        (Conv2D::new(huge, 3).into(), image),
        (Conv2D::new(3, huge).into(), image),
        (Conv2D::new(3, 3).dilation_rate(huge).padding("same").into(), image),
        (DepthwiseConv2D::new(3).depth_multiplier(huge).into(), image),
        (Conv2DTranspose::new(3, 3).strides(huge).into(), image),
        (MaxPooling2D::new(huge).into(), image),
        (UpSampling2D::new(huge).into(), image),
        (ZeroPadding2D::new(huge).into(), image),
        (Cropping2D::new(huge).into(), image),
        (RepeatVector::new(huge).into(), &[1, 4]),
        (Reshape::new([i64::MAX, 4, -1]).into(), &[1, 4]),
        (LSTM::new(huge).into(), &[1, 4, 2]),
        (GroupNormalization::new(i64::MAX).into(), image),
    ];
    for (layer, shape) in layers {
        assert!(of_layer(layer.clone(), &[zeros(shape)]).is_err(), "{layer:?}");
    }
    let attention = MultiHeadAttention::new(2, 2).output_shape([i64::MAX, 2]);
    assert!(of_layer(attention, &[zeros(&[1, 2, 2]), zeros(&[1, 2, 2])]).is_err());
    // Sizes that are fine one by one.
    let e = on(Embedding::new(1 << 30, 1 << 30), &[1, 4]);
    assert!(e.starts_with("the weight 'embeddings' would have the shape [1073741824, 1073741824]"), "{e}");
}

#[test]
fn unknown_sizes() {
    use rhyton_tensor::Dim;
    let input = [Dim::symbol("time"), Dim::symbol("width")];
    let e = Sequential::new(input.to_vec()).add(Dense::new(3)).build().unwrap_err();
    assert_eq!(
        e.problems[0].what,
        "Dense needs to know the size of the last axis, got [batch, input_layer_1, input_layer_2]"
    );
    assert_eq!(e.problems[0].place.as_deref(), Some("sequential/dense"));
    assert!(
        e.problems[0]
            .source
            .as_ref()
            .and_then(|s| s.line())
            .is_some_and(|s| s.file().ends_with("layers_errors.rs")),
        "{e}"
    );
}

#[test]
fn the_line_of_the_layer_is_named() {
    let line = line!() + 1;
    let layer = Bidirectional::new(GRU::new(3).stateful(true));
    let e = of_layer(layer, &[zeros(&[1, 2, 2])]).unwrap_err();
    assert_eq!(e.problems[0].source.as_ref().and_then(|s| s.line()).map(|s| s.line()), Some(line));
    assert_eq!(e.problems[0].place.as_deref(), Some("bidirectional/forward_gru"));
}

rhyton_nn::layer! {
    /// Draws whether it trains or not.
    struct Noise {}
}

impl rhyton_nn::Layer for Noise {
    fn call(&self, cx: &mut rhyton_nn::Cx<'_>, args: &rhyton_nn::Args) -> rhyton_nn::Outputs {
        let shape = args.x().shape().clone();
        cx.random(rhyton_graph::ops::Distribution::Normal, shape, None).into()
    }
}

#[test]
fn random_numbers_need_training() {
    let e = of_layer(Noise::default(), &[zeros(&[1, 2])]).unwrap_err();
    assert_eq!(e.problems[0].what, "random numbers are drawn only in training");
}

#[test]
fn steps_that_are_called_one_by_one_must_be_counted() {
    let model = |steps: rhyton_tensor::Dim| {
        let x = Input::new(vec![steps, 3.into()]).symbolic();
        let y = TimeDistributed::new(BatchNormalization::new()).apply(&x);
        rhyton_model::Model::new(&[x], &[y]).unwrap()
    };
    // Only training takes statistics.
    let open = model(rhyton_tensor::Dim::symbol("time"));
    assert!(open.trace(false).is_ok());
    let e = open.trace(true).err().unwrap().to_string();
    assert!(e.contains("'batch_normalization' for each step by itself"), "{e}");
    assert!(e.contains("fixed number of steps"), "{e}");
    let e = model(5000.into()).trace(true).err().unwrap().to_string();
    assert!(e.contains("5000 times") && e.contains("at most 4096 steps"), "{e}");
}
