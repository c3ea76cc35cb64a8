//! Training that defends, under `fit`.

mod support;

use rhyton_model::{Model, Sequential};
use rhyton_nn::Kind;
use rhyton_nn::layers::Dense;
use rhyton_nn::optimizers::Adam;
use rhyton_robust::attacks::{Ffgsm, PgdLinf};
use rhyton_robust::bounds::Ibp;
use rhyton_robust::defences::*;
use rhyton_robust::{Attacker, Certifier};
use rhyton_tensor::Tensor;
use rhyton_tensor::rng::Stream;
use rhyton_train::{Compile, Fit, ModelExt};

/// Two features that say the class: one strongly and one, less reliable, that a small change destroys but that comes in
/// many copies. A model that withstands leaves the copies alone.
fn samples(n: usize) -> (Tensor, Tensor) {
    let mut random = Stream::new(1, 0, 0);
    let (mut x, mut y) = (vec![], vec![]);
    for _ in 0..n {
        let class = random.below(2);
        let sign = class as f32 * 2.0 - 1.0;
        x.push(0.5 + 0.25 * sign * if random.uniform() < 0.95 { 1.0 } else { -1.0 });
        x.extend((0..20).map(|_| 0.5 + 0.04 * sign + 0.03 * random.normal()));
        y.push(class as i32);
    }
    (
        Tensor::new([n, 21], x.into_iter().map(|v: f32| v.clamp(0.0, 1.0)).collect::<Vec<_>>()).unwrap(),
        Tensor::vector(y),
    )
}

fn network() -> Model {
    let _ = support::dense();
    Sequential::new([21]).seed(4).add(Dense::new(16).relu()).add(Dense::new(2).softmax()).build().unwrap()
}

fn arguments(rate: f64) -> Compile {
    Compile::new(Adam::new(rate), "sparse_categorical_crossentropy").metrics(["accuracy"])
}

const EPS: f64 = 0.1;
const RATE: f64 = 0.01;

/// The share that twenty steps leave right.
fn robust_accuracy(model: &Model, x: &Tensor, y: &Tensor) -> f64 {
    let attack = PgdLinf::default().eps(EPS).step_size(0.02).steps(20);
    Attacker::new(model).attack(attack, x, y).unwrap().robust_accuracy()
}

/// Defences, and the learning rate of each: several updates on a batch are shorter.
fn defences() -> Vec<(DefenceRef, f64)> {
    let pgd = PgdLinf::default().eps(EPS).step_size(0.04).steps(5);
    let interval = IntervalTraining::default().eps(EPS).warmup(20).ramp(60);
    vec![
        (AdversarialTraining::default().attack(pgd).into(), RATE),
        (AdversarialTraining::default().attack(Ffgsm::default().eps(EPS).step_size(0.12)).into(), RATE),
        (FreeTraining::default().eps(EPS).into(), RATE / 5.0),
        (Trades::default().eps(EPS).step_size(0.04).steps(5).into(), RATE),
        (Mart::default().eps(EPS).step_size(0.04).steps(5).into(), RATE),
        (interval.clone().into(), RATE),
        (interval.crown(true).into(), RATE),
    ]
}

#[test]
fn every_defence_makes_a_model_withstand() {
    let (x, y) = samples(256);
    let mut plain = network().compile(arguments(RATE)).unwrap();
    plain.fit((&x, &y), Fit::epochs(15).batch_size(32).verbose(0)).unwrap();
    let before = robust_accuracy(&plain, &x, &y);
    assert!(before < 0.5, "{before}: training alone withstands already");
    assert_eq!(<dyn Defence>::rows().len(), 5, "a defence is not tried here");
    for (defence, rate) in defences() {
        let name = format!("{defence:?}");
        let mut model = network().compile(defended(arguments(rate), defence)).unwrap();
        let history = model.fit((&x, &y), Fit::epochs(15).batch_size(32).verbose(0)).unwrap();
        assert!(history.names().contains(&"accuracy"), "{name}");
        let after = robust_accuracy(&model, &x, &y);
        assert!(after > 0.85, "{name}: {after}");
    }
}

#[test]
fn interval_training_can_be_certified() {
    let (x, y) = samples(256);
    let defence = IntervalTraining::default().eps(EPS).warmup(20).ramp(60);
    let mut model = network().compile(defended(arguments(RATE), defence)).unwrap();
    model.fit((&x, &y), Fit::epochs(20).batch_size(32).verbose(0)).unwrap();
    let found = Certifier::new(&model).bounds(0.0, 1.0).certify(Ibp::default(), &x, Some(&y), EPS).unwrap();
    let (certified, attacked) = (found.accuracy().unwrap(), robust_accuracy(&model, &x, &y));
    assert!(certified > 0.8 && certified <= attacked, "{certified} {attacked}");
}

#[test]
fn overfitting_is_logged_at_the_end_of_each_epoch() {
    let (x, y) = samples(64);
    let mut model = network().compile(arguments(RATE)).unwrap();
    let watch = CatastrophicOverfitting::new(&x, &y, 0.02);
    let history = model.fit((&x, &y), Fit::epochs(2).batch_size(32).verbose(0).callback(watch)).unwrap();
    assert_eq!(history.get("pgd_accuracy").len(), 2);
    assert!(history.get("pgd_accuracy")[1] <= history.get("fgsm_accuracy")[1]);
}
