//! The `rhyton` program: networks trained, judged and used from the command line.

mod commands;
mod data;
mod output;
mod pictures;
mod signals;
mod workloads;

use clap::{Parser, Subcommand};
use commands::{
    attack, bench, certify, demo, dump, evaluate, explain, fit, list, predict, quantize, report, summary,
};
use rhyton::counting::Counting;
use rhyton::tensor::memory;
use rhyton::train::Compiled;
use rhyton::{Result, io};
use rhyton_cli::json;
use std::path::Path;
use std::process::ExitCode;

/// `bench` says how much a step allocates.
#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Deep learning as Keras users know it, in one program.
#[derive(Parser)]
#[command(name = "rhyton", version, about, arg_required_else_help = true)]
struct Cli {
    /// The most memory that arrays may take, as RHYTON_MEMORY; nine tenths of what is available unless set
    #[arg(long, global = true, value_name = "SIZE", value_parser = memory_size)]
    memory: Option<usize>,
    #[command(subcommand)]
    command: Command,
}

/// `8G`
fn memory_size(text: &str) -> std::result::Result<usize, String> {
    memory::parse(text).map_err(|e| e.to_string())
}

#[derive(Subcommand)]
enum Command {
    /// Train three networks on real data and show what they reached
    Demo(demo::Arguments),
    /// Train a compiled model on the data in an .npz file
    Fit(fit::Arguments),
    /// Print a compiled model's loss and metrics on the data in an .npz file
    Evaluate(evaluate::Arguments),
    /// Compute a model's outputs for the inputs in an .npz file
    Predict(predict::Arguments),
    /// Say what each value of the inputs had to do with a model's answers
    Explain(explain::Arguments),
    /// Change inputs so that a model errs, and say how often it does
    Attack(attack::Arguments),
    /// Say what a model's outputs surely lie between when inputs change a little
    Certify(certify::Arguments),
    /// Put on one page how good a model is, why it answers so and how far it can be trusted
    Report(report::Arguments),
    /// Turn a model's arithmetic into int8: a quarter of the size, faster to predict with
    Quantize(quantize::Arguments),
    /// Show a model's layers, shapes and numbers of weights
    Summary(summary::Arguments),
    /// Print what the compiler makes of a model: its graph after a pass, or its plan
    Dump(dump::Arguments),
    /// Time the workloads that engines are compared on
    Bench(bench::Arguments),
    /// List the known layers, losses, metrics, optimizers, ..
    List(list::Arguments),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    signals::listen();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(mut e) => {
            // Lines are those of this program; its user knows places in files.
            e.problems.iter_mut().for_each(|p| p.source = p.source.take().filter(|s| s.line().is_none()));
            let what = if signals::came() { "stopped" } else { "error" };
            output::complain(&format!("{what}: {e}"));
            ExitCode::from(signals::failure())
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    if let Some(bytes) = cli.memory {
        memory::set_limit(bytes);
    }
    // An unreadable RHYTON_MEMORY is an error at once, and what is available is measured before anything is taken.
    memory::limit()?;
    match cli.command {
        Command::Demo(a) => demo::run(&a),
        Command::Fit(a) => fit::run(&a),
        Command::Evaluate(a) => evaluate::run(&a),
        Command::Predict(a) => predict::run(&a),
        Command::Explain(a) => explain::run(&a),
        Command::Attack(a) => attack::run(&a),
        Command::Certify(a) => certify::run(&a),
        Command::Report(a) => report::run(&a),
        Command::Quantize(a) => quantize::run(&a),
        Command::Summary(a) => summary::run(&a),
        Command::Dump(a) => dump::run(&a),
        Command::Bench(a) => bench::run(&a),
        Command::List(a) => list::run(&a),
    }
}

/// A model that was compiled before it was saved.
fn load_compiled(path: &Path) -> Result<Compiled> {
    let (model, warnings) = io::load_keras(path)?.into_compiled()?;
    warnings.iter().for_each(|w| output::complain(&format!("warning: {w}")));
    Ok(model)
}
