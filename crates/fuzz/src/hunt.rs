//! The supervisor: starts a child for each reader, and when it dies saves the input, makes it smaller and goes on with
//! the next one.

use crate::child::{self, Tally};
use crate::targets::Target;
use crate::{Effort, Options};
use rhyton::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Findings with the same last words are saved this often; where they tell a line, one is enough.
const SAVED_ALIKE: usize = 5;
/// Deaths after which a reader is given up.
const MOST_DEATHS: usize = 300;
/// Time to make one finding smaller.
const SHRINKING: Duration = Duration::from_secs(60);

/// Hunts in all targets; the number of findings saved.
pub fn all(targets: &[&'static Target], effort: Effort, options: &Options) -> Result<usize> {
    std::fs::create_dir_all(&options.out).map_err(|e| Error::io("make the folder", &options.out, &e))?;
    let waiting = Mutex::new(targets.iter());
    let results = Mutex::new(vec![]);
    std::thread::scope(|s| {
        for _ in 0..options.jobs.max(1) {
            s.spawn(|| {
                while let Some(target) = waiting.lock().ok().and_then(|mut w| w.next().copied()) {
                    let found = Hunt::new(target, options).run(effort);
                    if let Ok(mut all) = results.lock() {
                        all.push(found);
                    }
                }
            });
        }
    });
    let results = results.into_inner().unwrap_or_default();
    results.into_iter().sum()
}

struct Hunt<'a> {
    target: &'static Target,
    options: &'a Options,
    /// Where children write; it goes with what those leave that die.
    folder: PathBuf,
    note: PathBuf,
    /// Deaths by their last words.
    deaths: BTreeMap<String, usize>,
    saved: usize,
}

/// How a child ended.
enum End {
    Done(Tally),
    /// Its last words.
    Died(String),
}

impl<'a> Hunt<'a> {
    fn new(target: &'static Target, options: &'a Options) -> Hunt<'a> {
        let name = format!("rhyton-fuzz-{}-{}", target.name, std::process::id());
        let folder = std::env::temp_dir().join(name);
        let note = folder.join("note");
        Hunt { target, options, folder, note, deaths: BTreeMap::new(), saved: 0 }
    }

    fn run(mut self, effort: Effort) -> Result<usize> {
        let folder = self.folder.clone();
        std::fs::create_dir_all(&folder).map_err(|e| Error::io("make the folder", &folder, &e))?;
        let found = self.hunt(effort);
        std::fs::remove_dir_all(&folder).ok();
        found
    }

    fn hunt(&mut self, effort: Effort) -> Result<usize> {
        let start = Instant::now();
        let mut total = Tally::default();
        while let Some(left) = left(effort, start, total.inputs) {
            let from = total.inputs;
            match self.child(from, left)? {
                End::Done(tally) => {
                    total.add(tally);
                    break;
                }
                End::Died(words) => {
                    let (tally, input) = self.died_of(&words)?;
                    total.add(Tally { inputs: tally.inputs + 1, ..tally });
                    self.report(from + tally.inputs, input, words)?;
                    if self.deaths.values().sum::<usize>() >= MOST_DEATHS {
                        println!("{}: given up after {MOST_DEATHS} deaths", self.target.name);
                        break;
                    }
                }
            }
        }
        println!(
            "{:<12} {:>9} inputs in {:>4} s, {:>8} accepted, {:>4} different answers, {} findings",
            self.target.name,
            total.inputs,
            start.elapsed().as_secs(),
            total.accepted,
            total.answers,
            self.saved
        );
        Ok(self.saved)
    }

    fn child(&self, from: u64, effort: Effort) -> Result<End> {
        let effort = match effort {
            Effort::Inputs(n) => n.to_string(),
            Effort::Time(t) => format!("{}s", t.as_secs().max(1)),
        };
        std::fs::remove_file(&self.note).ok();
        let mut command = self.this_program()?;
        command.arg("child").arg(self.target.name);
        command.args(["--seed", &self.options.seed.to_string(), "--from", &from.to_string()]);
        command.args(["--effort", &effort]).arg("--note").arg(&self.note);
        if let Some(folder) = &self.options.seeds {
            command.arg("--seeds").arg(folder);
        }
        let (status, out, words) = finish(command)?;
        match (status.success(), out.lines().last().and_then(Tally::from_line)) {
            (true, Some(tally)) => Ok(End::Done(tally)),
            _ => Ok(End::Died(words)),
        }
    }

    /// What a child had done, and the input it died of. Without one the fault is the fuzzer's own.
    fn died_of(&self, words: &str) -> Result<(Tally, Vec<u8>)> {
        let note = child::read_note(&self.note).filter(|_| !words.starts_with("error: "));
        note.ok_or_else(|| Error::new(format!("the child of {} failed: {words}", self.target.name)))
    }

    fn report(&mut self, number: u64, input: Vec<u8>, words: String) -> Result<()> {
        let kind = kind_of(&words);
        let alike = self.deaths.entry(kind.clone()).or_default();
        *alike += 1;
        if *alike > if kind.contains(" at ") { 1 } else { SAVED_ALIKE } {
            return Ok(());
        }
        let name = format!("{}-{}-{number}", self.target.name, self.options.seed);
        let path = self.options.out.join(name).with_extension(self.target.extension);
        // A busy machine is no finding: the input has to do it again on its own.
        if self.replay(&input, &path)?.as_ref() != Some(&kind) {
            std::fs::remove_file(&path).ok();
            println!("{}: input {number} died once, but not again: {words}", self.target.name);
            return Ok(());
        }
        let length = input.len();
        let small = self.shrink(input, &kind, &path)?;
        save(&path, &small)?;
        self.saved += 1;
        println!(
            "{}: {words}\n  input {number}, {} bytes (of {length}): {}\n  again: fuzz replay {} {}",
            self.target.name,
            small.len(),
            path.display(),
            self.target.name,
            path.display()
        );
        Ok(())
    }

    /// How reading `input` alone ends the process, if it does.
    fn replay(&self, input: &[u8], path: &Path) -> Result<Option<String>> {
        save(path, input)?;
        let mut command = self.this_program()?;
        command.arg("replay").arg(self.target.name).arg(path);
        let (status, _, words) = finish(command)?;
        Ok((!status.success()).then(|| kind_of(&words)))
    }

    /// A smaller input of the same end, as small as it gets in a while.
    fn shrink(&self, input: Vec<u8>, kind: &str, path: &Path) -> Result<Vec<u8>> {
        let start = Instant::now();
        let still = |fewer: &[u8]| {
            Ok(start.elapsed() < SHRINKING && self.replay(fewer, path)?.as_deref() == Some(kind))
        };
        self.target.form.shrink(input, still)
    }

    fn this_program(&self) -> Result<Command> {
        let program = std::env::current_exe().map_err(|e| Error::new(format!("cannot find myself: {e}")))?;
        let mut command = Command::new(program);
        command.stdin(Stdio::null()).env("TMPDIR", &self.folder);
        // Several children share the machine, and one thread's processor time is watched.
        command.env("RHYTON_THREADS", "1");
        // A reader's own limit comes before the fuzzer's, which only those reach who do not keep to it.
        command.env("RHYTON_MEMORY", "100M");
        Ok(command)
    }
}

