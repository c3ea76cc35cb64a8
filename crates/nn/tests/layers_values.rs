//! What layers compute, against small loops and answers by hand.

mod support;

use rhyton_model::Sequential;
use rhyton_model::{Applicable, Input, Model};
use rhyton_nn::layers::*;
use rhyton_nn::{LayerExt, LayerRef};
use rhyton_tensor::Tensor;
use serde_json::json;
use support::*;

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// `x . m` for a vector and a row-major matrix of `columns`.
fn product(x: &[f32], m: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).map(|j| x.iter().enumerate().map(|(i, v)| v * m[i * columns + j]).sum()).collect()
}

#[test]
fn same_padding_puts_the_odd_position_at_the_end() {
    // Width 4, window 3, stride 2: two windows over [1, 2, 3, 4, 0]; one position is added, at the end.
    let x = tensor(&[1, 4, 1], &[1.0, 2.0, 3.0, 4.0]);
    let ones = [tensor(&[3, 1, 1], &[1.0; 3]), tensor(&[1], &[0.0])];
    close(
        &layer_with(Conv1D::new(1, 3).strides(2).padding("same"), &ones, std::slice::from_ref(&x)),
        &[6.0, 7.0],
    );
    close(
        &layer_with(Conv1D::new(1, 3).padding("causal"), &ones, std::slice::from_ref(&x)),
        &[1.0, 3.0, 6.0, 9.0],
    );
    close(&layer_with(Conv1D::new(1, 3), &ones, std::slice::from_ref(&x)), &[6.0, 9.0]);
    // The mean leaves the added position out, the maximum as well.
    let negative = tensor(&[1, 3, 1], &[-1.0, -2.0, -5.0]);
    close(
        &layer_with(AveragePooling1D::new(2).padding("same"), &[], std::slice::from_ref(&negative)),
        &[-1.5, -5.0],
    );
    close(&layer_with(MaxPooling1D::new(2).padding("same"), &[], &[negative]), &[-1.0, -5.0]);
}

#[test]
fn groups_and_channels_are_contiguous() {
    // Two channels, two groups: each filter sees its own channel.
    let x = tensor(&[1, 1, 2], &[3.0, 5.0]);
    let kernel = [tensor(&[1, 1, 2], &[10.0, 100.0])];
    let grouped = Conv1D::new(2, 1).groups(2).use_bias(false);
    close(&layer_with(grouped, &kernel, std::slice::from_ref(&x)), &[30.0, 500.0]);
    // Result channel c * multiplier + m.
    let kernel = [tensor(&[1, 2, 2], &[1.0, 2.0, 3.0, 4.0])];
    let depthwise = DepthwiseConv1D::new(1).depth_multiplier(2).use_bias(false);
    close(&layer_with(depthwise, &kernel, &[x]), &[3.0, 6.0, 15.0, 20.0]);
}

#[test]
fn transposed_convolutions_align_as_in_keras() {
    let x = tensor(&[1, 2, 1], &[1.0, 10.0]);
    let kernel = [tensor(&[3, 1, 1], &[1.0, 2.0, 3.0])];
    let conv = || Conv1DTranspose::new(1, 3).strides(2).use_bias(false);
    // The full result is [1, 2, 3 + 10, 20, 30].
    close(&layer_with(conv(), &kernel, std::slice::from_ref(&x)), &[1.0, 2.0, 13.0, 20.0, 30.0]);
    // `same` keeps 2 * 2 of it; (2 + 3 - 2) / 2 rounded up is 2, so nothing is cut before.
    close(&layer_with(conv().padding("same"), &kernel, std::slice::from_ref(&x)), &[1.0, 2.0, 13.0, 20.0]);
    close(&layer_with(conv().output_padding(1), &kernel, &[x]), &[1.0, 2.0, 13.0, 20.0, 30.0, 0.0]);
}

#[test]
fn bilinear_upsampling_has_half_pixel_centres() {
    let x = tensor(&[1, 1, 4, 1], &[0.0, 1.0, 2.0, 3.0]);
    let y = layer_with(UpSampling2D::new((1, 2)).interpolation("bilinear"), &[], &[x]);
    close(&y, &[0.0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.0]);
}

