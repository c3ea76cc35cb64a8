//! Every example of the registry of layers: configuration, shape rule and gradient.

mod support;

use rhyton_graph::testing::assert_close;
use rhyton_nn::layer::full_config;
use rhyton_nn::layers::{Conv1D, Dense};
use rhyton_nn::policy::DTypePolicy;
use rhyton_nn::registry::Example;
use rhyton_nn::{Kind, Layer, LayerRef};
use rhyton_tensor::{DType, Tensor};
use support::*;

/// An example of the registry: the layer, data for it, and the shapes of its results.
struct Case(LayerRef, Vec<Tensor>, &'static str);

/// A line for each example: its class, and the shapes of its results.
const SHAPES: &str = include_str!("support/layer_shapes.txt");

fn cases() -> Vec<Case> {
    let rows = <dyn Layer>::rows();
    let examples = rows.iter().flat_map(|row| (row.examples)().into_iter().map(|e| (row.class_name, e)));
    let examples: Vec<_> = examples.filter(|(class, _)| *class != "InputLayer").collect();
    let listed = |(class, _): &(&str, Example<dyn Layer>)| class.to_string();
    let lines: Vec<(&str, &str)> = SHAPES.lines().filter_map(|line| line.split_once(' ')).collect();
    let classes: Vec<String> = lines.iter().map(|(class, _)| class.to_string()).collect();
    assert_eq!(examples.iter().map(listed).collect::<Vec<_>>(), classes, "support/layer_shapes.txt");
    examples.into_iter().zip(lines).map(|((class, e), (_, shapes))| case(class, &e, shapes)).collect()
}

fn case(class: &str, example: &Example<dyn Layer>, shapes: &'static str) -> Case {
    let data = |(i, sample): (usize, &&[usize])| {
        let shape = [&[3], *sample].concat();
        match class {
            "Embedding" => indices(&shape, &[1, 5, 0, 2, -1, 3, 3, 1, 4, 0, 2, 2]),
            _ => normal(&shape, i as u64 + 1),
        }
    };
    assert!(!example.inputs.is_empty(), "the example of {class} takes nothing");
    Case(example.object.clone(), example.inputs.iter().enumerate().map(data).collect(), shapes)
}

#[test]
fn configurations_survive() {
    for Case(layer, ..) in cases() {
        let record = layer.to_json();
        let again = LayerRef::from_json(&record).unwrap();
        assert_eq!(again.to_json(), record);
    }
}

#[test]
fn shapes_follow_the_rules() {
    for Case(layer, data, expected) in cases() {
        let x = inputs(&data);
        let y = rhyton_model::Applicable::apply_all(&layer, x.as_slice());
        let shapes: Vec<String> = y.iter().map(|s| s.shape().to_string()).collect();
        assert_eq!(shapes.join(" "), expected, "{layer:?}");
        // The interpreter computes what the rule says.
        let model = rhyton_model::Model::new(&x, &y).unwrap();
        for (t, s) in run(&model, &data).iter().zip(&y) {
            let batch = [("batch".into(), data[0].shape()[0])].into();
            assert_eq!(Some(t.shape().to_vec()), s.shape().eval(&batch), "{layer:?}");
        }
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    for Case(layer, data, _) in cases() {
        println!("{}", layer.get().unwrap().class_name()); // shown when it fails
        let model = of_layer(layer, &data).unwrap();
        check_gradient(&model, &data, false);
        check_gradient(&model, &data, true);
    }
}

/// The layer with the policy mixed_bfloat16.
fn mixed(layer: &LayerRef) -> LayerRef {
    let mut record = layer.to_json();
    record["config"]["dtype"] = DTypePolicy::MixedBfloat16.to_json();
    LayerRef::from_json(&record).unwrap()
}

#[test]
fn layers_in_bfloat16_compute_nearly_the_same() {
    for Case(layer, data, _) in cases() {
        let have = of_layer(mixed(&layer), &data).unwrap();
        let mut plain = of_layer(&layer, &data).unwrap();
        plain.set_weights(have.weights()).unwrap();
        assert_close(&run(&have, &data), &run(&plain, &data), 2e-2, layer.get().unwrap().class_name());
        let traced = have.trace(true).unwrap();
        let loss = traced.outputs.iter().map(|v| v.expr.cast(DType::F32).sum_all());
        let loss = loss.fold(rhyton_graph::Expr::scalar(0.0f32), |sum, y| sum + y);
        for (g, (v, w)) in
            rhyton_graph::grad(&loss, &traced.trace.params()).iter().zip(&traced.trace.variables)
        {
            assert!(g.error().is_none() && g.dtype() == w.dtype(), "{}: {:?}", v.path, g.error());
        }
    }
}

/// Keys behind name, trainable and dtype, in the order in which Keras 3.15 writes them.
const KEYS: &str = include_str!("support/config_keys.txt");

#[test]
fn configurations_have_keras_keys_in_keras_order() {
    for line in KEYS.lines() {
        let (class, keys) = line.split_once(' ').unwrap_or((line, ""));
        let Some(Case(layer, ..)) = cases().into_iter().find(|c| c.0.get().unwrap().class_name() == class)
        else {
            panic!("no case for {class}");
        };
        let config = full_config(&**layer.get().unwrap(), "x");
        let found: Vec<&str> = config.keys().skip(3).map(String::as_str).collect();
        assert_eq!(found.join(" "), keys, "{class}");
    }
}

#[test]
fn layers_without_an_activity_regularizer_do_not_mention_it() {
    let config = full_config(&Dense::new(1), "d");
    assert!(!config.contains_key("activity_regularizer"));
    assert!(full_config(&Conv1D::new(1, 1), "c")["activity_regularizer"].is_null());
}
