//! Names, error texts, special values and starting points of activations, losses, metrics,
//! optimizers, initializers, regularizers and constraints.

use rhyton_graph::{Expr, Function, Type, eval, interpret};
use rhyton_nn::activations::{Activate, Activation};
use rhyton_nn::initializers::{self, Initialize, Orthogonal};
use rhyton_nn::layer::{Variable, Weight};
use rhyton_nn::losses::{self, Loss, LossRef, loss_value};
use rhyton_nn::metrics::{self, Metric};
use rhyton_nn::optimizers::{
    self, Adam, CommonSettings, LearningRate, OptimizerRef, Pipeline, SGD, schedules,
};
use rhyton_nn::{Kind, Layer};
use rhyton_tensor::rng::Stream;
use rhyton_tensor::{DType, Dim, Result, Source, Tensor};
use serde_json::{Value, json};

/// Keras's own strings (keras.md 1.4), so that no alias is lost.
#[test]
fn strings_of_keras_are_known() {
    let all = "bce BCE kld KLD mae MAE mse MSE mape MAPE msle MSLE huber log_cosh kl_divergence poisson dice tversky";
    for name in all.split(' ') {
        LossRef::named(name).unwrap();
    }
    let float = Type::f32(vec![Dim::symbol("B"), Dim::fixed(3)]);
    for name in format!("{all} accuracy acc log_cosh_error f_beta_score io_u mean_io_u auc rmse").split(' ') {
        assert_eq!(metrics::resolve(name, &float, &float).unwrap().get().unwrap().name(), name);
    }
    for name in "adadelta adafactor adagrad adam adamax adamw ftrl lamb lion muon nadam rmsprop sgd RMSprop"
        .split(' ')
    {
        OptimizerRef::named(name).unwrap();
    }
}

#[test]
fn unknown_names_propose_the_nearest() {
    let text = |e: rhyton_tensor::Error| e.to_string();
    assert_eq!(
        text(LossRef::named("mean_square_error").unwrap_err()),
        "there is no loss 'mean_square_error'\n  fix:      did you mean 'MeanSquaredError'?"
    );
    assert_eq!(
        text(OptimizerRef::named("adan").unwrap_err()),
        "there is no optimizer 'adan'\n  fix:      did you mean 'Adam'?"
    );
    assert_eq!(
        text(Activation::named("rely").unwrap_err()),
        "there is no activation 'rely'\n  fix:      did you mean 'relu'?"
    );
    let float = Type::f32([2, 3]);
    assert_eq!(
        text(metrics::resolve("acuracy", &float, &float).unwrap_err()),
        "there is no metric 'acuracy'\n  fix:      did you mean 'Accuracy'?"
    );
    let poisoned = Activation::from("rely").apply(&Expr::param("x", float));
    let problem = &poisoned.error().unwrap().problems[0];
    assert!(problem.source.as_ref().unwrap().to_string().contains("tests/objects.rs"), "{problem}");
    let source = LossRef::from("mze").get().unwrap_err().problems[0].source.clone();
    assert!(source.as_ref().unwrap().to_string().contains("tests/objects.rs"), "{source:?}");
}

#[test]
fn a_guess_is_near_or_absent() {
    let hint = |name: &str, known: &str| {
        let e = rhyton_nn::registry::unknown("tensor operation", name, [known].into_iter()).to_string();
        e.split_once("fix:      ").unwrap().1.to_string()
    };
    for (name, known) in [
        ("Dnese", "Dense"),
        ("relo", "relu"),
        ("adam", "Adam"),
        ("CategoricalAcuracy", "CategoricalAccuracy"),
    ] {
        assert_eq!(hint(name, known), format!("did you mean '{known}'?"));
    }
    for (name, known) in
        [("Cast", "Cos"), ("Max", "Sin"), ("Norm", "Mod"), ("ExpandDims", "Einsum"), ("x", "tanh")]
    {
        assert_eq!(hint(name, known), "`rhyton list operation` shows the known ones", "{name} {known}");
    }
    // Names of files that mean harm are not compared letter by letter.
    assert!(hint(&"x".repeat(1 << 20), &"x".repeat(1 << 20)).starts_with("`rhyton list"));
}

fn run(f: impl FnOnce(&[Expr]) -> Vec<Expr>, args: &[Tensor]) -> Result<Vec<Tensor>> {
    eval(f, args)
}

