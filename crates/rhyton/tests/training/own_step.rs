//! Training steps of one's own under `fit`: with history, callbacks, metrics, checkpoints and resuming.

use super::*;
use rhyton::graph::function::scan;
use rhyton::graph::ops::Distribution;
use rhyton::graph::{Expr, grad};
use rhyton::nn::losses::{SparseCategoricalCrossentropy, loss_value};
use rhyton::train::callbacks::{Callback, SavePoint};
use rhyton::train::{PerOutput, TrainStep, TrainingState};

pub(super) fn network(seed: u64) -> Model {
    let net = Sequential::new([4]).seed(seed).add(Dense::new(8).activation("tanh"));
    net.add(Dropout::new(0.1)).add(Dense::new(3).activation("softmax")).build().unwrap()
}

fn arguments() -> Compile {
    Compile::new(Adam::new(0.01), "sparse_categorical_crossentropy").metrics(["accuracy"])
}

#[test]
fn the_standard_step_written_by_hand_gives_the_same_bits() {
    let (x, y) = (normal(&[30, 4], 1), labels(30, 3));
    let own = arguments().train_step(|s| {
        let outputs = s.forward(true);
        let loss = s.loss(&outputs);
        s.descend(&loss);
        s.metrics(&outputs, &loss);
    });
    let mut models = [arguments(), own].map(|a| network(1).compile(a).unwrap());
    let fit = || quiet(3).batch_size(8).seed(5).validation_split(0.2);
    let [a, b] = models.each_mut().map(|m| m.fit((&x, &y), fit()).unwrap());
    assert_eq!(a, b);
    assert!(same_bits(models[0].weights(), models[1].weights()));
}

#[test]
fn logs_are_means_over_samples_beside_the_metrics_that_compile_named() {
    let x = Tensor::from_fn([10, 1], |i| i as f32);
    let y = Tensor::zeros(rhyton::tensor::DType::F32, [10, 1]);
    let own = Compile::new(SGD::new(0.0), "mse").metrics(["mae"]).train_step(|s| {
        let outputs = s.forward(true);
        let loss = s.loss(&outputs);
        s.metrics(&outputs, &loss);
        let highest = s.inputs()[0].max(&[0, 1]);
        s.log("highest", &highest);
    });
    let mut model = linear(&[1.0], 0.0, own);
    let history = model.fit((&x, &y), quiet(1).batch_size(4).shuffle(false).validation((&x, &y))).unwrap();
    assert_eq!(history.names(), ["highest", "loss", "mae", "val_loss", "val_mae"]);
    // Batches of 4, 4 and 2 samples, whose highest are 3, 7 and 9.
    close(history.get("highest")[0], (4.0 * 3.0 + 4.0 * 7.0 + 2.0 * 9.0) / 10.0);
    close(history.get("loss")[0], 28.5);
    close(history.get("val_mae")[0], 4.5);
}

/// The critic is the compiled model, whose inputs are the data; the generator has an optimizer of its own.
fn gan_step(s: &mut TrainStep<'_>) {
    let softplus = |x: &Expr| x.exp().log1p().mean_all();
    let real = s.inputs()[0].clone();
    let noise = s.random(Distribution::Normal, real.shape().clone());
    let fake = s.call(1, &[noise.clone()])[0].clone();
    let critic = softplus(&-&s.call(0, &[real])[0]) + softplus(&s.call(0, &[fake])[0]);
    s.descend(&critic);
    let fake = s.call(1, &[noise])[0].clone();
    let generator = softplus(&-&s.call(0, &[fake])[0]);
    s.minimize(&generator, 1, Adam::new(0.02).beta_1(0.5));
    let rounds = s.state("rounds", Tensor::scalar(0.0f32));
    s.update(&rounds, &(&rounds + 1.0));
    s.log("critic", &critic);
    s.log("generator", &generator);
}

fn gan() -> Compiled {
    let net = |seed| Sequential::new([2]).seed(seed).add(Dense::new(16).activation("tanh"));
    let generator = net(3).add(BatchNormalization::new().momentum(0.8)).add(Dense::new(2)).build().unwrap();
    let arguments = Compile::new(Adam::new(0.01).beta_1(0.5), PerOutput::none()).models([generator]);
    let critic = net(4).add(Dense::new(1)).build().unwrap();
    critic.compile(arguments.train_step(gan_step)).unwrap()
}

