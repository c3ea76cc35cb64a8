//! Measures where their numbers are known: on linear models, and on images whose right pixels are known.

use rhyton_cpu::CpuBackend;
use rhyton_explain::measures::*;
use rhyton_explain::methods::*;
use rhyton_explain::{Explainer, Measure, Measured, Method, Target};
use rhyton_model::{Model, Sequential};
use rhyton_nn::Handle;
use rhyton_nn::layers::*;
use rhyton_tensor::Tensor;
use rhyton_tensor::rng::Stream;
use std::sync::{Arc, Once};

fn on_cpu() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| rhyton_model::backend::set_backend(Arc::new(CpuBackend::new().unwrap())));
}

/// `w . x`.
fn linear(w: &[f32]) -> Model {
    on_cpu();
    let mut model = Sequential::new([w.len()]).add(Dense::new(1).use_bias(false)).build().unwrap();
    model.set_weights(&[Tensor::new([w.len(), 1], w.to_vec()).unwrap()]).unwrap();
    model
}

fn row(x: &[f32]) -> Tensor {
    Tensor::new([1, x.len()], x.to_vec()).unwrap()
}

fn measured(
    model: &Model,
    measure: impl Into<Handle<dyn Measure>>,
    method: impl Into<Method>,
    x: &Tensor,
) -> Measured<Tensor> {
    Explainer::new(model).measure(measure, method, x, None).unwrap()
}

fn value(
    model: &Model,
    measure: impl Into<Handle<dyn Measure>>,
    method: impl Into<Method>,
    x: &[f32],
) -> f32 {
    measured(model, measure, method, &row(x)).value.to_vec::<f32>()[0]
}

fn near(a: f32, b: f32) {
    assert!((a - b).abs() < 1e-4, "{a} is not {b}");
}

#[test]
fn curves_take_away_what_matters_most_first() {
    let (model, x) = (linear(&[1.0, -2.0, 4.0, 3.0]), row(&[1.0, 1.0, 1.0, 1.0]));
    let deletion = measured(&model, Deletion::default().steps(4), InputXGradient::default(), &x);
    assert_eq!(deletion.curve.unwrap().to_vec::<f32>(), [6.0, 2.0, -1.0, -2.0, 0.0]);
    near(deletion.value.to_vec::<f32>()[0], 0.25 * (3.0 + 2.0 - 1.0 - 2.0 + 0.0));
    let insertion = measured(&model, Insertion::default().steps(2), InputXGradient::default(), &x);
    assert_eq!(insertion.curve.unwrap().to_vec::<f32>(), [0.0, 7.0, 6.0]);
    near(insertion.value.to_vec::<f32>()[0], 0.5 * (7.0 + 3.0));
    let flipped = PixelFlipping::default().features_in_step(3);
    let flipped = measured(&model, flipped, InputXGradient::default(), &x);
    assert_eq!(flipped.curve.unwrap().to_vec::<f32>(), [-2.0, 0.0]);
    near(flipped.value.to_vec::<f32>()[0], -1.0);
}

#[test]
fn slopes_of_a_linear_model_are_faithful() {
    let w = [1.0, 2.0, 4.0, 8.0];
    let (model, x) = (linear(&w), [0.5f32, 0.5, 0.5, 0.5]);
    near(value(&model, Infidelity::default(), Saliency::default(), &x), 0.0);
    near(value(&model, Infidelity::default().patch([1]), Saliency::default(), &x), 0.0);
    // A change of I costs (I . (x w - w))^2, in turn for each value: 0.25 w^2 / 4.
    let off: f32 = w.iter().map(|w| (0.25 * w) * (0.25 * w)).sum::<f32>() / 4.0;
    near(value(&model, Infidelity::default().patch([1]), InputXGradient::default(), &x), off);
    near(value(&model, FaithfulnessCorrelation::default().subset(2), InputXGradient::default(), &x), 1.0);
    near(value(&model, MonotonicityArya::default(), InputXGradient::default(), &x), 1.0);
    let falls = linear(&[1.0, -1.0, -2.0]);
    near(value(&falls, MonotonicityArya::default(), Saliency::default(), &[1.0; 3]), 0.0);
    near(value(&model, MonotonicityNguyen::default().samples(40), Saliency::default(), &x), 1.0);
}

