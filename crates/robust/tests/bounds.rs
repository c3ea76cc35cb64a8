//! Certified bounds hold what they promise, and linear ones are those that one gets by hand.

mod support;

use rhyton_model::Model;
use rhyton_robust::attacks::{PgdL2, PgdLinf};
use rhyton_robust::bounds::{AlphaCrown, BoundRef, Crown, Ibp};
use rhyton_robust::{Attacker, Certified, Certifier, Norm};
use rhyton_tensor::Tensor;
use rhyton_tensor::rng::Stream;
use support::{convolutional, curved, dense, leaking, linear, noise, normalised, predicted, recurrent};

fn methods() -> Vec<BoundRef> {
    vec![
        Ibp::default().into(),
        Crown::default().into(),
        Crown::default().fast(true).into(),
        AlphaCrown::default().steps(4).into(),
    ]
}

/// What the model's last softmax is applied to, up to a constant a sample; of a model without one, its output.
fn scores(model: &Model, x: &Tensor, softmax: bool) -> Vec<f32> {
    let y = model.predict_all(x, 4096).unwrap().swap_remove(0).to_vec::<f32>();
    if softmax { y.into_iter().map(f32::ln).collect() } else { y }
}

/// Numbers of inputs tried against each bound.
fn tries() -> usize {
    std::env::var("RHYTON_MOMENTS").ok().and_then(|n| n.parse::<usize>().ok()).map_or(2_000, |n| n * 10_000)
}

/// Inputs within the ball: random ones, half of them corners, and those of an attack.
fn tried(model: &Model, x: &Tensor, label: &Tensor, eps: f32, norm: Norm, random: &mut Stream) -> Tensor {
    let (values, n) = (x.to_vec::<f32>(), x.len());
    let mut all = vec![];
    for i in 0..tries() / 50 {
        let delta: Vec<f32> = (0..n).map(|_| random.uniform() * 2.0 - 1.0).collect();
        let delta: Vec<f32> = if i % 2 == 0 { delta.iter().map(|d| d.signum()).collect() } else { delta };
        let size = norm.of_values(delta.iter().copied());
        all.extend(values.iter().zip(delta).map(|(v, d)| v + d / size * eps));
    }
    let attacker = Attacker::new(model).bounds(-9.0, 9.0).seed(7);
    let (far, step) = (f64::from(eps), f64::from(eps) / 5.0);
    let found = match norm {
        Norm::Inf => attacker.attack(PgdLinf::default().eps(far).step_size(step), x, label),
        _ => attacker.attack(PgdL2::default().eps(far).step_size(step), x, label),
    };
    all.extend(found.unwrap().examples.to_vec::<f32>());
    Tensor::new([&[all.len() / n], &x.shape()[1..]].concat(), all).unwrap()
}

fn holds(model: &Model, x: &Tensor, softmax: bool, eps: f64, norm: Norm) {
    let labels = predicted(model, x);
    let rows = x.shape()[0];
    for method in methods() {
        let name = format!("{method:?}");
        let certifier = Certifier::new(model).norm(norm);
        let Certified { lower, upper, margins, .. } =
            certifier.certify(method, x, Some(&labels), eps).unwrap();
        let (lower, upper, margins) =
            (lower.to_vec::<f32>(), upper.to_vec::<f32>(), margins.unwrap().to_vec::<f32>());
        let k = lower.len() / rows;
        let mut random = Stream::new(11, 0, 0);
        for i in 0..rows {
            let label = labels.to_vec::<i32>()[i] as usize;
            let one = x.slice_rows(i..i + 1).unwrap();
            let points =
                tried(model, &one, &labels.slice_rows(i..i + 1).unwrap(), eps as f32, norm, &mut random);
            for y in scores(model, &points, softmax).chunks(k) {
                let slack = 1e-4 * (1.0 + y[label].abs());
                for c in 0..k {
                    let own = i * k + c;
                    assert!(
                        y[label] - y[c] >= margins[own] - slack,
                        "{name}: a margin of sample {i} is broken"
                    );
                    if !softmax {
                        assert!(
                            y[c] >= lower[own] - slack && y[c] <= upper[own] + slack,
                            "{name}: {} {} {}",
                            lower[own],
                            y[c],
                            upper[own]
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn no_input_that_is_allowed_leaves_a_bound() {
    holds(&dense(), &noise(&[3, 5], 1), false, 0.1, Norm::Inf);
    holds(&dense(), &noise(&[3, 5], 1), false, 0.2, Norm::L2);
    holds(&curved(), &noise(&[3, 5], 2), false, 0.2, Norm::Inf);
    holds(&leaking(), &noise(&[3, 5], 6), false, 0.2, Norm::Inf);
    holds(&convolutional(), &noise(&[2, 6, 6, 1], 3), true, 0.03, Norm::Inf);
    holds(&normalised(), &noise(&[2, 6, 6, 2], 4), true, 0.02, Norm::Inf);
    holds(&recurrent(), &noise(&[2, 5, 3], 5), false, 0.02, Norm::Inf);
}

#[test]
fn bounds_of_a_linear_model_are_exact() {
    let model = linear(&[1.0, -2.0, 3.0, 0.5], 2);
    let x = Tensor::new([1, 2], vec![0.5f32, 0.25]).unwrap();
    for method in methods() {
        let found = Certifier::new(&model).certify(method, &x, None, 0.1).unwrap();
        // x W = (1.25, -0.875); the sums of sizes of the columns are 4 and 2.5.
        support::close(&found.lower, &[0.85, -1.125], 1e-5);
        support::close(&found.upper, &[1.65, -0.625], 1e-5);
    }
    let found = Certifier::new(&model).norm(Norm::L2).certify(Crown::default(), &x, None, 0.1).unwrap();
    support::close(&found.lower, &[1.25 - 0.1 * 10f32.sqrt(), -0.875 - 0.1 * 4.25f32.sqrt()], 1e-5);
}

#[test]
fn linear_bounds_are_tighter_than_intervals_and_chosen_slopes_tighter_still() {
    let (model, x) = (dense(), noise(&[4, 5], 8));
    let width = |m: BoundRef| {
        let found = Certifier::new(&model).certify(m, &x, None, 0.1).unwrap();
        let (low, high) = (found.lower.to_vec::<f32>(), found.upper.to_vec::<f32>());
        low.iter().zip(&high).map(|(l, u)| u - l).sum::<f32>()
    };
    let [ibp, fast, crown, alpha] = [
        Ibp::default().into(),
        Crown::default().fast(true).into(),
        Crown::default().into(),
        AlphaCrown::default().into(),
    ]
    .map(width);
    assert!(alpha < crown && crown < fast && fast < ibp, "{alpha} {crown} {fast} {ibp}");
}
