//! `rhyton explain`, `attack`, `certify` and `report`, as people call them. The cases are Captum's and torchattacks's
//! (`conformance/README.md`, folder `explain`); where they are not, a small network of our own is explained.

use rhyton::prelude::*;
use rhyton::tensor::testing::shared;
use rhyton::{Tensor, io};
use serde_json::Value as Json;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn rhyton(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rhyton")).args(arguments).output().unwrap()
}

fn works(arguments: &[&str]) -> String {
    let run = rhyton(arguments);
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(run.status.success(), "{arguments:?}: {said}");
    said
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("rhyton-trust-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn json(path: &Path) -> Json {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn array(path: &Path, name: &str) -> Tensor {
    io::read_npz(path).unwrap().into_iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("no {name}")).1
}

/// How many elements are off, and the first of them.
fn off(got: &Tensor, wanted: &Tensor, case: &Json) -> Option<(usize, f64, f64)> {
    assert_eq!(got.shape(), wanted.shape());
    let (rtol, atol) = (case["rtol"].as_f64().unwrap(), case["atol"].as_f64().unwrap());
    let far = |(a, b): &(f64, f64)| (a - b).abs() > atol + rtol * b.abs() || a.is_nan();
    let pairs: Vec<(f64, f64)> =
        got.to_vec::<f64>().into_iter().zip(wanted.to_vec::<f64>()).filter(far).collect();
    pairs.first().map(|(a, b)| (pairs.len(), *a, *b))
}

/// The size of each sample's change: what of DeepFool can be compared.
fn sizes(x: &Tensor, moved: &Tensor) -> Vec<f64> {
    let (x, moved, n) = (x.to_vec::<f64>(), moved.to_vec::<f64>(), x.shape()[0]);
    let each = |(a, b): (&[f64], &[f64])| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
    x.chunks(x.len() / n).zip(moved.chunks(x.len() / n)).map(each).collect()
}

