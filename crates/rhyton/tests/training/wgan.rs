//! A Wasserstein GAN with gradient penalty (Gulrajani et al. 2017): gradients of gradients, several updates of the critic in
//! each step, and two models that only learn when neither is differentiated through the other's updates.

use super::*;
use rhyton::graph::ops::Distribution;
use rhyton::graph::{Expr, grad};
use rhyton::model::program::Build;
use rhyton::train::Step;

const CRITIC_UPDATES: usize = 3;

fn net(inputs: usize, units: usize, seed: u64) -> Model {
    let net = Sequential::new([inputs]).seed(seed);
    let net = net.add(Dense::new(24).relu()).add(Dense::new(24).relu()).add(Dense::new(units));
    net.build().unwrap()
}

fn score(s: &mut Build, x: &Expr) -> Expr {
    s.call(1, std::slice::from_ref(x))[0].clone()
}

fn fake(s: &mut Build, like: &Expr) -> Expr {
    let noise = s.random(Distribution::Normal, like.shape().clone());
    s.call(0, &[noise])[0].clone()
}

/// Fake over real scores, and 10 times how far the critic's slope between both is from 1.
fn critic_loss(s: &mut Build, real: &Expr) -> Expr {
    let fake = fake(s, real);
    let part = s.random(Distribution::Uniform, [real.shape()[0].clone(), 1.into()]);
    let between = &fake + part * (real - &fake);
    let slope = grad(&score(s, &between).sum_all(), std::slice::from_ref(&between))[0].clone();
    let excess = (&slope * &slope).sum(&[1]).sqrt() - 1.0;
    score(s, &fake).mean_all() - score(s, real).mean_all() + (&excess * &excess).mean_all() * 10.0
}

/// Four points on the axes, blurred.
fn real(batch: usize, seed: u64) -> Tensor {
    let mut random = Stream::new(seed, 0, 99);
    let corner = |i: usize, axis: usize| [[2.0, 0.0], [0.0, 2.0], [-2.0, 0.0], [0.0, -2.0]][i % 4][axis];
    Tensor::from_fn([batch, 2], |at| corner(at / 2, at % 2) + 0.1 * random.normal())
}

/// The mean distance of the points of `a` from those of `b`.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    let pairs = a.chunks(2).flat_map(|p| b.chunks(2).map(move |q| (p[0] - q[0]).hypot(p[1] - q[1])));
    f64::from(pairs.sum::<f32>()) / (a.len() / 2 * (b.len() / 2)) as f64
}

/// Zero where two samples come from one distribution, about 1 where they are as far apart as at the start.
fn energy(a: &Tensor, b: &Tensor) -> f64 {
    let (a, b) = (a.to_vec::<f32>(), b.to_vec::<f32>());
    2.0 * distance(&a, &b) - distance(&a, &a) - distance(&b, &b)
}

#[test]
fn a_wgan_with_gradient_penalty_approaches_its_distribution() {
    let adam = || Adam::new(1e-3).beta_1(0.5).beta_2(0.9);
    let mut step = Step::build([net(2, 2, 1), net(2, 1, 2)], 11, |s| {
        let real = s.input("real", [2]);
        for _ in 0..CRITIC_UPDATES {
            let loss = critic_loss(s, &real);
            s.minimize(&loss, 1, adam());
            s.output("critic", &loss);
        }
        let fake = fake(s, &real);
        let generator = -score(s, &fake).mean_all();
        s.minimize(&generator, 0, adam());
    })
    .unwrap();
    let noise = normal(&[256, 2], 77);
    let made = |step: &mut Step| step.models().unwrap()[0].predict(&noise).unwrap();
    let truth = real(256, 1_000_000);
    let start = energy(&made(&mut step), &truth);
    for round in 0..2000 {
        step.run(&[real(64, round)]).unwrap();
        assert!(step.value("critic").unwrap().is_finite(), "step {round}");
    }
    let end = energy(&made(&mut step), &truth);
    assert!(end < 0.1 * start && end < 0.08, "from {start} to {end}");
}
