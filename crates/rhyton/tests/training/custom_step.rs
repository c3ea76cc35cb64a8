//! Training steps of one's own.

use super::*;
use rhyton::graph::grad;
use rhyton::graph::ops::Distribution;
use rhyton::nn::losses::{MeanSquaredError, loss_value};
use rhyton::train::Step;

fn dense(units: usize, inputs: usize) -> Model {
    Sequential::new([inputs]).add(Dense::new(6).activation("tanh")).add(Dense::new(units)).build().unwrap()
}

#[test]
fn a_step_of_ones_own_gives_the_bits_of_compile() {
    let (x, y) = (normal(&[8, 3], 1), normal(&[8, 1], 2));
    let mut compiled = dense(1, 3).compile(Compile::new(Adam::new(0.01), "mse")).unwrap();
    let mut step = Step::build([dense(1, 3)], 0, |s| {
        let (x, y) = (s.input("x", [3]), s.input("y", [1]));
        let p = s.call(0, &[x])[0].clone();
        let loss = loss_value(&MeanSquaredError::new(), &y, &p, None, None);
        s.minimize(&loss, 0, Adam::new(0.01));
        s.output("loss", &loss);
    })
    .unwrap();
    for _ in 0..3 {
        let logs = compiled.train_on_batch((&x, &y)).unwrap();
        step.run(&[x.clone(), y.clone()]).unwrap();
        assert_eq!(step.value("loss"), logs.get("loss").map(|l| f64::from(l as f32)));
    }
    assert!(same_bits(step.models().unwrap()[0].weights(), compiled.weights()));
}

#[test]
fn two_models_play_against_each_other() {
    let mut step = Step::build([dense(2, 2), dense(1, 2)], 5, |s| {
        let real = s.input("real", [2]);
        let noise = s.random(Distribution::Normal, real.shape().clone());
        let fake = s.call(0, &[noise.clone()])[0].clone();
        let softplus = |x: &rhyton::graph::Expr| x.exp().log1p().mean_all();
        let (on_real, on_fake) = (s.call(1, &[real.clone()])[0].clone(), s.call(1, &[fake])[0].clone());
        let critic = softplus(&-&on_real) + softplus(&on_fake);
        s.minimize(&critic, 1, Adam::new(0.01));
        // The generator plays against the critic as it is now.
        let fake = s.call(0, &[noise])[0].clone();
        let generator = softplus(&-&s.call(1, &[fake])[0]);
        s.minimize(&generator, 0, SGD::new(0.05));
        let rounds = s.state("rounds", Tensor::scalar(0.0f32));
        s.update(&rounds, &(&rounds + 1.0));
        s.output("critic", &critic);
        s.output("rounds", &rounds);
    })
    .unwrap();
    let real = normal(&[16, 2], 1);
    let mut losses = vec![];
    for _ in 0..30 {
        step.run(std::slice::from_ref(&real)).unwrap();
        losses.push(step.value("critic").unwrap());
    }
    assert!(losses[29] < losses[0], "{losses:?}");
    assert_eq!(step.value("rounds"), Some(29.0));
    let saved = step.state().unwrap();
    step.run(std::slice::from_ref(&real)).unwrap();
    let after = step.state().unwrap();
    step.set_state(&saved).unwrap();
    step.run(std::slice::from_ref(&real)).unwrap();
    assert_eq!(step.state().unwrap(), after);
    step.set_learning_rate(0, 0.0).unwrap();
    let before = step.models().unwrap()[1].weights().to_vec();
    step.run(&[real]).unwrap();
    assert!(same_bits(&before, step.models().unwrap()[1].weights()));
}

#[test]
fn a_penalty_of_gradients_is_differentiated_again() {
    let mut step = Step::build([dense(1, 2)], 1, |s| {
        let x = s.input("x", [2]);
        let score = s.call(0, &[x.clone()])[0].clone();
        let slope = grad(&score.sum_all(), &[x])[0].clone();
        let excess = (&slope * &slope).sum(&[1]).sqrt() - 1.0;
        let penalty = (&excess * &excess).mean_all();
        s.minimize(&penalty, 0, Adam::new(0.02));
        s.output("penalty", &penalty);
    })
    .unwrap();
    let x = normal(&[16, 2], 4);
    let mut run = || step.run(std::slice::from_ref(&x)).map(|r| r[0].data().get_f64(0)).unwrap();
    let first = run();
    let last = (0..150).map(|_| run()).last().unwrap();
    assert!(last < 0.1 * first, "{first} {last}");
}

#[test]
fn state_of_layers_is_seen_by_the_next_call() {
    let model = Sequential::new([1]).add(BatchNormalization::new().momentum(0.5)).build().unwrap();
    let mut step = Step::build([model], 0, |s| {
        let x = s.input("x", [1]);
        s.call(0, &[x.clone()]);
        let y = s.call(0, &[x])[0].clone();
        s.output("y", &y);
    })
    .unwrap();
    step.run(&[Tensor::new([2, 1], vec![3.0f32, 5.0]).unwrap()]).unwrap();
    let model = &step.models().unwrap()[0];
    let mean = model.variables().iter().position(|v| v.path.ends_with("moving_mean")).unwrap();
    // Two updates towards 4 by halves.
    close(model.weights()[mean].data().get_f64(0), 3.0);
}

#[test]
fn errors_say_what_is_wrong_with_a_step() {
    let e = Step::build([dense(1, 2)], 0, |s| {
        let x = s.input("x", [2]);
        let loss = s.call(0, &[x])[0].mean_all();
        s.minimize(&loss, 0, SGD::new(0.1));
        s.minimize(&loss, 0, SGD::new(-1.0));
        s.minimize(&loss, 3, "sgd");
    })
    .unwrap_err();
    let text = e.to_string();
    assert!(text.contains("SGD got learning_rate=-1"), "{text}");
    assert!(text.contains("the step has no model 3\n  expected: a number below 1"), "{text}");
    let e = Step::build([dense(1, 2)], 0, |s| {
        let x = s.input("x", [2]);
        let loss = s.call(0, &[x])[0].mean_all();
        s.minimize(&loss, 0, SGD::new(0.1));
        s.minimize(&loss, 0, SGD::new(0.1));
    })
    .unwrap_err();
    assert_eq!(
        e.to_string(),
        "the loss does not depend on the weights of model 0 at this point\n  \
         fix:      after an update, call the model again to get a loss of its new weights"
    );
    let mut step = Step::build([dense(1, 2)], 0, |s| {
        let x = s.input("x", [2]);
        let y = s.call_inference(0, &[x])[0].clone();
        s.output("y", &y);
    })
    .unwrap();
    let e = step.run(&[]).unwrap_err();
    assert_eq!(e.to_string(), "the step got 0 tensors\n  expected: one for each of its inputs x");
}
