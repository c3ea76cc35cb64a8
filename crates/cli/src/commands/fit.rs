//! `rhyton fit`.

mod checkpoint;

use super::is_keras;
use crate::data::{Data, STANDARD_INPUT};
use crate::output::Target;
use crate::{json, load_compiled, signals};
use checkpoint::Checkpoint;
use rhyton::io::{files, write_keras};
use rhyton::train::{Compiled, Fit, History};
use rhyton::{Error, Result};
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub struct Arguments {
    /// The model, a .keras file of a compiled model
    model: PathBuf,
    /// Inputs and targets: an .npz file with x0, x1, .. and y0, y1, ..; sw0, .. are sample weights; - reads it from
    /// standard input
    #[arg(long)]
    data: PathBuf,
    /// Where the trained model goes, a .keras file; - writes it to standard output
    #[arg(long)]
    out: Target,
    /// Passes over the data
    #[arg(long, default_value_t = 1)]
    epochs: usize,
    /// Samples of a step [default: 32]
    #[arg(long)]
    batch_size: Option<usize>,
    /// Keep the order of the samples
    #[arg(long)]
    no_shuffle: bool,
    /// Seed of shuffling and of the random numbers of layers
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The part of the samples, the last ones, to validate on
    #[arg(long, default_value_t = 0.0)]
    validation_split: f64,
    /// Validate on this .npz file
    #[arg(long, conflicts_with = "validation_split")]
    validation_data: Option<PathBuf>,
    /// Weights of classes as JSON: {"0": 1.0, "1": 2.5}
    #[arg(long)]
    class_weight: Option<String>,
    /// Steps of an epoch; the next epoch goes on with the rest
    #[arg(long)]
    steps_per_epoch: Option<usize>,
    /// Where the figures of every epoch go, a JSON file; - writes them to standard output
    #[arg(long)]
    history: Option<Target>,
    /// Keep the state of training here while it runs; removed once model and history are saved. Ctrl-C and SIGTERM
    /// save it after the step that runs, without this option to the name of --out and .checkpoint
    #[arg(long)]
    checkpoint: Option<PathBuf>,
    /// Save that state after every N steps, too
    #[arg(long, value_name = "N", requires = "checkpoint")]
    checkpoint_steps: Option<usize>,
    /// Go on from the checkpoint of a run that was cut off, where there is one
    #[arg(long)]
    resume: bool,
    /// Go on from it even if model, data or arguments are not those it began with
    #[arg(long)]
    resume_anyway: bool,
    /// 0 says nothing, 1 shows a bar, 2 writes a line an epoch [default: a bar on a terminal, lines elsewhere]
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=2))]
    verbose: Option<u8>,
}

pub fn run(a: &Arguments) -> Result<()> {
    check_targets(a)?;
    let mut model = load_compiled(&a.model)?;
    try_targets(a, &model)?;
    let data = Data::read_with_targets(&a.data)?;
    let mut fit = arguments(a)?;
    let checkpoint = Checkpoint::of(a)?;
    if let Some(c) = &checkpoint {
        fit = fit.callback(c.callback(a));
    }
    let mut watch = signals::Watch::begin();
    let trained = model.fit(data.samples(), fit.callback(&mut watch));
    let done = trained.and_then(|history| save(a, &model, &history));
    match (checkpoint, done) {
        (Some(c), Ok(())) => c.remove(),
        (Some(c), Err(e)) if watch.began => Err(c.say_how_to_go_on(e)),
        (_, done) => done,
    }
}

/// The arguments of training.
fn arguments<'f>(a: &Arguments) -> Result<Fit<'f>> {
    let mut fit = Fit::epochs(a.epochs)
        .shuffle(!a.no_shuffle)
        .seed(a.seed)
        .validation_split(a.validation_split)
        .class_weight(a.class_weight.as_deref().map_or(Ok(vec![]), json::class_weights)?)
        .resume_anyway(a.resume_anyway);
    if let Some(n) = a.batch_size {
        fit = fit.batch_size(n);
    }
    if let Some(n) = a.steps_per_epoch {
        fit = fit.steps_per_epoch(n);
    }
    if let Some(path) = &a.validation_data {
        fit = fit.validation(Data::read_with_targets(path)?.samples());
    }
    if let Some(level) = a.verbose {
        fit = fit.verbose(level);
    }
    if [Some(&a.out), a.history.as_ref()].contains(&Some(&Target::StandardOutput)) {
        fit = fit.output(std::io::stderr());
    }
    Ok(fit)
}

/// Hours of training are not to end at a name that cannot be.
fn check_targets(a: &Arguments) -> Result<()> {
    is_keras("--out", &a.out)?;
    let twice = |what: &str, place: &str| {
        Err(Error::new(format!("{what} is given twice")).place(place).fix("give another name to one of them"))
    };
    let input = Some(Path::new(STANDARD_INPUT));
    if input == Some(&a.data) && input == a.validation_data.as_deref() {
        return twice("standard input", "--data and --validation-data");
    }
    let checkpoint = a.checkpoint.clone().map(Target::File);
    let places =
        [("--out", Some(&a.out)), ("--history", a.history.as_ref()), ("--checkpoint", checkpoint.as_ref())];
    for (one, other) in [(0, 1), (0, 2), (1, 2)] {
        let ((a, at), (b, there)) = (places[one], places[other]);
        if at.is_some() && at == there {
            return twice("the place", &format!("{a} and {b}"));
        }
    }
    Ok(())
}

/// Makes files where results are to go, the model's in its size, and removes them.
fn try_targets(a: &Arguments, model: &Compiled) -> Result<()> {
    let tensors = model.weights().iter().cloned().chain(model.optimizer_state());
    let bytes: usize = tensors.map(|t| t.len() * t.dtype().size_bytes()).sum();
    a.out.try_now("--out", bytes as u64).map_err(|e| e.place("--out"))?;
    match &a.history {
        Some(Target::File(path)) => files::try_target(path, 0).map_err(|e| e.place("--history")),
        _ => Ok(()),
    }
}

/// Model and history; the one is tried when the other fails.
fn save(a: &Arguments, model: &Compiled, history: &History) -> Result<()> {
    let model = a.out.write(|out| write_keras(model, out));
    let history = a.history.as_ref().map_or(Ok(()), |target| save_history(history, target));
    let problems = [model, history].into_iter().filter_map(Result::err).flat_map(|e| e.problems);
    Error::from_problems(problems.collect()).map_or(Ok(()), Err)
}

fn save_history(history: &History, target: &Target) -> Result<()> {
    let text = json::object(history.iter().map(|(name, values)| (name.to_string(), json::list(values))));
    target.write(|out| out.write_all(text.as_bytes()).map_err(|e| files::write_failed(&e)))
}
