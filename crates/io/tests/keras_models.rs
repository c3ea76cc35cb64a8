//! Models that Keras saved: read, written again, compared with what Keras wrote. Without the files there is nothing to
//! compare.

use rhyton_io::{Archive, Attribute, Group, load_keras, read_hdf5, save_keras};
use rhyton_tensor::testing::shared;
use serde_json::Value as Json;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

fn keras_files() -> Vec<PathBuf> {
    let mut pending: Vec<PathBuf> =
        ["reference/keras_files", "conformance"].into_iter().filter_map(shared).collect();
    let mut found = vec![];
    while let Some(folder) = pending.pop() {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        for path in entries.map(|e| e.unwrap().path()) {
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|e| e == "keras") {
                found.push(path);
            }
        }
    }
    // Weights of types that Rhyton computes in float32, and inputs by name that it keeps in order.
    found.retain(|p| !p.ends_with("bf16.keras") && !p.ends_with("nested.keras"));
    // Of the rest of the catalogue, what has to pass.
    let required: HashSet<&str> = include_str!("../../cli/tests/conformance_required.txt").lines().collect();
    found.retain(|p| match p.to_string_lossy().split_once("conformance/catalogue/") {
        Some((_, case)) => case
            .rsplit_once('/')
            .is_some_and(|(case, _)| required.contains(format!("catalogue/{case}").as_str())),
        None => true,
    });
    found.sort();
    found
}

fn parts(path: &Path) -> (Json, Group) {
    let mut a = Archive::open(path).unwrap();
    let config = serde_json::from_slice(&a.read("config.json").unwrap()).unwrap();
    (config, read_hdf5(a.read("model.weights.h5").unwrap()).unwrap())
}

/// What Rhyton leaves out or Keras writes by chance: identities of Python objects, what a layer was built with,
/// arguments that are not given, and whether one tensor is a list.
fn plain(value: &mut Json) {
    match value {
        Json::Object(map) => {
            for key in ["shared_object_id", "build_config", "compile_config"] {
                map.remove(key);
            }
            if let Some(Json::Object(arguments)) = map.get_mut("kwargs") {
                arguments.retain(|k, v| !v.is_null() && k != "training");
            }
            map.values_mut().for_each(plain);
        }
        Json::Array(items) => {
            items.iter_mut().for_each(plain);
            if let [one] = items.as_slice()
                && one["class_name"] == "__keras_tensor__"
            {
                *value = one.clone();
            }
        }
        _ => {}
    }
}

/// Where two configurations first differ; numbers are compared by value.
fn difference(a: &Json, b: &Json, at: &str) -> Option<String> {
    match (a, b) {
        (Json::Object(x), Json::Object(y)) => {
            let extra = y.keys().find(|k| !x.contains_key(*k)).map(|k| format!("{at}/{k} is new"));
            x.iter()
                .find_map(|(k, v)| match y.get(k) {
                    Some(w) => difference(v, w, &format!("{at}/{k}")),
                    None => Some(format!("{at}/{k} is gone")),
                })
                .or(extra)
        }
        (Json::Array(x), Json::Array(y)) if x.len() == y.len() => {
            x.iter().zip(y).enumerate().find_map(|(i, (v, w))| difference(v, w, &format!("{at}/{i}")))
        }
        (Json::Number(x), Json::Number(y)) if x.as_f64() == y.as_f64() => None,
        _ if a == b => None,
        _ => Some(format!("{at}: {a} became {b}")),
    }
}

/// In the order of names; parts of layers have numbers in their names that count over a whole Python session.
fn sorted(group: &Group) -> Group {
    let mut g = group.clone();
    for (_, a) in &mut g.attributes {
        if let Attribute::Text(name) = a {
            *name = name.trim_end_matches(|c: char| c == '_' || c.is_ascii_digit()).to_string();
        }
    }
    g.groups = g.groups.iter().map(|(n, inner)| (n.clone(), sorted(inner))).collect();
    g.groups.sort_by(|a, b| a.0.cmp(&b.0));
    g.datasets.sort_by(|a, b| a.0.cmp(&b.0));
    g
}

/// Beginnings of errors about what this release does not do.
const BEYOND: [&str; 2] = ["there is no ", "the file holds a 'Sub'"];

/// `None` when the file uses something that this release does not know.
fn check(path: &Path, out: &Path) -> Result<Option<()>, String> {
    let model = match load_keras(path) {
        Ok(m) => m,
        Err(e) if BEYOND.iter().any(|b| e.to_string().starts_with(b)) => return Ok(None),
        Err(e) => return Err(e.to_string()),
    };
    save_keras(model.model(), out).map_err(|e| e.to_string())?;
    let ((mut config, mut tree), (mut again, tree_again)) = (parts(path), parts(out));
    tree.groups.retain(|(n, _)| n != "optimizer");
    plain(&mut config);
    plain(&mut again);
    if let Some(d) = difference(&config, &again, "") {
        return Err(d);
    }
    match sorted(&tree) == sorted(&tree_again) {
        true => Ok(Some(())),
        false => Err(format!("{:?}\nbecame\n{:?}", places(&tree), places(&tree_again))),
    }
}

fn places(tree: &Group) -> Vec<String> {
    let all = tree.all_datasets().into_iter();
    let mut list: Vec<String> = all.map(|(p, d)| format!("{p} {:?}", d.tensor.shape())).collect();
    list.sort();
    list
}

#[test]
fn a_model_of_keras_is_written_as_keras_wrote_it() {
    let out = std::env::temp_dir().join(format!("rhyton-again-{}.keras", std::process::id()));
    let (mut same, mut unknown, mut failures) = (0, vec![], vec![]);
    for path in keras_files() {
        let name = path.display().to_string();
        match check(&path, &out) {
            Ok(Some(())) => same += 1,
            Ok(None) => unknown.push(name),
            Err(e) => failures.push(format!("{name}: {e}")),
        }
    }
    std::fs::remove_file(out).ok();
    eprintln!("{same} files are the same, {} use unknown layers", unknown.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