fn one(f: impl FnOnce(&Expr) -> Expr, x: Vec<f32>) -> Vec<f32> {
    run(|x| vec![f(&x[0])], &[Tensor::vector(x)]).unwrap()[0].to_vec()
}

#[test]
fn large_numbers_stay_finite() {
    let apply = |name: &'static str| move |x: &Expr| Activation::from(name).apply(x);
    assert_eq!(one(apply("softmax"), vec![1e4, 1e4, -1e4]), [0.5, 0.5, 0.0]);
    let log = one(apply("log_softmax"), vec![1e4, -1e4]);
    assert_eq!(log, [0.0, -2e4]);
    assert_eq!(one(apply("softplus"), vec![1e4, -1e4]), [1e4, 0.0]);
    assert_eq!(one(apply("log_sigmoid"), vec![1e4, -1e4]), [0.0, -1e4]);
    for name in ["elu", "selu", "celu", "mish", "silu", "gelu"] {
        let y = one(apply(name), vec![1e4, -1e4]);
        assert!(y.iter().all(|y| y.is_finite()), "{name}: {y:?}");
    }
}

#[test]
fn gradients_of_large_numbers_stay_finite() {
    for name in <dyn Activate>::rows().iter().map(|r| r.class_name).filter(|n| *n != "exponential") {
        let g = one(
            |x| {
                let y = Activation::from(name).apply(x).sum_all();
                rhyton_graph::grad(&y, std::slice::from_ref(x)).remove(0)
            },
            vec![90.0, -90.0, 0.0, 3.0],
        );
        assert!(g.iter().all(|g| g.is_finite()), "{name}: {g:?}");
    }
}

/// keras.md 4.8: on JAX, a softmax 40 apart saturates at -log(1e-7).
#[test]
fn probabilities_of_0_cost_what_keras_says() {
    let loss = losses::SparseCategoricalCrossentropy::new();
    let p = Tensor::new([1, 2], vec![40.0f32, 0.0]).unwrap();
    let value = |x: &[Expr]| {
        let t = Expr::constant(&Tensor::vector(vec![1i32]));
        vec![loss_value(&loss, &t, &Activation::from("softmax").apply(&x[0]), None, None)]
    };
    let got = run(value, &[p]).unwrap()[0].to_vec::<f32>()[0];
    assert!((got - 16.118_095).abs() < 1e-4, "{got}");
}

/// The error text of a loss of targets and predictions of these shapes.
fn refusal(loss: &dyn Loss, t: Vec<Dim>, p: Vec<Dim>) -> String {
    let (t, p) = (Expr::param("t", Type::new(DType::I32, t)), Expr::param("p", Type::f32(p)));
    let value = loss_value(loss, &t, &p, None, None);
    let e = value.error().expect("a refusal").clone();
    e.to_string().lines().filter(|l| !l.starts_with("  at:")).collect::<Vec<_>>().join("\n")
}

#[test]
fn targets_that_do_not_fit_are_explained() {
    let b = || Dim::symbol("B");
    let (labels, one_hot) = (vec![b()], vec![b(), Dim::fixed(10)]);
    assert_eq!(
        refusal(&losses::CategoricalCrossentropy::new(), labels.clone(), one_hot.clone()),
        "categorical_crossentropy got targets of shape [B] and predictions of shape [B, 10]\n  \
         expected: targets of shape [B, 10]\n  \
         fix:      the targets look like labels: use sparse_categorical_crossentropy, or make them one-hot with \
         to_categorical"
    );
    assert_eq!(
        refusal(&losses::SparseCategoricalCrossentropy::new(), one_hot.clone(), one_hot.clone()),
        "sparse_categorical_crossentropy got targets of shape [B, 10] and predictions of shape [B, 10]\n  \
         expected: labels (whole numbers from 0) of shape [B]\n  \
         fix:      the targets look one-hot: use categorical_crossentropy, or make labels of them with argmax"
    );
    assert_eq!(
        refusal(&losses::MeanSquaredError::new(), vec![b(), Dim::fixed(3)], one_hot.clone()),
        "mean_squared_error got targets of shape [B, 3] and predictions of shape [B, 10]\n  \
         expected: targets of shape [B, 10]\n  \
         fix:      give the last layer as many units as a target has values"
    );
    assert!(
        refusal(&losses::MeanSquaredError::new(), labels, one_hot)
            .contains("if the targets are labels, use sparse_categorical_crossentropy")
    );
}

