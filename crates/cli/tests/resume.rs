//! Training that is killed at any moment and resumed ends in the same bits as training that was left alone.

use rhyton::prelude::*;
use rhyton::tensor::rng;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

fn folder() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("rhyton-resume-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let model = Sequential::new([12])
        .add(Dense::new(24).relu())
        .add(BatchNormalization::new())
        .add(Dropout::new(0.3))
        .add(Dense::new(3).softmax())
        .build()
        .unwrap();
    let compile = Compile::new(Adam::new(1e-3), "sparse_categorical_crossentropy").metrics(["accuracy"]);
    model.compile(compile).unwrap().save(folder.join("model.keras")).unwrap();
    let noise = |i: usize| rng::block(1, 2, 3, i as u64)[0] as f32 / u32::MAX as f32;
    let (x, y) =
        (Tensor::from_fn([1000, 12], noise), Tensor::from_fn([1000], |i| (noise(i * 7) * 2.99) as i32));
    rhyton::io::write_npz(folder.join("data.npz"), &[("x0", &x), ("y0", &y)]).unwrap();
    folder
}

fn fit(folder: &Path, name: &str, more: &[&str]) -> Child {
    let at = |n: &str| folder.join(n).display().to_string();
    Command::new(env!("CARGO_BIN_EXE_rhyton"))
        .args(["fit", &at("model.keras"), "--data", &at("data.npz"), "--out", &at(&format!("{name}.keras"))])
        .args([
            "--history",
            &at(&format!("{name}.json")),
            "--seed",
            "5",
            "--epochs",
            "40",
            "--batch-size",
            "16",
        ])
        .args(["--validation-split", "0.1", "--verbose", "0"])
        .args(more)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn finished(child: Child) {
    let run = child.wait_with_output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}

#[test]
fn killed_training_ends_in_the_same_bits() {
    let folder = folder();
    finished(fit(&folder, "whole", &[]));
    let state = folder.join("training.state").display().to_string();
    let checkpoint = ["--checkpoint", &state, "--checkpoint-steps", "7", "--resume"];
    let (mut cut, mut kept) = (0, 0);
    for attempt in 0..8 {
        let mut child = fit(&folder, "killed", &checkpoint);
        let pause = 30 + rng::block(std::process::id(), 0, 0, attempt)[0] % 250;
        std::thread::sleep(Duration::from_millis(u64::from(pause)));
        child.kill().unwrap();
        cut += usize::from(!child.wait().unwrap().success());
        // Whatever the moment, what lies there is complete or not there.
        if Path::new(&state).exists() {
            rhyton::io::load_state(&state).unwrap();
            kept += 1;
        }
    }
    assert!(cut > 0 && kept > 0, "no run was cut off half-way: train longer");
    finished(fit(&folder, "killed", &checkpoint));
    assert!(!Path::new(&state).exists(), "the checkpoint is left over");
    let [whole, killed] =
        ["whole", "killed"].map(|n| Compiled::load(folder.join(format!("{n}.keras"))).unwrap());
    for (v, (a, b)) in whole.variables().iter().zip(whole.weights().iter().zip(killed.weights())) {
        assert!(a.same_bits(b), "{}", v.path);
    }
    for (a, b) in whole.optimizer_state().iter().zip(killed.optimizer_state()) {
        assert!(a.same_bits(b));
    }
    let [whole, killed] =
        ["whole", "killed"].map(|n| std::fs::read(folder.join(format!("{n}.json"))).unwrap());
    assert_eq!(whole, killed);
    std::fs::remove_dir_all(folder).unwrap();
}