#[test]
fn sensitivity_is_the_change_over_the_size() {
    let (model, x) = (linear(&[1.0, 1.0]), [3.0f32, 4.0]);
    near(value(&model, MaxSensitivity::default(), Saliency::default(), &x), 0.0);
    let largest = value(&model, MaxSensitivity::default().samples(200), InputXGradient::default(), &x);
    let mean = value(&model, AvgSensitivity::default().samples(200), InputXGradient::default(), &x);
    // Noise of 0.2 each way: at most 0.2 sqrt(2) / 5; a random point of the square is 0.153 from its middle.
    assert!(largest <= 0.2 * 2f32.sqrt() / 5.0 && largest > 0.8 * 0.2 * 2f32.sqrt() / 5.0, "{largest}");
    assert!((mean - 0.153 / 5.0).abs() < 0.004, "{mean}");
}

#[test]
fn spread_is_counted() {
    let model = linear(&[1.0, 0.0, 3.0, 0.0]);
    near(
        value(&model, Sparseness::default(), Saliency::default(), &[1.0; 4]),
        (1.0 + 3.0 * 3.0) / (4.0 * 4.0),
    );
    let entropy = -(0.25f32 * 0.25f32.ln() + 0.75 * 0.75f32.ln());
    near(value(&model, Complexity::default(), Saliency::default(), &[1.0; 4]), entropy);
    near(value(&linear(&[2.0; 4]), Sparseness::default(), Saliency::default(), &[1.0; 4]), 0.0);
    near(value(&linear(&[2.0; 4]), Complexity::default(), Saliency::default(), &[1.0; 4]), 4f32.ln());
}

#[test]
fn masks_are_where_attributions_should_be() {
    let model = linear(&[4.0, 1.0, -9.0, 3.0]);
    let explainer = Explainer::new(&model).array("mask", &Tensor::vector(vec![1i32, 1, 0, 0]));
    let of = |m: Handle<dyn Measure>| {
        explainer.measure(m, Saliency::default(), &row(&[1.0; 4]), None).unwrap().value.to_vec::<f32>()[0]
    };
    near(of(PointingGame::default().into()), 1.0);
    near(of(RelevanceMass::default().into()), 5.0 / 8.0);
    near(of(RelevanceRank::default().into()), 0.5);
}

#[test]
fn tokens_are_taken_away_whole() {
    on_cpu();
    let network = Sequential::of(rhyton_model::Input::new([5]).int32());
    let network = network.add(Embedding::new(9, 3)).add(LSTM::new(4)).add(Dense::new(2)).build().unwrap();
    let x = Tensor::new([2, 5], vec![1i32, 2, 3, 4, 5, 5, 4, 3, 2, 1]).unwrap();
    let found = measured(&network, PixelFlipping::default(), IntegratedGradients::default(), &x);
    assert_eq!(found.curve.unwrap().shape(), [2, 5]);
}

/// Images with noise, and one of two patterns somewhere; the masks of the patterns; the classes.
fn planted(samples: usize) -> (Tensor, Tensor, Tensor) {
    let mut rng = Stream::new(5, 0, 0);
    let (mut images, mut masks, mut classes) = (vec![], vec![], vec![]);
    for _ in 0..samples {
        let mut image: Vec<f32> = (0..64).map(|_| rng.uniform() * 0.2).collect();
        let mut mask = vec![0i32; 64];
        let (top, left, class) = (rng.below(7) as usize, rng.below(7) as usize, rng.below(2) as usize);
        for (dy, dx) in [(0, class), (1, 1 - class)] {
            let at = (top + dy) * 8 + left + dx;
            (image[at], mask[at]) = (1.0, 1);
        }
        images.extend(image);
        masks.extend(mask);
        classes.push(class as i32);
    }
    let shape = [samples, 8, 8, 1];
    (Tensor::new(shape, images).unwrap(), Tensor::new(shape, masks).unwrap(), Tensor::vector(classes))
}

