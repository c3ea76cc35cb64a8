//! Operations between layers in files of Keras.

mod support;

use rhyton_nn::model::{Model, json::from_record, json::model_record};
use serde_json::{Value as Json, json};
use support::*;

fn tensor_of(layer: &str, dtype: &str) -> Json {
    let config = json!({"shape": [null, 2], "dtype": dtype, "keras_history": [layer, 0, 0]});
    json!({"class_name": "__keras_tensor__", "config": config})
}

fn operation(class: &str, name: &str, config: Json, args: Json) -> Json {
    let mut config = config;
    config["name"] = name.into();
    json!({
        "module": "keras.src.ops.numpy", "class_name": class, "config": config, "registered_name": class,
        "name": name, "inbound_nodes": [{"args": args, "kwargs": {}}],
    })
}

/// `concatenate([1 - 2 * x, mean(x)])`.
fn record() -> Json {
    let x = || tensor_of("x", "float32");
    let layers = vec![
        json!({
            "module": "keras.layers", "class_name": "InputLayer", "name": "x", "inbound_nodes": [],
            "config": {"batch_shape": [null, 2], "dtype": "float32", "name": "x"},
        }),
        operation("Multiply", "multiply", json!({}), json!([x(), 2.0])),
        operation("Subtract", "subtract", json!({}), json!([1.0, tensor_of("multiply", "float32")])),
        operation("Mean", "mean", json!({"axis": -1, "keepdims": true}), json!([x()])),
        operation(
            "Concatenate",
            "concatenate",
            json!({"axis": -1}),
            json!([[tensor_of("subtract", "float32"), tensor_of("mean", "float32")]]),
        ),
    ];
    let config = json!({
        "name": "m", "trainable": true, "layers": layers,
        "input_layers": ["x", 0, 0], "output_layers": ["concatenate", 0, 0],
    });
    json!({"module": "keras.src.models.functional", "class_name": "Functional", "config": config})
}

#[test]
fn operations_compute_and_keep_their_numbers_in_place() {
    let x = tensor(&[1, 2], &[3.0, 5.0]);
    let mut definition = from_record(&record()).unwrap();
    for _ in 0..2 {
        let again = model_record(&definition, Json::Null);
        let nodes = &again["config"]["layers"][2]["inbound_nodes"][0];
        assert_eq!(nodes["args"][0], json!(1.0), "{nodes}");
        assert_eq!(nodes["kwargs"], json!({}));
        assert_eq!(again["config"]["layers"][1]["module"], "keras.src.ops.numpy");
        let model = Model::from_definition(definition, 0).unwrap();
        close(&run(&model, std::slice::from_ref(&x))[0].to_vec::<f32>(), &[-5.0, -9.0, 4.0]);
        // Weight files do not know operations.
        let places: Vec<&str> = model.places().iter().map(|p| p.location.as_str()).collect();
        assert_eq!(places, ["", "layers/input_layer"]);
        definition = from_record(&again).unwrap();
    }
}

#[test]
fn unknown_operations_are_named() {
    let mut bad = record();
    bad["config"]["layers"][1]["class_name"] = "Multiplx".into();
    let e = from_record(&bad).unwrap_err().to_string();
    assert!(e.starts_with("there is no tensor operation 'Multiplx'"), "{e}");
    assert!(e.contains("did you mean 'Multiply'?"), "{e}");
}
