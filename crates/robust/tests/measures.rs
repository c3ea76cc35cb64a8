//! Calibration, conformal prediction, scores of what is outside, uncertainty, properties, corruptions.

mod support;

use rhyton_model::Sequential;
use rhyton_nn::layers::{Dense, Dropout};
use rhyton_robust::calibration::{Calibration, reliability};
use rhyton_robust::corruptions::Corruption;
use rhyton_robust::outside::{Mahalanobis, auroc, energy, max_softmax, nearest, odin};
use rhyton_robust::uncertainty::{ensemble, entropy, monte_carlo_dropout};
use rhyton_robust::vnnlib::Property;
use rhyton_robust::{Conformal, Smoothed, Verdict, bounds::Crown, verify};
use rhyton_tensor::Tensor;
use rhyton_tensor::rng::Stream;
use support::{dense, linear, noise};

/// Logits and labels drawn from their softmax; the logits are given three times too large.
fn overconfident(n: usize) -> (Tensor, Tensor) {
    let mut random = Stream::new(5, 0, 0);
    let (mut logits, mut labels) = (vec![], vec![]);
    for _ in 0..n {
        let z: Vec<f32> = (0..3).map(|_| random.normal() * 1.5).collect();
        let e: Vec<f32> = z.iter().map(|z| z.exp()).collect();
        let mut u = random.uniform() * e.iter().sum::<f32>();
        let label = e.iter().position(|e| {
            u -= e;
            u < 0.0
        });
        labels.push(label.unwrap_or(2) as i32);
        logits.extend(z.iter().map(|z| 3.0 * z));
    }
    (Tensor::new([n, 3], logits).unwrap(), Tensor::vector(labels))
}

#[test]
fn calibration_finds_the_temperature_and_lowers_the_error() {
    let (logits, labels) = overconfident(8000);
    let raw = Calibration::Temperature(1.0).probabilities(&logits).unwrap();
    let before = reliability(&raw, &labels, 15).unwrap();
    assert!(before.ece > 0.1, "{}", before.ece);
    let found = Calibration::temperature(&logits, &labels).unwrap();
    let Calibration::Temperature(t) = found else { panic!("no temperature") };
    assert!((t - 3.0).abs() < 0.2, "{t}");
    for how in [
        found,
        Calibration::vector(&logits, &labels).unwrap(),
        Calibration::isotonic(&logits, &labels).unwrap(),
    ] {
        let after = reliability(&how.probabilities(&logits).unwrap(), &labels, 15).unwrap();
        assert!(after.ece < 0.03 && after.brier < before.brier, "{how:?}: {} {}", after.ece, after.brier);
        assert_eq!(after.bins.iter().map(|b| b.count).sum::<usize>(), 8000);
    }
}

#[test]
fn the_expected_calibration_error_is_the_sum_by_hand() {
    let p = Tensor::new([4, 2], vec![0.9f32, 0.1, 0.8, 0.2, 0.4, 0.6, 0.45, 0.55]).unwrap();
    let found = reliability(&p, &Tensor::vector(vec![0i32, 1, 1, 1]), 2).unwrap();
    // All four have a confidence in the upper half: 0.7125 on the mean, 3 of 4 right.
    assert!((found.ece - 0.0375).abs() < 1e-6, "{}", found.ece);
    let brier = 2.0 * (0.01 + 0.64 + 0.16 + 0.2025) / 4.0;
    assert!((found.brier - brier).abs() < 1e-6, "{}", found.brier);
}

#[test]
fn conformal_sets_hold_the_label_as_often_as_promised() {
    let (logits, labels) = overconfident(6000);
    let p = Calibration::Temperature(1.0).probabilities(&logits).unwrap();
    let part = |t: &Tensor, r: std::ops::Range<usize>| t.slice_rows(r).unwrap();
    let conformal = Conformal::of_classes(&part(&p, 0..3000), &part(&labels, 0..3000), 0.1).unwrap();
    let sets = conformal.sets(&part(&p, 3000..6000));
    let truth = part(&labels, 3000..6000).to_vec::<i32>();
    let held = sets.iter().zip(truth).filter(|(set, y)| set.contains(&(*y as usize))).count() as f64 / 3000.0;
    assert!((held - 0.9).abs() < 0.025, "{held}");
    // Of four errors at 0.5 the third smallest counts: ceil(5 * 0.5).
    assert_eq!(Conformal::new(vec![4.0, 1.0, 3.0, 2.0], 0.5).unwrap().threshold, 3.0);
    assert_eq!(Conformal::new(vec![1.0], 0.1).unwrap().threshold, f64::INFINITY);
    let around = Conformal { threshold: 2.0 }.intervals(&Tensor::vector(vec![1.0f32]));
    assert_eq!(around, [(-1.0, 3.0)]);
}

