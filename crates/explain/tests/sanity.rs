//! Attributions must depend on what a model has learned (Adebayo et al. 2018).

use rhyton_cpu::CpuBackend;
use rhyton_explain::methods::*;
use rhyton_explain::{Attribution, Explainer, Method, Randomised, Scene, similarity};
use rhyton_graph::Expr;
use rhyton_model::{Model, Sequential};
use rhyton_nn::layers::*;
use rhyton_tensor::rng::Stream;
use rhyton_tensor::{Result, Tensor};
use std::sync::{Arc, Once};

fn on_cpu() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| rhyton_model::backend::set_backend(Arc::new(CpuBackend::new().unwrap())));
}

rhyton_nn::object! {
    /// The differences between neighbours: it looks at no model.
    pub struct Edges {}
}

impl Attribution for Edges {
    fn attribute(&self, scene: &mut Scene) -> Result<Vec<Expr>> {
        let edges = |x: &Expr| {
            let n = x.shape()[2].as_fixed().unwrap();
            let steps = (x.slice(2, 1, n - 1) - x.slice(2, 0, n - 1)).abs();
            Expr::concat(&[steps, x.slice(2, 0, 1).zeros_like()], 2)
        };
        Ok(scene.values().iter().map(edges).collect())
    }
}

fn network(seed: u64) -> Model {
    on_cpu();
    let mut network = Sequential::new([10, 10, 1]);
    for _ in 0..4 {
        network = network.add(Conv2D::new(24, 3).padding("same").relu());
    }
    let mut model =
        network.add(Flatten::new()).add(Dense::new(24).relu()).add(Dense::new(5)).build().unwrap();
    model.initialize(seed).unwrap();
    model
}

fn images() -> Tensor {
    let mut rng = Stream::new(9, 0, 0);
    Tensor::from_fn([6, 10, 10, 1], |_| rng.uniform())
}

/// How alike attributions are after each layer, from the last to the first.
fn likeness(method: impl Into<Method>, which: Randomised) -> Vec<f32> {
    let model = network(3);
    let steps = Explainer::new(&model).seed(77).randomised(method, which, false, &images(), None).unwrap();
    assert_eq!(steps.len(), 6);
    assert!(steps[0].layer.ends_with("dense_1") && steps[5].layer.ends_with("conv2d"), "{}", steps[0].layer);
    steps.iter().map(rhyton_explain::Likeness::mean).collect()
}

#[test]
fn gradients_change_with_the_weights() {
    for method in [Method::from(Saliency::default()), InputXGradient::default().into()] {
        let alike = likeness(method, Randomised::Cascading);
        assert!(alike.iter().all(|a| a.abs() < 0.3), "{alike:?}");
    }
    let alike = likeness(Saliency::default(), Randomised::Independent);
    assert!(alike.iter().all(|a| a.abs() < 0.5), "{alike:?}");
}

#[test]
fn guided_backpropagation_hardly_sees_the_upper_layers() {
    let alike = likeness(GuidedBackprop::default(), Randomised::Cascading);
    // Five of six layers are drawn anew, and the map is the old one.
    assert!(alike[..5].iter().all(|a| *a > 0.85), "{alike:?}");
    let gradient = likeness(Saliency::default(), Randomised::Cascading);
    assert!(alike.iter().zip(&gradient).all(|(g, s)| g - s > 0.6), "{alike:?} {gradient:?}");
}

#[test]
fn an_edge_detector_sees_no_model_at_all() {
    for which in [Randomised::Cascading, Randomised::Independent] {
        let alike = likeness(Method::new(Arc::new(Edges {})), which);
        assert!(alike.iter().all(|a| (a - 1.0).abs() < 1e-5), "{alike:?}");
    }
}

#[test]
fn models_of_other_labels_are_compared() {
    let (a, b, x) = (network(3), network(4), images());
    let of = |m: &Model, method: Method| Explainer::new(m).explain(method, &x, None).unwrap();
    let both = |method: Method| {
        let (a_map, b_map) = (of(&a, method.clone()), of(&b, method));
        let all = similarity(&a, &a_map, &b_map, true).unwrap();
        all.iter().sum::<f32>() / all.len() as f32
    };
    assert!(both(Saliency::default().into()) < 0.3);
    assert!(both(Method::new(Arc::new(Edges {}))) > 0.999);
}
