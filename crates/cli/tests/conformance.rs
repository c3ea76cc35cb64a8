//! Keras's cases through the command line, which is their contract (`conformance/README.md` says what a folder
//! holds). `RHYTON_CONFORMANCE` names the folder of cases, otherwise it is `../shared/conformance` beside the
//! repository; without it there is nothing to do. `RHYTON_CASES=layers/` runs the cases whose names hold that text.

use rhyton::model::Model;
use rhyton::tensor::testing::shared;
use rhyton::{Tensor, io};
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

type Outcome = Result<(), String>;

struct Case {
    name: String,
    folder: PathBuf,
    json: Json,
    out: PathBuf,
}

impl Case {
    fn open(root: &Path, folder: &Path) -> Case {
        let name = folder.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
        let json = parse(&std::fs::read_to_string(folder.join("case.json")).unwrap()).unwrap();
        let out = std::env::temp_dir().join(format!("rhyton-case-{}", std::process::id())).join(&name);
        std::fs::create_dir_all(&out).unwrap();
        Case { name, folder: folder.to_path_buf(), json, out }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn rhyton(&self, command: &str, model: &Path, more: &[String]) -> Result<String, String> {
        let run = Command::new(env!("CARGO_BIN_EXE_rhyton"))
            .arg(command)
            .arg(model)
            .arg("--data")
            .arg(self.file("data.npz"))
            .args(more)
            .output()
            .unwrap();
        match run.status.success() {
            true => Ok(String::from_utf8(run.stdout).unwrap()),
            false => Err(format!("{command}: {}", String::from_utf8_lossy(&run.stderr))),
        }
    }

    fn close(&self, what: &str, got: &[f64], wanted: &[f64]) -> Outcome {
        let (rtol, atol) = (self.json["rtol"].as_f64().unwrap(), self.json["atol"].as_f64().unwrap());
        if got.len() != wanted.len() {
            return Err(format!("{what}: {} values instead of {}", got.len(), wanted.len()));
        }
        let far = |(a, b): (&f64, &f64)| match a.is_nan() || b.is_nan() {
            true => !(a.is_nan() && b.is_nan()),
            false => a != b && (a - b).abs() > atol + rtol * b.abs(),
        };
        let Some(i) = got.iter().zip(wanted).position(far) else { return Ok(()) };
        let count = got.iter().zip(wanted).filter(|p| far(*p)).count();
        Err(format!("{what}: {count} of {} differ, at {i} {} instead of {}", got.len(), got[i], wanted[i]))
    }

    fn same_tensor(&self, what: &str, got: Option<&Tensor>, wanted: &Tensor) -> Outcome {
        let got = got.ok_or_else(|| format!("{what} is missing"))?;
        if got.shape() != wanted.shape() {
            return Err(format!("{what}: shape {:?} instead of {:?}", got.shape(), wanted.shape()));
        }
        self.close(what, &got.to_vec::<f64>(), &wanted.to_vec::<f64>())
    }

    /// The outputs of `model` are the arrays `prefix0`, `prefix1`, .. of the expectation.
    fn predicts(&self, model: &Path, prefix: &str) -> Outcome {
        let out = self.out.join("pred.npz");
        self.rhyton("predict", model, &["--out".into(), out.display().to_string()])?;
        let made = io::read_npz(&out).map_err(|e| e.to_string())?;
        for (name, wanted) in io::read_npz(self.file("expected.npz")).map_err(|e| e.to_string())? {
            if let Some(i) = name.strip_prefix(prefix) {
                let got = made.iter().find(|(n, _)| *n == format!("p{i}"));
                self.same_tensor(&format!("{name} of {}", model.display()), got.map(|(_, t)| t), &wanted)?;
            }
        }
        Ok(())
    }

    fn evaluates(&self) -> Outcome {
        let Some(evaluate) = self.json.get("evaluate") else { return Ok(()) };
        let size = evaluate["batch_size"].to_string();
        let text = self.rhyton(
            "evaluate",
            &self.file("model.keras"),
            &["--batch-size".into(), size, "--json".into()],
        )?;
        let got = parse(&text).map_err(|e| format!("evaluate printed {text}: {e}"))?;
        for (name, wanted) in evaluate["result"].as_object().unwrap() {
            let got = got.get(name).ok_or_else(|| format!("evaluate has no {name}: {text}"))?;
            self.close(&format!("evaluate {name}"), &[number(got)], &[number(wanted)])?;
        }
        Ok(())
    }

    fn fits(&self) -> Outcome {
        let Some(fit) = self.json.get("fit") else { return Ok(()) };
        let (trained, history) = (self.out.join("trained.keras"), self.out.join("history.json"));
        let mut arguments = vec!["--seed".into(), "0".into()];
        for (key, value) in fit.as_object().unwrap() {
            match (key.as_str(), value) {
                ("shuffle", Json::Bool(false)) => arguments.push("--no-shuffle".into()),
                ("shuffle", _) => return Err("a shuffled case cannot be compared".into()),
                (key, value) => {
                    arguments.extend([format!("--{}", key.replace('_', "-")), value.to_string()]);
                }
            }
        }
        arguments.extend(["--out".into(), trained.display().to_string()]);
        arguments.extend(["--history".into(), history.display().to_string()]);
        self.rhyton("fit", &self.file("model.keras"), &arguments)?;
        self.arrangement_is_kept(&trained)?;
        self.weights_are_those_expected(&trained)?;
        self.history_is_that_expected(&history)?;
        self.predicts(&trained, "q")
    }

    fn weights_are_those_expected(&self, model: &Path) -> Outcome {
        let model = io::load_keras(model).map_err(|e| e.to_string())?.into_model();
        let expected = io::read_npz(self.file("expected.npz")).map_err(|e| e.to_string())?;
        for (i, path) in self.json["weights"].as_array().unwrap().iter().enumerate() {
            let path = path.as_str().unwrap();
            let Some((_, wanted)) = expected.iter().find(|(n, _)| *n == format!("w{i}")) else { continue };
            // Seed generators have variables in Keras that no file holds.
            if path.ends_with("seed_generator_state") {
                continue;
            }
            self.same_tensor(&format!("weight {path}"), weight(&model, path), wanted)?;
        }
        Ok(())
    }

    /// Lists and dictionaries of inputs and outputs are saved as they came.
    fn arrangement_is_kept(&self, made: &Path) -> Outcome {
        let config = |path: &Path| -> Json {
            let bytes = io::Archive::open(path).unwrap().read("config.json").unwrap();
            serde_json::from_slice(&bytes).unwrap()
        };
        let (old, new) = (config(&self.file("model.keras")), config(made));
        for key in ["input_layers", "output_layers"] {
            // As texts: the order of a dictionary counts.
            let [old, new] = [&old, &new].map(|config| config["config"][key].to_string());
            if old != new {
                return Err(format!("{key} is {new} instead of {old}"));
            }
        }
        Ok(())
    }

    fn history_is_that_expected(&self, path: &Path) -> Outcome {
        let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
        let got = parse(&text).map_err(|e| e.to_string())?;
        let wanted = self.json["history"].as_object().unwrap();
        let names = |o: &serde_json::Map<String, Json>| o.keys().cloned().collect::<BTreeSet<_>>();
        if names(got.as_object().unwrap()) != names(wanted) {
            return Err(format!("the history holds {got}"));
        }
        let numbers = |j: &Json| -> Vec<f64> { j.as_array().into_iter().flatten().map(number).collect() };
        wanted
            .iter()
            .try_for_each(|(k, v)| self.close(&format!("history {k}"), &numbers(&got[k]), &numbers(v)))
    }

    /// The files Keras wrote: predictions before training, figures, training; then Keras's own trained model.
    fn run(&self) -> Outcome {
        self.predicts(&self.file("model.keras"), "p")?;
        self.evaluates()?;
        self.fits()?;
        if self.json.get("fit").is_some() && self.file("trained.keras").exists() {
            self.weights_are_those_expected(&self.file("trained.keras"))?;
            self.predicts(&self.file("trained.keras"), "q")?;
        }
        Ok(())
    }
}

/// JSON as Python writes it: with NaN.
fn parse(text: &str) -> serde_json::Result<Json> {
    serde_json::from_str(&text.replace("NaN", "null"))
}

fn number(value: &Json) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

/// The weight of this path. Of a model that Keras loaded it leaves out the names of the models and wrappers around.
fn weight<'a>(model: &'a Model, path: &str) -> Option<&'a Tensor> {
    let inside = format!("/{path}");
    let mut ends = model.variables().iter().enumerate().filter(|(_, v)| v.path.ends_with(&inside));
    let only = ends.next().filter(|_| ends.next().is_none());
    model.weight(path).or(only.map(|(i, _)| &model.weights()[i]))
}