#[test]
fn a_batch_of_one_column_is_aligned() {
    for (t, p) in [(vec![3usize], vec![3usize, 1]), (vec![3, 1], vec![3])] {
        let args = [Tensor::full(t, 1.0f32), Tensor::full(p, 3.0f32)];
        let value =
            run(|x| vec![loss_value(&losses::MeanSquaredError::new(), &x[0], &x[1], None, None)], &args)
                .unwrap();
        assert_eq!(value[0].to_vec::<f32>(), [4.0]);
    }
}

#[test]
fn weights_of_samples_reach_their_steps() {
    let args =
        [Tensor::full([2, 4, 1], 0.0f32), Tensor::full([2, 4, 1], 1.0f32), Tensor::vector(vec![1.0f32, 3.0])];
    let value =
        run(|x| vec![loss_value(&losses::MeanSquaredError::new(), &x[0], &x[1], None, Some(&x[2]))], &args);
    assert_eq!(value.unwrap()[0].to_vec::<f32>(), [2.0]);
}

#[test]
fn accuracy_is_resolved_by_shapes() {
    let b = || Dim::symbol("B");
    let ty = |shape: Vec<Dim>| Type::f32(shape);
    let cases = [
        (vec![b(), 1.into()], vec![b(), 1.into()], "BinaryAccuracy"),
        (vec![b()], vec![b(), 1.into()], "BinaryAccuracy"),
        (vec![b()], vec![b(), 5.into()], "SparseCategoricalAccuracy"),
        (vec![b(), 1.into()], vec![b(), 5.into()], "SparseCategoricalAccuracy"),
        (vec![b(), 5.into()], vec![b(), 5.into()], "CategoricalAccuracy"),
        (vec![b(), 7.into()], vec![b(), 7.into(), 5.into()], "SparseCategoricalAccuracy"),
        (vec![b(), 7.into(), 5.into()], vec![b(), 7.into(), 5.into()], "CategoricalAccuracy"),
    ];
    for (t, p, class) in cases {
        let metric = metrics::resolve("accuracy", &ty(t.clone()), &ty(p.clone())).unwrap();
        assert_eq!(metric.get().unwrap().class_name(), class, "{t:?} {p:?}");
        assert_eq!(metric.get().unwrap().name(), "accuracy");
        let loss = losses::resolve("crossentropy", &ty(t), &ty(p)).unwrap();
        let stem = class.trim_end_matches("Accuracy");
        assert_eq!(loss.get().unwrap().class_name(), format!("{stem}Crossentropy"));
    }
}

#[test]
fn metrics_of_nothing_are_0_and_ties_are_hits() {
    let m = metrics::SparseTopKCategoricalAccuracy::new().k(1usize);
    assert_eq!(m.result(&m.start(&Type::f32([1, 3])).unwrap()), 0.0);
    let update = |x: &[Expr]| m.update(&x[..2], &x[2], &x[3], None);
    let scores = Tensor::new([2, 3], vec![0.4f32, 0.4, 0.2, 0.1, 0.2, 0.7]).unwrap();
    let mut args = m.start(&Type::f32([2, 3])).unwrap();
    args.extend([Tensor::vector(vec![1i32, 0]), scores]);
    assert_eq!(m.result(&run(update, &args).unwrap()), 0.5);
}

#[test]
fn closures_are_losses_and_metrics() {
    let quartic = losses::custom("quartic", |t, p| {
        let d = t - p;
        (&d * &d * &d * &d).mean(&[1])
    });
    let args = [Tensor::full([2, 2], 1i32), Tensor::full([2, 2], 3.0f32)];
    let value =
        run(|x| vec![loss_value(&**quartic.get().unwrap(), &x[0], &x[1], None, None)], &args).unwrap();
    assert_eq!(value[0].to_vec::<f32>(), [16.0]);
    let worst = metrics::custom("worst", |t, p| (t - p).abs().max(&[1]));
    let worst = worst.get().unwrap();
    let mut all = worst.start(&Type::f32([2, 2])).unwrap();
    all.extend(args);
    let state = run(|x| worst.update(&x[..2], &x[2], &x[3], None), &all).unwrap();
    assert_eq!(worst.result(&state), 2.0);
}

