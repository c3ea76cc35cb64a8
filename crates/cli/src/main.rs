//! The `rhyton` program: networks trained, judged and used from the command line.

mod commands;
mod data;
mod output;
mod workloads;

use clap::{Parser, Subcommand};
use commands::{bench, demo, evaluate, fit, list, predict, quantize, summary};
use rhyton::counting::Counting;
use rhyton::nn::training::Compiled;
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
    #[command(subcommand)]
    command: Command,
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
    /// Turn a model's arithmetic into int8: a quarter of the size, faster to predict with
    Quantize(quantize::Arguments),
    /// Show a model's layers, shapes and numbers of weights
    Summary(summary::Arguments),
    /// Time the workloads that engines are compared on
    Bench(bench::Arguments),
    /// List the known layers, losses, metrics, optimizers, ..
    List(list::Arguments),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Demo(a) => demo::run(&a),
        Command::Fit(a) => fit::run(&a),
        Command::Evaluate(a) => evaluate::run(&a),
        Command::Predict(a) => predict::run(&a),
        Command::Quantize(a) => quantize::run(&a),
        Command::Summary(a) => summary::run(&a),
        Command::Bench(a) => bench::run(&a),
        Command::List(a) => list::run(&a),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(mut e) => {
            // The lines are those of this program; its user has none.
            e.problems.iter_mut().for_each(|p| p.source = None);
            output::complain(&format!("error: {e}"));
            ExitCode::FAILURE
        }
    }
}

/// A model that was compiled before it was saved.
fn load_compiled(path: &Path) -> Result<Compiled> {
    let (model, warnings) = io::load_keras(path)?.into_compiled()?;
    warnings.iter().for_each(|w| output::complain(&format!("warning: {w}")));
    Ok(model)
}
