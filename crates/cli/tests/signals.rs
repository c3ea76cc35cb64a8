//! Ctrl-C and SIGTERM, and going on afterwards.
#![cfg(unix)]

use rhyton::prelude::*;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("rhyton-signals-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let model = Sequential::new([4]).add(Dense::new(8).relu()).add(Dense::new(1)).build().unwrap();
    model.compile(Compile::new("adam", "mse")).unwrap().save(folder.join("m.keras")).unwrap();
    let x = Tensor::from_fn([64, 4], |i| (i as f32 * 0.37).sin());
    let y = Tensor::from_fn([64, 1], |i| (i as f32 * 0.74).sin());
    rhyton::io::write_npz(folder.join("my data.npz"), &[("x0", &x), ("y0", &y)]).unwrap();
    folder
}

fn rhyton(folder: &Path, line: &str) -> Command {
    let mut c = Command::new(env!("CARGO_BIN_EXE_rhyton"));
    c.current_dir(folder).args(line.split_whitespace()).args(["--data", "my data.npz"]);
    c
}

fn run(folder: &Path, line: &str) -> (Option<i32>, String) {
    let run = rhyton(folder, line).output().unwrap();
    (run.status.code(), String::from_utf8(run.stderr).unwrap())
}

/// A training that would take for ever, after its first epochs.
fn running(folder: &Path, line: &str) -> (Child, BufReader<ChildStdout>) {
    let mut c = rhyton(folder, line);
    let mut child = c
        .args(["--epochs", "100000000", "--verbose", "2"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    for _ in 0..8 {
        lines.read_line(&mut String::new()).unwrap();
    }
    (child, lines)
}

fn send(signal: &str, child: &Child) {
    Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
}

/// Waits for its end, which has to come soon, and reads what it says.
fn end(mut child: Child, mut lines: BufReader<ChildStdout>) -> (ExitStatus, String) {
    let start = Instant::now();
    std::thread::spawn(move || lines.read_to_end(&mut vec![]));
    while child.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < Duration::from_secs(20), "it goes on");
        std::thread::sleep(Duration::from_millis(1));
    }
    let run = child.wait_with_output().unwrap();
    (run.status, String::from_utf8(run.stderr).unwrap())
}

