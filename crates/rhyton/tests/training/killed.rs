//! Adversarial training with a step of one's own in a process that is killed: started again, it ends in the same bits
//! as one that was left alone.
#![cfg(unix)]

use super::own_step::attacked;
use super::*;
use rhyton::io::callbacks::BackupAndRestore;
use rhyton::tensor::rng;
use rhyton::train::Training;
use rhyton::train::callbacks::Callback;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

fn robust() -> Compiled {
    let own = Compile::new(Adam::new(0.01), "sparse_categorical_crossentropy").metrics(["accuracy"]);
    let own = own.train_step(|s| {
        let attacked = attacked(s);
        let outputs = [s.call(0, &[attacked])[0].clone().into()];
        let loss = s.loss(&outputs);
        s.descend(&loss);
        s.metrics(&outputs, &loss);
    });
    own_step::network(2).compile(own).unwrap()
}

/// Says where training is, for who is to kill it.
struct Says;

impl Callback for Says {
    fn on_train_batch_begin(&mut self, _: usize, _: &mut Training<'_>) -> Result<()> {
        println!("at: step");
        Ok(())
    }
    fn on_train_end(&mut self, _: &mut Training<'_>) -> Result<()> {
        println!("at: end");
        Ok(())
    }
}

#[test]
#[ignore = "killed_at_any_moment_adversarial_training_ends_in_the_same_bits starts it"]
fn the_process_to_kill() {
    let folder = place();
    let x = normal(&[60, 4], 1);
    let rows = x.as_slice::<f32>().unwrap().chunks(4);
    let y = Tensor::vector(rows.map(|r| i32::from(r[0] > 0.0) + i32::from(r[1] > 0.0)).collect::<Vec<_>>());
    let stop = EarlyStopping::new("loss").min_delta(0.02).patience(2).restore_best_weights(true);
    let backup = BackupAndRestore::new(folder.join("state")).every_steps(1);
    let fit = quiet(50).batch_size(25).seed(4).validation_split(0.2);
    let mut model = robust();
    let history = model.fit((&x, &y), fit.callback(stop).callback(backup).callback(Says)).unwrap();
    assert!(history.last("loss").unwrap() < history.get("loss")[0]);
    let mut result = format!("{history:?}\n").into_bytes();
    // What evaluation counted is not kept.
    for (name, t) in model.values().with_prefix("").unwrap() {
        if !name.starts_with("test/") {
            result.extend([name.as_bytes(), &t.to_le_bytes(), b"\n"].concat());
        }
    }
    std::fs::write(folder.join("result"), result).unwrap();
    rhyton::io::save_keras(&model, folder.join("model.keras")).unwrap();
}

fn start(folder: &Path) -> Child {
    second_process("killed::the_process_to_kill", folder).stdout(Stdio::piped()).spawn().unwrap()
}

/// Kills it a while after it has said so many times where it is. `None`: after it has said that training has ended.
/// Says how often it did.
fn run(folder: &Path, kill_at: Option<Option<usize>>, random: u32) -> usize {
    let mut child = start(folder);
    let (mut steps, mut killed) = (0, false);
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        // The harness writes the name of the test in front of the first line.
        let line = line.unwrap();
        let ended = line.ends_with("at: end");
        steps += usize::from(line.ends_with("at: step"));
        // What it did before the signal came counts too: the pipe is read to its end.
        if !killed && kill_at.is_some_and(|at| at.map_or(ended, |n| steps == n)) {
            std::thread::sleep(Duration::from_micros(u64::from(random % 300)));
            child.kill().unwrap();
            killed = true;
        }
    }
    let status = child.wait().unwrap();
    match kill_at {
        Some(_) => assert!(status.signal() == Some(9) || status.success(), "{status}"),
        None => assert!(status.success(), "{status}"),
    }
    steps
}

fn result(folder: &Path) -> Vec<u8> {
    assert!(!folder.join("state").exists(), "the state is left over");
    std::fs::read(folder.join("result")).unwrap()
}

#[test]
fn killed_at_any_moment_adversarial_training_ends_in_the_same_bits() {
    let base = std::env::temp_dir().join(format!("rhyton-killed-{}", std::process::id()));
    let folder = |name: &str| {
        let folder = base.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    };
    let whole = folder("whole");
    let steps = run(&whole, None, 0);
    assert!((6..100).contains(&steps), "{steps} steps: it is to stop early, and not at once");
    let wanted = result(&whole);
    // The first step, epochs' ends and middles, the last step, the time between training and saving.
    let moments = [Some(1), Some(2), Some(5), Some(steps / 2), Some(steps - 1), Some(steps), None];
    let mut resumed = 0;
    for (i, at) in moments.into_iter().enumerate() {
        let folder = folder(&format!("killed{i}"));
        let random = |n| rng::block(1, 0, n, i as u64)[0];
        let before = run(&folder, Some(at), random(0));
        // Every other run is killed again soon after it went on.
        let again = if i % 2 == 1 { run(&folder, Some(Some(1)), random(1)) } else { 0 };
        let rest = run(&folder, None, 0);
        // A step whose state was saved may have been killed before it was said.
        assert!(before + again + rest + 2 >= steps, "{before}, {again}, then {rest} of {steps} steps");
        resumed += usize::from(rest < steps);
        assert!(result(&folder) == wanted, "killed at {at:?}");
    }
    assert!(resumed >= 3, "only {resumed} runs went on where they were");
    std::fs::remove_dir_all(base).unwrap();
}