#[test]
fn lstm_is_the_textbooks() {
    let (steps, features, units) = (3, 2, 2);
    let x = normal(&[1, steps, features], 1);
    let weights =
        [normal(&[features, 4 * units], 2), normal(&[units, 4 * units], 3), normal(&[4 * units], 4)];
    let [k, u, b] = [0, 1, 2].map(|i: usize| weights[i].to_vec::<f32>());
    let (mut h, mut c) = (vec![0.0; units], vec![0.0; units]);
    for x in x.to_vec::<f32>().chunks(features) {
        let (from_x, from_h) = (product(x, &k, 4 * units), product(&h, &u, 4 * units));
        let z: Vec<f32> = (0..4 * units).map(|j| from_x[j] + from_h[j] + b[j]).collect();
        for j in 0..units {
            c[j] = sigmoid(z[units + j]) * c[j] + sigmoid(z[j]) * z[2 * units + j].tanh();
            h[j] = sigmoid(z[3 * units + j]) * c[j].tanh();
        }
    }
    let mut model = of_layer(LSTM::new(units).return_state(true), std::slice::from_ref(&x)).unwrap();
    model.set_weights(&weights).unwrap();
    let out = run(&model, &[x]);
    close(&out[0].to_vec::<f32>(), &h);
    close(&out[1].to_vec::<f32>(), &h);
    close(&out[2].to_vec::<f32>(), &c);
}

#[test]
fn gru_resets_after_or_before_the_product() {
    let (features, units) = (2, 2);
    let x = normal(&[1, 3, features], 1);
    let (kernel, recurrent) = (normal(&[features, 3 * units], 2), normal(&[units, 3 * units], 3));
    for reset_after in [true, false] {
        let bias = if reset_after { normal(&[2, 3 * units], 4) } else { normal(&[3 * units], 4) };
        let (k, u, b) = (kernel.to_vec::<f32>(), recurrent.to_vec::<f32>(), bias.to_vec::<f32>());
        let mut h = vec![0.0; units];
        for x in x.to_vec::<f32>().chunks(features) {
            let (zx, zh) = (product(x, &k, 3 * units), product(&h, &u, 3 * units));
            let bh = |j: usize| if reset_after { b[3 * units + j] } else { 0.0 };
            let gate = |j: usize| sigmoid(zx[j] + b[j] + zh[j] + bh(j));
            let reset: Vec<f32> = (0..units).map(|j| gate(units + j) * h[j]).collect();
            let before = product(&reset, &u, 3 * units);
            h = (0..units)
                .map(|j| {
                    let n = 2 * units + j;
                    let inner = if reset_after { gate(units + j) * (zh[n] + bh(n)) } else { before[n] };
                    gate(j) * h[j] + (1.0 - gate(j)) * (zx[n] + b[n] + inner).tanh()
                })
                .collect();
        }
        let gru = GRU::new(units).reset_after(reset_after);
        close(&layer_with(gru, &[kernel.clone(), recurrent.clone(), bias], std::slice::from_ref(&x)), &h);
    }
}

#[test]
fn simple_rnn_runs_both_ways() {
    // h' = x + 2 h with a linear activation.
    let x = tensor(&[1, 3, 1], &[1.0, 10.0, 100.0]);
    let weights = [tensor(&[1, 1], &[1.0]), tensor(&[1, 1], &[2.0]), tensor(&[1], &[0.0])];
    let rnn = || SimpleRNN::new(1).activation("linear").return_sequences(true);
    close(&layer_with(rnn(), &weights, std::slice::from_ref(&x)), &[1.0, 12.0, 124.0]);
    // Backwards, outputs come in the order they were made.
    close(&layer_with(rnn().go_backwards(true), &weights, std::slice::from_ref(&x)), &[100.0, 210.0, 421.0]);
    let both = Bidirectional::new(rnn());
    let twice: Vec<Tensor> = weights.iter().chain(&weights).cloned().collect();
    close(&layer_with(both, &twice, std::slice::from_ref(&x)), &[1.0, 421.0, 12.0, 210.0, 124.0, 100.0]);
    let last = Bidirectional::new(rnn().return_sequences(false)).merge_mode("mul");
    close(&layer_with(last, &twice, std::slice::from_ref(&x)), &[124.0 * 421.0]);
    // From another state, given behind the input or by name.
    let state = tensor(&[1, 1], &[5.0]);
    close(&layer_with(rnn(), &weights, &[x.clone(), state.clone()]), &[11.0, 32.0, 164.0]);
    let data = [x, state];
    let s = inputs(&data);
    let y = rnn().apply(rhyton_model::Inputs::from(&s[0]).named("initial_state", &[&s[1]]));
    let mut model = Model::new(&s, &[y]).unwrap();
    model.set_weights(&weights).unwrap();
    close(&run(&model, &data)[0].to_vec::<f32>(), &[11.0, 32.0, 164.0]);
}