/// Ends training with an error after so many steps; keeps the state after every step.
#[derive(Default)]
struct Cut {
    after: usize,
    steps: usize,
    saved: Option<TrainingState>,
}

impl Callback for Cut {
    fn on_train_batch_begin(&mut self, _: usize, _: &mut Training<'_>) -> Result<()> {
        self.steps += 1;
        if self.steps == self.after { Err(Error::new("power cut")) } else { Ok(()) }
    }
    fn wants_state(&mut self, at: SavePoint) -> bool {
        matches!(at, SavePoint::Batch(_))
    }
    fn save(&mut self, state: &TrainingState) -> Result<()> {
        self.saved = Some(state.clone());
        Ok(())
    }
    fn resume(&mut self) -> Result<Option<TrainingState>> {
        Ok(self.saved.clone())
    }
}

use rhyton::train::Training;

/// All that two trainings keep has the same bits, but for what evaluation counted.
fn same_values(a: &Compiled, b: &Compiled) -> bool {
    let kept = |m: &Compiled| {
        let all = m.values().with_prefix("").unwrap();
        all.into_iter().filter(|(n, _)| !n.starts_with("test/")).collect::<Vec<_>>()
    };
    let (a, b) = (kept(a), kept(b));
    a.len() == b.len() && a.iter().all(|(n, t)| b.iter().any(|(m, u)| n == m && t.same_bits(u)))
}

/// Trains whole, and cut off before each of these steps.
fn cut_and_resumed<'f>(
    model: impl Fn() -> Compiled,
    data: (&'f Tensor, Option<&'f Tensor>),
    fit: impl Fn() -> Fit<'f>,
    cuts: &[usize],
) -> (Compiled, History) {
    let run = |model: &mut Compiled, cut: &mut Cut| {
        let fit = fit().callback(cut);
        match data {
            (x, Some(y)) => model.fit((x, y), fit),
            (x, None) => model.fit(x, fit),
        }
    };
    let mut whole = model();
    let history = run(&mut whole, &mut Cut::default()).unwrap();
    for after in cuts {
        let mut cut = Cut { after: *after, ..Cut::default() };
        assert!(run(&mut model(), &mut cut).unwrap_err().to_string().starts_with("power cut"));
        let mut resumed = model();
        let again = run(&mut resumed, &mut Cut { after: 0, steps: 0, ..cut }).unwrap();
        assert_eq!(again, history, "cut before step {after}");
        assert!(same_values(&whole, &resumed), "cut before step {after}");
    }
    (whole, history)
}

#[test]
fn a_generator_and_a_critic_train_under_fit() {
    let shifted = Tensor::from_fn([64, 2], |i| 3.0 + ((i * 37 % 64) as f32 / 64.0 - 0.5));
    let fit = || quiet(40).batch_size(16).seed(3);
    let (model, history) = cut_and_resumed(gan, (&shifted, None), fit, &[3, 90]);
    assert_eq!(history.names(), ["critic", "generator"]);
    assert_eq!(history.get("critic").len(), 40);
    let values = model.values();
    assert_eq!(values.get("state/rounds").unwrap().data().get_f64(0), 160.0);
    for optimizer in 0..2 {
        let steps = values.get(&format!("optimizer.{optimizer}/iteration")).unwrap();
        assert_eq!(steps.data().get_f64(0), 160.0);
    }
    let generator = &model.further_models().unwrap()[0];
    let made = generator.predict(&normal(&[200, 2], 9)).unwrap().to_vec::<f32>();
    let mean = made.iter().sum::<f32>() / 400.0;
    assert!((1.5..4.5).contains(&mean), "the generator makes {mean}, real ones are 3");
}

/// Twenty steps up the loss within 0.3 of each input (Madry et al. 2018), as a loop.
pub(super) fn attacked(s: &mut TrainStep<'_>) -> Expr {
    let (x, y) = (s.inputs()[0].clone(), s.targets()[0].clone().unwrap());
    let steps = Expr::iota([20usize], 0);
    let (found, _) = scan("pgd", std::slice::from_ref(&x), &[steps], &[], false, |at, _, _| {
        let p = s.call_inference(0, at)[0].clone();
        let loss = loss_value(&SparseCategoricalCrossentropy::new(), &y, &p, None, None);
        let up = &at[0] + grad(&loss, at)[0].sign() * 0.05;
        (vec![up.minimum(&(&x + 0.3)).maximum(&(&x - 0.3))], vec![])
    });
    found[0].stop_gradient()
}

