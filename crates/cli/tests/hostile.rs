//! Files that mean harm, or were damaged: the program answers each with a result or an error that says what is wrong,
//! within seconds and half a gigabyte. No signal, no panic, no hang.

use rhyton::Tensor;
use rhyton::io::ArchiveWriter;
use rhyton::tensor::DType;
use rhyton::tensor::testing::shared;
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Seconds of processor time and kilobytes of address space. Debug builds need several times what release builds do.
const LIMITS: &str = "ulimit -t 10; ulimit -v 700000; exec \"$0\" \"$@\"";

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("rhyton-harm-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    fn write(&self, name: &str, members: &[(&str, &[u8])]) -> PathBuf {
        let mut bytes = std::io::Cursor::new(vec![]);
        let mut w = ArchiveWriter::new(&mut bytes);
        members.iter().for_each(|(n, content)| w.add(n, content).unwrap());
        w.finish().unwrap();
        let path = self.0.join(name);
        std::fs::write(&path, bytes.into_inner()).unwrap();
        path
    }

    /// A `.keras` file of this configuration without weights.
    fn model(&self, config: &Json) -> PathBuf {
        let weights = rhyton::io::write_hdf5(&rhyton::io::Group::default()).unwrap();
        self.write(
            "m.keras",
            &[("config.json", config.to_string().as_bytes()), ("model.weights.h5", &weights)],
        )
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// Exit status and what was written to standard error.
fn run(command: &str, model: &Path, data: &Path) -> (Option<i32>, String) {
    let mut c = Command::new("sh");
    c.args(["-c", LIMITS, env!("CARGO_BIN_EXE_rhyton"), command]).arg(model).env("RHYTON_THREADS", "1");
    if command != "summary" {
        c.arg("--data").arg(data);
    }
    if ["predict", "fit"].contains(&command) {
        c.arg("--out").arg(data.with_extension(if command == "fit" { "out.keras" } else { "out.npz" }));
    }
    let done = c.output().unwrap();
    (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
}

fn tensor(name: &str, output: usize) -> Json {
    json!({ "class_name": "__keras_tensor__", "config": { "keras_history": [name, output, 0] } })
}

/// A layer of a functional model; each call reads a list of (layer, number of its call).
fn layer(class: &str, name: &str, config: Json, calls: &[&[(&str, usize)]]) -> Json {
    let mut config = config;
    config["name"] = name.into();
    let node = |reads: &&[(&str, usize)]| {
        let mut args: Vec<Json> = reads.iter().map(|(n, i)| tensor(n, *i)).collect();
        if args.len() > 1 {
            args = vec![Json::Array(args)];
        }
        json!({ "args": args, "kwargs": {} })
    };
    let calls: Vec<Json> = calls.iter().map(node).collect();
    json!({ "class_name": class, "name": name, "config": config, "inbound_nodes": calls })
}

fn input(shape: Json) -> Json {
    layer("InputLayer", "x", json!({ "batch_shape": shape }), &[])
}

/// A functional model from `x` to call `call` of `output`.
fn functional(layers: Vec<Json>, output: &str, call: usize) -> Json {
    let config = json!({
        "name": "m", "layers": layers, "input_layers": ["x", 0, 0], "output_layers": [output, call, 0]
    });
    json!({ "class_name": "Functional", "config": config })
}

fn sequential(layers: Vec<Json>) -> Json {
    json!({ "class_name": "Sequential", "config": { "name": "m", "layers": layers } })
}

fn name(i: usize) -> String {
    if i == 0 { "x".into() } else { format!("l{i}") }
}

/// `n` layers, each called on the result of the one before, `reads` times over.
fn chain(n: usize, class: &str, config: &Json, shape: Json, reads: usize) -> Vec<Json> {
    let mut layers = vec![input(shape)];
    for i in 1..=n {
        let before = name(i - 1);
        layers.push(layer(class, &name(i), config.clone(), &[&vec![(before.as_str(), 0); reads]]));
    }
    layers
}

/// A model that calls a model twice that calls a model twice ..
fn nested(depth: usize) -> Json {
    let relu = layer("ReLU", "r", json!({}), &[&[("x", 0)]]);
    let mut model = functional(vec![input(json!([null, 4])), relu], "r", 0);
    for _ in 0..depth {
        let mut inner = layer("Functional", "a", model["config"].clone(), &[&[("x", 0)], &[("a", 0)]]);
        inner["config"]["name"] = "a".into();
        model = functional(vec![input(json!([null, 4])), inner], "a", 1);
    }
    model
}

fn compiled(mut model: Json, optimizer: Json, metrics: Json) -> Json {
    model["compile_config"] = json!({ "optimizer": optimizer, "loss": "mse", "metrics": metrics });
    model
}

fn around(class: &str, config: Json) -> Json {
    sequential(vec![
        json!({"class_name": "InputLayer", "config": {"batch_shape": [null, 3, 2], "name": "x"}}),
        json!({ "class_name": class, "config": config }),
    ])
}

/// Fails unless every case ends as it should: `""` stands for success, other words for an error that has them.
fn all(test: &str, data: &[(&str, &Tensor)], cases: Vec<(&str, &str, Json, &str)>) {
    let scratch = Scratch::new(test);
    let path = scratch.0.join("data.npz");
    rhyton::io::write_npz(&path, data).unwrap();
    let mut wrong = vec![];
    for (what, command, config, expected) in cases {
        let (code, text) = run(command, &scratch.model(&config), &path);
        let right =
            if expected.is_empty() { code == Some(0) } else { code == Some(1) && text.contains(expected) };
        if !right {
            let start: String = text.chars().take(600).collect();
            wrong.push(format!("{what}, {command}: {code:?} {start}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn vectors() -> (Tensor, Tensor) {
    (Tensor::zeros(DType::F32, [3, 4]), Tensor::zeros(DType::F32, [3, 4]))
}

#[test]
fn what_grows_without_end() {
    let (x, y) = vectors();
    let four = || json!([null, 4]);
    let twice = |n, class| functional(chain(n, class, &json!({ "axis": -1 }), four(), 2), &name(n), 0);
    let mut pooled = chain(40, "Add", &json!({}), four(), 2);
    pooled.push(layer("Sum", "s", json!({ "axis": 1 }), &[&[("l40", 0)]]));
    pooled[41]["module"] = "keras.src.ops.numpy".into();
    let calls = |n: usize| {
        let mut reads = vec![("x".to_string(), 0)];
        reads.extend((1..n).map(|i| ("a".to_string(), i - 1)));
        reads
    };
    let many = calls(300);
    let many: Vec<[(&str, usize); 1]> = many.iter().map(|(n, i)| [(n.as_str(), *i)]).collect();
    let many: Vec<&[(&str, usize)]> = many.iter().map(|c| &c[..]).collect();
    let inner = functional(chain(300, "ReLU", &json!({}), four(), 1), "l300", 0);
    let often =
        functional(vec![input(four()), layer("Functional", "a", inner["config"].clone(), &many)], "a", 299);
    let too_many = "calls of layers";
    all(
        "growth",
        &[("x0", &x), ("y0", &y)],
        vec![
            ("a model called twice inside of a model called twice", "summary", nested(24), too_many),
            ("the same, deeper", "predict", nested(38), too_many),
            ("a model of 300 layers called 300 times", "summary", often, too_many),
            ("a value joined with itself", "predict", twice(8, "Concatenate"), ""),
            ("a value added to itself", "predict", twice(40, "Add"), ""),
            ("a value added to itself, then summed", "predict", functional(pooled, "s", 0), ""),
        ],
    );
}

#[test]
fn long_lists_of_layers() {
    let (x, y) = vectors();
    let long = |n, class: &str| chain(n, class, &json!({}), json!([null, 4]), 1);
    let mut reversed = long(8000, "ReLU");
    reversed.reverse();
    let fan = |n: usize, class: &str| {
        let mut layers = vec![input(json!([null, 4]))];
        layers.extend((1..=n).map(|i| layer("ReLU", &name(i), json!({}), &[&[("x", 0)]])));
        let names: Vec<String> = (1..=n).map(name).collect();
        let reads: Vec<(&str, usize)> = names.iter().map(|n| (n.as_str(), 0)).collect();
        layers.push(layer(class, "s", json!({ "axis": -1 }), &[&reads]));
        functional(layers, "s", 0)
    };
    let nameless = |n: usize| {
        let relu = json!({ "class_name": "ReLU", "config": {} });
        let first = json!({"class_name": "InputLayer", "config": {"batch_shape": [null, 4], "name": "x"}});
        sequential(std::iter::once(first).chain(std::iter::repeat_n(relu, n)).collect())
    };
    all(
        "long",
        &[("x0", &x), ("y0", &y)],
        vec![
            ("a list of layers from the end", "summary", functional(reversed, "l8000", 0), ""),
            ("60,000 layers", "summary", nameless(60_000), "calls of layers"),
            ("10,000 layers", "summary", nameless(10_000), ""),
            ("4,000 layers", "predict", functional(long(4000, "ReLU"), "l4000", 0), ""),
            ("4,000 branches added", "predict", fan(4000, "Add"), ""),
            ("4,000 branches joined", "predict", fan(4000, "Concatenate"), ""),
        ],
    );
}

#[test]
fn configurations_that_do_not_fit() {
    let x = Tensor::zeros(DType::F32, [3, 3, 2]);
    let dense = || json!({ "class_name": "Dense", "config": { "units": 2 } });
    let lstm =
        |sequences| json!({ "class_name": "LSTM", "config": { "units": 2, "return_sequences": sequences } });
    let both =
        |layer: Json, back: Json| around("Bidirectional", json!({ "layer": layer, "backward_layer": back }));
    let one = |layers: Vec<Json>, output: &str| functional(layers, output, 0);
    let relu = |name: &str, reads: &[(&str, usize)]| layer("ReLU", name, json!({}), &[reads]);
    let shape = || input(json!([null, 3, 2]));
    let circle =
        vec![shape(), layer("Add", "a", json!({}), &[&[("x", 0), ("b", 0)]]), relu("b", &[("a", 0)])];
    let optimizer = || json!({ "class_name": "Adam", "config": {} });
    let muon = json!({ "class_name": "Muon", "config": { "ns_steps": i32::MAX } });
    let auc = json!([{ "class_name": "AUC", "config": { "num_thresholds": i32::MAX } }]);
    let iou = json!([{ "class_name": "MeanIoU", "config": { "num_classes": i32::MAX } }]);
    let plain = || one(vec![shape(), relu("r", &[("x", 0)])], "r");
    let junk = sequential(vec![json!({"class_name": "ReLU", "config": {"junk": vec![1; 3_000_000]}})]);
    all(
        "config",
        &[("x0", &x), ("y0", &x)],
        vec![
            ("Dense and LSTM both ways", "summary", both(dense(), lstm(false)), "cannot run Dense both ways"),
            ("LSTM and Dense both ways", "summary", both(lstm(false), dense()), "cannot run Dense both ways"),
            ("sequences one way", "summary", both(lstm(true), lstm(false)), "returns sequences"),
            (
                "a wrapper around nothing",
                "summary",
                around("TimeDistributed", json!({})),
                "a wrapper without a layer",
            ),
            ("a circle", "summary", one(circle, "b"), "without a circle"),
            (
                "no such call",
                "summary",
                one(vec![shape(), relu("r", &[("x", 1 << 31)])], "r"),
                "the configuration says",
            ),
            (
                "a slash in a name",
                "summary",
                one(vec![shape(), relu("a/b", &[("x", 0)])], "a/b"),
                "cannot be called",
            ),
            (
                "a zero byte in a name",
                "summary",
                one(vec![shape(), relu("a\0", &[("x", 0)])], "a\0"),
                "cannot be called",
            ),
            (
                "an input that is none",
                "summary",
                json!({"class_name": "Functional", "config": {
                "layers": [shape(), relu("r", &[("x", 0)]), relu("s", &[("r", 0)])],
                "input_layers": ["r", 0, 0], "output_layers": ["s", 0, 0]}}),
                "no input",
            ),
            (
                "a configuration that is text",
                "summary",
                json!({"class_name": "Functional", "config": "m"}),
                "no layers",
            ),
            ("too many values", "summary", junk, "config.json holds"),
            ("2^31 steps in one", "evaluate", compiled(plain(), muon, json!([])), "ns_steps"),
            ("2^31 classes", "evaluate", compiled(plain(), optimizer(), iou), "num_classes"),
            (
                "4,000 metrics",
                "evaluate",
                compiled(plain(), optimizer(), json!(vec!["mae"; 4000])),
                "4000 metrics",
            ),
            ("50 metrics", "evaluate", compiled(plain(), optimizer(), json!(vec!["mae"; 50])), ""),
            ("2^31 thresholds", "evaluate", compiled(plain(), optimizer(), auc), "num_thresholds"),
        ],
    );
}

#[test]
fn data_that_claims_more_than_it_holds() {
    let scratch = Scratch::new("data");
    let relu = |shape: Json| functional(chain(1, "ReLU", &json!({}), shape, 1), "l1", 0);
    let model = scratch.model(&relu(json!([null, null])));
    let empty = npy("(1099511627776, 0)", &[]);
    let data = scratch.write("data.npz", &[("x0.npy", &empty)]);
    let (code, text) = run("predict", &model, &data);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("the samples hold no values: the data has the shape [1099511627776, 0]"), "{text}");
    let one = npy("(1, 1)", &[0; 4]);
    let names: Vec<String> = (0..40_000).map(|i| format!("x{i}.npy")).collect();
    let members: Vec<(&str, &[u8])> = names.iter().map(|n| (n.as_str(), &one[..])).collect();
    let (code, text) = run("predict", &model, &scratch.write("data.npz", &members));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("the model takes 1 inputs, got 40000"), "{text}");
}

fn npy(shape: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n");
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend((header.len() as u16).to_le_bytes());
    out.extend(header.as_bytes());
    out.extend(data);
    out
}

/// The collection beside the repository, where it is there: every model with every command.
#[test]
fn the_collected_files_do_no_harm() {
    let Some(folder) = shared("cases/hostile") else { return };
    let entries = std::fs::read_dir(&folder).unwrap();
    let scratch = Scratch::new("collected");
    let mut wrong = vec![];
    let is_model = |p: &PathBuf| p.extension().is_some_and(|e| e == "keras");
    for model in entries.map(|e| e.unwrap().path()).filter(is_model) {
        let own = model.with_extension("npz");
        let source = if own.exists() { own } else { folder.join("x.npz") };
        let data = scratch.0.join("data.npz");
        std::fs::write(&data, std::fs::read(source).unwrap()).unwrap();
        for command in ["summary", "predict", "evaluate", "fit"] {
            let (code, text) = run(command, &model, &data);
            if !matches!(code, Some(0 | 1)) || text.contains("panicked") {
                wrong.push(format!("{} {command}: {code:?} {text}", model.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