#[test]
fn batch_normalization_trains_and_follows() {
    let x = tensor(&[4, 1], &[1.0, 2.0, 3.0, 6.0]);
    let layer: LayerRef = BatchNormalization::new().momentum(0.9).into();
    let mut model = of_layer(layer, std::slice::from_ref(&x)).unwrap();
    let weights = [2.0, 1.0, 0.5, 4.0].map(|v| tensor(&[1], &[v]));
    model.set_weights(&weights).unwrap();
    assert_eq!(model.count_params(), (4, 2, 2));
    // Elsewhere: 2 * (x - 0.5) / sqrt(4 + 0.001) + 1.
    let expected: Vec<f32> = [1.0f32, 2.0, 3.0, 6.0].map(|v| 2.0 * (v - 0.5) / 4.001f32.sqrt() + 1.0).into();
    close(&run(&model, std::slice::from_ref(&x))[0].to_vec::<f32>(), &expected);
    // In training: mean 3, biased variance 3.5.
    let traced = model.trace(true).unwrap();
    let mut results = vec![traced.outputs[0].expr.clone()];
    results.extend(traced.trace.updates.iter().map(|(_, e)| e.clone()));
    let out = evaluate(&model, &traced, results, &[x]);
    let expected: Vec<f32> = [1.0f32, 2.0, 3.0, 6.0].map(|v| 2.0 * (v - 3.0) / 3.501f32.sqrt() + 1.0).into();
    close(&out[0].to_vec::<f32>(), &expected);
    close(&out[1].to_vec::<f32>(), &[0.9 * 0.5 + 0.1 * 3.0]);
    close(&out[2].to_vec::<f32>(), &[0.9 * 4.0 + 0.1 * 3.5]);
}

#[test]
fn frozen_batch_normalization_keeps_its_averages() {
    let x = normal(&[4, 2], 1);
    let model = of_layer(BatchNormalization::new().trainable(false), std::slice::from_ref(&x)).unwrap();
    let traced = model.trace(true).unwrap();
    assert!(traced.trace.updates.is_empty());
    let out = evaluate(&model, &traced, vec![traced.outputs[0].expr.clone()], std::slice::from_ref(&x));
    close(&out[0].to_vec::<f32>(), &run(&model, &[x])[0].to_vec::<f32>());
}

#[test]
fn normalizations_by_hand() {
    let x = tensor(&[1, 4], &[1.0, 2.0, 3.0, 6.0]);
    let unit = [tensor(&[4], &[1.0; 4]), tensor(&[4], &[0.0; 4])];
    let by = |mean: f32, square: f32| [1.0f32, 2.0, 3.0, 6.0].map(|v| (v - mean) / square.sqrt());
    close(&layer_with(LayerNormalization::new(), &unit, std::slice::from_ref(&x)), &by(3.0, 3.501));
    close(&layer_with(RMSNormalization::new(), &unit[..1], std::slice::from_ref(&x)), &by(0.0, 12.5));
    close(&layer_with(UnitNormalization::new(), &[], std::slice::from_ref(&x)), &by(0.0, 50.0));
    let groups = layer_with(GroupNormalization::new(2), &unit, &[x]);
    // (1, 2): mean 1.5, variance 0.25; (3, 6): mean 4.5, variance 2.25.
    let (a, b) = (0.5 / 0.251f32.sqrt(), 1.5 / 2.251f32.sqrt());
    close(&groups, &[-a, a, -b, b]);
}

/// Attention with loops, for one sample.
fn attention(q: &[Vec<f32>], k: &[Vec<f32>], v: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
    let scale = 1.0 / (q[0].len() as f32).sqrt();
    let row = |q: &Vec<f32>| {
        let e: Vec<f32> = k.iter().map(|k| (dot(q, k) * scale).exp()).collect();
        let sum: f32 = e.iter().sum();
        (0..v[0].len()).map(|j| e.iter().zip(v).map(|(e, v)| e / sum * v[j]).sum()).collect()
    };
    q.iter().map(row).collect()
}

