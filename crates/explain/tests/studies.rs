//! What is found out about models beyond attributions: neurons, features, concepts, training samples.

use rhyton_cpu::CpuBackend;
use rhyton_explain::methods::*;
use rhyton_explain::{Explainer, Influence, Maximise, Merit, Method, Target};
use rhyton_model::{Applicable, Input, Model, Sequential};
use rhyton_nn::layers::*;
use rhyton_tensor::Tensor;
use rhyton_tensor::rng::Stream;
use std::sync::{Arc, Once};

fn on_cpu() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| rhyton_model::backend::set_backend(Arc::new(CpuBackend::new().unwrap())));
}

fn normal(shape: &[usize], seed: u64) -> Tensor {
    let mut rng = Stream::new(seed, 0, 0);
    Tensor::from_fn(shape, |_| rng.normal())
}

/// `w . x`.
fn linear(w: &[f32]) -> Model {
    on_cpu();
    let mut model = Sequential::new([w.len()]).add(Dense::new(1).use_bias(false)).build().unwrap();
    model.set_weights(&[Tensor::new([w.len(), 1], w.to_vec()).unwrap()]).unwrap();
    model
}

fn convolutional() -> Model {
    on_cpu();
    let network = Sequential::new([6, 6, 2]).add(Conv2D::new(4, 3).relu()).add(Flatten::new());
    network.add(Dense::new(5).tanh()).add(Dense::new(3).softmax()).build().unwrap()
}

fn close(a: &[f32], b: &[f32], within: f32) {
    assert!(a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < within), "{a:?} {b:?}");
}

#[test]
fn on_a_linear_model_all_agree() {
    let w = [1.0f32, -2.0, 0.5, 3.0];
    let (model, x, base) = (linear(&w), normal(&[3, 4], 1), [0.3f32, -0.2, 0.1, 0.5]);
    let explainer = Explainer::new(&model).array("base", &Tensor::vector(base.to_vec()));
    let wanted: Vec<f32> =
        x.to_vec::<f32>().iter().enumerate().map(|(i, x)| w[i % 4] * (x - base[i % 4])).collect();
    let methods: [Method; 5] = [
        IntegratedGradients::default().steps(3).baseline("base").into(),
        ShapleyValues::default().baseline("base").into(),
        DeepLift::default().baseline("base").into(),
        DeepLift::default().baseline("base").rule(Multipliers::RevealCancel).into(),
        FeatureAblation::default().baseline("base").into(),
    ];
    for method in methods {
        close(&explainer.explain(method, &x, None).unwrap().attributions[0].to_vec::<f32>(), &wanted, 1e-5);
    }
}

#[test]
fn reveal_cancel_sees_both_causes_of_a_minimum() {
    on_cpu();
    // h = relu(a - b), y = a - h: the smaller of two positive numbers.
    let x = Input::new([2]).symbolic();
    let h = Dense::new(1).relu().apply(&x);
    let both = Concatenate::new().apply([&x, &h]);
    let mut model = Model::new(&[x], &[Dense::new(1).apply(&both)]).unwrap();
    let weights = [vec![1.0f32, -1.0], vec![0.0], vec![1.0, 0.0, -1.0], vec![0.0]];
    let shapes: [&[usize]; 4] = [&[2, 1], &[1], &[3, 1], &[1]];
    let weights: Vec<Tensor> =
        weights.into_iter().zip(shapes).map(|(w, s)| Tensor::new(s, w).unwrap()).collect();
    model.set_weights(&weights).unwrap();
    let x = Tensor::new([1, 2], vec![10.0f32, 6.0]).unwrap();
    let of = |m: DeepLift| Explainer::new(&model).explain(m, &x, None).unwrap();
    let (rescale, reveal) =
        (of(DeepLift::default()), of(DeepLift::default().rule(Multipliers::RevealCancel)));
    // Rescale gives all to b; reveal-cancel sees that it takes both.
    close(&rescale.attributions[0].to_vec::<f32>(), &[0.0, 6.0], 1e-5);
    close(&reveal.attributions[0].to_vec::<f32>(), &[3.0, 3.0], 1e-5);
    assert!(reveal.checks[0].is_met(), "{}", reveal.checks[0]);
}

#[test]
fn every_method_explains_a_neuron() {
    let (model, x) = (convolutional(), normal(&[2, 6, 6, 2], 4));
    let explainer = Explainer::new(&model).neuron("dense", &[2]);
    let methods: [Method; 5] = [
        Saliency::default().into(),
        IntegratedGradients::default().steps(200).into(),
        DeepLift::default().into(),
        LrpEpsilon::default().into(),
        GradCam::default().layer("conv2d").into(),
    ];
    for method in methods {
        let made = explainer.explain(method, &x, None).unwrap();
        assert!(made.checks.iter().all(rhyton_explain::Check::is_met), "{}", made.method);
        assert!(made.attributions[0].to_vec::<f32>().iter().any(|a| *a != 0.0), "{}", made.method);
    }
    let activation =
        Explainer::new(&model).explain(LayerActivation::default().layer("dense").activated(true), &x, None);
    let wanted: Vec<f32> =
        activation.unwrap().attributions[0].to_vec::<f32>().chunks(5).map(|r| r[2]).collect();
    let made = explainer.explain(Saliency::default(), &x, None).unwrap();
    close(&made.scores.to_vec::<f32>(), &wanted, 1e-6);
    // A channel of a convolution is summed over its places.
    let channel =
        Explainer::new(&model).neuron("conv2d", &[1]).explain(Saliency::default(), &x, None).unwrap();
    assert_eq!(channel.scores.shape(), [2]);
}