#[test]
fn a_layer_without_weights_can_be_an_activation() {
    rhyton_nn::layer! {
        /// Doubles.
        pub struct Double {}
    }
    impl Layer for Double {
        fn call(&self, _: &mut rhyton_nn::Cx<'_>, args: &rhyton_nn::Args) -> rhyton_nn::Outputs {
            (args.x() * 2.0).into()
        }
    }
    let double: rhyton_nn::LayerRef = Double::default().into();
    assert_eq!(one(|x| Activation::from(double.clone()).apply(x), vec![1.5]), [3.0]);
    let dense: Activation =
        serde_json::from_value(json!({"class_name": "Dense", "config": {"units": 1}})).unwrap();
    let bad = dense.apply(&Expr::param("x", Type::f32([1, 2])));
    assert!(bad.error().unwrap().to_string().starts_with("Dense cannot be an activation"), "{bad:?}");
}

fn variable(path: &str, shape: &[usize]) -> Variable {
    Variable {
        weight: Weight::new("kernel", shape, &"zeros".into()),
        path: path.into(),
        location: "layers/d".into(),
        trainable: true,
        source: Source::here(),
        initial: None,
    }
}

/// keras.md 3.7.
#[test]
fn state_lies_in_the_order_of_keras_files() {
    let variables = [variable("m/d/kernel", &[4, 3]), variable("m/d/bias", &[3])];
    let names = |o: OptimizerRef| Pipeline::new(&o, &variables).unwrap().names().join(" ");
    assert_eq!(
        names(Adam::new(0.1).amsgrad(true).into()),
        "iteration learning_rate m_d_kernel_momentum m_d_kernel_velocity m_d_bias_momentum m_d_bias_velocity \
         m_d_kernel_velocity_hat m_d_bias_velocity_hat"
    );
    assert_eq!(
        names(SGD::new(0.1).momentum(0.9).use_ema(true).gradient_accumulation_steps(2usize).into()),
        "iteration learning_rate m_d_kernel_average m_d_bias_average m_d_kernel_gradient_accumulator \
         m_d_bias_gradient_accumulator m_d_kernel_momentum m_d_bias_momentum"
    );
    assert_eq!(names(SGD::new(schedules::CosineDecay::new(0.1, 10)).into()), "iteration");
    assert_eq!(
        names(optimizers::RMSprop::new(0.1).momentum(0.9).centered(true).into()),
        "iteration learning_rate m_d_kernel_velocity m_d_bias_velocity m_d_kernel_momentum m_d_bias_momentum \
         m_d_kernel_average_gradient m_d_bias_average_gradient"
    );
}

#[test]
fn learning_rates_are_kept_in_float32() {
    let config = OptimizerRef::from(Adam::new(1e-3)).to_json();
    assert_eq!(config["config"]["learning_rate"], 0.001_000_000_047_497_451_3);
    let p = Pipeline::new(&Adam::new(1e-3).into(), &[]).unwrap();
    let state = p.start(&[]).unwrap();
    assert_eq!((p.learning_rate_at(), p.learning_rate(&state).unwrap()), (Some(1), 1e-3f32.into()));
    let decaying = SGD::new(schedules::ExponentialDecay::new(0.1, 1, 0.5));
    assert!(matches!(decaying.common.learning_rate, LearningRate::Schedule(_)));
    let p = Pipeline::new(&decaying.into(), &[]).unwrap();
    let rate = p.learning_rate(&[Tensor::scalar(2i32)]).unwrap();
    assert!((rate - 0.025).abs() < 1e-8 && p.learning_rate_at().is_none());
}

