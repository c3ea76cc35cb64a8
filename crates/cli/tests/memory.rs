//! Memory that is not there, or not allowed: an error in the user's words, soon, and never a signal, a panic or talk
//! of a damaged file.

use rhyton::io::{Archive, ArchiveWriter};
use rhyton::prelude::*;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("rhyton-memory-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// What `rhyton LINE` complains about in an address space of so many MiB; it ends by itself, and soon.
fn complaint(folder: &Path, line: &str, megabytes: Option<usize>) -> String {
    let start = Instant::now();
    let program = env!("CARGO_BIN_EXE_rhyton");
    let mut command = match megabytes {
        None => Command::new(program),
        Some(m) => {
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("ulimit -v {}; exec \"$0\" \"$@\"", m << 10), program]);
            shell
        }
    };
    command.current_dir(folder).env("RHYTON_THREADS", "1").env_remove("RHYTON_MEMORY");
    let Output { status, stderr, .. } = command.args(line.split(' ')).output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{line}: {status} {said}");
    assert!(start.elapsed() < Duration::from_secs(20), "{line}: {said}");
    assert!(!said.contains("panicked") && !said.contains("damaged"), "{said}");
    said
}

/// A model of four inputs without weights, its layers written as a forger would.
fn forged(folder: &Path, name: &str, layers: &[(&str, &str, u64)]) {
    let harmless = folder.join("harmless.keras");
    Sequential::new([4]).add(RepeatVector::new(2)).build().unwrap().save(&harmless).unwrap();
    let weights = Archive::open(&harmless).unwrap().read("model.weights.h5").unwrap();
    let mut all = vec![
        r#"{"class_name": "InputLayer", "config": {"batch_shape": [null, 4], "name": "x"}}"#.to_string(),
    ];
    all.extend(
        layers.iter().map(|(c, key, n)| format!(r#"{{"class_name": "{c}", "config": {{"{key}": {n}}}}}"#)),
    );
    let config = format!(
        r#"{{"class_name": "Sequential", "config": {{"name": "m", "layers": [{}]}}}}"#,
        all.join(", ")
    );
    let mut bytes = std::io::Cursor::new(vec![]);
    let mut w = ArchiveWriter::new(&mut bytes);
    w.add("config.json", config.as_bytes()).unwrap();
    w.add("model.weights.h5", &weights).unwrap();
    w.finish().unwrap();
    std::fs::write(folder.join(name), bytes.into_inner()).unwrap();
}

fn inputs(folder: &Path) {
    let x = Tensor::try_full([2, 4], 1.0f32).unwrap();
    rhyton::io::write_npz(folder.join("x.npz"), &[("x0", &x)]).unwrap();
}

#[test]
fn sizes_whose_product_no_machine_holds() {
    let dir = folder("products");
    inputs(&dir);
    // 2^64 elements and a few; 2^60; 2^42, which is 16 TiB a sample.
    let (repeat, up) = (("RepeatVector", "n"), ("UpSampling1D", "size"));
    let of = |(class, key): (&'static str, &'static str), n: u64| (class, key, n);
    forged(&dir, "wraps.keras", &[of(repeat, 429_509_837), of(up, 1_923_865), of(up, 5_581)]);
    forged(&dir, "capacity.keras", &[of(repeat, 1 << 30), of(up, 1 << 28)]);
    forged(&dir, "terabytes.keras", &[of(repeat, 1 << 30), of(up, 1 << 10)]);
    for (name, what) in [
        ("wraps", "too many elements"),
        ("capacity", "too many elements"),
        ("terabytes", "of memory are needed"),
    ] {
        let said = complaint(&dir, &format!("predict {name}.keras --data x.npz --out p.npz"), None);
        assert!(said.contains(what) && said.contains("up_sampling1d"), "{said}");
    }
    let said = complaint(&dir, "predict terabytes.keras --data x.npz --out p.npz", None);
    assert!(said.contains("32.0 TiB") && said.contains("RHYTON_MEMORY=16G"), "{said}");
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn the_limit_is_set_on_the_command_line() {
    let dir = folder("limit");
    inputs(&dir);
    // 16 MiB a sample.
    forged(&dir, "m.keras", &[("RepeatVector", "n", 1 << 20)]);
    let predict = "predict m.keras --data x.npz --out p.npz";
    let said = complaint(&dir, &format!("{predict} --memory 20M"), None);
    assert!(said.contains("at most 20.0 MiB in all") && said.contains("repeat_vector"), "{said}");
    let said = complaint(&dir, &format!("{predict} --memory 1M"), None);
    assert!(said.contains("at most 1.0 MiB in all"), "{said}");
    let done = Command::new(env!("CARGO_BIN_EXE_rhyton"))
        .current_dir(&dir)
        .args(format!("{predict} --memory 200M").split(' '))
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let said =
        Command::new(env!("CARGO_BIN_EXE_rhyton")).env("RHYTON_MEMORY", "much").arg("list").output().unwrap();
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(said.contains("'much' is not an amount of memory") && said.contains("RHYTON_MEMORY"), "{said}");
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn the_state_of_the_optimizer_and_batches_count() {
    let dir = folder("training");
    // 4 MiB of weights, 8 MiB of Adam's moments.
    let model = Sequential::new([1024]).add(Dense::new(1024)).build().unwrap();
    model.compile(Compile::new("adam", "mse")).unwrap().save(dir.join("m.keras")).unwrap();
    let x = Tensor::try_full([1024, 1024], 0.5f32).unwrap();
    rhyton::io::write_npz(dir.join("d.npz"), &[("x0", &x), ("y0", &x)]).unwrap();
    let fit = "fit m.keras --data d.npz --epochs 1 --out t.keras --batch-size 1024";
    let said = complaint(&dir, &format!("{fit} --memory 9M"), None);
    assert!(said.contains("the state of the optimizer") || said.contains("m.keras"), "{said}");
    // 12 of the model, 8 of the data, 8 of a batch, and what the step needs.
    let said = complaint(&dir, &format!("{fit} --memory 24M"), None);
    assert!(said.contains("a batch of 1024 samples"), "{said}");
    let said = complaint(&dir, &format!("{fit} --memory 30M"), None);
    assert!(said.contains("train_step") || said.contains("train"), "{said}");
    std::fs::remove_dir_all(dir).unwrap();
}

/// The limit allows it, and the system does not.
#[cfg(target_os = "linux")]
#[test]
fn memory_that_the_system_does_not_give() {
    let dir = folder("refused");
    inputs(&dir);
    forged(&dir, "m.keras", &[("RepeatVector", "n", 1 << 25)]);
    let said = complaint(&dir, "predict m.keras --data x.npz --out p.npz --memory 1T", Some(400));
    assert!(said.contains("the system does not give"), "{said}");
    // The bytes of the file, then the numbers of the tensor.
    forged(&dir, "small.keras", &[("RepeatVector", "n", 1)]);
    let x = Tensor::try_full([8 << 20, 4], 1.0f32).unwrap();
    rhyton::io::write_npz(dir.join("large.npz"), &[("x0", &x)]).unwrap();
    for megabytes in [120, 200, 300] {
        let said =
            complaint(&dir, "predict small.keras --data large.npz --out p.npz --memory 1T", Some(megabytes));
        assert!(said.contains("the system does not give"), "{megabytes}: {said}");
    }
    std::fs::remove_dir_all(dir).unwrap();
}