#[test]
fn permutation_takes_features_from_other_samples() {
    let model = linear(&[2.0, 0.0]);
    let x = Tensor::new([3, 2], vec![1.0f32, 5.0, 2.0, 6.0, 4.0, 7.0]).unwrap();
    let made = Explainer::new(&model).explain(FeaturePermutation::default(), &x, None).unwrap();
    let fell = made.attributions[0].to_vec::<f32>();
    // Everyone has the value of another one: all changes cancel, and none is 0.
    assert!(
        (fell[0] + fell[2] + fell[4]).abs() < 1e-5 && [0, 2, 4].iter().all(|i| fell[*i].abs() > 0.5),
        "{fell:?}"
    );
    assert_eq!([fell[1], fell[3], fell[5]], [0.0; 3]);
}

#[test]
fn importance_is_of_what_is_used() {
    on_cpu();
    let mut model = Sequential::new([3]).add(Dense::new(2).use_bias(false)).build().unwrap();
    model.set_weights(&[Tensor::new([3, 2], vec![3.0f32, -3.0, 0.3, -0.3, 0.0, 0.0]).unwrap()]).unwrap();
    let x = normal(&[200, 3], 6);
    let y: Vec<i32> = x.to_vec::<f32>().chunks(3).map(|r| i32::from(3.0 * r[0] + 0.3 * r[1] < 0.0)).collect();
    let found = Explainer::new(&model).importance(&Merit::Accuracy, 8, &x, &Tensor::vector(y)).unwrap();
    assert_eq!(found.whole, 1.0);
    assert!(found.mean[0] > 0.4 && found.mean[1] < 0.1 && found.mean[1] > 0.0, "{:?}", found.mean);
    assert!(found.mean[2] == 0.0 && found.standard_deviation[2] == 0.0 && found.standard_deviation[0] > 0.0);
}

#[test]
fn rollout_shares_out_attention() {
    on_cpu();
    let x = Input::new([5, 4]).symbolic();
    let seen = MultiHeadAttention::new(2, 4).apply([&x, &x]);
    let sum = LayerNormalization::new().apply(Add::new().apply([&x, &seen]));
    let again = MultiHeadAttention::new(2, 4).apply([&sum, &sum]);
    let sum = Add::new().apply([&sum, &again]);
    let model = Model::new(&[x], &[Dense::new(3).apply(GlobalAveragePooling1D::new().apply(&sum))]).unwrap();
    let x = normal(&[3, 5, 4], 8);
    let of =
        |m: AttentionRollout| Explainer::new(&model).explain(m, &x, None).unwrap().attributions[0].clone();
    let whole = of(AttentionRollout::default());
    assert_eq!(whole.shape(), [3, 5, 1]);
    let second = of(AttentionRollout::default().query(2)).to_vec::<f32>();
    for (all, one) in whole.to_vec::<f32>().chunks(5).zip(second.chunks(5)) {
        close(&[all.iter().sum::<f32>(), one.iter().sum::<f32>()], &[1.0, 1.0], 1e-5);
        // What passes both residual connections.
        assert!(all.iter().all(|a| *a >= 0.25 / 5.0) && one[2] > 0.25 && one[2] < 1.0, "{all:?} {one:?}");
    }
    let mean: Vec<f32> =
        (0..5).map(|q| of(AttentionRollout::default().query(q)).to_vec::<f32>()[3]).collect();
    close(&[mean.iter().sum::<f32>() / 5.0], &[whole.to_vec::<f32>()[3]], 1e-5);
    let text =
        Explainer::new(&linear(&[1.0])).explain(AttentionRollout::default(), &normal(&[1, 1], 1), None);
    assert!(text.unwrap_err().to_string().contains("no attention"));
}