/// What of the effort is left, if anything.
fn left(effort: Effort, start: Instant, done: u64) -> Option<Effort> {
    match effort {
        Effort::Inputs(n) => (done < n).then(|| Effort::Inputs(n - done)),
        Effort::Time(t) => {
            let rest = t.saturating_sub(start.elapsed());
            (rest >= Duration::from_secs(1)).then_some(Effort::Time(rest))
        }
    }
}

/// Runs a child to its end: status, standard output, and the last words from standard error.
fn finish(mut command: Command) -> Result<(ExitStatus, String, String)> {
    let done = command.output().map_err(|e| Error::new(format!("cannot start a child: {e}")))?;
    let errors = String::from_utf8_lossy(&done.stderr);
    let known = ["panic at ", "slow: ", "memory allocation of ", "error: "];
    let telling = |l: &&str| known.iter().any(|k| l.starts_with(k)) || l.contains("overflowed its stack");
    let mut words = errors.lines().find(telling).map_or_else(|| done.status.to_string(), String::from);
    // Where memory ran out, if the program knows its lines: the first one of our own.
    if let Some((_, place)) =
        errors.lines().filter_map(|l| l.split_once("/crates/")).find(|(_, p)| !p.starts_with("tensor/"))
    {
        words.push_str(&format!(", at {place}"));
    }
    Ok((done.status, String::from_utf8_lossy(&done.stdout).into_owned(), words))
}

/// Last words by which two findings are told apart: the line where they have one, else all but the numbers.
fn kind_of(words: &str) -> String {
    let panic = words.strip_prefix("panic at ").and_then(|w| w.split(": ").next());
    match (panic, words.split_once(", at ")) {
        (Some(place), _) => format!("panic at {place}"),
        (_, Some((_, place))) => format!("no memory at {place}"),
        _ => words.chars().filter(|c| !c.is_ascii_digit()).collect(),
    }
}

fn save(path: &Path, input: &[u8]) -> Result<()> {
    std::fs::write(path, input).map_err(|e| Error::io("save the input", path, &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_told_apart_by_line_or_kind() {
        assert_eq!(kind_of("panic at src/a.rs:3:9: index 7 of 4"), "panic at src/a.rs:3:9");
        assert_eq!(
            kind_of("memory allocation of 12 bytes failed"),
            kind_of("memory allocation of 9 bytes failed")
        );
    }
}