#[test]
fn wrong_settings_are_refused() {
    let text = |o: OptimizerRef| Pipeline::new(&o, &[]).unwrap_err().to_string();
    assert_eq!(
        text(SGD::new(0.1).clipnorm(1.0).clipvalue(1.0).into()),
        "SGD clips gradients in two ways: clipnorm and clipvalue\n  \
         expected: at most one of clipnorm, global_clipnorm and clipvalue"
    );
    assert_eq!(
        text(Adam::new(-0.1).into()),
        "Adam got learning_rate=-0.1\n  expected: a finite number of at least 0"
    );
    assert_eq!(
        text(SGD::new(0.1).gradient_accumulation_steps(1usize).into()),
        "SGD got gradient_accumulation_steps=1\n  expected: at least 2, or nothing"
    );
    assert_eq!(
        text(SGD::new(0.1).momentum(1.5).into()),
        "SGD got momentum=1.5\n  expected: a number between 0 and 1"
    );
    let schedule = schedules::PiecewiseConstantDecay::new(&[1, 2], &[0.1]);
    assert!(text(SGD::new(schedule).into()).contains("expected: one value more than boundaries"));
    let e =
        metrics::MetricRef::from_json(&json!({"class_name": "AUC", "config": {"curve": "RUC"}})).unwrap_err();
    assert_eq!(e.to_string(), "AUC got curve='RUC'\n  in:       metric AUC\n  expected: ROC, PR, PRGAIN");
}

/// A step of plain descent at weight 1 and gradient `g`, with the loss scaled as the training loop does.
fn step(o: OptimizerRef, g: impl Fn(&Expr) -> Expr) -> Vec<f32> {
    let p = Pipeline::new(&o, &[variable("w", &[2])]).unwrap();
    let start = Tensor::full([2], 1.0f32);
    let mut args = p.start(std::slice::from_ref(&start)).unwrap();
    let state: Vec<Expr> = p.types().iter().map(|t| Expr::param("s", t.clone())).collect();
    let w = Expr::param("w", Type::f32([2]));
    let loss = p.scale_loss(&g(&w), &state);
    let out = p.apply(&state, std::slice::from_ref(&w), &rhyton_graph::grad(&loss, std::slice::from_ref(&w)));
    let f = Function::new("step", state.into_iter().chain([w]).collect(), out.weights);
    args.push(start);
    interpret(&f, &args).unwrap()[0].to_vec()
}

#[test]
fn loss_scales_cancel() {
    let square = |w: &Expr| (w * w).sum_all();
    assert_eq!(step(SGD::new(0.25).into(), square), [0.5, 0.5]);
    assert_eq!(step(SGD::new(0.25).loss_scale_factor(8.0).into(), square), [0.5, 0.5]);
    let inner = optimizers::LossScaleOptimizer::new(SGD::new(0.25));
    assert_eq!(step(inner.into(), square), [0.5, 0.5]);
}

#[test]
fn steps_with_infinite_gradients_are_skipped_or_show() {
    let bad = |w: &Expr| (w * f32::INFINITY).sum_all();
    assert_eq!(step(optimizers::LossScaleOptimizer::new(SGD::new(0.25)).into(), bad), [1.0, 1.0]);
    assert!(step(SGD::new(0.25).global_clipnorm(1.0).into(), bad).iter().all(|w| w.is_nan()));
}

/// Keras drops weights without a gradient: they do not even decay.
#[test]
fn weights_that_the_loss_does_not_see_stay() {
    let elsewhere = |_: &Expr| Expr::scalar(3.0f32);
    assert_eq!(step(SGD::new(0.25).weight_decay(0.5).into(), elsewhere), [1.0, 1.0]);
}

#[test]
fn wrong_numbers_of_tensors_are_refused() {
    let p = Pipeline::new(&SGD::new(0.1).into(), &[variable("w", &[2])]).unwrap();
    let out = p.apply(&[], &[], &[]);
    assert!(out.weights[0].error().unwrap().to_string().contains("tensors of state, weights and gradients"));
}

fn moments(values: &[f32]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().map(|x| f64::from(*x)).sum::<f64>() / n;
    (mean, values.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / n)
}

