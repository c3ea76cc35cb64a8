//! Attacks do what they say: within their distance, against models whose answer is known by hand.

mod support;

use rhyton_nn::Kind;
use rhyton_robust::attacks::*;
use rhyton_robust::{Attack, AttackRef, Attacker, Norm};
use rhyton_tensor::Tensor;
use support::{convolutional, linear, noise, predicted, recurrent};

/// Every row of the registry, and how large its changes may be.
#[test]
fn every_attack_stays_within_its_distance_and_the_bounds() {
    let model = convolutional();
    let x = noise(&[6, 6, 6, 1], 3);
    let labels = predicted(&model, &x);
    for row in <dyn Attack>::rows() {
        for example in (row.examples)() {
            let name = row.class_name;
            let found = Attacker::new(&model).attack(example.object.clone(), &x, &labels).unwrap();
            let config = example.object.get().unwrap().config();
            let values = found.examples.to_vec::<f32>();
            assert!(values.iter().all(|v| (0.0..=1.0).contains(v)), "{name} leaves the bounds");
            assert_eq!(found.clean_accuracy(), 1.0, "{name}");
            if let Some(eps) = config.get("eps").and_then(|e| e.as_f64()) {
                let norm = match name {
                    "PgdL2" => Norm::L2,
                    "PgdL1" => Norm::L1,
                    _ => Norm::Inf,
                };
                let most = found.size(norm).into_iter().fold(0.0, f32::max);
                assert!(most <= eps as f32 * 1.001 + 1e-6, "{name} goes {most} far, {eps} allowed");
            }
            let again = Attacker::new(&model).attack(example.object, &x, &labels).unwrap();
            assert!(again.examples.same_bits(&found.examples), "{name} gives other bits the second time");
        }
    }
}

#[test]
fn fgsm_of_a_linear_model_is_known() {
    // Scores (0, w x): for label 0 the loss grows along the signs of w.
    let model = linear(&[0.0, 1.0, 0.0, -2.0], 2);
    let x = Tensor::new([1, 2], vec![0.5f32, 0.5]).unwrap();
    let found =
        Attacker::new(&model).attack(Fgsm::default().eps(0.1), &x, &Tensor::vector(vec![0i32])).unwrap();
    support::close(&found.examples, &[0.6, 0.4], 1e-6);
    let wanted = Fgsm::default().eps(0.1).targeted(true);
    let found = Attacker::new(&model).attack(wanted, &x, &Tensor::vector(vec![0i32])).unwrap();
    support::close(&found.examples, &[0.4, 0.6], 1e-6);
}

#[test]
fn deepfool_reaches_the_border_of_a_linear_model_in_one_step() {
    let model = linear(&[0.0, 3.0, 0.0, 4.0], 2);
    let x = Tensor::new([1, 2], vec![0.6f32, 0.7]).unwrap();
    let labels = Tensor::vector(vec![1i32]);
    // w = (3, 4), w x = 4.6: the border lies at the distance 4.6 / 5.
    let found = Attacker::new(&model).bounds(-5.0, 5.0).attack(DeepFool::default(), &x, &labels).unwrap();
    assert!(found.fooled[0]);
    let size = found.size(Norm::L2)[0];
    assert!((size - 0.92 * 1.02).abs() < 1e-4, "{size}");
}

#[test]
fn later_rounds_take_on_what_withstood_and_leave_the_rest() {
    let model = convolutional();
    let x = noise(&[20, 6, 6, 1], 4);
    let labels = predicted(&model, &x);
    let once = PgdLinf::default().eps(0.04).step_size(0.02).steps(2);
    let one = Attacker::new(&model).attack(once.clone(), &x, &labels).unwrap();
    let many = Attacker::new(&model).attack(once.restarts(8), &x, &labels).unwrap();
    assert!(many.robust_accuracy() <= one.robust_accuracy());
    let size = x.len() / 20;
    for (i, fooled) in one.fooled.iter().enumerate().filter(|(_, f)| **f) {
        assert!(fooled & many.fooled[i]);
        let row = |t: &Tensor| t.to_vec::<f32>()[i * size..(i + 1) * size].to_vec();
        assert_eq!(row(&one.examples), row(&many.examples));
    }
}

#[test]
fn the_ensemble_is_at_least_as_strong_as_each_of_its_parts() {
    let model = convolutional();
    let x = noise(&[16, 6, 6, 1], 5);
    let labels = predicted(&model, &x);
    let accuracy = |a: AttackRef| Attacker::new(&model).attack(a, &x, &labels).unwrap().robust_accuracy();
    let eps = 0.06;
    let all = accuracy(AutoAttack::default().eps(eps).steps(20).n_queries(200).into());
    assert!(all <= accuracy(ApgdCe::default().eps(eps).steps(20).into()), "{all}");
    assert!(all <= accuracy(Fgsm::default().eps(eps).into()), "{all}");
    let none = accuracy(Fgsm::default().eps(0.0).into());
    assert!(all < none, "{all}: nothing was found");
}

/// A thousandfold logits make probabilities of exactly 0 and 1, whose loss has no slope: steps along it go nowhere, and
/// the model withstands nothing all the same.
#[test]
fn a_decoy_that_hides_its_gradients_is_broken() {
    let mut decoy = convolutional();
    let mut weights = decoy.weights().to_vec();
    let last = weights.len() - 2;
    for w in &mut weights[last..] {
        *w = Tensor::new(w.shape().to_vec(), w.to_vec::<f32>().iter().map(|x| 1e4 * x).collect::<Vec<_>>())
            .unwrap();
    }
    decoy.set_weights(&weights).unwrap();
    let x = noise(&[40, 6, 6, 1], 7);
    let labels = predicted(&decoy, &x);
    let accuracy = |a: AttackRef| Attacker::new(&decoy).attack(a, &x, &labels).unwrap().robust_accuracy();
    let steps = PgdLinf::default().eps(0.3).step_size(0.03).steps(40).random_start(false);
    assert!(accuracy(steps.into()) > 0.9, "the decoy hides nothing");
    let left = accuracy(AutoAttack::default().eps(0.3).steps(40).n_queries(500).into());
    assert!(left < 0.05, "{left}");
}

#[test]
fn a_recurrent_model_is_attacked_through_its_loop() {
    let model = recurrent();
    let x = noise(&[8, 5, 3], 6);
    let labels = predicted(&model, &x);
    let found = Attacker::new(&model)
        .attack(PgdLinf::default().eps(0.5).step_size(0.1).steps(20), &x, &labels)
        .unwrap();
    assert!(found.robust_accuracy() < 1.0);
}

#[test]
fn errors_say_what_to_do() {
    let model = convolutional();
    let x = Tensor::full([1, 6, 6, 1], 2.0f32);
    let e = Attacker::new(&model).attack(Fgsm::default(), &x, &Tensor::vector(vec![0i32])).unwrap_err();
    assert!(e.to_string().contains("the input holds 2") && e.to_string().contains("--bounds"), "{e}");
}
