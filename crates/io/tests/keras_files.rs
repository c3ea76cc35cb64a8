//! The files that Keras, h5py and NumPy made. Without them there is nothing to check.

use rhyton_io::{Archive, Attribute, read_hdf5, read_npz, write_hdf5};
use rhyton_tensor::testing::shared;
use std::path::{Path, PathBuf};

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut list = vec![];
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { list.extend(files_below(&path)) } else { list.push(path) }
    }
    list.sort();
    list
}

fn ending<'a>(files: &'a [PathBuf], end: &str) -> Vec<&'a PathBuf> {
    files.iter().filter(|p| p.to_string_lossy().ends_with(end)).collect()
}

#[test]
fn every_h5_file_is_read_and_written_again_identically() {
    let Some(folder) = shared("reference/keras_files") else { return };
    let files = files_below(&folder);
    let files = ending(&files, ".h5");
    assert!(files.len() > 30);
    for path in files {
        let tree = read_hdf5(rhyton_io::files::read(path).unwrap()).unwrap();
        assert!(!tree.all_datasets().is_empty(), "{path:?}");
        let again = read_hdf5(write_hdf5(&tree).unwrap()).unwrap();
        assert_eq!(again, tree, "{path:?}");
    }
}

#[test]
fn weights_have_the_names_and_shapes_keras_gave_them() {
    let Some(folder) = shared("reference/keras_files") else { return };
    let read = |name: &str| read_hdf5(rhyton_io::files::read(folder.join(name)).unwrap()).unwrap();
    let seq = read("seq_dense.weights.h5");
    let vars = seq.group("layers/dense/vars").unwrap();
    assert_eq!(vars.text("name"), Some("dense"));
    assert_eq!(vars.datasets_by_number().len(), 2);
    let bf16 = read("bf16.weights.h5");
    let kernel = bf16.dataset("layers/dense/vars/0").unwrap();
    assert_eq!((kernel.tensor.dtype().name(), kernel.tensor.shape()), ("bfloat16", &[4, 3][..]));
    assert!(kernel.attributes.is_empty());
    assert_eq!(bf16.dataset("layers/dense_2/vars/0").unwrap().tensor.dtype().name(), "float16");
    let legacy = read("compiled.h5");
    assert!(legacy.text("model_config").unwrap().starts_with("{\"class_name\": \"Sequential\""));
    let layers = legacy.group("model_weights").unwrap().attribute("layer_names").unwrap();
    assert!(matches!(layers, Attribute::Texts(names) if names.iter().any(|n| n == "dense")), "{layers:?}");
}

#[test]
fn every_keras_archive_is_read() {
    let Some(folder) = shared("reference/keras_files") else { return };
    let mut files = files_below(&folder);
    files.extend(shared("conformance").map(|f| files_below(&f)).unwrap_or_default());
    for path in ending(&files, ".keras") {
        let mut archive = Archive::open(path).unwrap();
        assert_eq!(archive.names()[..3], ["metadata.json", "config.json", "model.weights.h5"], "{path:?}");
        let config: serde_json::Value =
            serde_json::from_slice(&archive.read("config.json").unwrap()).unwrap();
        assert!(config.get("class_name").is_some(), "{path:?}");
        let tree = read_hdf5(archive.read("model.weights.h5").unwrap()).unwrap();
        assert_eq!(read_hdf5(write_hdf5(&tree).unwrap()).unwrap(), tree, "{path:?}");
    }
}

#[test]
fn every_npz_of_the_conformance_cases_is_read() {
    let Some(folder) = shared("conformance") else { return };
    let files = files_below(&folder);
    let files = ending(&files, ".npz");
    assert!(!files.is_empty());
    // Text is no tensor yet.
    for path in files.into_iter().filter(|p| !p.to_string_lossy().contains("catalogue/strings/")) {
        assert!(!read_npz(path).unwrap().is_empty(), "{path:?}");
    }
}
