//! Operations between layers in files of Keras.

mod support;

use rhyton_model::{Model, json::from_record, json::model_record};
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

/// One operation on `x`, `[batch, 2]`.
fn of_one(class: &str, config: Json, more: &[Json]) -> rhyton_tensor::Result<Vec<f32>> {
    let args: Vec<Json> = [tensor_of("x", "float32")].into_iter().chain(more.iter().cloned()).collect();
    let mut whole = record();
    let layers = whole["config"]["layers"].as_array_mut().unwrap();
    layers.truncate(1);
    layers.push(operation(class, "y", config, args.into()));
    whole["config"]["output_layers"] = json!(["y", 0, 0]);
    let model = Model::from_definition(from_record(&whole)?, 0)?;
    Ok(run(&model, &[tensor(&[1, 2], &[3.0, -4.0])])[0].to_vec())
}

/// Keras itself does not run this operation from a file on JAX.
#[test]
fn lengths_of_vectors() {
    let norm = |config: Json| of_one("Norm", config, &[]).unwrap();
    close(&norm(json!({"ord": null, "axis": [-1], "keepdims": false})), &[5.0]);
    close(&norm(json!({"ord": 1, "axis": [1], "keepdims": true})), &[7.0]);
    close(&norm(json!({"ord": 3, "axis": 1})), &[91f32.cbrt()]);
    close(&norm(json!({"ord": "fro", "axis": [0, 1]})), &[5.0]);
}

#[test]
fn what_an_operation_does_not_take_is_said() {
    let e = of_one("Softmax", json!({"axis": [0, 1]}), &[]).unwrap_err().to_string();
    assert!(e.contains("Softmax does not take [0,1] as its axis"), "{e}");
    let e = of_one("Add", json!({}), &[]).unwrap_err().to_string();
    assert!(e.contains("Add got 1 operands"), "{e}");
    let e = of_one("GetItem", json!({}), &[json!([0, 1, 2])]).unwrap_err().to_string();
    assert!(e.contains("3 indices for a value of shape"), "{e}");
    let e = of_one("Reshape", json!({"newshape": [-1, 3]}), &[]).unwrap_err().to_string();
    assert!(e.contains("Reshape cannot make [-1,3]"), "{e}");
    let slice = json!({"class_name": "__slice__", "config": {"start": 0, "stop": 2, "step": 0}});
    assert!(of_one("GetItem", json!({}), &[json!([0, slice])]).is_err());
    for odd in [json!("a"), json!({"a": 1}), json!([[1], [2, 3]])] {
        assert!(of_one("Add", json!({}), &[odd]).is_err());
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
