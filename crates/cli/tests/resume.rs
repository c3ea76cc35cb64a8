//! Training that is killed, told to end or runs out of disk at any moment, the end included, loses nothing: resumed, it
//! ends in the same bits as training that was left alone.
//!
//! `RHYTON_MOMENTS=100 cargo test --release -p rhyton-cli --test resume -- --nocapture` tries as many moments of each
//! kind; `RHYTON_SEED` chooses others.
#![cfg(unix)]

use rhyton::prelude::*;
use rhyton::tensor::{rng, testing::skipped};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How many moments of each kind are tried.
fn moments() -> u32 {
    std::env::var("RHYTON_MOMENTS").map_or(4, |n| n.parse().unwrap())
}

fn random(a: u32, b: u32) -> u32 {
    let seed = std::env::var("RHYTON_SEED").map_or(1, |n| n.parse().unwrap());
    rng::block(seed, 0, a, u64::from(b))[0]
}

/// A model whose files take a while to write, and data.
fn folder(name: &str, width: usize) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("rhyton-resume-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let model = Sequential::new([12])
        .add(Dense::new(width).relu())
        .add(BatchNormalization::new())
        .add(Dropout::new(0.3))
        .add(Dense::new(width).relu())
        .add(Dense::new(3).softmax())
        .build()
        .unwrap();
    let compile = Compile::new(Adam::new(1e-3), "sparse_categorical_crossentropy").metrics(["accuracy"]);
    model.compile(compile).unwrap().save(folder.join("model.keras")).unwrap();
    let noise = |i: usize| rng::block(1, 2, 3, i as u64)[0] as f32 / u32::MAX as f32;
    let (x, y) =
        (Tensor::from_fn([160, 12], noise), Tensor::from_fn([160], |i| (noise(i * 7) * 2.99) as i32));
    rhyton::io::write_npz(folder.join("data.npz"), &[("x0", &x), ("y0", &y)]).unwrap();
    folder
}

/// One training, with names of its own in a folder.
struct Training<'a> {
    folder: &'a Path,
    name: String,
}