#[test]
fn what_is_outside_scores_higher() {
    let mut random = Stream::new(9, 0, 0);
    let mut cloud = |x: f32, y: f32, n: usize| -> Vec<f32> {
        (0..n).flat_map(|_| [x + 0.3 * random.normal(), y + 0.3 * random.normal()]).collect()
    };
    let known = Tensor::new([60, 2], [cloud(1.0, 4.0, 30), cloud(4.0, 1.0, 30)].concat()).unwrap();
    let labels = Tensor::vector((0..60).map(|i| i / 30).collect::<Vec<i32>>());
    let inside = Tensor::new([20, 2], [cloud(1.0, 4.0, 10), cloud(4.0, 1.0, 10)].concat()).unwrap();
    let outside = Tensor::new([20, 2], cloud(-3.0, -3.0, 20)).unwrap();
    let far = Mahalanobis::fit(&known, &labels, 2).unwrap();
    assert_eq!(auroc(&far.score(&inside).unwrap(), &far.score(&outside).unwrap()), 1.0);
    assert!(far.score(&noise(&[1, 3], 1)).is_err() && nearest(&known, &noise(&[1, 3], 1), 1).is_err());
    let near = |x| nearest(&known, x, 5).unwrap();
    assert_eq!(auroc(&near(&inside), &near(&outside)), 1.0);
    let (sure, unsure) =
        (Tensor::new([1, 2], vec![9.0f32, 0.0]).unwrap(), Tensor::new([1, 2], vec![0.1f32, 0.0]).unwrap());
    assert!(max_softmax(&sure)[0] < max_softmax(&unsure)[0]);
    assert!((energy(&sure, 1.0)[0] + (9f64.exp() + 1.0).ln()).abs() < 1e-9);
    assert_eq!(auroc(&[1.0, 2.0], &[1.5, 3.0]), 0.75);
    // Without a step and at temperature 1 ODIN is the largest probability.
    let (model, x) = (dense(), noise(&[3, 5], 2));
    let plain = max_softmax(&model.predict(&x).unwrap());
    let scores = odin(&model, &x, 1.0, 0.0).unwrap();
    assert!(scores.iter().zip(&plain).all(|(a, b)| (a - b).abs() < 1e-5), "{scores:?} {plain:?}");
    assert!(odin(&model, &x, 1.0, 0.1).unwrap().iter().zip(&plain).all(|(a, b)| a < b));
}

#[test]
fn dropout_and_ensembles_spread() {
    let x = noise(&[2, 5], 3);
    let _ = dense();
    let net = Sequential::new([5])
        .seed(1)
        .add(Dense::new(30).relu())
        .add(Dropout::new(0.5))
        .add(Dense::new(3).softmax());
    let model = net.build().unwrap();
    let found = monte_carlo_dropout(&model, &x, 30, 1).unwrap();
    assert!(found.deviation.to_vec::<f32>().iter().all(|d| *d > 0.0));
    let sums: Vec<f32> = found.mean.to_vec::<f32>().chunks(3).map(|p| p.iter().sum()).collect();
    assert!(sums.iter().all(|s| (s - 1.0).abs() < 1e-5));
    let same = ensemble(&[&model, &model], &x).unwrap();
    assert!(same.deviation.to_vec::<f32>().iter().all(|d| *d < 1e-3));
    assert!((entropy(&Tensor::full([1, 4], 0.25f32))[0] - 4f64.ln()).abs() < 1e-6);
}

#[test]
fn properties_hold_or_have_a_counterexample() {
    // y = (x0 - 2 x1, 3 x0 + x1 / 2) for x in [0, 1] x [0, 1].
    let model = linear(&[1.0, 3.0, -2.0, 0.5], 2);
    let asked = |unsafe_if: &str| {
        let text = format!(
            "(assert (>= X_0 0)) (assert (<= X_0 1)) ; a note\n(assert (and (>= X_1 0) (<= X_1 1))) (assert {unsafe_if})"
        );
        verify(&model, Crown::default(), &Property::read(&text, 2).unwrap()).unwrap()
    };
    assert!(matches!(asked("(>= Y_0 1.1)"), Verdict::Holds));
    assert!(matches!(asked("(or (and (>= Y_1 3.6) (<= Y_0 0)) (<= Y_0 -2.1))"), Verdict::Holds));
    let Verdict::Violated(x) = asked("(and (<= Y_0 -1.5) (>= Y_1 0.4))") else { panic!("nothing found") };
    let y = model.predict(&x).unwrap().to_vec::<f32>();
    assert!(y[0] <= -1.5 && y[1] >= 0.4, "{y:?}");
    let wrong = Property::read("(assert (<= X_0 1))", 1).unwrap_err();
    assert!(wrong.to_string().contains("X_0 has no bounds on both sides"), "{wrong}");
    assert!(Property::read("(assert (<= X_0 1)", 1).is_err() && Property::read(")", 1).is_err());
}

#[test]
fn corruptions_grow_with_their_severity() {
    let wave = |i: usize| 0.5 + 0.3 * (i as f32 / 144.0).sin() * ((i / 3 % 16) as f32 / 2.0).cos();
    let x = Tensor::from_fn([2, 16, 16, 3], wave);
    for how in Corruption::ALL {
        let change = |severity| {
            let y = how.apply(&x, severity, 3).unwrap();
            assert!(y.to_vec::<f32>().iter().all(|v| (0.0..=1.0).contains(v)));
            y.to_vec::<f32>().iter().zip(x.to_vec::<f32>()).map(|(a, b)| (a - b) * (a - b)).sum::<f32>()
        };
        let sizes: Vec<f32> = (1..=5).map(change).collect();
        assert!(sizes[0] > 0.0 && sizes[4] > sizes[0], "{how:?}: {sizes:?}");
    }
    assert!(Corruption::Fog.apply(&x, 6, 0).is_err());
}

#[test]
fn a_smoothed_model_is_sure_far_from_its_border() {
    // The border of scores (0, x0) lies at 0.
    let model = linear(&[0.0, 1.0], 2);
    let x = Tensor::new([2, 1], vec![2.0f32, 0.01]).unwrap();
    let votes = Smoothed::new(&model, 0.5).copies(50, 2000).certify(&x).unwrap();
    assert_eq!(votes[0].class, Some(1));
    // Four standard deviations away all copies agree; the radius is that of so many votes.
    assert!(votes[0].radius > 1.0 && votes[0].radius < 2.0, "{votes:?}");
    assert!(votes[1].radius < 0.1, "{votes:?}");
}
