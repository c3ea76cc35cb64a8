//! Attributions that Captum made, for models that Keras made (`conformance/README.md`, folder `explain`). Without the
//! folder of cases beside the repository there is nothing to do.

use rhyton_cpu::CpuBackend;
use rhyton_explain::{Explainer, Method, Target};
use rhyton_io::{load_keras, read_npz};
use rhyton_tensor::Tensor;
use rhyton_tensor::testing::shared;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

fn arrays(path: &Path) -> HashMap<String, Tensor> {
    read_npz(path).unwrap().into_iter().collect()
}

/// How far one case is off, if it is.
fn differs(folder: &Path, name: &str, settings: &serde_json::Value, bounds: (f64, f64)) -> Option<String> {
    let model = load_keras(folder.join("model.keras")).unwrap().into_model();
    let (data, wanted) = (arrays(&folder.join("data.npz")), arrays(&folder.join("explain.npz")));
    let explainer = Explainer::new(&model).target(Target::Label).batch_size(4);
    let explainer = explainer.array("baseline", &data["baseline"]);
    let method = Method::with_settings(name, settings.as_object().unwrap());
    let made = method.and_then(|m| explainer.explain(m, &data["x0"], Some(&data["y0"])));
    let made = match made {
        Ok(made) => made,
        Err(e) => return Some(e.to_string()),
    };
    let (got, wanted) = (&made.attributions[0], &wanted[name]);
    if got.shape() != wanted.shape() {
        return Some(format!("shape {:?} instead of {:?}", got.shape(), wanted.shape()));
    }
    let far = |(a, b): &(f64, f64)| (a - b).abs() > bounds.1 + bounds.0 * b.abs() || a.is_nan();
    let wrong: Vec<(f64, f64)> =
        got.to_vec::<f64>().into_iter().zip(wanted.to_vec::<f64>()).filter(far).collect();
    // A constant baseline makes ties in max pooling, which rounding decides on the other side: one window of 24 inputs.
    let ties = if name == "deep_lift" && folder.ends_with("cnn") { 24 } else { 0 };
    (wrong.len() > ties).then(|| format!("{} of {} differ, like {:?}", wrong.len(), got.len(), wrong[0]))
}

#[test]
fn attributions_are_captums() {
    rhyton_model::backend::set_backend(Arc::new(CpuBackend::new().unwrap()));
    let Some(root) = shared("conformance/explain") else { return };
    let only = std::env::var("RHYTON_CASES").unwrap_or_default();
    let mut wrong = vec![];
    for model in ["mlp", "cnn", "lstm", "attention", "shared"] {
        let folder = root.join(model);
        let text = std::fs::read_to_string(folder.join("explain.json")).unwrap();
        let case: serde_json::Value = serde_json::from_str(&text).unwrap();
        let bounds = (case["rtol"].as_f64().unwrap(), case["atol"].as_f64().unwrap());
        for (name, settings) in case["methods"].as_object().unwrap() {
            if !format!("{model}/{name}").contains(&only) {
                continue;
            }
            if let Some(why) = differs(&folder, name, settings, bounds) {
                wrong.push(format!("{model}/{name}: {why}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