fn cases(root: &Path) -> Vec<PathBuf> {
    let (mut found, mut pending) = (vec![], vec![root.to_path_buf()]);
    while let Some(folder) = pending.pop() {
        if folder.join("case.json").exists() {
            found.push(folder);
            continue;
        }
        let inside = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
        pending.extend(inside.filter(|p| p.is_dir()));
    }
    found.sort();
    found
}

/// Outcomes of all cases, made by two threads.
fn run_all(root: &Path, folders: &[PathBuf]) -> Vec<(String, Outcome)> {
    let (next, done) = (Mutex::new(folders.iter()), Mutex::new(vec![]));
    std::thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| {
                loop {
                    let Some(folder) = next.lock().unwrap().next() else { return };
                    let case = Case::open(root, folder);
                    let outcome = case.run();
                    std::fs::remove_dir_all(&case.out).ok();
                    done.lock().unwrap().push((case.name, outcome));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by(|a, b| a.0.cmp(&b.0));
    done
}

/// What no release knows yet is reported, not failed; `conformance_required.txt` says what has to pass.
fn is_unknown(e: &str) -> bool {
    e.contains("there is no ")
}

#[test]
fn keras_cases_pass() {
    let Some(root) = shared("conformance") else { return };
    let only = std::env::var("RHYTON_CASES").unwrap_or_default();
    let mut folders = cases(&root);
    folders.retain(|f| f.strip_prefix(&root).unwrap().to_string_lossy().contains(&only));
    let outcomes = run_all(&root, &folders);
    let mut text = String::new();
    for (name, outcome) in &outcomes {
        match outcome {
            Ok(()) => writeln!(text, "passed  {name}").unwrap(),
            Err(e) if is_unknown(e) => {
                writeln!(text, "unknown {name}: {}", e.lines().next().unwrap()).unwrap()
            }
            Err(e) => writeln!(text, "FAILED  {name}: {}", e.replace('\n', " |")).unwrap(),
        }
    }
    let passed = outcomes.iter().filter(|(_, o)| o.is_ok()).count();
    writeln!(text, "{passed} of {} cases passed", outcomes.len()).unwrap();
    eprintln!("{text}");
    let required = include_str!("conformance_required.txt").lines();
    let broken: Vec<&str> = required.filter(|r| outcomes.iter().any(|(n, o)| n == r && o.is_err())).collect();
    assert!(broken.is_empty(), "required and failed: {broken:?}");
}

/// Cases that were wrong once (`cases/make.py` made them): all have to pass.
#[test]
fn cases_that_were_wrong_pass() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let folders = cases(&root);
    assert!(folders.len() > 20, "{}", folders.len());
    let outcomes = run_all(&root, &folders);
    let wrong: Vec<String> =
        outcomes.into_iter().filter_map(|(name, o)| o.err().map(|e| format!("{name}: {e}"))).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
