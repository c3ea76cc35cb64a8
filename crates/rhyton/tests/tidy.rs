//! The rules of the house that a compiler does not check: crate arrows, sizes of files and functions, where
//! `unsafe` and panics may be.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What each crate may depend on, of ours.
const ARROWS: &[(&str, &[&str])] = &[
    ("rhyton-tensor", &[]),
    ("rhyton-graph", &["tensor"]),
    ("rhyton-cpu", &["tensor", "graph"]),
    ("rhyton-nn", &["tensor", "graph"]),
    ("rhyton-model", &["tensor", "graph", "nn"]),
    ("rhyton-train", &["tensor", "graph", "nn", "model"]),
    ("rhyton-explain", &["tensor", "graph", "nn", "model"]),
    ("rhyton-robust", &["tensor", "graph", "nn", "model", "train"]),
    ("rhyton-data", &["tensor"]),
    ("rhyton-plot", &["tensor"]),
    ("rhyton-io", &["tensor", "graph", "nn", "model", "train"]),
    (
        "rhyton",
        &["tensor", "graph", "cpu", "nn", "model", "train", "explain", "robust", "data", "plot", "io"],
    ),
    ("rhyton-cli", &["rhyton"]),
    ("fuzz", &["rhyton", "cli", "tensor", "graph", "nn", "model", "train", "io"]),
];
const MAX_FILE_LINES: usize = 600;
const MAX_FUNCTION_LINES: usize = 80;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Path and text of every Rust file of the crates.
fn sources() -> Vec<(PathBuf, String)> {
    let (mut found, mut pending) = (vec![], vec![root().join("crates")]);
    while let Some(dir) = pending.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && path.file_name().is_some_and(|n| n != "target") {
                pending.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root()).unwrap().to_path_buf(), text));
            }
        }
    }
    found.sort();
    found
}

/// Lines of code outside tests, comments and strings of documentation, numbered from 1.
fn product_lines(path: &Path, text: &str) -> Vec<(usize, String)> {
    let inside = |name: &str| path.components().any(|c| c.as_os_str() == name);
    let is_test = inside("tests") || inside("examples") || inside("benches");
    let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
    if is_test || stem.ends_with("tests") || stem == "testing" {
        return vec![];
    }
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    code.lines()
        .enumerate()
        .map(|(i, l)| (i + 1, l.split("//").next().unwrap_or_default().to_string()))
        .filter(|(_, l)| !l.trim().is_empty())
        .collect()
}

fn report(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

#[test]
fn crate_arrows_point_one_way() {
    let run = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let mut wrong = vec![];
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let Some(may) = allowed.get(name) else {
            wrong.push(format!("{name} is not in the table of arrows"));
            continue;
        };
        for dependency in package["dependencies"].as_array().unwrap() {
            let to = dependency["name"].as_str().unwrap();
            let ours = to == "rhyton" || to.starts_with("rhyton-");
            let short = to.strip_prefix("rhyton-").unwrap_or(to);
            // Tests may look further.
            if ours && dependency["kind"] != "dev" && !may.contains(&short) {
                wrong.push(format!("{name} -> {to}"));
            }
        }
    }
    report("arrows that the design does not have", &wrong);
}

#[test]
fn unsafe_stays_in_kernels_and_says_why() {
    let mut wrong = vec![];
    for (path, text) in sources() {
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in product_lines(&path, &text) {
            let word = line.contains("unsafe {") || line.contains("unsafe impl");
            if !word {
                continue;
            }
            let reason = lines[number.saturating_sub(8)..number].iter().any(|l| l.contains("SAFETY"));
            if !path.starts_with("crates/cpu") || !reason {
                wrong.push(format!("{}:{number}", path.display()));
            }
        }
    }
    report("unsafe outside crates/cpu, or without a SAFETY comment", &wrong);
}

