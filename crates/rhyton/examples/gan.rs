//! A generator and a critic that play against each other: a Wasserstein GAN with gradient penalty (Gulrajani et al.
//! 2017) learns eight points on a circle. A step is five updates of the critic and one of the generator, and one program.
//!
//!     cargo run --release --example gan

use rhyton::graph::ops::Distribution;
use rhyton::graph::{Expr, grad};
use rhyton::model::program::Build;
use rhyton::prelude::*;
use rhyton::tensor::rng::Stream;
use rhyton::train::Step;

const GENERATOR: usize = 0;
const CRITIC: usize = 1;
const BATCH: usize = 128;

fn network(units: usize) -> Result<Model> {
    let hidden = || Dense::new(64).relu();
    Sequential::new([2]).add(hidden()).add(hidden()).add(hidden()).add(Dense::new(units)).build()
}

fn fake(s: &mut Build, like: &Expr) -> Expr {
    let noise = s.random(Distribution::Normal, like.shape().clone());
    s.call(GENERATOR, &[noise]).swap_remove(0)
}

fn score(s: &mut Build, points: &Expr) -> Expr {
    s.call(CRITIC, std::slice::from_ref(points)).swap_remove(0)
}

/// What the critic makes small: the score of fakes over that of real points, and how far its slope between both is
/// from 1.
fn critic_loss(s: &mut Build, real: &Expr) -> Expr {
    let fake = fake(s, real);
    let part = s.random(Distribution::Uniform, [real.shape()[0].clone(), 1.into()]);
    let between = &fake + part * (real - &fake);
    let slope = grad(&score(s, &between).sum_all(), std::slice::from_ref(&between)).swap_remove(0);
    let excess = (&slope * &slope).sum(&[1]).sqrt() - 1.0;
    score(s, &fake).mean_all() - score(s, real).mean_all() + (&excess * &excess).mean_all() * 10.0
}

/// Eight points on a circle of radius 2, blurred.
fn circle(samples: usize, seed: u64) -> Tensor {
    let mut random = Stream::new(seed, 0, 1);
    Tensor::from_fn([samples, 2], |at| {
        let angle = (at / 2 % 8) as f32 * std::f32::consts::FRAC_PI_4;
        let on_axis = if at % 2 == 0 { angle.cos() } else { angle.sin() };
        2.0 * on_axis + 0.05 * random.normal()
    })
}

/// How many points of `made` lie near each of the eight.
fn near(made: &Tensor) -> [usize; 8] {
    let mut counts = [0; 8];
    for point in made.to_vec::<f32>().chunks(2) {
        let turn = point[1].atan2(point[0]) / std::f32::consts::FRAC_PI_4;
        let (nearest, radius) = (turn.round(), point[0].hypot(point[1]));
        if (turn - nearest).abs() < 0.2 && (radius - 2.0).abs() < 0.3 {
            counts[nearest.rem_euclid(8.0) as usize] += 1;
        }
    }
    counts
}

fn main() -> Result<()> {
    let adam = || Adam::new(1e-3).beta_1(0.5).beta_2(0.9);
    let mut step = Step::build([network(2)?, network(1)?], 1, |s| {
        let real = s.input("real", [2]);
        for _ in 0..5 {
            let loss = critic_loss(s, &real);
            s.minimize(&loss, CRITIC, adam());
            s.output("critic", &loss);
        }
        // The generator plays against the critic as it is now.
        let fake = fake(s, &real);
        let loss = -score(s, &fake).mean_all();
        s.minimize(&loss, GENERATOR, adam());
    })?;
    let mut random = Stream::new(2, 0, 1);
    let noise = Tensor::from_fn([1000, 2], |_| random.normal());
    for round in 0..5000 {
        step.run(&[circle(BATCH, round)])?;
        if (round + 1) % 500 == 0 {
            let counts = near(&step.models()?[GENERATOR].predict(&noise)?);
            let distance = -step.value("critic").unwrap_or(f64::NAN);
            println!(
                "step {:4}: distance {distance:.3}, of 1000 points near each of eight: {counts:?}",
                round + 1
            );
        }
    }
    Ok(())
}