/// Looks for two bright pixels one below the other to the right, or to the left.
fn detector() -> Model {
    on_cpu();
    let network = Sequential::new([8, 8, 1]).add(Conv2D::new(2, 2).relu());
    let mut model = network.add(GlobalMaxPooling2D::new()).add(Dense::new(2)).build().unwrap();
    // Filters side by side: [height, width, 1, filters].
    let filters = vec![1.0f32, -1.0, -1.0, 1.0, -1.0, 1.0, 1.0, -1.0];
    let weights = [
        Tensor::new([2, 2, 1, 2], filters).unwrap(),
        Tensor::vector(vec![-0.5f32, -0.5]),
        Tensor::new([2, 2], vec![1.0f32, -0.5, -0.5, 1.0]).unwrap(),
        Tensor::vector(vec![0.0f32, 0.0]),
    ];
    model.set_weights(&weights).unwrap();
    model
}

#[test]
fn good_methods_find_planted_patterns() {
    let (model, (x, mask, classes)) = (detector(), planted(40));
    let explainer = Explainer::new(&model).target(Target::Label).array("mask", &mask);
    let methods: [Method; 7] = [
        IntegratedGradients::default().into(),
        DeepLift::default().into(),
        DeepLift::default().rule(Multipliers::RevealCancel).into(),
        ShapleySampling::default().samples(20).into(),
        LrpEpsilon::default().into(),
        LrpZPlus::default().into(),
        FeatureAblation::default().into(),
    ];
    for method in methods {
        let name = method.get().unwrap().class_name();
        let of = |m: Handle<dyn Measure>| {
            let all = explainer.measure(m, method.clone(), &x, Some(&classes)).unwrap().value.to_vec::<f32>();
            all.iter().sum::<f32>() / all.len() as f32
        };
        assert_eq!(of(PointingGame::default().into()), 1.0, "{name}");
        assert!(of(RelevanceMass::default().into()) > 0.7, "{name}");
        // Without the pattern, hardly anything speaks for the class.
        assert!(
            of(Insertion::default().steps(16).into()) > of(Deletion::default().steps(16).into()) + 0.5,
            "{name}"
        );
    }
}

#[test]
fn every_measure_runs_on_every_sample() {
    let (model, (x, mask, _)) = (detector(), planted(5));
    let explainer = Explainer::new(&model).array("mask", &mask).batch_size(2);
    let methods: [Method; 4] = [
        SmoothGrad::default().samples(3).into(),
        IntegratedGradients::default().steps(3).into(),
        LrpZPlus::default().into(),
        ShapleyValues::default().patch([4, 4, 1]).into(),
    ];
    for row in <dyn Measure as rhyton_nn::Kind>::rows() {
        for method in &methods {
            let made = explainer.measure(row.class_name, method.clone(), &x, None);
            let value = made.unwrap_or_else(|e| panic!("{}: {e}", row.class_name)).value;
            assert_eq!(value.shape(), [5], "{}", row.class_name);
            assert!(value.to_vec::<f32>().iter().all(|v| v.is_finite()), "{}", row.class_name);
        }
    }
    // A map at a layer's places is judged by what the layer gives there.
    let map = explainer.measure(Deletion::default(), GradCam::default().layer("conv2d"), &x, None).unwrap();
    assert_eq!(map.curve.unwrap().shape(), [5, 21]);
}

#[test]
fn errors_say_what_is_wrong() {
    let model = linear(&[1.0, 2.0]);
    let of = |m: Handle<dyn Measure>| {
        Explainer::new(&model)
            .measure(m, Saliency::default(), &row(&[1.0, 1.0]), None)
            .unwrap_err()
            .to_string()
    };
    assert!(of(PointingGame::default().into()).contains("there is no array 'mask'"));
    assert!(of(Deletion::default().steps(0).into()).contains("steps=0"));
    assert!(of(FaithfulnessCorrelation::default().subset(3).into()).contains("subsets of 3"));
}
