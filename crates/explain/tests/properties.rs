//! What attributions promise, on networks as people build them: layers used twice, loops over time, attention, nested
//! models, several inputs, tokens.

use rhyton_cpu::CpuBackend;
use rhyton_explain::methods::*;
use rhyton_explain::{Explainer, Explanation, Method, Target};
use rhyton_model::{Applicable, Input, Model, Sequential};
use rhyton_nn::layers::*;
use rhyton_tensor::Tensor;
use rhyton_tensor::rng::Stream;
use std::sync::{Arc, Once};

fn on_cpu() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| rhyton_model::backend::set_backend(Arc::new(CpuBackend::new().unwrap())));
}

/// Normal numbers.
fn normal(shape: &[usize], seed: u64) -> Tensor {
    let mut rng = Stream::new(seed, 0, 0);
    Tensor::from_fn(shape, |_| rng.normal())
}

/// A model and the sizes of a sample of each input.
type Network = (&'static str, Model, Vec<Vec<usize>>);

fn networks() -> Vec<Network> {
    on_cpu();
    let sequence = || Sequential::new([5, 3]);
    let lstm = sequence().add(LSTM::new(4).return_sequences(true)).add(LSTM::new(3)).add(Dense::new(3));
    let gru = sequence().add(GRU::new(4)).add(Dense::new(3));
    let old_gru = sequence().add(GRU::new(4).reset_after(false)).add(Dense::new(3));
    let both_ways = sequence().add(Bidirectional::new(LSTM::new(3))).add(Dense::new(3));
    let convolutional = Sequential::new([6, 6, 2])
        .add(Conv2D::new(4, 3).padding("same").relu())
        .add(BatchNormalization::new())
        .add(MaxPooling2D::new(2))
        .add(Conv2D::new(3, 2))
        .add(LeakyReLU::new())
        .add(GlobalAveragePooling2D::new())
        .add(Dense::new(3).softmax());
    let inner = Sequential::new([4])
        .add(Dense::new(4).tanh())
        .add(Dense::new(4).gelu())
        .build()
        .unwrap()
        .into_layer();
    let nested = Sequential::new([4]).add(inner.clone()).add(inner).add(Dense::new(3));
    let shared = {
        let x = Input::new([4]).symbolic();
        let twice: rhyton_nn::LayerRef = Dense::new(4).into();
        let relu: rhyton_nn::LayerRef = ReLU::new().into();
        let a = relu.clone().apply(twice.clone().apply(&x));
        let b = relu.apply(twice.apply(&a));
        let both = Concatenate::new().apply([&a, &b]);
        Model::new(&[x], &[Dense::new(3).apply(&both)]).unwrap()
    };
    let attention = {
        let x = Input::new([5, 4]).symbolic();
        let seen = MultiHeadAttention::new(2, 4).apply([&x, &x]);
        let sum = LayerNormalization::new().apply(Add::new().apply([&x, &seen]));
        Model::new(&[x], &[Dense::new(3).apply(GlobalAveragePooling1D::new().apply(&sum))]).unwrap()
    };
    let built = |s: Sequential| s.build().unwrap();
    vec![
        ("lstm", built(lstm), vec![vec![5, 3]]),
        ("gru", built(gru), vec![vec![5, 3]]),
        ("gru with the reset before", built(old_gru), vec![vec![5, 3]]),
        ("bidirectional", built(both_ways), vec![vec![5, 3]]),
        ("convolutional", built(convolutional), vec![vec![6, 6, 2]]),
        ("nested", built(nested), vec![vec![4]]),
        ("shared", shared, vec![vec![4]]),
        ("attention", attention, vec![vec![5, 4]]),
    ]
}

fn batch(shapes: &[Vec<usize>], samples: usize, seed: u64) -> Vec<Tensor> {
    let one = |(i, s): (usize, &Vec<usize>)| normal(&[&[samples], &s[..]].concat(), seed + i as u64);
    shapes.iter().enumerate().map(one).collect()
}

fn explained(model: &Model, x: &[Tensor], method: impl Into<Method>) -> Explanation {
    Explainer::new(model).batch_size(2).explain(method, x, None).unwrap()
}

#[test]
fn contributions_add_up_on_every_network() {
    for (name, model, shapes) in networks() {
        let x = batch(&shapes, 3, 11);
        let methods: [Method; 5] = [
            IntegratedGradients::default().steps(300).into(),
            DeepLift::default().into(),
            DeepLift::default().rule(Multipliers::RevealCancel).into(),
            LrpEpsilon::default().into(),
            LrpEpsilonPlus::default().into(),
        ];
        for method in methods {
            let made = explained(&model, &x, method);
            assert_eq!(made.attributions[0].shape(), x[0].shape());
            assert!(made.checks[0].is_met(), "{} of {name}: {}", made.method, made.checks[0]);
            let some = made.attributions[0].to_vec::<f32>();
            assert!(
                some.iter().all(|a| a.is_finite()) && some.iter().any(|a| a.abs() > 1e-4),
                "{} of {name}",
                made.method
            );
        }
    }
}

#[test]
fn a_check_says_when_a_property_does_not_hold() {
    let (_, model, shapes) = networks().swap_remove(5);
    let coarse = IntegratedGradients::default().steps(1).quadrature(Quadrature::Left);
    let made = explained(&model, &batch(&shapes, 3, 5), coarse);
    assert!(!made.checks[0].is_met(), "{}", made.checks[0]);
    assert!(made.checks[0].to_string().contains("does not hold"), "{}", made.checks[0]);
}

/// Shapley values by the definition: over all orders.
fn by_all_orders(score: &dyn Fn(&[bool]) -> f64, n: usize) -> Vec<f64> {
    fn orders(left: Vec<usize>, before: Vec<usize>, all: &mut Vec<Vec<usize>>) {
        if left.is_empty() {
            all.push(before);
            return;
        }
        for x in &left {
            let rest = left.iter().copied().filter(|y| y != x).collect();
            orders(rest, [&before[..], &[*x]].concat(), all);
        }
    }
    let mut all = vec![];
    orders((0..n).collect(), vec![], &mut all);
    let mut sums = vec![0.0; n];
    for order in &all {
        let mut present = vec![false; n];
        let mut before = score(&present);
        for g in order {
            present[*g] = true;
            let after = score(&present);
            sums[*g] += (after - before) / all.len() as f64;
            before = after;
        }
    }
    sums
}

#[test]
fn shapley_values_are_those_of_all_orders() {
    let (_, model, _) = networks().swap_remove(6);
    let x = normal(&[2, 4], 3);
    let base = [0.3f32, -0.2, 0.1, 0.5];
    let explainer = Explainer::new(&model).target(Target::Index(vec![1]));
    let explainer = explainer.array("base", &Tensor::vector(base.to_vec()));
    let [exact, kernel] = [
        ShapleyValues::default().baseline("base").into(),
        Method::from(KernelShap::default().baseline("base")),
    ]
    .map(|m| explainer.explain(m, &x, None).unwrap());
    assert!(
        exact.checks[0].is_met() && kernel.checks[0].is_met(),
        "{} {}",
        exact.checks[0],
        kernel.checks[0]
    );
    for sample in 0..2 {
        let row = x.slice_rows(sample..sample + 1).unwrap().to_vec::<f32>();
        let score = |present: &[bool]| {
            let mixed: Vec<f32> = (0..4).map(|i| if present[i] { row[i] } else { base[i] }).collect();
            f64::from(model.predict(&Tensor::new([1, 4], mixed).unwrap()).unwrap().to_vec::<f32>()[1])
        };
        let wanted = by_all_orders(&score, 4);
        for (made, within) in [(&exact, 1e-5), (&kernel, 1e-4)] {
            let got = made.attributions[0].slice_rows(sample..sample + 1).unwrap().to_vec::<f64>();
            assert!(got.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < within), "{got:?} {wanted:?}");
        }
    }
}

