//! The short form of the hunt: every reader on inputs of a fixed seed; and a proof that the fuzzer finds what it is for.

use std::path::PathBuf;
use std::process::{Command, Output};

fn folder(test: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(test)
}

fn fuzz(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fuzz")).args(arguments).output().unwrap()
}

fn hunt(test: &str, arguments: &[&str]) -> Output {
    let out = folder(test);
    std::fs::remove_dir_all(&out).ok();
    fuzz(&[arguments, &["--out", out.to_str().unwrap()]].concat())
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn every_reader_survives() {
    // Long enough for each seed and some thousand mutations; models take longest.
    let done = hunt("short", &["3000", "--seed", "7", "--jobs", "2"]);
    let text = text(&done);
    println!("{text}");
    assert!(done.status.success(), "{text}");
    assert_eq!(text.matches("      3000 inputs").count(), 10, "{text}");
    assert!(!text.contains("       0 accepted"), "{text}");
}

/// The finding of a planted fault: its last words, and that the saved input does it again and is small.
fn finds(fault: &str, inputs: &str, words: &str) {
    let done = hunt(fault, &[inputs, fault]);
    let said = text(&done);
    assert!(!done.status.success() && said.contains(words), "{said}");
    let saved: Vec<PathBuf> = std::fs::read_dir(folder(fault)).unwrap().map(|e| e.unwrap().path()).collect();
    assert!(!saved.is_empty(), "{said}");
    for path in &saved {
        assert!(std::fs::metadata(path).unwrap().len() <= 13, "{}", path.display());
        let again = fuzz(&["replay", fault, path.to_str().unwrap()]);
        assert!(!again.status.success() && text(&again).contains(words), "{}", text(&again));
    }
}

#[test]
fn a_panic_is_found() {
    finds("planted-panic", "3000", "panic at crates/fuzz/src/targets/planted.rs");
}

#[test]
fn memory_without_bounds_is_found() {
    finds("planted-memory", "3000", "memory allocation of ");
}

#[test]
fn an_overflow_of_the_stack_is_found() {
    finds("planted-stack", "3000", "has overflowed its stack");
}

#[test]
fn a_hang_is_found() {
    finds("planted-hang", "200", "slow: more than 1s");
}

#[test]
fn a_reader_without_fault_has_no_findings() {
    let done = hunt("planted-none", &["3000", "planted-none"]);
    assert!(done.status.success() && text(&done).contains("no findings"), "{}", text(&done));
}
