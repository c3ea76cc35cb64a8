//! Several updates in one step: each is an assignment, so that the step does what several steps would do.

use super::*;
use rhyton::graph::Expr;
use rhyton::model::program::Build;
use rhyton::nn::initializers::Constant;
use rhyton::nn::optimizers::{LossScaleOptimizer, OptimizerRef, RMSprop};
use rhyton::tensor::DType;
use rhyton::train::Step;

type Loss = fn(&mut Build, &Expr) -> Expr;

fn softplus(x: &Expr) -> Expr {
    x.exp().log1p().mean_all()
}

/// A generator and a critic with batch statistics, dead units and a layer that is used twice.
fn models(policy: &str) -> [Model; 2] {
    let generator = Sequential::new([2])
        .dtype_policy(policy)
        .add(Dense::new(6).relu())
        .add(BatchNormalization::new().momentum(0.7))
        .add(Dense::new(2).kernel_regularizer("l2"));
    let x = Input::new([2]).symbolic();
    let twice = Dense::new(2).activation("tanh").dtype(policy).shared();
    let h = BatchNormalization::new().dtype(policy).apply(twice.apply(twice.apply(&x)));
    let critic = Model::new(&[x], &[Dense::new(1).dtype(policy).apply(&h)]);
    [generator.build().unwrap(), critic.unwrap()]
}

fn critic_loss(s: &mut Build, x: &Expr) -> Expr {
    let fake = s.call(0, &[x * 0.5])[0].clone();
    let (on_real, on_fake) = (s.call(1, &[x.clone()])[0].clone(), s.call(1, &[fake])[0].clone());
    softplus(&-on_real) + softplus(&on_fake)
}

fn generator_loss(s: &mut Build, x: &Expr) -> Expr {
    let fake = s.call(0, &[x * 0.5])[0].clone();
    softplus(&-&s.call(1, &[fake])[0]) + s.penalties(0)
}

/// What a model is trained by: its number, the loss and the optimizer.
type Update<'a> = (usize, Loss, &'a OptimizerRef);

fn step(policy: &str, updates: &[Update]) -> Step {
    Step::build(models(policy), 3, |s| {
        let x = s.input("x", [2]);
        for (model, loss, optimizer) in updates {
            let loss = loss(s, &x);
            s.minimize(&loss, *model, (*optimizer).clone());
        }
    })
    .unwrap()
}

/// Gives the second step the models of the first.
fn hand_over(from: &Step, to: &mut Step) {
    let models = from.state().unwrap();
    let state = to.state().unwrap().into_iter().map(|(name, old)| {
        let new = models.iter().find(|(n, _)| *n == name && name.starts_with("model."));
        (name, new.map_or(old, |(_, t)| t.clone()))
    });
    to.set_state(&state.collect::<Vec<_>>()).unwrap();
}

/// Weights and states of optimizers, the optimizers numbered from `first`.
fn trained(step: &Step, first: usize) -> Vec<(String, Tensor)> {
    let rename = |name: String| match name.strip_prefix("optimizer.").and_then(|n| n.split_once('/')) {
        Some((number, slot)) => format!("optimizer.{}/{slot}", number.parse::<usize>().unwrap() + first),
        None => name,
    };
    step.state().unwrap().into_iter().filter(|(n, _)| n != "key").map(|(n, t)| (rename(n), t)).collect()
}

/// The names of what differs between one step with both updates and two steps with one each.
fn differences(policy: &str, updates: [Update; 2]) -> Vec<String> {
    let [mut both, mut one, mut other] =
        [&updates[..], &updates[..1], &updates[1..]].map(|u| step(policy, u));
    for round in 0..4 {
        let x = normal(&[16, 2], round);
        both.run(std::slice::from_ref(&x)).unwrap();
        one.run(std::slice::from_ref(&x)).unwrap();
        hand_over(&one, &mut other);
        other.run(&[x]).unwrap();
        hand_over(&other, &mut one);
    }
    let apart: Vec<(String, Tensor)> = trained(&one, 0).into_iter().chain(trained(&other, 1)).collect();
    let same = |(name, t): &(String, Tensor)| apart.iter().any(|(n, s)| n == name && s.same_bits(t));
    trained(&both, 0).into_iter().filter(|t| !same(t)).map(|(name, _)| name).collect()
}

fn optimizers() -> Vec<OptimizerRef> {
    vec![
        SGD::new(0.05).into(),
        SGD::new(0.05).momentum(0.9).nesterov(true).into(),
        Adam::new(0.01).into(),
        Adam::new(0.01).use_ema(true).ema_overwrite_frequency(2).clipnorm(0.5).into(),
        RMSprop::new(0.01).weight_decay(0.01).into(),
        SGD::new(0.05).gradient_accumulation_steps(2).into(),
        LossScaleOptimizer::new(Adam::new(0.01)).into(),
    ]
}

#[test]
fn a_step_with_two_updates_equals_two_steps() {
    for policy in ["float32", "mixed_bfloat16"] {
        for optimizer in optimizers() {
            let critic: Update = (1, critic_loss, &optimizer);
            let generator: Update = (0, generator_loss, &optimizer);
            for updates in [[critic, generator], [generator, critic], [critic; 2], [generator; 2]] {
                let which = updates.map(|(model, ..)| model);
                assert_eq!(
                    differences(policy, updates),
                    [""; 0],
                    "{policy}, {optimizer:?}, models {which:?}"
                );
            }
        }
    }
}

