//! Keras's rules of losses, weights and figures, by hand.

use super::*;
use rhyton::nn::losses::custom;
use rhyton::nn::metrics;
use rhyton::train::{Metrics, PerOutput};
use serde_json::json;

#[test]
fn one_step_of_gradient_descent_is_the_one_on_paper() {
    let mut model = linear(&[1.0], 0.0, Compile::new(SGD::new(0.1), "mse"));
    let x = Tensor::new([2, 1], vec![1.0f32, 2.0]).unwrap();
    let y = Tensor::new([2, 1], vec![0.0f32, 0.0]).unwrap();
    // loss = mean(x^2) = 2.5, d/dw = mean(2 x x) = 5, d/db = mean(2 x) = 3.
    let logs = model.train_on_batch((&x, &y)).unwrap();
    close(logs.get("loss").unwrap(), 2.5);
    close(model.weights()[0].data().get_f64(0), 0.5);
    close(model.weights()[1].data().get_f64(0), -0.3);
    assert_eq!(model.iterations(), 1);
}

#[test]
fn the_loss_of_an_epoch_counts_samples_not_batches() {
    let mut model = linear(&[1.0], 0.0, Compile::new(SGD::new(0.0), "mse"));
    let x = Tensor::from_fn([10, 1], |i| i as f32);
    let y = Tensor::zeros(rhyton::tensor::DType::F32, [10, 1]);
    let history = model.fit((&x, &y), quiet(1).batch_size(4)).unwrap();
    close(history.get("loss")[0], 28.5);
    close(
        model.evaluate_with((&x, &y), Evaluate::new().batch_size(4).verbose(0)).unwrap().get("loss").unwrap(),
        28.5,
    );
}

#[test]
fn sample_weights_multiply_losses_and_weighted_metrics_only() {
    let arguments = Compile::new(SGD::new(0.0), "mse").metrics(["mae"]).weighted_metrics(["mae", "mse"]);
    let mut model = linear(&[1.0], 0.0, arguments);
    let x = Tensor::new([2, 1], vec![1.0f32, 3.0]).unwrap();
    let y = Tensor::zeros(rhyton::tensor::DType::F32, [2, 1]);
    let w = Tensor::vector(vec![3.0f32, 1.0]);
    let logs = model.test_on_batch((&x, &y, &w)).unwrap();
    assert_eq!(logs.names(), ["loss", "mae", "weighted_mae", "mse"]);
    // (3 * 1 + 1 * 9) / 2 samples; metrics divide by the sum of weights.
    close(logs.get("loss").unwrap(), 6.0);
    close(logs.get("mae").unwrap(), 2.0);
    close(logs.get("weighted_mae").unwrap(), 1.5);
    close(logs.get("mse").unwrap(), 3.0);
    let same = model.fit((&x, &y), quiet(1).sample_weight(&w)).unwrap();
    close(same.get("loss")[0], 6.0);
}

#[test]
fn class_weights_find_labels_and_one_hot_vectors() {
    let build = || {
        let model = Sequential::new([2]).add(Dense::new(2)).build().unwrap();
        let mut model = model.compile(Compile::new(SGD::new(0.0), "mse")).unwrap();
        let zero = |t: &Tensor| Tensor::zeros(t.dtype(), t.shape());
        let zeros: Vec<Tensor> = model.weights().iter().map(zero).collect();
        model.set_weights(&zeros).unwrap();
        model
    };
    let x = normal(&[3, 2], 1);
    let one_hot = Tensor::new([3, 2], vec![1.0f32, 0.0, 0.0, 1.0, 0.0, 1.0]).unwrap();
    // Each sample's loss is 1/2; class 1 counts 5 times: (1 + 5 + 5) / 2 / 3.
    let history = build().fit((&x, &one_hot), quiet(1).class_weight([(1, 5.0)])).unwrap();
    close(history.get("loss")[0], 11.0 / 6.0);
}

#[test]
fn penalties_count_while_their_weights_are_trained() {
    let loss = |trainable: bool| {
        let layer = Dense::new(1).kernel_regularizer("l2").activity_regularizer("l2").trainable(trainable);
        let model = Sequential::new([1]).add(layer).build().unwrap();
        let mut model = model.compile(Compile::new(SGD::new(0.1), "mse")).unwrap();
        model.set_weights(&[Tensor::full([1, 1], 2.0f32), Tensor::full([1], 0.0f32)]).unwrap();
        let x = Tensor::new([2, 1], vec![1.0f32, 1.0]).unwrap();
        let y = Tensor::full([2, 1], 2.0f32);
        model.test_on_batch((&x, &y)).unwrap().get("loss").unwrap()
    };
    // 0.01 * 2^2 for the kernel, 0.01 * (2^2 + 2^2) / 2 for the activity.
    close(loss(true), 0.08);
    close(loss(false), 0.04);
}