#[test]
fn a_signal_ends_training_after_the_step_and_says_how_to_go_on() {
    let dir = folder("step");
    for (signal, status) in [("-INT", 130), ("-TERM", 143)] {
        for (option, file) in [("", "t.keras.checkpoint"), (" --checkpoint run.state", "run.state")] {
            let (child, lines) = running(&dir, &format!("fit m.keras --out t.keras{option}"));
            send(signal, &child);
            let (ended, said) = end(child, lines);
            assert_eq!(ended.code(), Some(status), "{said}");
            let state = rhyton::io::load_state(dir.join(file)).unwrap();
            let at = match state.step() {
                0 => format!("epoch {}", state.epoch()),
                n => format!("step {n} of epoch {}", state.epoch() + 1),
            };
            let go_on = format!(
                "{} fit m.keras --out t.keras{option} --data 'my data.npz' --epochs 100000000 --verbose 2 --resume",
                env!("CARGO_BIN_EXE_rhyton")
            );
            let wanted = format!(
                "\nending after this step; once more ends at once\n\
                 stopped: training was interrupted after {at}\n\
                 the state of training is kept, as of when it was last saved\n  \
                 in:       {file}\n  \
                 fix:      go on with: {go_on}\n"
            );
            assert_eq!(said, wanted);
            assert!(!dir.join("t.keras").exists());
            // What it says works, here with fewer epochs.
            let epochs = state.epoch() + 1;
            let (code, said) = run(
                &dir,
                &format!("fit m.keras --out t.keras{option} --epochs {epochs} --verbose 0 --resume"),
            );
            assert_eq!((code, said.as_str()), (Some(0), ""));
            assert!(!dir.join(file).exists());
            std::fs::remove_file(dir.join("t.keras")).unwrap();
        }
    }
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_second_signal_ends_at_once_and_so_does_the_first_where_nothing_is_lost() {
    let dir = folder("twice");
    // Nobody reads its lines any more: it waits in the middle of a step for ever.
    let (mut child, _lines) = running(&dir, "fit m.keras --out t.keras");
    std::thread::sleep(Duration::from_secs(2));
    send("-INT", &child);
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("once more ends at once") {
        assert_ne!(said.read_line(&mut line).unwrap(), 0, "{line}");
    }
    assert_eq!(child.try_wait().unwrap(), None, "it did not wait");
    send("-TERM", &child);
    assert_eq!(child.wait().unwrap().code(), Some(143));
    let mut bench = Command::new(env!("CARGO_BIN_EXE_rhyton"));
    let mut child = bench.arg("bench").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap());
    std::thread::sleep(Duration::from_millis(200));
    send("-TERM", &child);
    let (status, said) = end(child, lines);
    // Before the program listens, the system ends it.
    assert!(status.code() == Some(143) || status.signal() == Some(15), "{status}");
    assert_eq!(said, "");
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn going_on_with_something_else_is_refused_unless_wanted() {
    let dir = folder("else");
    let (child, lines) = running(&dir, "fit m.keras --out t.keras --checkpoint run.state");
    send("-INT", &child);
    end(child, lines);
    let state = std::fs::read(dir.join("run.state")).unwrap();
    let epochs = rhyton::io::load_state(dir.join("run.state")).unwrap().epoch() + 1;
    let fit = |more: &str| {
        run(
            &dir,
            &format!("fit m.keras --out t.keras --checkpoint run.state --verbose 0 --epochs {epochs} {more}"),
        )
    };
    let more = [
        ("--seed 1 --resume", "began: seed was 0, is 1\n"),
        ("--batch-size 8 --resume", "began: batch size was 32, is 8\n"),
        ("--no-shuffle --resume", "began: shuffle was true, is false\n"),
        ("--validation-split 0.5 --resume", "began: validation split was 0.0, is 0.5\n"),
    ];
    for (more, wanted) in more {
        let (code, said) = fit(more);
        assert!(code == Some(1) && said.contains(wanted) && said.contains("--resume-anyway"), "{said}");
        assert!(!said.contains("go on with: /"), "{said}");
        assert_eq!(std::fs::read(dir.join("run.state")).unwrap(), state);
    }
    let (code, said) = fit("");
    assert!(code == Some(1) && said.contains("add --resume to go on from it"), "{said}");
    assert_eq!(fit("--seed 1 --batch-size 8 --resume-anyway"), (Some(0), String::new()));
    assert!(dir.join("t.keras").exists() && !dir.join("run.state").exists());
    // A checkpoint that nobody asked for is no obstacle, but is not passed over in silence.
    std::fs::write(dir.join("t.keras.checkpoint"), &state).unwrap();
    let (code, said) = run(&dir, "fit m.keras --out t.keras --verbose 0");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("warning: t.keras.checkpoint holds a training that was interrupted"), "{said}");
    assert!(!dir.join("t.keras.checkpoint").exists());
    let (code, said) = run(&dir, "fit m.keras --out t.keras --verbose 0 --resume");
    assert_eq!(code, Some(0));
    assert_eq!(said, "note: there is no checkpoint t.keras.checkpoint yet: training begins anew\n");
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn places_where_nothing_can_be_written_are_found_out_before_training() {
    let dir = folder("targets");
    std::fs::create_dir(dir.join("folder.keras")).unwrap();
    let refused = |line: &str, parts: &[&str]| {
        let (code, said) = run(&dir, &format!("fit m.keras --epochs 100000000 --verbose 0 {line}"));
        assert_eq!(code, Some(1), "{said}");
        parts.iter().for_each(|p| assert!(said.contains(p), "{p} in {said}"));
    };
    refused("--out folder.keras", &["the target exists and is a folder", "in:       folder.keras"]);
    refused("--out no/t.keras", &["cannot make a file there", "create the folder `no`"]);
    refused("--out t.keras --history no/h.json", &["in:       no/h.json", "create the folder `no`"]);
    refused("--out t.keras --history folder.keras", &["is a folder"]);
    refused("--out t.keras --checkpoint no/state", &["in:       no/state", "create the folder `no`"]);
    refused("--out t.keras --checkpoint folder.keras --resume", &["a folder, not a file"]);
    refused("--out t.keras --history t.keras", &["the place is given twice", "--out and --history"]);
    refused("--out t.keras --checkpoint t.keras", &["the place is given twice", "--out and --checkpoint"]);
    let names = std::fs::read_dir(&dir).unwrap().count();
    assert_eq!(names, 3, "a trial left something");
    std::fs::remove_dir_all(dir).unwrap();
}
