//! `rhyton fit`.

use crate::data::Data;
use crate::{json, load_compiled};
use rhyton::io::callbacks::BackupAndRestore;
use rhyton::io::files;
use rhyton::nn::training::{Fit, History};
use rhyton::{Error, Result, io};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Time between two states of training within an epoch.
const BACKUP: Duration = Duration::from_secs(30);

#[derive(clap::Args)]
pub struct Arguments {
    /// The model, a .keras file of a compiled model
    model: PathBuf,
    /// Inputs and targets: an .npz file with x0, x1, .. and y0, y1, ..; sw0, .. are sample weights
    #[arg(long)]
    data: PathBuf,
    /// Where the trained model goes, a .keras file
    #[arg(long)]
    out: PathBuf,
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
    /// Where the figures of every epoch go, a JSON file
    #[arg(long)]
    history: Option<PathBuf>,
    /// Keep the state of training here while it runs
    #[arg(long)]
    checkpoint: Option<PathBuf>,
    /// Save that state after every N steps, too
    #[arg(long, value_name = "N", requires = "checkpoint")]
    checkpoint_steps: Option<usize>,
    /// Go on from the checkpoint of a run that was cut off
    #[arg(long, requires = "checkpoint")]
    resume: bool,
    /// 0 says nothing, 1 shows a bar, 2 writes a line an epoch [default: a bar on a terminal, lines elsewhere]
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=2))]
    verbose: Option<u8>,
}

pub fn run(a: &Arguments) -> Result<()> {
    let mut model = load_compiled(&a.model)?;
    let data = Data::read_with_targets(&a.data)?;
    let mut fit = Fit::epochs(a.epochs)
        .shuffle(!a.no_shuffle)
        .seed(a.seed)
        .validation_split(a.validation_split)
        .class_weight(a.class_weight.as_deref().map_or(Ok(vec![]), json::class_weights)?);
    if let Some(n) = a.batch_size {
        fit = fit.batch_size(n);
    }
    if let Some(n) = a.steps_per_epoch {
        fit = fit.steps_per_epoch(n);
    }
    if let Some(path) = &a.validation_data {
        fit = fit.validation(Data::read_with_targets(path)?.samples());
    }
    if let Some(path) = &a.checkpoint {
        fit = fit.callback(backup(a, path)?);
    }
    if let Some(level) = a.verbose {
        fit = fit.verbose(level);
    }
    can_write(&a.out)?;
    let history = model.fit(data.samples(), fit)?;
    io::save_keras(&model, &a.out)?;
    match &a.history {
        Some(path) => save_history(&history, path),
        None => Ok(()),
    }
}

fn backup(a: &Arguments, path: &Path) -> Result<BackupAndRestore> {
    if path.exists() && !a.resume {
        return Err(Error::new("there is a checkpoint of an earlier run already")
            .place(path.display().to_string())
            .fix("add --resume to go on from it, or remove the file to start anew"));
    }
    let backup = BackupAndRestore::new(path).every(BACKUP);
    Ok(match a.checkpoint_steps {
        Some(n) => backup.every_steps(n),
        None => backup,
    })
}

/// Hours of training are not to end in a folder that does not exist.
fn can_write(out: &Path) -> Result<()> {
    let folder = match out.parent() {
        Some(p) if p != Path::new("") => p,
        _ => Path::new("."),
    };
    let keras = out.extension().is_some_and(|e| e == "keras");
    match (folder.is_dir(), keras) {
        (true, true) => Ok(()),
        (false, _) => Err(Error::new(format!("there is no folder '{}'", folder.display()))
            .place("--out")
            .fix("create it first, or correct the path")),
        (_, false) => Err(Error::new(format!("the trained model cannot go to '{}'", out.display()))
            .place("--out")
            .expected("a name that ends in .keras")),
    }
}

fn save_history(history: &History, path: &Path) -> Result<()> {
    let text = json::object(history.iter().map(|(name, values)| (name.to_string(), json::list(values))));
    files::write_atomically(path, |out| {
        out.write_all(text.as_bytes()).map_err(|e| Error::io("write the history", path, &e))
    })
}