#[test]
fn the_attack_in_a_loop_is_the_attack_step_by_step() {
    // One step of the loop by hand, from weights that do not move.
    let own = Compile::new(SGD::new(0.0), "sparse_categorical_crossentropy").train_step(|s| {
        let found = attacked(s);
        let (mut at, x) = (s.inputs()[0].clone(), s.inputs()[0].clone());
        let y = s.targets()[0].clone().unwrap();
        for _ in 0..20 {
            let p = s.call_inference(0, &[at.clone()])[0].clone();
            let loss = loss_value(&SparseCategoricalCrossentropy::new(), &y, &p, None, None);
            let up = &at + grad(&loss, &[at.clone()])[0].sign() * 0.05;
            at = up.minimum(&(&x + 0.3)).maximum(&(&x - 0.3));
        }
        s.log("apart", &(&found - at).abs().max(&[0, 1]));
        s.log("moved", &(found - x).abs().max(&[0, 1]));
    });
    let mut model = network(2).compile(own).unwrap();
    let logs = model.train_on_batch((&normal(&[20, 4], 1), &labels(20, 3))).unwrap();
    assert_eq!(logs.get("apart"), Some(0.0));
    close(logs.get("moved").unwrap(), 0.3);
}

#[test]
fn a_loss_that_is_not_finite_is_noticed_whatever_model_it_trains() {
    let net = |seed| Sequential::new([1]).seed(seed).add(Dense::new(1)).build().unwrap();
    let own = Compile::new(SGD::new(0.1), PerOutput::none()).models([net(1)]).train_step(|s| {
        let x = s.inputs().to_vec();
        let a = s.call(0, &x)[0].abs().mean_all();
        s.descend(&a);
        let b = (s.call(1, &x)[0].mean_all() * 0.0).log();
        s.minimize(&b, 1, SGD::new(0.1));
        s.log("a", &a);
    });
    let mut model = net(0).compile(own).unwrap();
    let mut warnings = vec![];
    struct Note<'a>(&'a mut Vec<String>);
    impl Callback for Note<'_> {
        fn on_warning(&mut self, warning: &str, _: &mut Training<'_>) -> Result<()> {
            self.0.push(warning.into());
            Ok(())
        }
    }
    model.fit(&Tensor::full([4, 1], 1.0f32), quiet(1).warnings(false).callback(Note(&mut warnings))).unwrap();
    assert!(warnings[0].starts_with("the loss of step 1 of epoch 1 turned infinite"), "{warnings:?}");
}

#[test]
fn errors_of_a_step_of_ones_own_say_what_is_wrong() {
    let e = network(1)
        .compile(arguments().train_step(|s| {
            let outputs = s.forward(true);
            let loss = s.loss(&outputs);
            s.log("all", &outputs[0].expr);
            s.minimize(&loss, 2, "adam");
        }))
        .unwrap()
        .fit((&normal(&[6, 4], 1), &labels(6, 3)), quiet(1))
        .unwrap_err()
        .to_string();
    assert!(e.contains("the log 'all' has the shape [batch, 3]"), "{e}");
    assert!(e.contains("the step has no model 2\n") && e.contains("expected: a number below 1"), "{e}");
}

#[test]
fn a_file_says_that_it_lacks_the_step() {
    let own = arguments().train_step(|s| {
        let outputs = s.forward(true);
        let loss = s.loss(&outputs);
        s.descend(&loss);
    });
    let path = std::env::temp_dir().join(format!("rhyton-own-step-{}.keras", std::process::id()));
    rhyton::io::save_keras(&network(1).compile(own).unwrap(), &path).unwrap();
    let (model, warnings) = load_keras(&path).unwrap().into_compiled().unwrap();
    let what = "the step of its own that trained the model is not in the file";
    assert_eq!(warnings, [format!("{what}: training goes on with the standard step")]);
    rhyton::io::save_keras(&model, &path).unwrap();
    assert_eq!(load_keras(&path).unwrap().into_compiled().unwrap().1, [""; 0]);
    std::fs::remove_file(path).unwrap();
}
