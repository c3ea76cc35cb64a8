//! Masks of padded sequences: where they come from, what they do, where they go.

mod support;

use rhyton_model::{Applicable, Inputs, Model, Symbolic};
use rhyton_nn::layers::*;
use rhyton_nn::{LayerExt, LayerRef};
use rhyton_tensor::Tensor;
use support::*;

/// `[1, 2, 3, pad]` as steps of one feature; zero is padding.
fn padded() -> Tensor {
    tensor(&[1, 4, 1], &[1.0, 2.0, 0.0, 3.0])
}

fn chain(layers: Vec<LayerRef>, data: &Tensor) -> Model {
    let s = inputs(std::slice::from_ref(data));
    let y = layers.into_iter().fold(s[0].clone(), |x: Symbolic, l| l.apply(&x));
    Model::new(&s, &[y]).unwrap()
}

fn mask_of(layers: Vec<LayerRef>, data: &Tensor) -> Option<Vec<f32>> {
    let (_, mask) = with_masks(&chain(layers, data), std::slice::from_ref(data));
    mask.map(|m| m.to_vec::<f32>())
}

/// h' = x + 2 h.
fn rnn() -> (SimpleRNN, Vec<Tensor>) {
    let layer = SimpleRNN::new(1).activation("linear").use_bias(false);
    (layer, vec![tensor(&[1, 1], &[1.0]), tensor(&[1, 1], &[2.0])])
}

#[test]
fn masks_pass_through_layers_that_keep_steps() {
    let kept: Vec<LayerRef> = vec![
        Masking::new().into(),
        Dense::new(2).into(),
        Dropout::new(0.1).into(),
        LayerNormalization::new().into(),
    ];
    assert_eq!(mask_of(kept, &padded()), Some(vec![1.0, 1.0, 0.0, 1.0]));
    assert_eq!(mask_of(vec![Masking::new().into(), Conv1D::new(1, 2).into()], &padded()), None);
    assert_eq!(mask_of(vec![Masking::new().into(), LSTM::new(2).into()], &padded()), None);
    let sequences = LSTM::new(2).return_sequences(true);
    assert!(mask_of(vec![Masking::new().into(), sequences.into()], &padded()).is_some());
}

#[test]
fn embeddings_mask_index_zero() {
    let data = indices(&[1, 4], &[3, 1, 0, 0]);
    let model = of_layer(Embedding::new(5, 2).mask_zero(true), std::slice::from_ref(&data)).unwrap();
    let (_, mask) = with_masks(&model, &[data]);
    assert_eq!(mask.unwrap().to_vec::<f32>(), [1.0, 1.0, 0.0, 0.0]);
}

#[test]
fn recurrent_layers_skip_padding() {
    let run_with = |layer: SimpleRNN| {
        let mut model = chain(vec![Masking::new().into(), layer.into()], &padded());
        model.set_weights(&rnn().1).unwrap();
        run(&model, &[padded()])[0].to_vec::<f32>()
    };
    let (layer, _) = rnn();
    close(&run_with(layer.clone()), &[1.0 * 4.0 + 2.0 * 2.0 + 3.0]);
    let all = layer.return_sequences(true);
    close(&run_with(all.clone()), &[1.0, 4.0, 4.0, 11.0]);
    close(&run_with(all.clone().zero_output_for_mask(true)), &[1.0, 4.0, 0.0, 11.0]);
    close(&run_with(all.go_backwards(true)), &[3.0, 3.0, 8.0, 17.0]);
}

#[test]
fn bidirectional_gives_zeros_for_padding() {
    let (layer, weights) = rnn();
    let both = Bidirectional::new(layer.return_sequences(true)).merge_mode("sum");
    let mut model = chain(vec![Masking::new().into(), both.into()], &padded());
    model.set_weights(&[weights.clone(), weights].concat()).unwrap();
    // Forward 1, 4, 0, 11; backward 17, 8, 0, 3.
    close(&run(&model, &[padded()])[0].to_vec::<f32>(), &[18.0, 12.0, 0.0, 14.0]);
}

#[test]
fn a_named_mask_counts_as_well() {
    let (layer, weights) = rnn();
    let data = padded();
    // A mask as data: the steps equal to 2 or 3 are real.
    let keep = tensor(&[1, 4], &[0.0, 1.0, 0.0, 1.0]);
    let s = inputs(&[data.clone(), keep.clone()]);
    let y = layer.apply(Inputs::from(&s[0]).named("mask", &[&s[1]]));
    let mut model = Model::new(&s, &[y]).unwrap();
    model.set_weights(&weights).unwrap();
    close(&run(&model, &[data, keep])[0].to_vec::<f32>(), &[2.0 * 2.0 + 3.0]);
}

