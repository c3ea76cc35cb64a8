//! Files made by h5py, NumPy and the safetensors package (`tests/python/make.py`) are read value by value, and files
//! made here are read by them (`tests/python/check.py`, run when `RHYTON_PYTHON` names an interpreter that has them).

use rhyton_io::{Attribute, Group, files, read_hdf5, read_npz, read_safetensors, write_hdf5};
use rhyton_tensor::testing::{shared, skipped};
use rhyton_tensor::{DType, Tensor};
use std::path::{Path, PathBuf};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// What `values(dtype)` of make.py holds.
fn values(dtype: DType) -> Tensor {
    Tensor::from_fn([3, 4], |i| i as f64).cast(dtype)
}

#[test]
fn h5py_files_of_both_formats_are_read() {
    for name in ["earliest.h5", "latest.h5"] {
        let root = read_hdf5(files::read(data(name)).unwrap()).unwrap();
        for dtype in DType::ALL {
            let d = root.dataset(&format!("types/{dtype}")).unwrap();
            assert!(d.tensor.same_bits(&values(dtype)), "{name} {dtype} {:?}", d.tensor);
            assert!(d.attributes.is_empty());
        }
        let tensor = |path: &str| &root.dataset(path).unwrap().tensor;
        assert!(tensor("types/big").same_bits(&values(DType::F32)));
        assert_eq!(tensor("types/scalar"), &Tensor::scalar(1.5f32));
        assert_eq!(tensor("types/empty").shape(), [0, 3]);
        assert_eq!(tensor("unwritten"), &Tensor::full([10, 10], 2.5f32));
        let chunked = root.group("chunked").unwrap();
        assert_eq!(chunked.datasets.len(), 5);
        for (kind, d) in &chunked.datasets {
            assert_eq!(d.tensor, Tensor::from_fn([20, 20], |i| i as f32), "{name} {kind}");
        }
        let many = root.group("many").unwrap().datasets_by_number();
        assert_eq!(many.len(), 40);
        for (i, (_, d)) in many.into_iter().enumerate() {
            assert_eq!(d.tensor, Tensor::scalar(i as i32));
        }
        assert_eq!(root.group("nothing"), Some(&Group::default()));
        check_attributes(&root);
    }
}

fn check_attributes(root: &Group) {
    let texts = |list: &[&str]| Attribute::Texts(list.iter().map(|s| s.to_string()).collect());
    for (name, value) in [
        ("text", Attribute::Text("ü".into())),
        ("fixed", Attribute::Text("fixed".into())),
        ("texts", texts(&["a", "", "ccc"])),
        ("fixed_texts", texts(&["a", "bb"])),
        ("number", Attribute::Numbers(Tensor::scalar(0.5f64))),
        ("numbers", Attribute::Numbers(values(DType::I64))),
        ("none", Attribute::Numbers(Tensor::zeros(DType::F64, [0]))),
        ("flag", Attribute::Numbers(Tensor::scalar(true))),
        ("long", Attribute::Text("x".repeat(7000))),
    ] {
        assert_eq!(root.attribute(name), Some(&value), "{name}");
    }
    let reference = root.group("types").unwrap().attribute("reference");
    assert_eq!(reference, Some(&Attribute::Unsupported("reference".into())));
}

#[test]
fn links_and_data_outside_of_the_tree_are_refused() {
    let mut names = vec![];
    for entry in std::fs::read_dir(data("links")).unwrap() {
        let path = entry.unwrap().path();
        let e = read_hdf5(files::read(&path).unwrap()).unwrap_err().to_string();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let wanted = match name.split('_').next() {
            Some("soft" | "dangling") => "a soft link",
            Some("external") if name == "external_data" => "data in another file",
            Some("external") => "a link into another file",
            Some("hard" | "cycle") => "under two names",
            _ => "layout class 3",
        };
        assert!(e.contains(wanted), "{name}: {e}");
        names.push(name);
    }
    assert_eq!(names.len(), 18);
}

#[test]
fn numpy_files_are_read_stored_and_deflated() {
    for name in ["numpy.npz", "numpy_deflated.npz"] {
        let arrays = read_npz(data(name)).unwrap();
        let get = |name: &str| &arrays.iter().find(|(n, _)| n == name).unwrap().1;
        for dtype in DType::ALL {
            assert!(get(dtype.name()).same_bits(&values(dtype)), "{name} {dtype}");
            if dtype != DType::BF16 {
                assert!(get(&format!("big_{dtype}")).same_bits(&values(dtype)), "{name} {dtype}");
                assert!(get(&format!("columns_{dtype}")).same_bits(&values(dtype)), "{name} {dtype}");
            }
        }
        assert_eq!(get("columns3"), &Tensor::from_fn([2, 3, 4], |i| i as i32));
        assert_eq!(get("scalar"), &Tensor::scalar(1.5f32));
        assert_eq!(get("empty").shape(), [0, 3]);
        assert_eq!(arrays.len(), 40);
        assert_eq!(arrays[0].0, "bool");
    }
    let e = read_npz(data("pickle.npz")).unwrap_err().to_string();
    assert!(e.contains("nothing in a file can run code") && e.contains("a.npy"), "{e}");
}

