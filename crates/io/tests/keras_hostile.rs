//! Forged and damaged `.keras` archives: an error or a model, soon, and never a panic or code that runs.

use rhyton_io::{Archive, ArchiveWriter, load_keras, save_keras};
use rhyton_model::{Applicable, Input, Model};
use rhyton_nn::layers::*;
use rhyton_nn::optimizers::SGD;
use rhyton_tensor::testing::shared;
use rhyton_train::{Compile, ModelExt};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("rhyton-hostile-{}-{name}", std::process::id()))
}

/// An archive with these members at a path of its own.
fn archive(name: &str, members: &[(&str, &[u8])]) -> PathBuf {
    let mut bytes = std::io::Cursor::new(vec![]);
    let mut w = ArchiveWriter::new(&mut bytes);
    members.iter().for_each(|(n, content)| w.add(n, content).unwrap());
    w.finish().unwrap();
    let path = scratch(&format!("{name}.keras"));
    std::fs::write(&path, bytes.into_inner()).unwrap();
    path
}

/// Configuration and weights of an archive.
fn parts(path: &Path) -> (Json, Vec<u8>) {
    let mut a = Archive::open(path).unwrap();
    let config = serde_json::from_slice(&a.read("config.json").unwrap()).unwrap();
    (config, a.read("model.weights.h5").unwrap())
}

fn load_parts(name: &str, config: &Json, weights: &[u8]) -> Result<(), String> {
    let path =
        archive(name, &[("config.json", config.to_string().as_bytes()), ("model.weights.h5", weights)]);
    let start = Instant::now();
    let loaded = load_keras(&path).map_err(|e| e.to_string());
    // A model is compiled too; what that says is another matter.
    let loaded = loaded.map(|m| drop(m.into_compiled()));
    assert!(start.elapsed() < Duration::from_secs(5), "{name}: {config}");
    std::fs::remove_file(path).unwrap();
    loaded
}

/// The paths of all values inside of `value`.
fn pointers(value: &Json, at: &str, into: &mut Vec<String>) {
    into.push(at.to_string());
    match value {
        Json::Object(map) => map.iter().for_each(|(k, v)| {
            let k = k.replace('~', "~0").replace('/', "~1");
            pointers(v, &format!("{at}/{k}"), into);
        }),
        Json::Array(items) => {
            items.iter().enumerate().for_each(|(i, v)| pointers(v, &format!("{at}/{i}"), into))
        }
        _ => {}
    }
}

/// Archives of our own, and Keras's where there are any.
fn models() -> Vec<PathBuf> {
    let folder = shared("reference/keras_files");
    let entries = folder.into_iter().flat_map(|f| std::fs::read_dir(f).unwrap());
    let mut found: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    found.retain(|p| p.extension().is_some_and(|e| e == "keras"));
    found.sort();
    let image = Input::new([8, 8, 1]).symbolic();
    let x = Conv2D::new(2, 3).relu().padding("same").apply(&image);
    let x = BatchNormalization::new().apply(MaxPooling2D::new(2).apply(&x));
    let x = LSTM::new(3).return_sequences(true).apply(Reshape::new([16, 2]).apply(&x));
    let y =
        Dense::new(2).softmax().kernel_regularizer("l2").apply(MultiHeadAttention::new(1, 2).apply([&x, &x]));
    let model = Model::new(&[image], &[GlobalAveragePooling1D::new().apply(&y)]).unwrap();
    let arguments =
        Compile::new(SGD::new(0.1).momentum(0.9), "categorical_crossentropy").metrics(["accuracy"]);
    let own = scratch("own.keras");
    save_keras(&model.compile(arguments).unwrap(), &own).unwrap();
    found.push(own);
    found
}

