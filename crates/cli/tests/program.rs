//! The commands as a user types them.

use rhyton::prelude::*;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("rhyton-program-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn rhyton(folder: &Path, line: &str) -> Output {
    let run = Command::new(env!("CARGO_BIN_EXE_rhyton"))
        .current_dir(folder)
        .args(line.split(' '))
        .output()
        .unwrap();
    assert!(run.status.success(), "{line}: {}", String::from_utf8_lossy(&run.stderr));
    run
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_model_is_trained_judged_and_used() {
    let dir = folder("whole");
    let model = Sequential::new([2]).add(Dense::new(8).tanh()).add(Dense::new(1)).build().unwrap();
    model.compile(Compile::new("adam", "mse").metrics(["mae"])).unwrap().save(dir.join("m.keras")).unwrap();
    let x = Tensor::from_fn([64, 2], |i| (i as f32 * 0.37).sin());
    let y = Tensor::from_fn([64, 1], |i| (i as f32 * 0.74).sin());
    let w = Tensor::full([64], 1.0f32);
    rhyton::io::write_npz(dir.join("d.npz"), &[("x0", &x), ("y0", &y), ("sw0", &w)]).unwrap();

    let before: serde_json::Value =
        serde_json::from_slice(&rhyton(&dir, "evaluate m.keras --data d.npz --batch-size 16 --json").stdout)
            .unwrap();
    let fit = "fit m.keras --data d.npz --epochs 20 --out t.keras --history h.json --validation-data d.npz";
    let lines = text(&rhyton(&dir, fit).stdout);
    assert!(lines.starts_with("Epoch 1/20\n2/2 - 0s - "), "{lines}");
    let history: serde_json::Value =
        serde_json::from_slice(&std::fs::read(dir.join("h.json")).unwrap()).unwrap();
    let names: Vec<&String> = history.as_object().unwrap().keys().collect();
    assert_eq!(names, ["loss", "mae", "val_loss", "val_mae"]);
    assert_eq!(history["loss"].as_array().unwrap().len(), 20);
    let after = text(&rhyton(&dir, "evaluate t.keras --data d.npz").stdout);
    let loss: f64 = after.strip_prefix("loss: ").unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(loss < before["loss"].as_f64().unwrap(), "{before} then {after}");

    rhyton(&dir, "predict t.keras --data d.npz --out p.npz");
    let predictions = rhyton::io::read_npz(dir.join("p.npz")).unwrap();
    assert_eq!(
        (predictions.len(), predictions[0].0.as_str(), predictions[0].1.shape()),
        (1, "p0", &[64, 1][..])
    );
    let summary = text(&rhyton(&dir, "summary t.keras").stdout);
    assert!(summary.contains("dense_1") && summary.contains("33"), "{summary}");
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn what_is_surely_a_mistake_is_said_on_standard_error() {
    let dir = folder("warnings");
    let model = Sequential::new([2]).add(Dense::new(1).sigmoid().name("end")).build().unwrap();
    let arguments = Compile::new(Adam::new(1e-3).beta_1(-0.5), "binary_crossentropy");
    model.compile(arguments).unwrap().save(dir.join("m.keras")).unwrap();
    let (x, y) = (Tensor::full([6, 2], 1.0f32), Tensor::from_fn([6], |i| i as i64 % 3));
    rhyton::io::write_npz(dir.join("d.npz"), &[("x0", &x), ("y0", &y)]).unwrap();
    let run = rhyton(
        &dir,
        r#"fit m.keras --data d.npz --epochs 2 --out t.keras --verbose 0 --class-weight {"0":1,"9":2}"#,
    );
    assert!(run.stdout.is_empty());
    assert_eq!(
        text(&run.stderr),
        "warning: the targets of 'end' go up to 2, but its one unit decides between 0 and 1: for 3 classes give it 3 \
         units with softmax, and the loss sparse_categorical_crossentropy\n\
         warning: class_weight has a weight for the class 9, which does not occur in the targets\n\
         warning: Adam got beta_1=-0.5: a running average decays by at least 0 and less than 1\n"
    );
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn the_demo_trains_saves_and_draws() {
    let dir = folder("demo");
    let said = text(&rhyton(&dir, "demo --quick --verbose 0").stdout);
    for part in ["1/3", "2/3", "3/3", "of 360 held-out digits", "forecasting the last value: 42.3"] {
        assert!(said.contains(part), "{said}");
    }
    for name in ["dense", "convolutional", "recurrent"] {
        Compiled::load(dir.join(format!("rhyton-demo/{name}.keras"))).unwrap();
    }
    assert!(std::fs::read(dir.join("rhyton-demo/learning_curves.png")).unwrap().starts_with(b"\x89PNG"));
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn listings_name_every_kind() {
    let dir = folder("list");
    let all = text(&rhyton(&dir, "list").stdout);
    for part in [
        "Conv2D ",
        "relu",
        "mse",
        "SparseCategoricalCrossentropy",
        "Adam ",
        "GlorotUniform",
        "L2 ",
        "MaxNorm ",
        "CosineDecay ",
        "Einsum",
    ] {
        assert!(all.contains(part), "{part} in {all}");
    }
    let losses = text(&rhyton(&dir, "list loss").stdout);
    assert!(losses.contains("Huber") && !losses.contains("Conv2D"));
    let functions = text(&rhyton(&dir, "list functions").stdout);
    assert!(
        functions.contains("(z, hU, c; activation, recurrent_activation -> h, c) one step of an LSTM"),
        "{functions}"
    );
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn hints_name_commands_that_exist() {
    let dir = folder("hints");
    for what in rhyton::KINDS.iter().map(|kind| kind.what) {
        let hint = rhyton::nn::registry::unknown(what, "?", std::iter::empty()).to_string();
        let command = hint.split('`').nth(1).and_then(|c| c.strip_prefix("rhyton ")).unwrap().to_string();
        let listing = text(&rhyton(&dir, &command).stdout);
        assert!(listing.starts_with(what), "{command}: {listing}");
    }
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rhyton"))
        .arg("list")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let run = child.wait_with_output().unwrap();
    assert!(run.stderr.is_empty(), "{}", text(&run.stderr));
    assert!(run.status.success());
}

#[test]
fn bench_prints_every_figure() {
    let dir = folder("bench");
    let lines = text(&rhyton(&dir, "bench mlp --json --repeats 1").stdout);
    let line: serde_json::Value = serde_json::from_str(&lines).unwrap();
    assert_eq!(line["workload"], "mlp");
    let positive = ["ms_per_step", "min", "predict1_ms", "gflops", "fraction_of_peak"];
    for name in positive {
        assert!(line[name].as_f64().is_some_and(|x| x > 0.0), "{name}: {line}");
    }
    let (resident, peak) = (line["resident_mib"].as_f64().unwrap(), line["peak_mib"].as_f64().unwrap());
    assert!(peak >= resident, "{line}");
    assert_eq!(line["allocations_per_step"], 0.0, "{line}");
    std::fs::remove_dir_all(dir).unwrap();
}
