//! Standard input and output in the place of files, and what a terminal shows.

use rhyton::prelude::*;
use rhyton::tensor::testing::skipped;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("rhyton-pipes-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let model = Sequential::new([2]).add(Dense::new(3).tanh()).add(Dense::new(1)).build().unwrap();
    model.compile(Compile::new("adam", "mse")).unwrap().save(folder.join("m.keras")).unwrap();
    let x = Tensor::from_fn([64, 2], |i| (i as f32 * 0.37).sin());
    let y = Tensor::from_fn([64, 1], |i| (i as f32 * 0.74).sin());
    rhyton::io::write_npz(folder.join("d.npz"), &[("x0", &x), ("y0", &y)]).unwrap();
    folder
}

fn command(folder: &Path, line: &str) -> Command {
    let mut c = Command::new(env!("CARGO_BIN_EXE_rhyton"));
    c.current_dir(folder).args(line.split(' ')).stdin(Stdio::piped());
    c.stdout(Stdio::piped()).stderr(Stdio::piped());
    c
}

/// Runs it with these bytes on standard input.
fn fed(folder: &Path, line: &str, bytes: &[u8]) -> Output {
    let mut child = command(folder, line).spawn().unwrap();
    // A program that reads nothing closes the pipe.
    child.stdin.take().unwrap().write_all(bytes).ok();
    child.wait_with_output().unwrap()
}

fn good(run: Output) -> Output {
    assert!(run.status.success(), "{}", text(&run.stderr));
    run
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn data_come_from_standard_input() {
    let dir = folder("in");
    let data = std::fs::read(dir.join("d.npz")).unwrap();
    let from_file = good(fed(&dir, "evaluate m.keras --data d.npz", b""));
    assert_eq!(good(fed(&dir, "evaluate m.keras --data -", &data)).stdout, from_file.stdout);
    good(fed(&dir, "predict m.keras --data - --out p.npz", &data));
    good(fed(&dir, "predict m.keras --data d.npz --out q.npz", b""));
    assert_eq!(std::fs::read(dir.join("p.npz")).unwrap(), std::fs::read(dir.join("q.npz")).unwrap());
    good(fed(&dir, "fit m.keras --data - --validation-data d.npz --out t.keras --verbose 0", &data));
    let wrong = |line: &str, bytes: &[u8], parts: &[&str]| {
        let said = text(&fed(&dir, line, bytes).stderr);
        parts.iter().for_each(|p| assert!(said.contains(p), "{p} in {said}"));
    };
    wrong("evaluate m.keras --data -", b"", &["not a zip archive", "in:       standard input", "is empty"]);
    wrong("evaluate m.keras --data -", &data[..99], &["cut short", "in:       standard input"]);
    let twice = "fit m.keras --data - --validation-data - --out t.keras";
    wrong(twice, &data, &["standard input is given twice", "--data and --validation-data"]);
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn results_go_to_standard_output() {
    let dir = folder("out");
    good(fed(&dir, "predict m.keras --data d.npz --out p.npz", b""));
    let run = good(fed(&dir, "predict m.keras --data d.npz --out -", b""));
    assert_eq!(run.stdout, std::fs::read(dir.join("p.npz")).unwrap());
    // Progress is not mixed into the model.
    let run = good(fed(&dir, "fit m.keras --data d.npz --epochs 2 --out -", b""));
    std::fs::write(dir.join("t.keras"), &run.stdout).unwrap();
    assert!(text(&run.stderr).starts_with("Epoch 1/2\n"), "{}", text(&run.stderr));
    assert_eq!(Compiled::load(dir.join("t.keras")).unwrap().iterations(), 4);
    let run = good(fed(&dir, "fit m.keras --data d.npz --epochs 2 --out t.keras --history -", b""));
    assert!(text(&run.stdout).starts_with("{\"loss\": ["), "{}", text(&run.stdout));
    let run = good(fed(&dir, "quantize m.keras --output -", b""));
    std::fs::write(dir.join("q.keras"), &run.stdout).unwrap();
    good(fed(&dir, "summary q.keras", b""));
    let both = text(&fed(&dir, "fit m.keras --data d.npz --out - --history -", b"").stderr);
    assert!(both.contains("the place is given twice"), "{both}");
    assert!(!dir.join("-").exists());
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_reader_that_goes_away_is_an_error_where_a_result_is_lost() {
    let dir = folder("gone");
    for line in ["predict m.keras --data d.npz --out -", "fit m.keras --data d.npz --verbose 0 --out -"] {
        let mut child = command(&dir, line).spawn().unwrap();
        drop(child.stdout.take());
        let run = child.wait_with_output().unwrap();
        let said = text(&run.stderr);
        assert!(
            run.status.code() == Some(1) && said.starts_with("error: cannot write to standard"),
            "{said}"
        );
    }
    // Lines about it are no result.
    let mut child = command(&dir, "fit m.keras --data d.npz --epochs 3 --out t.keras").spawn().unwrap();
    drop(child.stdout.take());
    let run = good(child.wait_with_output().unwrap());
    assert!(run.stderr.is_empty() && dir.join("t.keras").exists(), "{}", text(&run.stderr));
    // Nor does standard error have to be there.
    let mut child = command(&dir, "summary absent.keras").spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn batches_of_nothing_are_refused() {
    let dir = folder("batch");
    for command in ["predict", "evaluate", "fit"] {
        let out = if command == "evaluate" { "" } else { " --out p.keras" };
        let run = fed(&dir, &format!("{command} m.keras --data d.npz --batch-size 0{out}"), b"");
        let said = text(&run.stderr);
        assert_eq!(run.status.code(), Some(1), "{command}: {said}");
        assert_eq!(said, format!("error: batch_size=0\n  in:       {command}\n  expected: at least 1\n"));
        assert!(!dir.join("p.keras").exists());
    }
    std::fs::remove_dir_all(dir).unwrap();
}

/// What `fit` shows on a terminal, which `script` of util-linux plays.
fn on_terminal(folder: &Path, term: &str, no_color: Option<&str>) -> Option<String> {
    let fit = format!("{} fit m.keras --data d.npz --epochs 2 --out t.keras", env!("CARGO_BIN_EXE_rhyton"));
    let mut c = Command::new("script");
    c.args(["-qec", &fit, "/dev/null"]).current_dir(folder).env("TERM", term).env_remove("NO_COLOR");
    c.envs(no_color.map(|v| ("NO_COLOR", v)));
    let run = c.stdin(Stdio::null()).output().ok()?;
    run.status.success().then(|| text(&run.stdout))
}

#[test]
fn terminals_without_colours_or_codes_get_none() {
    let dir = folder("terminal");
    let Some(coloured) = on_terminal(&dir, "xterm", None) else {
        return skipped("`script` of util-linux is not there");
    };
    assert!(coloured.contains("\x1b[32m") && coloured.contains("loss: "), "{coloured}");
    let plain = on_terminal(&dir, "xterm", Some("1")).unwrap();
    assert!(plain.contains('━') && plain.contains("loss: ") && !has_colour(&plain), "{plain}");
    let dumb = on_terminal(&dir, "dumb", None).unwrap();
    assert!(dumb.contains("2/2 - 0s - ") && !dumb.contains('\x1b') && !dumb.contains('━'), "{dumb:?}");
    std::fs::remove_dir_all(dir).unwrap();
}

/// Whether a code for colours or bold letters is in it: `ESC [ numbers m`.
fn has_colour(text: &str) -> bool {
    text.split("\x1b[")
        .skip(1)
        .any(|code| code.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').starts_with('m'))
}
