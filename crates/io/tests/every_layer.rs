//! Every example of the registry of layers through a `.keras` file: same configuration, same bits of weights and outputs.

#[path = "cases/layers.rs"]
mod layers;

use layers::{cases, model_of};
use rhyton_io::{load_keras, save_keras};
use rhyton_model::Model;
use rhyton_model::json::model_record;
use rhyton_tensor::Tensor;
use serde_json::json;

#[test]
fn every_layer_comes_back_with_the_same_bits() {
    rhyton_model::backend::set_backend(std::sync::Arc::<rhyton_graph::reference::ReferenceBackend>::default());
    let path = std::env::temp_dir().join(format!("rhyton-every-layer-{}.keras", std::process::id()));
    for (i, case) in cases().iter().enumerate() {
        let class = case.object.get().unwrap().class_name();
        let (model, data) = model_of(case, i);
        save_keras(&model, &path).unwrap();
        let again = load_keras(&path).unwrap().into_model();
        let config = |m: &Model| model_record(m.definition(), json!({}));
        assert_eq!(config(&again), config(&model), "{class}");
        let same =
            |a: &[Tensor], b: &[Tensor]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same_bits(b));
        assert!(same(again.weights(), model.weights()), "{class}: weights");
        let outputs = [&model, &again].map(|m| m.predict_all(&data, 32).unwrap());
        assert!(same(&outputs[0], &outputs[1]), "{class}: outputs");
    }
    std::fs::remove_file(path).unwrap();
}
