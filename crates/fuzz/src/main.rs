//! `fuzz`: damaged and forged files for every reader, by the hour or for a second.
//!
//! A reader runs in a process of its own ([`child`]) that a supervisor ([`hunt`]) starts again after it died: a
//! panic, an abort, an overflow of the stack, memory beyond a limit and a hang all end the process and are told apart
//! by its last words. Every input is a function of the seed, its number and the inputs before it.
//!
//! Why a mutator of our own: `libfuzzer-sys` and `fuzzcheck` need a nightly compiler, `afl` and `honggfuzz` a fuzzer
//! built in C, `arbitrary` and `proptest` make values of Rust types and not damaged files. What is gained by their
//! coverage counters is had here in part by the answers: an input whose answer is new becomes a parent.

mod child;
mod corpus;
mod form;
mod hunt;
mod targets;
mod watch;

use clap::{Parser, Subcommand};
use rhyton::counting::Counting;
use rhyton::{Error, Result};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

/// Bounds what one input may allocate.
#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Throw damaged files at the readers.
#[derive(Parser)]
#[command(name = "fuzz", arg_required_else_help = true, args_conflicts_with_subcommands = true)]
struct Cli {
    /// How long for each reader (30s, 10m, 2h), or how many inputs (5000)
    effort: Option<Effort>,
    /// The readers [default: all]
    readers: Vec<String>,
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(clap::Args, Clone)]
struct Options {
    /// The same seed makes the same inputs
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The folder for inputs that were not survived
    #[arg(long, default_value = "target/fuzz")]
    out: PathBuf,
    /// A folder of further files to start from; those with the reader's ending are taken
    #[arg(long)]
    seeds: Option<PathBuf>,
    /// Readers at work at once
    #[arg(long, default_value_t = 1)]
    jobs: usize,
}

#[derive(Subcommand)]
enum Command {
    /// Read files once, for example saved findings
    Replay {
        /// The reader
        reader: String,
        /// The files
        files: Vec<PathBuf>,
    },
    /// List the readers
    List,
    /// The process that reads
    #[command(hide = true)]
    Child(child::Arguments),
}

/// When to stop.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Effort {
    Time(Duration),
    Inputs(u64),
}

impl FromStr for Effort {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Effort, String> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let n: u64 = digits.parse().map_err(|_| "expected 30s, 10m, 2h or a number of inputs".to_string())?;
        let time = |seconds: u64| Ok(Effort::Time(Duration::from_secs(n.saturating_mul(seconds))));
        match &text[digits.len()..] {
            "" => Ok(Effort::Inputs(n)),
            "s" => time(1),
            "m" => time(60),
            "h" => time(3600),
            unit => Err(format!("'{unit}' is no unit of time; expected s, m or h")),
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match (cli.command, cli.effort) {
        (Some(Command::Child(a)), _) => child::run(&a).map(|()| true),
        (Some(Command::Replay { reader, files }), _) => replay(&reader, &files),
        (Some(Command::List), _) => {
            targets::ALL.iter().for_each(|t| println!("{:<12} {}", t.name, t.about));
            Ok(true)
        }
        (None, Some(effort)) => campaign(effort, &cli.readers, &cli.options),
        (None, None) => Err(Error::new("nothing to do").expected("a time or a number of inputs: fuzz 10m")),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every reader survived.
fn campaign(effort: Effort, readers: &[String], options: &Options) -> Result<bool> {
    let chosen = match readers {
        [] => targets::ALL.iter().collect(),
        names => names.iter().map(|n| targets::find(n)).collect::<Result<Vec<_>>>()?,
    };
    let found = hunt::all(&chosen, effort, options)?;
    match found {
        0 => println!("no findings"),
        n => println!("{n} findings, in {}", options.out.display()),
    }
    Ok(found == 0)
}

fn replay(reader: &str, files: &[PathBuf]) -> Result<bool> {
    let target = targets::find(reader)?;
    for file in files {
        let bytes = std::fs::read(file).map_err(|e| Error::io("read the file", file, &e))?;
        let answer = child::once(target, bytes)?;
        println!("{}: {answer}", file.display());
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn efforts_are_times_or_numbers() {
        assert_eq!("10m".parse(), Ok(Effort::Time(Duration::from_secs(600))));
        assert_eq!("30s".parse(), Ok(Effort::Time(Duration::from_secs(30))));
        assert_eq!("5000".parse(), Ok(Effort::Inputs(5000)));
        for wrong in ["", "m", "-3", "10x", "1.5h"] {
            assert!(wrong.parse::<Effort>().is_err(), "{wrong}");
        }
    }
}