fn two_outputs(arguments: Compile) -> Compiled {
    let x = Input::new([3]).symbolic();
    let price = Dense::new(1).name("price").apply(&x);
    let kind = Dense::new(3).activation("softmax").name("kind").apply(&x);
    Model::new(&[x], &[price, kind]).unwrap().compile(arguments).unwrap()
}

#[test]
fn several_outputs_have_losses_and_metrics_of_their_own() {
    let arguments =
        Compile::new("sgd", by_output([("price", "mse"), ("kind", "sparse_categorical_crossentropy")]))
            .loss_weights(by_output([("price", 2.0), ("kind", 0.5)]))
            .metrics(by_output([("price", Metrics::from(["mae"])), ("kind", Metrics::from(["accuracy"]))]));
    let mut model = two_outputs(arguments);
    let (x, price, kind) = (normal(&[10, 3], 1), normal(&[10, 1], 2), labels(10, 3));
    let y = [&price, &kind];
    let logs = model.evaluate_with((&x, y), Evaluate::new().verbose(0)).unwrap();
    assert_eq!(logs.names(), ["loss", "price_loss", "kind_loss", "kind_accuracy", "price_mae"]);
    let of = |n| logs.get(n).unwrap();
    close(of("loss"), 2.0 * of("price_loss") + 0.5 * of("kind_loss"));
    let history = model.fit((&x, y), quiet(2).validation((&x, y))).unwrap();
    let names = history.names();
    assert_eq!(names[..5], ["kind_accuracy", "kind_loss", "loss", "price_loss", "price_mae"]);
    assert_eq!(names[5..7], ["val_kind_accuracy", "val_kind_loss"]);
    assert_eq!(history.epoch, [0, 1]);
}

#[test]
fn an_output_may_go_without_a_loss() {
    let mut model = two_outputs(Compile::new("sgd", by_output([("price", "mse")])));
    let (x, price) = (normal(&[10, 3], 1), normal(&[10, 1], 2));
    let alone = model.evaluate_with((&x, &price), Evaluate::new().verbose(0)).unwrap();
    assert_eq!(alone.names(), ["loss"]);
    let both = model.evaluate_with((&x, [&price, &labels(10, 3)]), Evaluate::new().verbose(0)).unwrap();
    assert_eq!(alone, both);
}

#[test]
fn losses_and_metrics_can_be_closures() {
    let quartic = custom("quartic", |t, p| {
        let d = t - p;
        (&d * &d * &d * &d).mean(&[1])
    });
    let worst = metrics::custom("worst", |t, p| (t - p).abs().max(&[1]));
    let mut model = linear(&[1.0], 0.0, Compile::new(SGD::new(0.1), quartic).metrics([worst]));
    let x = Tensor::new([2, 1], vec![1.0f32, 2.0]).unwrap();
    let y = Tensor::zeros(rhyton::tensor::DType::F32, [2, 1]);
    let logs = model.test_on_batch((&x, &y)).unwrap();
    close(logs.get("loss").unwrap(), 8.5);
    close(logs.get("worst").unwrap(), 1.5);
}

#[test]
fn masked_steps_count_neither_in_the_loss_nor_in_metrics() {
    let model = Sequential::of(Input::new([3]).int32())
        .add(Embedding::new(5, 2).mask_zero(true))
        .add(Dense::new(1))
        .build()
        .unwrap();
    let mut model = model.compile(Compile::new(SGD::new(0.0), "mse").metrics(["mae"])).unwrap();
    let x = Tensor::new([2, 3], vec![1i32, 2, 0, 3, 0, 0]).unwrap();
    let y = Tensor::full([2, 3, 1], 1.0f32);
    let p = model.predict(&x).unwrap().to_vec::<f32>();
    let kept: Vec<f64> = [0, 1, 3].iter().map(|i| f64::from(p[*i]) - 1.0).collect();
    let logs = model.fit((&x, &y), quiet(1).batch_size(2).shuffle(false)).unwrap();
    close(logs.get("loss")[0], kept.iter().map(|d| d * d).sum::<f64>() / 3.0);
    close(logs.get("mae")[0], kept.iter().map(|d| d.abs()).sum::<f64>() / 3.0);
}

#[test]
fn crossentropy_and_accuracy_go_by_shapes() {
    let x = normal(&[6, 4], 3);
    let one_hot = Tensor::from_fn([6, 3], |i| if i % 3 == i / 3 % 3 { 1.0f32 } else { 0.0 });
    let sparse = Tensor::from_fn([6], |i| (i % 3) as i32);
    let of = |loss: &str, y: &Tensor| {
        let mut model = classifier(Compile::new("sgd", loss).metrics(["accuracy"]));
        model.test_on_batch((&x, y)).unwrap()
    };
    assert_eq!(of("crossentropy", &one_hot), of("categorical_crossentropy", &one_hot));
    assert_eq!(of("crossentropy", &sparse), of("sparse_categorical_crossentropy", &sparse));
    assert_eq!(of("ce", &one_hot).get("accuracy"), of("ce", &sparse).get("accuracy"));
}