#[test]
fn the_cases_of_captum_and_torchattacks_pass() {
    let Some(root) = shared("conformance/explain") else { return };
    let out = folder("cases");
    let mut wrong = vec![];
    for model in ["mlp", "cnn", "lstm", "attention", "shared"] {
        let at = |name: &str| root.join(model).join(name);
        let path = |name: &str| at(name).display().to_string();
        let made = out.join("made.npz");
        let target = made.display().to_string();
        for (kind, more) in [("explain", ["--target", "y0"]), ("attack", ["--bounds", "0,1"])] {
            let case = json(&at(&format!("{kind}.json")));
            for (method, settings) in case["methods"].as_object().unwrap() {
                let settings = settings.to_string();
                let (model_file, data) = (path("model.keras"), path("data.npz"));
                let call = [
                    kind,
                    &model_file,
                    "--method",
                    method,
                    "--args",
                    &settings,
                    "--data",
                    &data,
                    "--out",
                    &target,
                ];
                works(&[&call[..], &more].concat());
                let (got, wanted) = (array(&made, method), array(&at(&format!("{kind}.npz")), method));
                let off = if method == "deepfool" {
                    let x = array(&at("data.npz"), "x0");
                    let near = |(a, b): (f64, f64)| (a - b).abs() <= 0.05 * b + 1e-6;
                    let all = sizes(&x, &got).into_iter().zip(sizes(&x, &wanted)).all(near);
                    (!all).then_some((1, 0.0, 0.0))
                } else {
                    off(&got, &wanted, &case)
                };
                // A constant baseline makes ties in max pooling, which rounding decided: one window of 24 inputs.
                let ties = if (model, method.as_str()) == ("cnn", "deep_lift") { 24 } else { 0 };
                wrong.extend(off.filter(|o| o.0 > ties).map(|o| format!("{model} {method}: {o:?}")));
            }
        }
        let Ok(text) = std::fs::read_to_string(at("bounds.json")) else { continue };
        let case: Json = serde_json::from_str(&text).unwrap();
        for method in case["methods"].as_array().unwrap().iter().filter_map(Json::as_str) {
            let (model_file, data, eps) = (path("model.keras"), path("data.npz"), case["eps"].to_string());
            works(&[
                "certify",
                &model_file,
                "--method",
                method,
                "--eps",
                &eps,
                "--data",
                &data,
                "--out",
                &target,
            ]);
            for side in ["lower", "upper"] {
                let name = format!("{method}_{side}");
                let off = off(&array(&made, &name), &array(&at("bounds.npz"), &name), &case);
                wrong.extend(off.map(|o| format!("{model} {name}: {o:?}")));
            }
        }
    }
    std::fs::remove_dir_all(out).ok();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A small network that reads digits a little, and digits.
fn small(folder: &Path) -> (String, String) {
    let ((x, y), (x_test, y_test)) = rhyton::data::datasets::digits_28x28().unwrap();
    let network = Sequential::new([28, 28, 1]).add(Conv2D::new(4, 5).strides(3).relu()).add(Flatten::new());
    let model = network.add(Dense::new(10).softmax()).build().unwrap();
    let compile = Compile::new(Adam::new(3e-3), "sparse_categorical_crossentropy");
    let mut model = model.compile(compile).unwrap();
    model.fit((&x, &y), Fit::epochs(2).seed(0).verbose(rhyton::train::Verbose::Silent)).unwrap();
    let (file, data) = (folder.join("small.keras"), folder.join("digits.npz"));
    model.save(&file).unwrap();
    let cut = |t: &Tensor| t.slice_rows(0..40).unwrap();
    io::write_npz(&data, &[("x0", &cut(&x_test)), ("y0", &cut(&y_test))]).unwrap();
    (file.display().to_string(), data.display().to_string())
}

#[test]
fn a_report_is_one_page_that_needs_nothing() {
    let out = folder("report");
    let (model, data) = small(&out);
    let html = out.join("report.html").display().to_string();
    works(&["report", &model, "--data", &data, "--html", &html, "--samples", "16"]);
    let page = std::fs::read_to_string(&html).unwrap();
    for part in [
        "Quality",
        "mixes up",
        "worst mistakes",
        "Why it answers so",
        "completeness",
        "Under attack",
        "What is certain",
        "confidence",
    ] {
        assert!(page.contains(part), "{part} is missing");
    }
    assert!(!page.contains("Not available"), "{}", &page[page.find("Not available").unwrap()..][..300]);
    assert!(!page.contains("http") && !page.contains("<script"), "the page needs something from elsewhere");

    let (why, picture) =
        (out.join("why.npz").display().to_string(), out.join("why.png").display().to_string());
    let said =
        works(&["explain", &model, "--data", &data, "--target", "y0", "--out", &why, "--picture", &picture]);
    assert!(said.contains("completeness"), "{said}");
    assert_eq!(array(Path::new(&why), "integrated_gradients").shape(), [40, 28, 28, 1]);
    assert!(std::fs::read(&picture).unwrap().starts_with(b"\x89PNG"));
    std::fs::remove_dir_all(out).ok();
}

#[test]
fn mistakes_are_said_and_leave_nothing_behind() {
    let out = folder("mistakes");
    let (model, data) = small(&out);
    let made = out.join("made.npz");
    let target = made.display().to_string();
    let rest = ["--data", &data, "--out", &target];
    let cases: [(&[&str], &str); 6] = [
        (&["explain", &model, "--method", "integrated_gradient"], "did you mean 'IntegratedGradients'"),
        (&["explain", &model, "--args", "{\"stepz\": 3}"], "there is no setting 'stepz'"),
        (&["explain", &model, "--target", "labels"], "the data has no array 'labels'"),
        (&["explain", &model, "--method", "grad_cam", "--args", "{\"layer\": \"conv\"}"], "no layer 'conv'"),
        (&["attack", &model, "--method", "fgsn"], "did you mean 'Fgsm'"),
        (&["certify", &model, "--eps", "-1"], "eps"),
    ];
    for (call, wanted) in cases {
        let run = rhyton(&[call, &rest].concat());
        let said = String::from_utf8_lossy(&run.stderr);
        assert!(!run.status.success() && said.contains(wanted), "{call:?}: {said}");
        assert!(!made.exists(), "{call:?}");
    }
    std::fs::remove_dir_all(out).ok();
}

/// The words of a command line with single quotes.
fn words(line: &str) -> Vec<String> {
    let outside = |(i, part): (usize, &str)| -> Vec<String> {
        match i % 2 {
            0 => part.split_whitespace().map(String::from).collect(),
            _ => vec![part.into()],
        }
    };
    line.split('\'').enumerate().flat_map(outside).collect()
}

#[test]
fn the_commands_of_the_guide_run() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/trust.md");
    let text = std::fs::read_to_string(guide).unwrap().replace("\\\n", " ");
    let commands: Vec<&str> = text.lines().filter(|l| l.starts_with("rhyton ")).collect();
    assert!(commands.len() >= 4, "{commands:?}");
    let out = folder("guide");
    let (model, data) = small(&out);
    std::fs::create_dir_all(out.join("rhyton-demo")).unwrap();
    std::fs::rename(model, out.join("rhyton-demo/convolutional.keras")).unwrap();
    std::fs::rename(data, out.join("rhyton-demo/digits.npz")).unwrap();
    for command in commands {
        let run = Command::new(env!("CARGO_BIN_EXE_rhyton"))
            .args(&words(command)[1..])
            .current_dir(&out)
            .output()
            .unwrap();
        assert!(run.status.success(), "{command}: {}", String::from_utf8_lossy(&run.stderr));
    }
    for made in ["report.html", "why.npz", "why.png", "adversarial.npz", "bounds.npz"] {
        assert!(out.join(made).exists(), "{made}");
    }
    std::fs::remove_dir_all(out).ok();
}