#[test]
fn sampled_values_are_near_the_exact_ones_by_their_standard_error() {
    let (_, model, _) = networks().swap_remove(6);
    let x = normal(&[3, 4], 8);
    let exact = explained(&model, &[x.clone()], ShapleyValues::default());
    let drawn = explained(&model, &[x], ShapleySampling::default().samples(400));
    let errors = drawn.standard_error.unwrap()[0].to_vec::<f64>();
    let off = exact.attributions[0].to_vec::<f64>().into_iter().zip(drawn.attributions[0].to_vec::<f64>());
    for ((a, b), e) in off.zip(errors) {
        assert!((a - b).abs() < 4.0 * e + 1e-5, "{a} {b} {e}");
    }
}

#[test]
fn tokens_of_an_embedding_have_attributions() {
    on_cpu();
    let network = Sequential::of(Input::new([6]).int32())
        .add(Embedding::new(10, 4))
        .add(LSTM::new(3))
        .add(Dense::new(2));
    let model = network.build().unwrap();
    let x = Tensor::new([2, 6], vec![1i32, 2, 3, 4, 5, 6, 9, 8, 7, 6, 5, 4]).unwrap();
    let methods: [Method; 4] = [
        IntegratedGradients::default().steps(200).into(),
        DeepLift::default().into(),
        LrpEpsilon::default().into(),
        Saliency::default().into(),
    ];
    for method in methods {
        let made = explained(&model, &[x.clone()], method);
        assert_eq!(made.attributions[0].shape(), [2, 6], "{}", made.method);
        assert!(made.checks.iter().all(|c| c.is_met()), "{}", made.checks[0]);
    }
}