/// `x + b` and `w x`, each with one weight.
fn shift_and_scale() -> [Model; 2] {
    let part = |layer: Dense| Sequential::new([1]).add(layer).build().unwrap();
    let shift = part(Dense::new(1).kernel_initializer("ones"));
    let mut scale = part(Dense::new(1).use_bias(false));
    scale.set_weights(&[Tensor::full([1, 1], 0.5f32)]).unwrap();
    [shift, scale]
}

/// The critic's weight w moves by the difference of the means; the bias b then climbs by the new w. Differentiated
/// through the critic's update it would climb by w and by what b did to w as well.
#[test]
fn the_generator_plays_against_the_new_critic_as_it_is() {
    let mut step = Step::build(shift_and_scale(), 0, |s| {
        let (real, noise) = (s.input("real", [1]), s.input("noise", [1]));
        let fake = s.call(0, &[noise])[0].clone();
        let score = |s: &mut Build, x: &Expr| s.call(1, &[x.clone()])[0].mean_all();
        let critic = score(s, &fake) - score(s, &real);
        s.minimize(&critic, 1, SGD::new(0.25));
        let generator = -score(s, &fake);
        s.minimize(&generator, 0, SGD::new(0.125));
    })
    .unwrap();
    let column = |values: [f32; 2]| Tensor::new([2, 1], values.to_vec()).unwrap();
    step.run(&[column([3.0, 5.0]), column([-1.0, 2.0])]).unwrap();
    let models = step.models().unwrap();
    // w = 0.5 - 0.25 (0.5 - 4), b = 0.125 w.
    let (w, b) = (1.375, 0.171_875);
    assert_eq!(models[1].weights()[0].to_vec::<f32>(), [w]);
    assert_eq!(models[0].weights()[1].to_vec::<f32>(), [b]);
    assert_eq!(models[0].weights()[0].to_vec::<f32>(), [1.0 + 0.125 * w * 0.5]);
}

/// The root of Adam's second moment has no slope at 0: whoever differentiates through the update of a dead unit gets
/// NaN.
#[test]
fn dead_units_under_adam_stay_numbers() {
    let dead = || Dense::new(4).relu().bias_initializer(Constant::new(-100.0));
    let net = |units| Sequential::new([2]).add(dead()).add(Dense::new(units)).build().unwrap();
    let mut step = Step::build([net(2), net(1)], 0, |s| {
        let x = s.input("x", [2]);
        let critic = critic_loss(s, &x);
        s.minimize(&critic, 1, Adam::new(0.01));
        let generator = generator_loss(s, &x);
        s.minimize(&generator, 0, Adam::new(0.01));
    })
    .unwrap();
    for round in 0..3 {
        step.run(&[normal(&[8, 2], round)]).unwrap();
    }
    for (name, t) in step.state().unwrap() {
        assert!(t.to_vec::<f64>().iter().all(|x| x.is_finite()), "{name}");
    }
}

/// A call in training moves the averages; a later call that predicts with them must not train what moved them.
#[test]
fn no_gradient_flows_through_moving_averages() {
    let model = Sequential::new([1])
        .add(Dense::new(1).use_bias(false).kernel_initializer("ones"))
        .add(BatchNormalization::new().momentum(0.5).epsilon(0.0))
        .build()
        .unwrap();
    let mut step = Step::build([model], 0, |s| {
        let x = s.input("x", [1]);
        s.call(0, &[x.clone()]);
        let loss = s.call_inference(0, &[x])[0].mean_all();
        s.minimize(&loss, 0, SGD::new(1.0));
    })
    .unwrap();
    step.run(&[Tensor::new([2, 1], vec![3.0f32, 5.0]).unwrap()]).unwrap();
    // Mean 4, variance 1: the averages become 2 and 1, and the loss (4 k - 2) / 1.
    close(step.models().unwrap()[0].weights()[0].data().get_f64(0), 1.0 - 4.0);
}

/// As in Keras, where a layer that is called twice moves its averages twice.
#[test]
fn a_shared_layer_moves_its_averages_at_every_call() {
    let (a, b) = (Input::new([1]).symbolic(), Input::new([1]).symbolic());
    let norm = BatchNormalization::new().momentum(0.5).shared();
    let sum = Add::new().apply([&norm.apply(&a), &norm.apply(&b)]);
    let mut model = Model::new(&[a, b], &[sum]).unwrap().compile(Compile::new("sgd", "mse")).unwrap();
    let column = |x: f32| Tensor::new([2, 1], vec![x - 1.0, x + 1.0]).unwrap();
    let target = Tensor::zeros(DType::F32, [2, 1]);
    model.train_on_batch(([&column(4.0), &column(8.0)], &target)).unwrap();
    let mean = model.variables().iter().position(|v| v.path.ends_with("moving_mean")).unwrap();
    // From 0 halfway to 4, then halfway to 8.
    close(model.weights()[mean].data().get_f64(0), 5.0);
}