#[test]
fn a_concept_that_the_score_follows_is_significant() {
    on_cpu();
    let mut model = Sequential::new([4]).add(Dense::new(4).tanh()).add(Dense::new(2)).build().unwrap();
    // Class 0 rises with the first value, and nothing looks at the last one.
    let mut first = vec![0f32; 16];
    (first[0], first[5], first[10]) = (1.0, 1.0, 1.0);
    let second = vec![2.0f32, -2.0, 0.1, 0.1, 0.1, 0.1, 0.0, 0.0];
    let weights =
        [(vec![4, 4], first), (vec![4], vec![0.0; 4]), (vec![4, 2], second), (vec![2], vec![0.0; 2])];
    let weights: Vec<Tensor> = weights.into_iter().map(|(s, w)| Tensor::new(s, w).unwrap()).collect();
    model.set_weights(&weights).unwrap();
    let examples = |seed: u64, at: usize, shift: f32| {
        let mut rng = Stream::new(seed, 0, 0);
        Tensor::from_fn([30, 4], |i| 0.5 * rng.normal() + if i % 4 == at { shift } else { 0.0 })
    };
    let random: Vec<Tensor> = (10..26).map(|seed| examples(seed, 0, 0.0)).collect();
    let explainer = Explainer::new(&model).target(Target::Index(vec![0]));
    let of =
        |concept: &Tensor| explainer.concept("dense", concept, &random, &examples(50, 0, 0.0), None).unwrap();
    let found = of(&examples(1, 0, 1.5));
    assert!(found.mean() > 0.95 && found.p_value < 0.05, "{} {}", found.mean(), found.p_value);
    assert!(found.accuracies.iter().all(|a| *a > 0.85), "{:?}", found.accuracies);
    let none = of(&examples(2, 3, 1.5));
    assert!(none.p_value > 0.05, "{} {}", none.mean(), none.p_value);
}

#[test]
fn inputs_rise_to_what_a_neuron_looks_for() {
    let (model, start) = (convolutional(), normal(&[2, 6, 6, 2], 3));
    let explainer = Explainer::new(&model).neuron("dense", &[0]);
    let before = explainer.explain(Saliency::default(), &start, None).unwrap().scores.to_vec::<f32>();
    let (found, after) = explainer.maximise(&Maximise::default().steps(60), &start, None).unwrap();
    assert_eq!(found[0].shape(), start.shape());
    let after = after.to_vec::<f32>();
    assert!(before.iter().zip(&after).all(|(b, a)| a > b && *a > 0.99), "{before:?} {after:?}");
    let roughness = |how: Maximise| {
        let (found, _) = explainer.maximise(&how, &start, None).unwrap();
        let rows = found[0].to_vec::<f32>();
        (0..60).map(|i| (rows[i] - rows[i + 12]).abs()).sum::<f32>()
    };
    let smooth = Maximise::default().steps(60).jitter(1).total_variation(0.5).low(-1.0).high(1.0);
    assert!(roughness(smooth) < 0.5 * roughness(Maximise::default().steps(60)));
}

#[test]
fn influence_is_the_product_of_gradients() {
    let (model, w) = (linear(&[1.0, -1.0]), [1.0f32, -1.0]);
    let (train, test) = (normal(&[5, 2], 1), normal(&[3, 2], 2));
    let (train_y, test_y) = (normal(&[5, 1], 3), normal(&[3, 1], 4));
    // The gradient of (p - y)^2 is 2 (p - y) x.
    let gradients = |x: &Tensor, y: &Tensor| -> Vec<[f32; 2]> {
        let (x, y) = (x.to_vec::<f32>(), y.to_vec::<f32>());
        let each = |(x, y): (&[f32], &f32)| {
            let off = 2.0 * (x[0] * w[0] + x[1] * w[1] - y);
            [off * x[0], off * x[1]]
        };
        x.chunks(2).zip(&y).map(each).collect()
    };
    let mut wanted = vec![];
    for b in gradients(&test, &test_y) {
        wanted.extend(gradients(&train, &train_y).iter().map(|a| 0.3 * (a[0] * b[0] + a[1] * b[1])));
    }
    let influence = Influence::new(&model, "mse").batch_size(2);
    let twice = influence.clone().checkpoint(model.weights(), 0.1).checkpoint(model.weights(), 0.2);
    let found = twice.of((&train, &train_y), (&test, &test_y)).unwrap();
    assert_eq!(found.shape(), [3, 5]);
    close(&found.to_vec::<f32>(), &wanted, 1e-3);
    let classes = Tensor::vector(vec![0i32, 1]);
    let deep = convolutional();
    let x = normal(&[2, 6, 6, 2], 5);
    let of = |i: Influence| i.of((&x, &classes), (&x, &classes)).unwrap().to_vec::<f32>();
    let whole = of(Influence::new(&deep, "sparse_categorical_crossentropy"));
    let last = of(Influence::new(&deep, "sparse_categorical_crossentropy").layer("dense_1"));
    // A sample's own gradient has the length of all its parts.
    assert!(whole[0] > last[0] && last[0] > 0.0 && whole[3] > last[3], "{whole:?} {last:?}");
}

#[test]
fn dependence_of_two_features_is_over_all_pairs() {
    let model = linear(&[1.0, 10.0, 0.0]);
    let x = normal(&[4, 3], 1);
    let found = Explainer::new(&model)
        .batch_size(3)
        .dependence(&[1, 0], &[vec![1.0, 2.0], vec![0.0, 5.0]], &x, None)
        .unwrap();
    assert_eq!(found.points, [[1.0, 0.0], [1.0, 5.0], [2.0, 0.0], [2.0, 5.0]]);
    close(&found.mean, &[10.0, 15.0, 20.0, 25.0], 1e-5);
    assert_eq!(found.individual.shape(), [4, 4]);
    let text = Explainer::new(&model).dependence(&[3], &[vec![1.0]], &x, None).unwrap_err().to_string();
    assert!(text.contains("no feature 3"), "{text}");
}