#[test]
fn multi_head_attention_is_attention_per_head() {
    let (heads, width, out) = (2, 3, 4);
    let (query, value) = (normal(&[1, 2, 4], 1), normal(&[1, 3, 5], 2));
    let weights: Vec<Tensor> = [
        vec![4, heads, width],
        vec![heads, width],
        vec![5, heads, width],
        vec![heads, width],
        vec![5, heads, width],
        vec![heads, width],
        vec![heads, width, out],
        vec![out],
    ]
    .iter()
    .enumerate()
    .map(|(i, s)| normal(s, 10 + i as u64))
    .collect();
    let project = |x: &Tensor, i: usize, head: usize| -> Vec<Vec<f32>> {
        let (k, b) = (weights[i].to_vec::<f32>(), weights[i + 1].to_vec::<f32>());
        let rows = x.to_vec::<f32>();
        let step = |x: &[f32]| {
            let all = product(x, &k, heads * width);
            (0..width).map(|j| all[head * width + j] + b[head * width + j]).collect()
        };
        rows.chunks(x.shape()[2]).map(step).collect()
    };
    let mut expected = weights[7].to_vec::<f32>().repeat(2);
    let output = weights[6].to_vec::<f32>();
    for head in 0..heads {
        let made = attention(&project(&query, 0, head), &project(&value, 2, head), &project(&value, 4, head));
        let part = &output[head * width * out..(head + 1) * width * out];
        for (t, row) in made.iter().enumerate() {
            product(row, part, out).iter().enumerate().for_each(|(j, y)| expected[t * out + j] += y);
        }
    }
    close(
        &layer_with(MultiHeadAttention::new(heads, width), &weights, &[query.clone(), value.clone()]),
        &expected,
    );
    // The path with scores agrees, and its scores are probabilities.
    let data = [query, value];
    let s = inputs(&data);
    let call = rhyton_model::Inputs::from(s.as_slice()).setting("return_attention_scores", true);
    let y = MultiHeadAttention::new(heads, width).apply_all(call);
    let mut model = Model::new(&s, &y).unwrap();
    model.set_weights(&weights).unwrap();
    let results = run(&model, &data);
    close(&results[0].to_vec::<f32>(), &expected);
    assert_eq!(results[1].shape(), [1, heads, 2, 3]);
    results[1].to_vec::<f32>().chunks(3).for_each(|p| close(&[p.iter().sum()], &[1.0]));
}

#[test]
fn a_causal_mask_hides_what_comes_later() {
    let x = normal(&[1, 4, 3], 1);
    let s = inputs(std::slice::from_ref(&x));
    let layer = MultiHeadAttention::new(1, 2).shared();
    let call = rhyton_model::Inputs::from([&s[0], &s[0]]).setting("use_causal_mask", true);
    let model = Model::new(&s, &[layer.apply(call)]).unwrap();
    let first = run(&model, std::slice::from_ref(&x))[0].to_vec::<f32>();
    let mut changed = x.to_vec::<f32>();
    changed[9..].iter_mut().for_each(|v| *v += 1.0);
    let second = run(&model, &[tensor(&[1, 4, 3], &changed)])[0].to_vec::<f32>();
    close(&first[..9], &second[..9]);
    assert!(first[9..].iter().zip(&second[9..]).any(|(a, b)| (a - b).abs() > 1e-3));
}

#[test]
fn merges_align_lower_ranks_behind_the_batch() {
    let (a, b) = (tensor(&[1, 2, 2], &[1.0, 2.0, 3.0, 4.0]), tensor(&[1, 2], &[10.0, 20.0]));
    close(&layer_with(Add::new(), &[], &[a.clone(), b.clone()]), &[11.0, 22.0, 13.0, 24.0]);
    close(&layer_with(Average::new(), &[], &[a.clone(), a.clone()]), &[1.0, 2.0, 3.0, 4.0]);
    close(&layer_with(Subtract::new(), &[], &[a.clone(), a.clone()]), &[0.0; 4]);
    // Dot over axis 1: sum over t of a[t, i] * a[t, j].
    close(&layer_with(Dot::new(1), &[], &[a.clone(), a]), &[10.0, 14.0, 14.0, 20.0]);
    let c = tensor(&[1, 2], &[3.0, 4.0]);
    close(&layer_with(Dot::new(1).normalize(true), &[], &[c, b]), &[(30.0 + 80.0) / (5.0 * 500f32.sqrt())]);
}

#[test]
fn dropout_keeps_the_mean_and_is_silent_afterwards() {
    let x = Tensor::full([50, 40], 1.0f32);
    let model = of_layer(Dropout::new(0.25), std::slice::from_ref(&x)).unwrap();
    close(&run(&model, std::slice::from_ref(&x))[0].to_vec::<f32>(), &x.to_vec::<f32>());
    let traced = model.trace(true).unwrap();
    let y = evaluate(&model, &traced, vec![traced.outputs[0].expr.clone()], &[x])[0].to_vec::<f32>();
    let zeros = y.iter().filter(|v| **v == 0.0).count() as f32 / y.len() as f32;
    assert!((zeros - 0.25).abs() < 0.04, "{zeros}");
    assert!(y.iter().all(|v| *v == 0.0 || (v - 4.0 / 3.0).abs() < 1e-6));
}

