//! The process that reads: it notes each input in a file before reading it, so that its supervisor knows of which one
//! it died.

use crate::corpus::Corpus;
use crate::targets::{self, Target};
use crate::{Effort, watch};
use rhyton::{Error, Result};
use std::fs::File;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

#[derive(clap::Args)]
pub struct Arguments {
    reader: String,
    #[arg(long)]
    seed: u64,
    /// Number of the first input
    #[arg(long)]
    from: u64,
    /// Number of inputs, or time
    #[arg(long)]
    effort: Effort,
    #[arg(long)]
    seeds: Option<PathBuf>,
    /// Where the running input is noted
    #[arg(long)]
    note: PathBuf,
}

/// What a child did, on its standard output.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    pub inputs: u64,
    pub accepted: u64,
    /// Answers that differ.
    pub answers: u64,
}

impl Tally {
    /// Adds what another child did; answers may be the same again.
    pub fn add(&mut self, other: Tally) {
        self.inputs += other.inputs;
        self.accepted += other.accepted;
        self.answers = self.answers.max(other.answers);
    }

    pub fn to_line(self) -> String {
        format!("{} {} {}", self.inputs, self.accepted, self.answers)
    }

    pub fn from_line(line: &str) -> Option<Tally> {
        let mut numbers = line.split_whitespace().map(|n| n.parse().ok());
        Some(Tally { inputs: numbers.next()??, accepted: numbers.next()??, answers: numbers.next()?? })
    }
}

pub fn run(a: &Arguments) -> Result<()> {
    let target = targets::find(&a.reader)?;
    let (seed, from, effort) = (a.seed, a.from, a.effort);
    let mut files = further_seeds(a.seeds.as_deref(), target)?;
    let note = File::create(&a.note).map_err(|e| Error::io("write the note", &a.note, &e))?;
    let scratch = a.note.with_extension(target.extension);
    let done = watch::watched(target.time, move || {
        let mut inputs = (target.seeds)()?;
        let own = inputs.len();
        inputs.append(&mut files);
        let corpus = Corpus::new(inputs, own, seed);
        Loop { target, corpus, note, scratch }.turn(from, effort)
    });
    let tally = done.ok_or_else(|| Error::new("the reading thread ended early"))??;
    println!("{}", tally.to_line());
    Ok(())
}

/// Reads one input under the same limits; the answer in words.
pub fn once(target: &'static Target, input: Vec<u8>) -> Result<String> {
    let scratch =
        std::env::temp_dir().join(format!("rhyton-replay-{}.{}", std::process::id(), target.extension));
    let path = scratch.clone();
    let answer = watch::watched(target.time, move || {
        watch::begin();
        let answer = (target.run)(&input, &path);
        watch::end();
        answer
    });
    std::fs::remove_file(scratch).ok();
    match answer.ok_or_else(|| Error::new("the reading thread ended early"))? {
        Ok(()) => Ok("accepted".into()),
        Err(e) => Ok(format!("refused: {e}")),
    }
}

/// The files of a folder that have the ending of the reader, in the order of their names.
fn further_seeds(folder: Option<&Path>, target: &Target) -> Result<Vec<Vec<u8>>> {
    let Some(folder) = folder else { return Ok(vec![]) };
    let list = std::fs::read_dir(folder).map_err(|e| Error::io("list the folder", folder, &e))?;
    let mut paths: Vec<PathBuf> = list.filter_map(|e| Some(e.ok()?.path())).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == target.extension));
    paths.sort();
    paths.iter().map(|p| std::fs::read(p).map_err(|e| Error::io("read the file", p, &e))).collect()
}

struct Loop {
    target: &'static Target,
    corpus: Corpus,
    note: File,
    scratch: PathBuf,
}

impl Loop {
    fn turn(&mut self, from: u64, effort: Effort) -> Result<Tally> {
        let start = Instant::now();
        let mut tally = Tally::default();
        let goes_on = |done: u64| match effort {
            Effort::Inputs(n) => done < n,
            Effort::Time(t) => start.elapsed() < t,
        };
        while goes_on(tally.inputs) {
            let number = from + tally.inputs;
            let input = self.corpus.input(number, &self.target.form);
            self.take_note(tally, &input)?;
            watch::begin();
            let answer = (self.target.run)(&input, &self.scratch);
            watch::end();
            if let (Err(e), true) = (&answer, self.corpus.is_own_seed(number)) {
                return Err(Error::new(format!("seed {number} of {} is refused: {e}", self.target.name)));
            }
            tally.inputs += 1;
            tally.accepted += u64::from(answer.is_ok());
            tally.answers += u64::from(self.corpus.learn(input, &answer));
        }
        std::fs::remove_file(&self.scratch).ok();
        Ok(tally)
    }

    /// The tally so far and the running input, written over those of the one before.
    fn take_note(&mut self, tally: Tally, input: &[u8]) -> Result<()> {
        let head = [tally.inputs, tally.accepted, tally.answers, input.len() as u64];
        let bytes = [&head.map(u64::to_le_bytes).concat()[..], input].concat();
        let written = self.note.rewind().and_then(|()| self.note.write_all(&bytes));
        written.map_err(|e| Error::new(format!("cannot note the input: {e}")))
    }
}

/// The note of a child that died: what it had done before its last input, and that input.
pub fn read_note(path: &Path) -> Option<(Tally, Vec<u8>)> {
    let bytes = std::fs::read(path).ok()?;
    let (head, rest) = bytes.split_at_checked(32)?;
    let [inputs, accepted, answers, length] =
        [0, 8, 16, 24].map(|at| head[at..].first_chunk().map_or(0, |b| u64::from_le_bytes(*b)));
    let input = rest.get(..usize::try_from(length).ok()?)?;
    Some((Tally { inputs, accepted, answers }, input.to_vec()))
}