#[test]
fn initializers_have_their_variance() {
    let shape = [3, 3, 20, 100];
    let (fan_in, fan_out) = (180.0, 900.0);
    assert_eq!(initializers::fans(&shape), (180, 900));
    assert_eq!((initializers::fans(&[]), initializers::fans(&[7])), ((1, 1), (7, 7)));
    let cases = [
        ("GlorotUniform", 2.0 / (fan_in + fan_out)),
        ("GlorotNormal", 2.0 / (fan_in + fan_out)),
        ("HeUniform", 2.0 / fan_in),
        ("HeNormal", 2.0 / fan_in),
        ("LecunUniform", 1.0 / fan_in),
        ("LecunNormal", 1.0 / fan_in),
        ("VarianceScaling", 1.0 / fan_in),
        ("RandomNormal", 0.0025),
        ("RandomUniform", 0.01 / 12.0),
        ("TruncatedNormal", 0.0025 * 0.879_625_661f64.powi(2)),
        ("Zeros", 0.0),
    ];
    for (name, wanted) in cases {
        let i = initializers::Initializer::named(name).unwrap();
        let (mean, variance) = moments(&i.get().unwrap().values(&shape, &mut Stream::new(1, 0, 0)));
        assert!(mean.abs() < 0.05 * wanted.sqrt() + 1e-12, "{name}: mean {mean}");
        assert!((variance - wanted).abs() <= 0.05 * wanted, "{name}: variance {variance}, not {wanted}");
    }
    let cut = initializers::TruncatedNormal::default().values(&[10_000], &mut Stream::new(2, 0, 0));
    assert!(cut.iter().all(|x| x.abs() <= 0.1));
}

#[test]
fn seeds_fix_the_numbers() {
    let seeded = initializers::RandomNormal::default().seed(5);
    let draw = |i: &dyn Initialize, s: u64| i.values(&[8], &mut Stream::new(s, 0, 0));
    assert_eq!(draw(&seeded, 1), draw(&seeded, 2));
    let free = initializers::RandomNormal::default();
    assert_ne!(draw(&free, 1), draw(&free, 2));
    let mut stream = Stream::new(1, 0, 0);
    assert_ne!(free.values(&[8], &mut stream), free.values(&[8], &mut stream));
    let record = json!({"seed": {"class_name": "SeedGenerator", "config": {"seed": 9}}});
    let read: initializers::RandomNormal = serde_json::from_value(record).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap()["seed"], 9);
}

#[test]
fn orthogonal_matrices_are_orthogonal() {
    for shape in [vec![6usize, 4], vec![4, 6], vec![2, 3, 5], vec![1, 1], vec![5, 5]] {
        let q = Orthogonal::default().gain(2.0).values(&shape, &mut Stream::new(3, 0, 0));
        let columns = *shape.last().unwrap();
        let rows = q.len() / columns;
        let short = rows.min(columns);
        for a in 0..short {
            for b in 0..short {
                let at = |line: usize, k: usize| {
                    f64::from(if rows < columns { q[line * columns + k] } else { q[k * columns + line] })
                };
                let dot: f64 = (0..rows.max(columns)).map(|k| at(a, k) * at(b, k)).sum();
                assert!((dot - if a == b { 4.0 } else { 0.0 }).abs() < 1e-5, "{shape:?}: {a} {b} {dot}");
            }
        }
    }
    // Evenly distributed, so the first element is as often negative as positive.
    let negative = (0..200)
        .filter(|s| Orthogonal::default().values(&[3, 3], &mut Stream::new(*s, 0, 0))[0] < 0.0)
        .count();
    assert!((60..140).contains(&negative), "{negative}");
}

#[test]
fn shapes_that_cannot_start_so_are_refused() {
    let refused = |name: &str, shape: &[usize]| {
        initializers::Initializer::named(name).unwrap().get().unwrap().check(shape).unwrap_err().to_string()
    };
    assert_eq!(
        refused("Orthogonal", &[3]),
        "Orthogonal cannot start a weight of shape [3]\n  expected: a matrix, or more axes"
    );
    assert_eq!(
        refused("Identity", &[3]),
        "Identity cannot start a weight of shape [3]\n  expected: a matrix"
    );
    let eye = initializers::Identity::default().values(&[2, 3], &mut Stream::new(0, 0, 0));
    assert_eq!(eye, [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
}

#[test]
fn functions_in_files_are_names_and_never_code() {
    let named = LossRef::from_json(&json!({
        "module": "builtins", "class_name": "function", "config": "mean_squared_error", "registered_name": "function"
    }));
    assert_eq!(named.unwrap().get().unwrap().class_name(), "MeanSquaredError");
    let code = LossRef::from_json(&json!({"class_name": "__lambda__", "config": {"code": "4wEAAAA"}}));
    assert!(code.unwrap_err().to_string().starts_with("a loss holds Python code, which is never run"));
    let activation = Activation::from_json(&json!({"class_name": "function", "config": "swish"})).unwrap();
    assert_eq!(activation.name(), "swish");
    assert_eq!(Activation::from_json(&Value::Null).unwrap().name(), "linear");
}