#[test]
fn time_distributed_applies_the_layer_at_every_step() {
    let x = normal(&[2, 3, 4], 1);
    let weights = [normal(&[4, 2], 2), normal(&[2], 3)];
    let each = layer_with(TimeDistributed::new(Dense::new(2)), &weights, std::slice::from_ref(&x));
    close(&each, &layer_with(Dense::new(2), &weights, &[x]));
}

#[test]
fn a_shared_layer_has_its_weights_once() {
    let (a, b) = (Input::new([3, 2]).symbolic(), Input::new([3, 2]).symbolic());
    let shared = Bidirectional::new(LSTM::new(2)).shared();
    let y = Concatenate::new().apply([&shared.apply(&a), &shared.apply(&b)]);
    let model = Model::new(&[a, b], &[y]).unwrap();
    let paths: Vec<&str> = model.variables().iter().map(|v| v.path.as_str()).collect();
    assert_eq!(paths[0], "bidirectional/forward_lstm/lstm_cell/kernel");
    assert_eq!(paths[5], "bidirectional/backward_lstm/lstm_cell/bias");
    assert_eq!(paths.len(), 6);
    let x = normal(&[1, 3, 2], 1);
    let y = run(&model, &[x.clone(), x])[0].to_vec::<f32>();
    close(&y[..4], &y[4..]);
}

#[test]
fn weights_lie_where_keras_puts_them() {
    let model = Sequential::new([4, 3])
        .add(GRU::new(2).return_sequences(true))
        .add(TimeDistributed::new(Dense::new(3)))
        .add(Bidirectional::new(LSTM::new(2)))
        .build()
        .unwrap();
    let places: Vec<(String, String)> =
        model.variables().iter().map(|v| (v.path.clone(), v.location.clone())).collect();
    let at = |i: usize| (places[i].0.as_str(), places[i].1.as_str());
    assert_eq!(at(0), ("sequential/gru/gru_cell/kernel", "layers/gru/cell"));
    assert_eq!(at(3), ("sequential/time_distributed/dense/kernel", "layers/time_distributed/layer"));
    assert_eq!(
        at(10),
        ("sequential/bidirectional/backward_lstm/lstm_cell/bias", "layers/bidirectional/backward_layer/cell")
    );
    let forget = model.weight("sequential/bidirectional/forward_lstm/lstm_cell/bias").unwrap();
    assert_eq!(forget.to_vec::<f32>(), [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
}

#[test]
fn whether_a_layer_trains_is_said_by_what_runs_the_model() {
    let x = Tensor::full([8, 20], 1.0f32);
    let s = inputs(std::slice::from_ref(&x));
    for said in [true, false] {
        let y = Dropout::new(0.5).apply(rhyton_model::Inputs::from(&s[0]).setting("training", said));
        let model = Model::new(&s, &[y]).unwrap();
        for training in [true, false] {
            let traced = model.trace(training).unwrap();
            let results = vec![traced.outputs[0].expr.clone()];
            let out = evaluate(&model, &traced, results, std::slice::from_ref(&x))[0].to_vec::<f32>();
            assert_eq!(out.contains(&0.0), training, "said {said}");
        }
        // The file keeps what was said.
        let record = rhyton_model::json::model_record(model.definition(), json!({}));
        let node = &record["config"]["layers"][1]["inbound_nodes"][0];
        assert_eq!(node["kwargs"], json!({ "training": said }));
    }
}

#[test]
fn settings_of_sizes_take_what_keras_takes() {
    assert_eq!(Conv2D::new(1, 3).kernel_size, Conv2D::new(1, (3, 3)).kernel_size);
    assert_eq!(Conv3D::new(1, [1, 2, 3]).kernel_size, Conv3D::new(1, (1, 2, 3)).kernel_size);
    let one =
        LayerRef::from_json(&json!({"class_name": "Conv2D", "config": {"filters": 1, "kernel_size": 3}}));
    assert_eq!(one.unwrap().to_json()["config"]["kernel_size"], json!([3, 3]));
    let bad = json!({"class_name": "Conv2D", "config": {"filters": 1, "kernel_size": [3]}});
    let e = LayerRef::from_json(&bad).unwrap_err().to_string();
    assert!(e.contains("1 sizes for 2 spatial axes"), "{e}");
}