/// What panics, by its text, when a value of the configuration of `model` is replaced.
fn forge(i: usize, model: &Path, forged: &[Json]) -> BTreeMap<String, String> {
    let mut panics = BTreeMap::new();
    let (config, weights) = parts(model);
    let mut all = vec![];
    pointers(&config, "", &mut all);
    for pointer in all {
        for value in forged {
            let mut config = config.clone();
            *config.pointer_mut(&pointer).unwrap() = value.clone();
            let load = || load_parts(&format!("forged{i}"), &config, &weights).ok();
            if let Err(e) = std::panic::catch_unwind(load) {
                let what = e.downcast::<String>().map_or_else(|_| String::from("panic"), |s| *s);
                panics.entry(what).or_insert(format!("{} {pointer} = {value}", model.display()));
            }
        }
    }
    panics
}

/// Every value of every configuration, replaced by each of a list of unfitting ones.
#[test]
fn no_value_of_a_configuration_makes_loading_panic_or_hang() {
    let forged = [
        json!(null),
        json!(-1),
        json!(0),
        json!(1u64 << 31),
        json!(u64::MAX),
        json!(1e300),
        json!("nonsense"),
        json!(true),
        json!([]),
        json!([[0, 1]]),
        json!({}),
    ];
    let models = models();
    let (next, panics) = (Mutex::new(models.iter().enumerate()), Mutex::new(BTreeMap::new()));
    std::thread::scope(|s| {
        let work = || {
            loop {
                let Some((i, model)) = next.lock().unwrap().next() else { return };
                let found = forge(i, model, &forged);
                panics.lock().unwrap().extend(found);
            }
        };
        (0..2).for_each(|_| drop(s.spawn(work)));
    });
    let panics = panics.into_inner().unwrap();
    std::fs::remove_file(scratch("own.keras")).unwrap();
    assert!(panics.is_empty(), "{panics:#?}");
}

fn dense(units: u64) -> Json {
    json!({"class_name": "Sequential", "module": "keras", "config": {"name": "m", "layers": [
        {"class_name": "InputLayer", "module": "keras.layers", "config": {"name": "x", "batch_shape": [null, 4]}},
        {"class_name": "Dense", "module": "keras.layers", "config": {"name": "d", "units": units}},
    ]}})
}

fn no_weights() -> Vec<u8> {
    rhyton_io::write_hdf5(&rhyton_io::Group::default()).unwrap()
}

#[test]
fn a_layer_larger_than_its_file_asks_for_no_memory() {
    let e = load_parts("huge", &dense(1 << 30), &no_weights()).unwrap_err();
    assert!(e.contains("the file holds 0 weights for this layer (at layers/dense/vars)"), "{e}");
    assert!(e.contains("huge.keras / m/d"), "{e}");
}

#[test]
fn a_size_beyond_any_model_is_refused() {
    let e = load_parts("beyond", &dense(1 << 40), &no_weights()).unwrap_err();
    assert!(e.contains("the configuration says units = 1099511627776") && e.contains("/ d"), "{e}");
}

#[test]
fn python_code_is_refused_by_name() {
    let mut config = dense(3);
    config["config"]["layers"][1] = json!({"class_name": "Lambda", "module": "keras.layers", "config":
        {"name": "evil", "function": {"class_name": "__lambda__", "config": {"code": "4wAAAA=="}}}});
    let e = load_parts("lambda", &config, &no_weights()).unwrap_err();
    assert!(e.starts_with("the model holds Python code, which is never run"), "{e}");
    assert!(e.contains("lambda.keras / evil"), "{e}");
}

#[test]
fn deep_nesting_is_an_error() {
    let deep = format!("{}{}", "[".repeat(1 << 20), "]".repeat(1 << 20));
    let path = archive("deep", &[("config.json", deep.as_bytes()), ("model.weights.h5", &no_weights())]);
    let e = load_keras(&path).unwrap_err().to_string();
    assert!(e.contains("config.json is damaged: recursion limit exceeded"), "{e}");
    std::fs::remove_file(path).unwrap();
}

#[test]
fn an_archive_without_a_model_is_named() {
    let path = archive("data", &[("x0.npy", b"")]);
    let e = load_keras(&path).unwrap_err().to_string();
    assert!(e.contains("this archive holds no model") && e.contains("it holds x0.npy"), "{e}");
    std::fs::remove_file(path).unwrap();
}
