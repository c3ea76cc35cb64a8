//! Every row of the table of layers: configuration, shape rule and gradient.

mod support;

use rhyton_graph::testing::assert_close;
use rhyton_nn::layer::full_config;
use rhyton_nn::layers::*;
use rhyton_nn::policy::DTypePolicy;
use rhyton_nn::{Kind, Layer, LayerRef};
use rhyton_tensor::{DType, Tensor};
use serde_json::json;
use support::*;

/// A layer, the shapes of its inputs, and the shapes of its results.
struct Case(LayerRef, Vec<Tensor>, &'static str);

fn case(layer: impl Into<LayerRef>, shapes: &[&[usize]], results: &'static str) -> Case {
    let data = shapes.iter().enumerate().map(|(i, s)| normal(s, i as u64 + 1)).collect();
    Case(layer.into(), data, results)
}

fn core() -> Vec<Case> {
    vec![
        case(Dense::new(3).tanh(), &[&[2, 5]], "[batch, 3]"),
        case(Dense::new(3).use_bias(false), &[&[2, 4, 5]], "[batch, 4, 3]"),
        case(Activation::new("sigmoid"), &[&[2, 5]], "[batch, 5]"),
        case(ReLU::new().max_value(0.8).negative_slope(0.1).threshold(0.2), &[&[2, 5]], "[batch, 5]"),
        case(ReLU::new(), &[&[2, 5]], "[batch, 5]"),
        case(LeakyReLU::new(), &[&[2, 5]], "[batch, 5]"),
        case(ELU::new().alpha(0.7), &[&[2, 5]], "[batch, 5]"),
        case(PReLU::new(), &[&[2, 3, 5]], "[batch, 3, 5]"),
        case(PReLU::new().shared_axes(json!([1])), &[&[2, 3, 5]], "[batch, 3, 5]"),
        case(Softmax::new(), &[&[2, 5]], "[batch, 5]"),
        case(Softmax::new().axis(json!([1, 2])), &[&[2, 3, 2, 2]], "[batch, 3, 2, 2]"),
        case(Rescaling::new(0.3).offset(-0.5), &[&[2, 5]], "[batch, 5]"),
        case(Identity::new(), &[&[2, 5]], "[batch, 5]"),
        case(Flatten::new(), &[&[2, 3, 4]], "[batch, 12]"),
        case(Reshape::new([-1, 2]), &[&[2, 3, 4]], "[batch, 6, 2]"),
        case(Permute::new([3, 1, 2]), &[&[2, 3, 4, 5]], "[batch, 5, 3, 4]"),
        case(RepeatVector::new(3), &[&[2, 4]], "[batch, 3, 4]"),
        case(Dropout::new(0.4), &[&[2, 5]], "[batch, 5]"),
        case(Dropout::new(0.4).noise_shape(json!([null, 1, null])), &[&[2, 3, 5]], "[batch, 3, 5]"),
        case(SpatialDropout1D::new(0.4), &[&[2, 3, 5]], "[batch, 3, 5]"),
        case(SpatialDropout2D::new(0.4), &[&[2, 3, 2, 5]], "[batch, 3, 2, 5]"),
        case(SpatialDropout3D::new(0.4), &[&[2, 3, 2, 2, 5]], "[batch, 3, 2, 2, 5]"),
        case(GaussianNoise::new(0.4), &[&[2, 5]], "[batch, 5]"),
        case(GaussianDropout::new(0.4), &[&[2, 5]], "[batch, 5]"),
        case(ActivityRegularization::new(0.1, 0.2), &[&[2, 5]], "[batch, 5]"),
        case(BatchNormalization::new(), &[&[4, 5]], "[batch, 5]"),
        case(BatchNormalization::new().axis(json!(1)).scale(false), &[&[3, 2, 4]], "[batch, 2, 4]"),
        case(LayerNormalization::new(), &[&[2, 5]], "[batch, 5]"),
        case(LayerNormalization::new().axis(json!([1, 2])).scale(false), &[&[2, 3, 4]], "[batch, 3, 4]"),
        case(LayerNormalization::new().rms_scaling(true), &[&[2, 5]], "[batch, 5]"),
        case(RMSNormalization::new(), &[&[2, 5]], "[batch, 5]"),
        case(GroupNormalization::new(2), &[&[2, 3, 4]], "[batch, 3, 4]"),
        case(UnitNormalization::new(), &[&[2, 5]], "[batch, 5]"),
        Case(
            Embedding::new(6, 3).into(),
            vec![indices(&[2, 4], &[1, 5, 0, 2, -1, 3, 3, 1])],
            "[batch, 4, 3]",
        ),
        case(Masking::new(), &[&[2, 3, 4]], "[batch, 3, 4]"),
    ]
}

fn windows() -> Vec<Case> {
    let (d1, d2, d3): (&[usize], &[usize], &[usize]) = (&[2, 7, 4], &[2, 5, 6, 4], &[1, 3, 4, 3, 2]);
    vec![
        case(Conv1D::new(3, 2).strides(2).padding("same").gelu(), &[d1], "[batch, 4, 3]"),
        case(Conv1D::new(3, 3).dilation_rate(2).padding("causal"), &[d1], "[batch, 7, 3]"),
        case(Conv2D::new(4, (2, 3)).groups(2).padding("same").strides((2, 1)), &[d2], "[batch, 3, 6, 4]"),
        case(Conv2D::new(3, 3).use_bias(false), &[d2], "[batch, 3, 4, 3]"),
        case(Conv3D::new(2, 2), &[d3], "[batch, 2, 3, 2, 2]"),
        case(DepthwiseConv1D::new(3).depth_multiplier(2), &[d1], "[batch, 5, 8]"),
        case(DepthwiseConv2D::new((1, 2)).depth_multiplier(2).padding("same"), &[d2], "[batch, 5, 6, 8]"),
        case(SeparableConv1D::new(3, 2).padding("causal"), &[d1], "[batch, 7, 3]"),
        case(SeparableConv2D::new(3, 2).depth_multiplier(2).strides(2), &[d2], "[batch, 2, 3, 3]"),
        case(Conv1DTranspose::new(3, 3).strides(2).output_padding(1), &[d1], "[batch, 16, 3]"),
        case(Conv2DTranspose::new(3, (2, 3)).strides(2).padding("same"), &[d2], "[batch, 10, 12, 3]"),
        case(Conv3DTranspose::new(2, 2), &[d3], "[batch, 4, 5, 4, 2]"),
        case(MaxPooling1D::new(3).padding("same").strides(2), &[d1], "[batch, 4, 4]"),
        case(MaxPooling2D::new(2), &[d2], "[batch, 2, 3, 4]"),
        case(MaxPooling3D::new((1, 2, 2)), &[d3], "[batch, 3, 2, 1, 2]"),
        case(AveragePooling1D::new(3).padding("same").strides(2), &[d1], "[batch, 4, 4]"),
        case(AveragePooling2D::new((2, 1)).padding("same"), &[d2], "[batch, 3, 6, 4]"),
        case(AveragePooling3D::new(2), &[d3], "[batch, 1, 2, 1, 2]"),
        case(GlobalMaxPooling1D::new().keepdims(true), &[d1], "[batch, 1, 4]"),
        case(GlobalMaxPooling2D::new(), &[d2], "[batch, 4]"),
        case(GlobalMaxPooling3D::new(), &[d3], "[batch, 2]"),
        case(GlobalAveragePooling1D::new(), &[d1], "[batch, 4]"),
        case(GlobalAveragePooling2D::new().keepdims(true), &[d2], "[batch, 1, 1, 4]"),
        case(GlobalAveragePooling3D::new(), &[d3], "[batch, 2]"),
        case(ZeroPadding1D::new((1, 2)), &[d1], "[batch, 10, 4]"),
        case(ZeroPadding2D::new([[1, 2], [0, 3]]), &[d2], "[batch, 8, 9, 4]"),
        case(ZeroPadding3D::new(1), &[d3], "[batch, 5, 6, 5, 2]"),
        case(Cropping1D::new((1, 2)), &[d1], "[batch, 4, 4]"),
        case(Cropping2D::new((1, 2)), &[d2], "[batch, 3, 2, 4]"),
        case(Cropping3D::new([[1, 1], [1, 0], [0, 1]]), &[d3], "[batch, 1, 3, 2, 2]"),
        case(UpSampling1D::new(2), &[d1], "[batch, 14, 4]"),
        case(UpSampling2D::new((2, 3)), &[d2], "[batch, 10, 18, 4]"),
        case(UpSampling2D::new(2).interpolation("bilinear"), &[d2], "[batch, 10, 12, 4]"),
        case(UpSampling3D::new((1, 2, 1)), &[d3], "[batch, 3, 8, 3, 2]"),
    ]
}

fn sequences() -> Vec<Case> {
    let (x, s): (&[usize], &[usize]) = (&[2, 4, 3], &[2, 3]);
    let dropped = LSTM::new(3).dropout(0.3).recurrent_dropout(0.3);
    vec![
        case(SimpleRNN::new(3).return_sequences(true).go_backwards(true), &[x], "[batch, 4, 3]"),
        case(SimpleRNN::new(3).recurrent_dropout(0.3), &[x, s], "[batch, 3]"),
        case(LSTM::new(3), &[x], "[batch, 3]"),
        case(
            LSTM::new(3).return_sequences(true).return_state(true),
            &[x, s, s],
            "[batch, 4, 3] [batch, 3] [batch, 3]",
        ),
        case(dropped, &[x], "[batch, 3]"),
        case(GRU::new(3).return_state(true).dropout(0.3), &[x], "[batch, 3] [batch, 3]"),
        case(GRU::new(3).reset_after(false).go_backwards(true).return_sequences(true), &[x], "[batch, 4, 3]"),
        case(GRU::new(3).reset_after(false).use_bias(false), &[x], "[batch, 3]"),
        case(Bidirectional::new(LSTM::new(3)), &[x], "[batch, 6]"),
        case(Bidirectional::new(GRU::new(3).return_sequences(true)).merge_mode("sum"), &[x], "[batch, 4, 3]"),
        case(
            Bidirectional::new(SimpleRNN::new(3).return_state(true)).merge_mode(None::<String>),
            &[x, s, s],
            "[batch, 3] [batch, 3] [batch, 3] [batch, 3]",
        ),
        case(TimeDistributed::new(Dense::new(2)), &[x], "[batch, 4, 2]"),
        case(Add::new(), &[x, x, s], "[batch, 4, 3]"),
        case(Subtract::new(), &[x, x], "[batch, 4, 3]"),
        case(Multiply::new(), &[x, x], "[batch, 4, 3]"),
        case(Average::new(), &[x, x, x], "[batch, 4, 3]"),
        case(Maximum::new(), &[x, x], "[batch, 4, 3]"),
        case(Minimum::new(), &[x, x], "[batch, 4, 3]"),
        case(Concatenate::new().axis(1), &[x, &[2, 1, 3]], "[batch, 5, 3]"),
        case(Dot::new(1), &[x, x], "[batch, 3, 3]"),
        case(Dot::new(-1).normalize(true), &[s, s], "[batch, 1]"),
        case(Attention::new(), &[x, &[2, 5, 3]], "[batch, 4, 3]"),
        case(
            Attention::new().use_scale(true).score_mode("concat").dropout(0.2),
            &[x, &[2, 5, 2], &[2, 5, 3]],
            "[batch, 4, 2]",
        ),
        case(AdditiveAttention::new(), &[x, &[2, 5, 3]], "[batch, 4, 3]"),
        case(MultiHeadAttention::new(2, 3), &[x, &[2, 5, 4]], "[batch, 4, 3]"),
        case(
            MultiHeadAttention::new(2, 3).value_dim(2).output_shape(json!(5)).use_gate(true).dropout(0.2),
            &[x, &[2, 5, 4], &[2, 5, 2]],
            "[batch, 4, 5]",
        ),
    ]
}

fn cases() -> Vec<Case> {
    core().into_iter().chain(windows()).chain(sequences()).collect()
}

#[test]
fn every_row_has_a_case() {
    let covered: Vec<&str> = cases().iter().map(|c| c.0.get().unwrap().class_name()).collect();
    for row in <dyn Layer>::rows() {
        let elsewhere = ["InputLayer", "Sequential", "Functional"].contains(&row.class_name);
        assert!(elsewhere || covered.contains(&row.class_name), "{} has no case", row.class_name);
    }
}

#[test]
fn configurations_survive() {
    for Case(layer, ..) in cases() {
        let record = layer.to_json();
        let again = LayerRef::from_json(&record).unwrap();
        assert_eq!(again.to_json(), record);
    }
}

#[test]
fn shapes_follow_the_rules() {
    for Case(layer, data, expected) in cases() {
        let x = inputs(&data);
        let y = rhyton_nn::Applicable::apply_all(&layer, x.as_slice());
        let shapes: Vec<String> = y.iter().map(|s| s.shape().to_string()).collect();
        assert_eq!(shapes.join(" "), expected, "{layer:?}");
        // The interpreter computes what the rule says.
        let model = rhyton_nn::Model::new(&x, &y).unwrap();
        for (t, s) in run(&model, &data).iter().zip(&y) {
            let batch = [("batch".into(), data[0].shape()[0])].into();
            assert_eq!(Some(t.shape().to_vec()), s.shape().eval(&batch), "{layer:?}");
        }
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    for Case(layer, data, _) in cases() {
        println!("{}", layer.get().unwrap().class_name()); // shown when it fails
        let model = of_layer(layer, &data).unwrap();
        check_gradient(&model, &data, false);
        check_gradient(&model, &data, true);
    }
}

/// The layer with the policy mixed_bfloat16.
fn mixed(layer: &LayerRef) -> LayerRef {
    let mut record = layer.to_json();
    record["config"]["dtype"] = DTypePolicy::MixedBfloat16.to_json();
    LayerRef::from_json(&record).unwrap()
}

#[test]
fn layers_in_bfloat16_compute_nearly_the_same() {
    for Case(layer, data, _) in cases() {
        let have = of_layer(mixed(&layer), &data).unwrap();
        let mut plain = of_layer(&layer, &data).unwrap();
        plain.set_weights(have.weights()).unwrap();
        assert_close(&run(&have, &data), &run(&plain, &data), 2e-2, layer.get().unwrap().class_name());
        let traced = have.trace(true).unwrap();
        let loss = traced.outputs.iter().map(|v| v.expr.cast(DType::F32).sum_all());
        let loss = loss.fold(rhyton_graph::Expr::scalar(0.0f32), |sum, y| sum + y);
        for (g, (v, w)) in
            rhyton_graph::grad(&loss, &traced.trace.params()).iter().zip(&traced.trace.variables)
        {
            assert!(g.error().is_none() && g.dtype() == w.dtype(), "{}: {:?}", v.path, g.error());
        }
    }
}

/// Keys behind name, trainable and dtype, in the order in which Keras 3.15 writes them.
const KEYS: &str = include_str!("support/config_keys.txt");

#[test]
fn configurations_have_keras_keys_in_keras_order() {
    for line in KEYS.lines() {
        let (class, keys) = line.split_once(' ').unwrap_or((line, ""));
        let Some(Case(layer, ..)) = cases().into_iter().find(|c| c.0.get().unwrap().class_name() == class)
        else {
            panic!("no case for {class}");
        };
        let config = full_config(&**layer.get().unwrap(), "x");
        let found: Vec<&str> = config.keys().skip(3).map(String::as_str).collect();
        assert_eq!(found.join(" "), keys, "{class}");
    }
}

#[test]
fn layers_without_an_activity_regularizer_do_not_mention_it() {
    let config = full_config(&Dense::new(1), "d");
    assert!(!config.contains_key("activity_regularizer"));
    assert!(full_config(&Conv1D::new(1, 1), "c")["activity_regularizer"].is_null());
}