#[test]
fn the_arguments_of_compile_come_back_from_json() {
    let config = json!({
        "optimizer": OptimizerRef::from(Adam::new(0.01)).to_json(),
        "loss": {"a": "mse", "b": {
            "module": "keras.losses", "class_name": "Huber",
            "config": {"name": "huber_loss", "reduction": "sum_over_batch_size", "delta": 1.0},
            "registered_name": null,
        }},
        "loss_weights": {"a": 1.0, "b": 0.5},
        "metrics": {"a": ["mae", "accuracy"], "b": "mse"},
        "weighted_metrics": null,
        "run_eagerly": false,
        "steps_per_execution": 1,
        "jit_compile": true,
    });
    assert_eq!(Compile::from_json(&config).unwrap().to_json(), config);
    let function = json!({
        "module": "builtins", "class_name": "function",
        "config": "mean_squared_error", "registered_name": "function",
    });
    // Keras writes functions as records; they are names.
    let functions = json!({ "optimizer": "sgd", "loss": function, "metrics": [function] });
    let read = Compile::from_json(&functions).unwrap().to_json();
    assert_eq!(
        (&read["loss"], &read["metrics"][0]),
        (&json!("mean_squared_error"), &json!("mean_squared_error"))
    );
    assert!(matches!(Metrics::from(Vec::<&str>::new()), PerOutput::List(v) if v.is_empty()));
}

#[test]
fn averages_of_weights_replace_them_at_the_end_of_training() {
    let mut model = linear(&[1.0], 0.0, Compile::new(SGD::new(0.1).use_ema(true).ema_momentum(0.5), "mse"));
    let x = Tensor::new([1, 1], vec![1.0f32]).unwrap();
    let y = Tensor::zeros(rhyton::tensor::DType::F32, [1, 1]);
    // w + b: 1, then 0.6, then 0.36; the average starts at the first update: (w, b) = (0.8, -0.2).
    model.fit((&x, &y), quiet(2).batch_size(1)).unwrap();
    close(model.weights()[0].data().get_f64(0), (0.8 + 0.68) / 2.0);
    close(model.weights()[1].data().get_f64(0), (-0.2 - 0.32) / 2.0);
}

#[test]
fn the_same_seed_gives_the_same_bits_and_another_seed_does_not() {
    let (x, y) = (normal(&[50, 4], 1), labels(50, 3));
    let run = |seed: u64| {
        let mut model = classifier(Compile::new(Adam::new(0.01), "sparse_categorical_crossentropy"));
        model.fit((&x, &y), quiet(2).batch_size(8).seed(seed)).unwrap();
        model.weights().to_vec()
    };
    assert!(same_bits(&run(1), &run(1)));
    assert!(!same_bits(&run(1), &run(2)));
}

#[test]
fn two_calls_of_fit_are_one_longer_one() {
    let (x, y) = (normal(&[50, 4], 1), labels(50, 3));
    let build = || classifier(Compile::new(Adam::new(0.01), "sparse_categorical_crossentropy"));
    let (mut once, mut twice) = (build(), build());
    once.fit((&x, &y), quiet(4).seed(3)).unwrap();
    twice.fit((&x, &y), quiet(2).seed(3)).unwrap();
    twice.fit((&x, &y), quiet(4).initial_epoch(2)).unwrap();
    assert!(same_bits(once.weights(), twice.weights()));
}

#[test]
fn statistics_of_data_far_from_zero_are_those_of_the_data() {
    let layer = BatchNormalization::new().momentum(0.0);
    let model = Sequential::new([3]).add(layer).add(Dense::new(1)).build().unwrap();
    let mut model = model.compile(Compile::new(SGD::new(0.0), "mse")).unwrap();
    let far = [0.0f32, 1e3, -1e4];
    let noise = normal(&[500, 3], 4);
    let x = Tensor::from_fn([500, 3], |i| far[i % 3] + noise.data().get_f64(i) as f32);
    model.train_on_batch((&x, &Tensor::zeros(rhyton::tensor::DType::F32, [500, 1]))).unwrap();
    for (c, far) in far.iter().enumerate() {
        let values = || (0..500).map(|i| x.data().get_f64(i * 3 + c));
        let mean = values().sum::<f64>() / 500.0;
        let variance = values().map(|v| (v - mean).powi(2)).sum::<f64>() / 500.0;
        let found = |w: usize| model.weights()[w].data().get_f64(c);
        assert!((found(2) - mean).abs() < 1e-6 * f64::from(far.abs() + 1.0), "{} is not {mean}", found(2));
        assert!((found(3) - variance).abs() < 1e-5 * variance, "{} is not {variance}", found(3));
    }
}