#[test]
fn a_backend_sees_plans_only() {
    let is_word =
        |line: &str, word: &str| line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w == word);
    let mut wrong = vec![];
    for (path, text) in sources().into_iter().filter(|(path, _)| path.starts_with("crates/cpu/src")) {
        for (number, line) in product_lines(&path, &text) {
            if is_word(&line, "Expr") || is_word(&line, "Function") {
                wrong.push(format!("{}:{number}: {}", path.display(), line.trim()));
            }
        }
    }
    report("what came before the plan, in crates/cpu", &wrong);
}

#[test]
fn product_code_does_not_panic_on_purpose() {
    let words = [".unwrap()", ".expect(", "panic!(", "todo!(", "unimplemented!(", "unreachable!("];
    let mut wrong = vec![];
    for (path, text) in sources() {
        for (number, line) in product_lines(&path, &text) {
            if words.iter().any(|w| line.contains(w)) {
                wrong.push(format!("{}:{number}: {}", path.display(), line.trim()));
            }
        }
    }
    report("panics", &wrong);
}

#[test]
fn files_outside_of_the_repository_are_asked_for_in_one_place() {
    let mut wrong = vec![];
    for (path, text) in sources() {
        let own = ["crates/tensor/src/testing.rs", "crates/rhyton/tests/tidy.rs"];
        if text.contains("\"../../../shared") && !own.iter().any(|o| path.ends_with(o)) {
            wrong.push(path.display().to_string());
        }
    }
    report("a test must say when it is skipped: use rhyton_tensor::testing::shared", &wrong);
}

#[test]
fn files_and_functions_stay_readable() {
    let mut wrong = vec![];
    for (path, text) in sources() {
        let lines = product_lines(&path, &text);
        if lines.len() > MAX_FILE_LINES {
            wrong.push(format!("{}: {} lines of code", path.display(), lines.len()));
        }
        let mut open: Option<(usize, String)> = None;
        for (number, line) in &lines {
            let indent: String = line.chars().take_while(|c| *c == ' ').collect();
            let head = line.trim_start();
            let is_fn = ["fn ", "pub fn ", "pub(crate) fn ", "unsafe fn ", "pub unsafe fn "];
            if open.is_none()
                && is_fn.iter().any(|p| head.starts_with(p))
                && !line.trim_end().ends_with(['}', ';'])
            {
                open = Some((*number, indent.clone()));
            } else if let Some((start, from)) = &open
                && line.starts_with(&format!("{from}}}"))
            {
                let length = number - start;
                if length > MAX_FUNCTION_LINES {
                    wrong.push(format!("{}:{start}: a function of {length} lines", path.display()));
                }
                open = None;
            }
        }
    }
    report(&format!("more than {MAX_FILE_LINES} lines a file, {MAX_FUNCTION_LINES} a function"), &wrong);
}

/// A newcomer learns these words first: each names one thing.
#[test]
fn words_of_the_glossary_mean_one_thing() {
    let map = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (_, glossary) = map.split_once("## Glossary").expect("ARCHITECTURE.md has a glossary");
    let glossary = glossary.split("\n## ").next().unwrap();
    let words: Vec<&str> = glossary
        .lines()
        .filter_map(|l| l.strip_prefix("| `")?.split_once('`').map(|(word, _)| word))
        .collect();
    assert!((20..=40).contains(&words.len()), "{} words", words.len());
    let mut defined: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, text) in sources() {
        for (number, line) in product_lines(&path, &text) {
            let mut parts = line.split(|c: char| !c.is_alphanumeric() && c != '_');
            let is_type = line.starts_with("pub ")
                && parts.nth(1).is_some_and(|k| ["struct", "enum", "trait", "type"].contains(&k));
            if let (true, Some(name)) = (is_type, parts.next()) {
                defined.entry(name.into()).or_default().push(format!("{}:{number}", path.display()));
            }
        }
    }
    let wrong = |word: &&str| match defined.get(*word) {
        Some(places) if places.len() == 1 => None,
        Some(places) => Some(format!("{word} is {}", places.join(" and "))),
        None => Some(format!("{word} is no public type")),
    };
    report("words of the glossary", &words.iter().filter_map(wrong).collect::<Vec<_>>());
}