#[test]
fn the_mean_over_steps_leaves_padding_out() {
    let model = chain(vec![Masking::new().into(), GlobalAveragePooling1D::new().into()], &padded());
    close(&run(&model, &[padded()])[0].to_vec::<f32>(), &[2.0]);
}

#[test]
fn batch_statistics_leave_padding_out() {
    let model = chain(vec![Masking::new().into(), BatchNormalization::new().momentum(0.0).into()], &padded());
    let traced = model.trace(true).unwrap();
    let updates = traced.trace.updates.iter().map(|(_, e)| e.clone()).collect();
    let out = evaluate(&model, &traced, updates, &[padded()]);
    close(&out[0].to_vec::<f32>(), &[2.0]);
    close(&out[1].to_vec::<f32>(), &[2.0 / 3.0]);
}

/// Two masked inputs merged: step 1 is padding in the first, step 2 in the second, step 3 in both.
fn merged(layer: impl Into<LayerRef>) -> (Vec<f32>, Option<Vec<f32>>) {
    let data = [tensor(&[1, 4, 1], &[2.0, 0.0, 3.0, 0.0]), tensor(&[1, 4, 1], &[5.0, -7.0, 0.0, 0.0])];
    let s = inputs(&data);
    let y = layer.into().apply([&Masking::new().apply(&s[0]), &Masking::new().apply(&s[1])]);
    let (y, mask) = with_masks(&Model::new(&s, &[y]).unwrap(), &data);
    (y.to_vec(), mask.map(|m| m.to_vec()))
}

#[test]
fn merges_follow_the_masks_of_their_inputs() {
    let either = Some(vec![1.0, 1.0, 1.0, 0.0]);
    assert_eq!(merged(Add::new()), (vec![7.0, -7.0, 3.0, 0.0], either.clone()));
    assert_eq!(merged(Maximum::new()), (vec![5.0, -7.0, 3.0, 0.0], either.clone()));
    assert_eq!(merged(Minimum::new()), (vec![2.0, -7.0, 3.0, 0.0], either.clone()));
    assert_eq!(merged(Multiply::new()), (vec![10.0, -7.0, 3.0, 0.0], either.clone()));
    assert_eq!(merged(Concatenate::new()).1, either);
    assert_eq!(merged(Concatenate::new().axis(1)).1, Some(vec![1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0]));
    assert_eq!(merged(Dot::new(-1)).1, None);
}

#[test]
fn attention_does_not_look_at_padding() {
    let query = normal(&[1, 2, 3], 1);
    let attend = |layer: MultiHeadAttention, value: Tensor| {
        let data = [query.clone(), value];
        let s = inputs(&data);
        let y = layer.apply([&s[0], &Masking::new().apply(&s[1])]);
        run(&Model::new(&s, &[y]).unwrap(), &data)[0].to_vec::<f32>()
    };
    let with = |tail: &[f32]| {
        let mut v = normal(&[1, 2, 3], 2).to_vec::<f32>();
        v.extend(tail);
        tensor(&[1, v.len() / 3, 3], &v)
    };
    for dropout in [0.0, 0.5] {
        let layer = || MultiHeadAttention::new(2, 2).dropout(dropout);
        close(&attend(layer(), with(&[0.0; 3])), &attend(layer(), with(&[])));
    }
    let layer = || Attention::new().use_scale(true);
    let plain = |value: Tensor| {
        let data = [query.clone(), value];
        let s = inputs(&data);
        let y = layer().apply([&s[0], &Masking::new().apply(&s[1])]);
        run(&Model::new(&s, &[y]).unwrap(), &data)[0].to_vec::<f32>()
    };
    close(&plain(with(&[0.0; 3])), &plain(with(&[])));
    // Nothing to look at: the fused path gives the mean of the values, the other one zeros; with zeros for
    // values and biases of zero, both give zero here, and neither gives NaN.
    let nothing = tensor(&[1, 2, 3], &[0.0; 6]);
    close(&attend(MultiHeadAttention::new(2, 2), nothing.clone()), &[0.0; 6]);
    close(&attend(MultiHeadAttention::new(2, 2).dropout(0.5), nothing), &[0.0; 6]);
}

#[test]
fn shared_layers_see_each_call_s_mask() {
    let data = [padded(), padded()];
    let s = inputs(&data);
    let shared = rnn().0.shared();
    let y = [shared.apply(Masking::new().apply(&s[0])), shared.apply(&s[1])];
    let mut model = Model::new(&s, &y).unwrap();
    model.set_weights(&rnn().1).unwrap();
    let out = run(&model, &data);
    close(&out[0].to_vec::<f32>(), &[11.0]);
    close(&out[1].to_vec::<f32>(), &[8.0 + 8.0 + 0.0 + 3.0]);
}