impl Training<'_> {
    fn path(&self, end: &str) -> PathBuf {
        self.folder.join(format!("{}.{end}", self.name))
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut c = Command::new("sh");
        // A limit on files that is reached is an error, not a signal.
        c.args([
            "-c",
            "trap '' XFSZ; exec \"$0\" \"$@\"",
            env!("CARGO_BIN_EXE_rhyton"),
            "fit",
            "model.keras",
        ]);
        c.args([
            "--data",
            "data.npz",
            "--seed",
            "5",
            "--epochs",
            "4",
            "--batch-size",
            "16",
            "--verbose",
            "0",
        ]);
        c.args(["--validation-split", "0.1"]).arg("--out").arg(self.path("keras"));
        c.arg("--history").arg(self.path("json")).args(more);
        c.current_dir(self.folder).stdout(Stdio::piped()).stderr(Stdio::piped());
        c
    }

    /// Starts it, or goes on with it.
    fn start(&self) -> Child {
        let state = self.path("state").display().to_string();
        self.command(&["--checkpoint", &state, "--checkpoint-steps", "4", "--resume"]).spawn().unwrap()
    }

    fn finish(&self) {
        let run = self.start().wait_with_output().unwrap();
        assert!(run.status.success(), "{}: {}", self.name, text(&run.stderr));
        assert!(!self.path("state").exists(), "{}: the checkpoint is left over", self.name);
    }

    /// Epochs and steps that are kept.
    fn kept(&self) -> Option<(usize, usize)> {
        let path = self.path("state");
        path.exists().then(|| rhyton::io::load_state(path).unwrap()).map(|s| (s.epoch(), s.step()))
    }

    /// Whether the model is being written. Its place is tried before training, when there is no checkpoint yet.
    fn is_saving(&self) -> bool {
        if !self.path("state").exists() {
            return false;
        }
        let start = format!(".{}.keras.", self.name);
        let mut names = std::fs::read_dir(self.folder).unwrap().flatten().map(|e| e.file_name());
        names.any(|n| n.to_string_lossy().starts_with(&start))
    }

    fn assert_same(&self, whole: &Training) {
        let [a, b] = [self, whole].map(|t| Compiled::load(t.path("keras")).unwrap());
        for (v, (a, b)) in a.variables().iter().zip(a.weights().iter().zip(b.weights())) {
            assert!(a.same_bits(b), "{}: {}", self.name, v.path);
        }
        for (a, b) in a.optimizer_state().iter().zip(&b.optimizer_state()) {
            assert!(a.same_bits(b), "{}", self.name);
        }
        let [a, b] = [self, whole].map(|t| std::fs::read(t.path("json")).unwrap());
        assert_eq!(a, b, "{}", self.name);
    }

    fn remove(&self) {
        ["keras", "json"].iter().for_each(|end| std::fs::remove_file(self.path(end)).unwrap());
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn send(signal: &str, to: &Child) {
    Command::new("kill").args([signal, &to.id().to_string()]).stderr(Stdio::null()).status().unwrap();
}

fn leftovers(folder: &Path) -> usize {
    let names = std::fs::read_dir(folder).unwrap().flatten().map(|e| e.file_name());
    names.filter(|n| n.to_string_lossy().ends_with("-tmp")).count()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Trouble {
    Kill,
    Terminate,
    Full,
}

/// Makes trouble for a training at some moment: within its whole time, or while it saves the model.
fn disturb(t: &Training, trouble: Trouble, time: Duration, at_the_end: bool, part: u32) -> Output {
    let mut child = t.start();
    let start = Instant::now();
    let within = |time: Duration| time.mul_f64(f64::from(part) / f64::from(u32::MAX));
    if at_the_end {
        while !t.is_saving() && child.try_wait().unwrap().is_none() && start.elapsed() < 20 * time {
            std::thread::sleep(Duration::from_micros(200));
        }
        std::thread::sleep(within(Duration::from_millis(10)));
    } else {
        std::thread::sleep(within(time));
    }
    match trouble {
        Trouble::Kill => child.kill().unwrap(),
        Trouble::Terminate => send("-TERM", &child),
        // From now on no file of this process can grow, as on a full disk.
        Trouble::Full => {
            let mut limit = Command::new("prlimit");
            limit.args(["--pid", &child.id().to_string(), "--fsize=1000"]).stderr(Stdio::null());
            limit.status().expect("prlimit of util-linux");
        }
    }
    child.wait_with_output().unwrap()
}

/// What a run may say and leave, that trouble ended.
fn check_end(t: &Training, trouble: Trouble, run: &Output) {
    let (said, status) = (text(&run.stderr), run.status);
    let code = match trouble {
        Trouble::Kill => return assert_eq!(status.signal(), Some(9)),
        Trouble::Terminate => 143,
        Trouble::Full => 1,
    };
    // Before the program listens a signal ends it in the system's way.
    assert!(status.code() == Some(code) || status.signal() == Some(15), "{status}: {said}");
    assert_eq!(said.contains("go on with: "), said.contains("is kept, as of"), "{said}");
    assert!(!said.contains("ZipWriter"), "{said}");
    if trouble == Trouble::Terminate && said.contains("ending after this step") {
        assert!(said.contains("stopped: training was interrupted after ") && t.kept().is_some(), "{said}");
        assert!(said.contains("--resume"), "{said}");
    }
    if trouble == Trouble::Full {
        assert!(said.contains("File too large") && said.contains("free some space"), "{said}");
    }
}

#[test]
fn disturbed_training_ends_in_the_same_bits() {
    let folder = folder("any", 1000);
    let whole = Training { folder: &folder, name: "whole".into() };
    let start = Instant::now();
    whole.finish();
    let time = start.elapsed();
    let (mut cut, mut at_end, mut kept) = (0, 0, 0);
    for i in 0..3 * moments() {
        let trouble = [Trouble::Kill, Trouble::Terminate, Trouble::Full][i as usize % 3];
        let t = Training { folder: &folder, name: format!("run{i}") };
        // Some runs meet trouble twice.
        for again in 0..1 + random(i, 0) % 2 {
            let at_the_end = i / 3 % 2 == 1 && again == 0;
            let run = disturb(&t, trouble, time, at_the_end, random(i, 1 + again));
            if run.status.success() {
                break;
            }
            cut += 1;
            check_end(&t, trouble, &run);
            // Whatever the moment, what lies there is complete or not there.
            at_end += usize::from(t.kept().is_some_and(|(epoch, _)| epoch == 4));
            kept += usize::from(t.kept().is_some());
            if t.path("keras").exists() {
                Compiled::load(t.path("keras")).unwrap();
            }
            if trouble != Trouble::Kill {
                assert_eq!(leftovers(&folder), 0, "{trouble:?} left temporary files");
            }
        }
        t.finish();
        t.assert_same(&whole);
        assert_eq!(leftovers(&folder), 0, "temporary files of dead processes are there");
        t.remove();
    }
    eprintln!("{cut} runs were cut off, {kept} with a checkpoint, {at_end} between training and saving");
    assert!(cut > 0 && kept > 0 && at_end > 0, "no run was cut off at some of these: train longer");
    std::fs::remove_dir_all(folder).unwrap();
}

/// A run that has all its trouble from the disk: a small one of its own.
#[test]
fn a_full_disk_at_the_end_leaves_the_checkpoint() {
    let folder = folder("full", 300);
    // The checkpoint is about as large as the model: weights and the optimizer's two moments of each.
    let size = std::fs::metadata(folder.join("model.keras")).unwrap().len();
    let on = |room: u64, command: &str| {
        let script = format!(
            "mount -t tmpfs -o size={room} tmpfs out || exit 77
             test -e kept && cp kept out/state
             trap 'cp out/state kept 2>/dev/null; cp out/m.keras out/h.json . 2>/dev/null; ls -A out >left' EXIT
             \"$0\" fit model.keras --data data.npz --out out/m.keras --history out/h.json --verbose 0 {command}"
        );
        let mut run = Command::new("unshare");
        run.args(["-rm", "sh", "-c", &script, env!("CARGO_BIN_EXE_rhyton")]).current_dir(&folder).output()
    };
    std::fs::create_dir(folder.join("out")).unwrap();
    let state = "--checkpoint out/state";
    // Room for the trials and the checkpoint, not for the model beside it.
    match on(size * 3 / 2, state) {
        Ok(run) if run.status.code() != Some(77) && !text(&run.stderr).starts_with("unshare") => {
            let said = text(&run.stderr);
            assert_eq!(run.status.code(), Some(1), "{said}");
            let parts =
                ["No space left", "free some space", "is kept, as of", "go on with: ", "out/state --resume"];
            parts.iter().for_each(|p| assert!(said.contains(p), "{p} in {said}"));
            assert!(!said.contains("ZipWriter"), "{said}");
            assert_eq!(std::fs::read_to_string(folder.join("left")).unwrap(), "h.json\nstate\n");
        }
        other => return skipped(&format!("no small disk can be made here: {other:?}")),
    }
    let run = on(size * 4, &format!("{state} --resume")).unwrap();
    assert!(run.status.success(), "{}", text(&run.stderr));
    Compiled::load(folder.join("m.keras")).unwrap();
    assert_eq!(std::fs::read_to_string(folder.join("left")).unwrap(), "h.json\nm.keras\n");
    // A disk that cannot hold the model is found out before training.
    std::fs::remove_file(folder.join("kept")).unwrap();
    let run = on(size / 2, "").unwrap();
    let said = text(&run.stderr);
    assert!(said.contains("No space left") && said.contains("out/m.keras"), "{said}");
    assert_eq!(std::fs::read_to_string(folder.join("left")).unwrap(), "");
    std::fs::remove_dir_all(folder).unwrap();
}
