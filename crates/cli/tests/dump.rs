//! `rhyton dump`: the graph after each pass and the plan.

use rhyton::graph::text::parse;
use rhyton::prelude::*;
use std::path::Path;
use std::process::{Command, Output};

fn rhyton(folder: &Path, line: &str, stop_after: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rhyton"));
    command.current_dir(folder).args(line.split(' '));
    if let Some(pass) = stop_after {
        command.env("RHYTON_STOP_AFTER", pass);
    }
    command.output().unwrap()
}

fn printed(folder: &Path, line: &str, stop_after: Option<&str>) -> String {
    let run = rhyton(folder, line, stop_after);
    assert!(run.status.success(), "{line}: {}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).unwrap()
}

fn error(folder: &Path, line: &str, stop_after: Option<&str>) -> String {
    let run = rhyton(folder, line, stop_after);
    assert!(!run.status.success() && run.stdout.is_empty(), "{line}");
    String::from_utf8(run.stderr).unwrap()
}

#[test]
fn the_graph_and_the_plan_of_a_model() {
    let dir = std::env::temp_dir().join(format!("rhyton-dump-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let model = Sequential::new([2]).add(Dense::new(8).relu()).add(Dense::new(3).softmax()).build().unwrap();
    model
        .compile(Compile::new("adam", "sparse_categorical_crossentropy"))
        .unwrap()
        .save(dir.join("m.keras"))
        .unwrap();
    let (x, y) = (Tensor::full([4, 2], 0.5f32), Tensor::full([4], 1i32));
    rhyton::io::write_npz(dir.join("d.npz"), &[("x0", &x), ("y0", &y)]).unwrap();

    // Graphs read back; activations are calls until they are inlined.
    let traced = printed(&dir, "dump m.keras --after traced", None);
    let inlined = printed(&dir, "dump m.keras --after inline", None);
    assert!(traced.contains("\"relu\"") && !inlined.contains("\"relu\""), "{traced}{inlined}");
    assert!(traced.contains("dense"), "layer paths are comments: {traced}");
    parse(&traced).unwrap();
    parse(&inlined).unwrap();
    let plan = printed(&dir, "dump m.keras", None);
    assert!(
        plan.starts_with("plan predict") && plan.contains("= dot ") && !plan.contains("updates [("),
        "{plan}"
    );

    let step = printed(&dir, "dump m.keras --step train --data d.npz", None);
    assert!(step.contains("updates [(") && step.contains("stop unless"), "{step}");
    let last = printed(&dir, "dump m.keras --step train --data d.npz --after views", None);
    parse(&last).unwrap();
    // Fewer passes leave more to do.
    let stopped = printed(&dir, "dump m.keras --step train --data d.npz", Some("inline"));
    assert_ne!(step, stopped);

    let e = error(&dir, "dump m.keras --after fuse", None);
    assert!(e.contains("no pass 'fuse'") && e.contains("inline, canonicalize"), "{e}");
    let e = error(&dir, "dump m.keras", Some("fuse"));
    assert!(e.contains("RHYTON_STOP_AFTER") && e.contains("no pass 'fuse'"), "{e}");
    let e = error(&dir, "dump m.keras --step train", None);
    assert!(e.contains("--data FILE.npz"), "{e}");
    std::fs::remove_dir_all(dir).unwrap();
}