#[test]
fn safetensors_of_python_are_read() {
    let file = read_safetensors(data("python.safetensors")).unwrap();
    for dtype in DType::ALL {
        assert!(file.tensor(dtype.name()).unwrap().same_bits(&values(dtype)), "{dtype}");
    }
    assert_eq!(file.tensor("scalar"), Some(&Tensor::scalar(1.5f32)));
    assert_eq!(file.tensor("empty").unwrap().shape(), [0, 3]);
    assert_eq!(file.metadata["made by"], "Python");
}

fn own_tree() -> Group {
    let mut root = Group::default();
    for dtype in DType::ALL {
        root.add_tensor(&format!("types/{dtype}"), values(dtype)).unwrap();
        let group = root.group_mut("types").unwrap();
        if dtype != DType::BF16 {
            group.attributes.push((dtype.name().into(), Attribute::Numbers(values(dtype))));
        }
    }
    root.add_tensor("scalar", Tensor::scalar(1.5f32)).unwrap();
    root.add_tensor("empty", Tensor::zeros(DType::F32, [0, 3])).unwrap();
    for n in [0, 1, 8, 9, 256, 257, 600] {
        root.group_mut(&format!("many/{n}")).unwrap();
        for i in 0..n {
            root.add_tensor(&format!("many/{n}/{i}"), Tensor::scalar(i)).unwrap();
        }
    }
    let attribute = |name: &str, value| (name.to_owned(), value);
    root.attributes = vec![
        attribute("text", Attribute::Text("ü".into())),
        attribute("nothing", Attribute::Text(String::new())),
        attribute("long", Attribute::Text("x".repeat(70_000))),
        attribute("texts", Attribute::Texts((0..4000).map(|i| format!("layer_{i}")).collect())),
        attribute("none", Attribute::Texts(vec![])),
    ];
    root
}

#[test]
fn python_reads_what_is_written_here() {
    let Ok(python) = std::env::var("RHYTON_PYTHON") else {
        return skipped("RHYTON_PYTHON names no Python with h5py, NumPy and safetensors");
    };
    let folder = std::env::temp_dir().join(format!("rhyton-python-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let tensors: Vec<(&str, Tensor)> = DType::ALL.iter().map(|d| (d.name(), values(*d))).collect();
    let refs: Vec<(&str, &Tensor)> = tensors.iter().map(|(n, t)| (*n, t)).collect();
    rhyton_io::write_npz(folder.join("own.npz"), &refs).unwrap();
    let metadata = [("made by".to_owned(), "Rhyton".to_owned())].into();
    rhyton_io::write_safetensors(folder.join("own.safetensors"), &refs, &metadata).unwrap();
    std::fs::write(folder.join("own.h5"), write_hdf5(&own_tree()).unwrap()).unwrap();
    let keras_files = shared("reference/keras_files");
    if let Some(files) = &keras_files {
        rewrite_keras_files(files, &folder);
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/check.py");
    let keras_files = keras_files.unwrap_or_else(|| "none".into());
    let done = std::process::Command::new(python).arg(script).arg(&folder).arg(&keras_files).status();
    assert!(done.unwrap().success());
    std::fs::remove_dir_all(folder).unwrap();
}

/// Every archive and every legacy file, read and written again.
fn rewrite_keras_files(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let again = |bytes| write_hdf5(&read_hdf5(bytes).unwrap()).unwrap();
        if name.ends_with(".h5") {
            std::fs::write(to.join(&name), again(files::read(&path).unwrap())).unwrap();
        } else if name.ends_with(".keras") {
            let mut archive = rhyton_io::Archive::open(&path).unwrap();
            files::write_atomically(to.join(&name), |out| {
                let mut w = rhyton_io::ArchiveWriter::new(out);
                for member in archive.names().to_vec() {
                    let bytes = archive.read(&member)?;
                    w.add(&member, &if member.ends_with(".h5") { again(bytes) } else { bytes })?;
                }
                w.finish()
            })
            .unwrap();
        }
    }
}
