//! What the program says when the environment asks for what there is not.

use rhyton::prelude::*;
use std::process::{Command, Output};

fn predict(variable: &str, value: &str) -> Output {
    let folder = std::env::temp_dir().join(format!("rhyton-environment-{}-{variable}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let model = Sequential::new([4]).add(Dense::new(3)).build().unwrap();
    model.save(folder.join("model.keras")).unwrap();
    rhyton::io::write_npz(folder.join("data.npz"), &[("x0", &Tensor::full([2, 4], 1.0f32))]).unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_rhyton"))
        .args(["predict", "model.keras", "--data", "data.npz", "--out", "out.npz"])
        .current_dir(&folder)
        .env(variable, value)
        .output()
        .unwrap();
    assert_eq!(run.status.success(), folder.join("out.npz").exists());
    std::fs::remove_dir_all(&folder).unwrap();
    run
}

#[test]
fn a_number_of_threads_that_is_none_is_an_error() {
    for value in ["0", "abc", "100000"] {
        let run = predict("RHYTON_THREADS", value);
        assert_eq!(run.status.code(), Some(1), "{run:?}");
        assert_eq!(
            String::from_utf8(run.stderr).unwrap(),
            format!(
                "error: RHYTON_THREADS is '{value}', which is no number of threads\n  expected: a whole number from 1 to \
                 1024\n  fix:      leave it out to have a thread for every processor\n"
            )
        );
    }
    for value in ["", "1", "3"] {
        assert!(predict("RHYTON_THREADS", value).status.success(), "'{value}'");
    }
}

#[test]
fn an_instruction_set_that_is_not_there_is_an_error() {
    let foreign = if cfg!(target_arch = "aarch64") { "avx2" } else { "neon" };
    for (value, what) in [("foo", "which is no instruction set"), (foreign, "which this machine lacks")] {
        let run = predict("RHYTON_ISA", value);
        assert_eq!(run.status.code(), Some(1), "{run:?}");
        let text = String::from_utf8(run.stderr).unwrap();
        assert!(text.starts_with(&format!("error: RHYTON_ISA is '{value}', {what}\n")), "{text}");
        assert!(text.contains("  expected: one that this machine has: portable"), "{text}");
    }
    for value in ["", "portable"] {
        assert!(predict("RHYTON_ISA", value).status.success(), "'{value}'");
    }
}