#[test]
fn what_is_said_of_a_sample_does_not_depend_on_the_others() {
    let (_, model, shapes) = networks().swap_remove(4);
    let x = batch(&shapes, 5, 2);
    let whole =
        Explainer::new(&model).batch_size(5).explain(SmoothGrad::default().samples(6), &x, None).unwrap();
    let apart =
        Explainer::new(&model).batch_size(2).explain(SmoothGrad::default().samples(6), &x, None).unwrap();
    let off = whole.attributions[0].to_vec::<f32>().into_iter().zip(apart.attributions[0].to_vec::<f32>());
    assert!(off.into_iter().all(|(a, b)| (a - b).abs() <= 1e-5 * (1.0 + a.abs())));
}

#[test]
fn noise_of_no_size_changes_nothing() {
    let (_, model, shapes) = networks().swap_remove(0);
    let x = batch(&shapes, 2, 4);
    let plain = explained(&model, &x, Saliency::default());
    let smooth = explained(&model, &x, SmoothGrad::default().samples(3).stdev(0.0));
    let off = plain.attributions[0].to_vec::<f32>().into_iter().zip(smooth.attributions[0].to_vec::<f32>());
    assert!(off.into_iter().all(|(a, b)| (a - b).abs() < 1e-5));
    assert!(smooth.standard_error.unwrap()[0].to_vec::<f32>().iter().all(|e| *e < 1e-3));
}

#[test]
fn every_method_runs_on_a_network_with_places() {
    let (_, model, shapes) = networks().swap_remove(4);
    let x = batch(&shapes, 2, 9);
    let explainer = Explainer::new(&model).array("background", &normal(&[4, 6, 6, 2], 77));
    for row in <dyn rhyton_explain::Attribution as rhyton_nn::Kind>::rows() {
        if row.class_name == "AttentionRollout" {
            // It is for networks with attention.
            continue;
        }
        let mut settings = serde_json::Map::new();
        let of = |settings: &serde_json::Map<_, _>| Method::with_settings(row.class_name, settings);
        let config = of(&settings).unwrap().get().unwrap().config();
        for (key, value) in [("layer", "conv2d_1".into()), ("samples", 6.into()), ("steps", 4.into())] {
            if config.contains_key(key) {
                settings.insert(key.into(), value);
            }
        }
        if config.contains_key("patch") {
            settings.insert("patch".into(), serde_json::json!([3, 3, 2]));
        }
        if config.contains_key("window") {
            settings.insert("window".into(), serde_json::json!([2, 3, 2]));
        }
        let made = of(&settings).and_then(|m| explainer.explain(m, &x, None));
        let made = made.unwrap_or_else(|e| panic!("{}: {e}", row.class_name));
        let all = made.attributions[0].to_vec::<f32>();
        assert!(all.iter().all(|a| a.is_finite()), "{}", row.class_name);
        assert!(made.attributions[0].shape()[0] == 2 && all.iter().any(|a| *a != 0.0), "{}", row.class_name);
    }
}

#[test]
fn errors_say_what_is_wrong() {
    let (_, model, shapes) = networks().swap_remove(4);
    let x = batch(&shapes, 2, 9);
    let of = |m: Method| Explainer::new(&model).explain(m, &x, None).unwrap_err().to_string();
    let text = of(GradCam::default().layer("conv").into());
    assert!(text.contains("no layer 'conv'") && text.contains("conv2d_1"), "{text}");
    let text = of(IntegratedGradients::default().baseline("nothing").into());
    assert!(text.contains("there is no array 'nothing'"), "{text}");
    let text = of(Occlusion::default().window(vec![2]).into());
    assert!(text.contains("[6, 6, 2]"), "{text}");
    let labels = Tensor::vector(vec![0i32, 7]);
    let text =
        Explainer::new(&model).explain(Saliency::default(), &x, Some(&labels)).unwrap_err().to_string();
    assert!(text.contains("the label 7 of sample 1"), "{text}");
    let settings = serde_json::json!({"stepz": 3});
    let text =
        Method::with_settings("integrated_gradients", settings.as_object().unwrap()).unwrap_err().to_string();
    assert!(text.contains("stepz") && text.contains("steps"), "{text}");
}
