//! `rhyton fit`.

use crate::data::Data;
use crate::output::{complain, say};
use rhyton::nn::training::{Fit, Verbose};
use rhyton::{Error, Result, io};
use serde_json::Value as Json;
use std::path::PathBuf;
use std::time::Duration;

#[derive(clap::Args)]
pub struct Arguments {
    /// The compiled model, a .keras file
    model: PathBuf,
    /// Inputs and targets: an .npz file with x0, x1, .., y0, y1, .. and, if wanted, sw0
    #[arg(long)]
    data: PathBuf,
    /// Where the trained model goes, a .keras file
    #[arg(long)]
    out: PathBuf,
    /// Samples of a step
    #[arg(long)]
    batch_size: Option<usize>,
    /// Passes over the data
    #[arg(long, default_value_t = 1)]
    epochs: usize,
    /// Take the samples in their order
    #[arg(long)]
    no_shuffle: bool,
    /// Seed of shuffling and of random layers
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The last part of the data, between 0 and 1, is kept for validation
    #[arg(long)]
    validation_split: Option<f64>,
    /// Weights of classes as JSON, like {"0": 1.0, "1": 2.5}
    #[arg(long)]
    class_weight: Option<String>,
    /// Steps of an epoch
    #[arg(long)]
    steps_per_epoch: Option<usize>,
    /// Where the figures of every epoch go, a JSON file
    #[arg(long)]
    history: Option<PathBuf>,
    /// Keeps the state of training in this file, and goes on from it after an interruption; deleted at the end
    #[arg(long)]
    checkpoint: Option<PathBuf>,
    /// Seconds between checkpoints within an epoch
    #[arg(long, default_value_t = 30.0, requires = "checkpoint")]
    checkpoint_seconds: f64,
    /// 0: nothing; 1: a bar; 2: a line an epoch. A bar on a terminal, lines elsewhere, unless set
    #[arg(long)]
    verbose: Option<usize>,
}

pub fn run(a: &Arguments) -> Result<()> {
    for target in [Some(&a.out), a.history.as_ref(), a.checkpoint.as_ref()].into_iter().flatten() {
        check_folder(target)?;
    }
    let loaded = io::load_keras(&a.model)?;
    loaded.warnings.iter().for_each(|w| complain(&format!("warning: {w}")));
    let mut model = loaded.into_compiled()?;
    let data = Data::read_with_targets(&a.data)?.into_samples();
    let history = model.fit(data, how(a)?)?;
    model.save(&a.out)?;
    if let Some(path) = &a.history {
        let text = history.to_json().to_string();
        io::files::write_atomically(path, |out| {
            out.write_all(text.as_bytes()).map_err(|e| Error::new(format!("cannot write the history: {e}")))
        })?;
    }
    say(&format!("saved {}", a.out.display()))
}

use rhyton::io::Save;

fn how(a: &Arguments) -> Result<Fit<'static>> {
    let mut fit = Fit::epochs(a.epochs).seed(a.seed).shuffle(!a.no_shuffle);
    if let Some(n) = a.batch_size {
        fit = fit.batch_size(n);
    }
    if let Some(part) = a.validation_split {
        fit = fit.validation_split(part);
    }
    if let Some(n) = a.steps_per_epoch {
        fit = fit.steps_per_epoch(n);
    }
    if let Some(text) = &a.class_weight {
        fit = fit.class_weight(class_weights(text)?);
    }
    if let Some(path) = &a.checkpoint {
        let interval = Duration::try_from_secs_f64(a.checkpoint_seconds).map_err(|_| {
            Error::new(format!("{} are no seconds between checkpoints", a.checkpoint_seconds))
        })?;
        fit = fit.callback(io::BackupAndRestore::new(path).every(interval));
    }
    Ok(match a.verbose {
        None => fit,
        Some(0) => fit.verbose(Verbose::Silent),
        Some(1) => fit.verbose(Verbose::Bar),
        Some(2) => fit.verbose(Verbose::Lines),
        Some(n) => return Err(Error::new(format!("--verbose is {n}")).expected("0, 1 or 2")),
    })
}

fn class_weights(text: &str) -> Result<Vec<(i64, f64)>> {
    let bad = |what: String| {
        Error::new(what).place("--class-weight").expected(r#"an object like {"0": 1.0, "1": 2.5}"#)
    };
    let json: Json = serde_json::from_str(text).map_err(|e| bad(format!("this is no JSON: {e}")))?;
    let pairs = json.as_object().ok_or_else(|| bad("this is no JSON object".into()))?;
    pairs
        .iter()
        .map(|(class, weight)| match (class.parse(), weight.as_f64()) {
            (Ok(c), Some(w)) => Ok((c, w)),
            _ => Err(bad(format!("\"{class}\": {weight} is no class and weight"))),
        })
        .collect()
}

/// Says before hours of training, not after, that a result could not be written.
fn check_folder(path: &std::path::Path) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    if folder.is_some_and(|f| !f.is_dir()) {
        return Err(Error::new("the folder does not exist")
            .place(path.display().to_string())
            .fix("make the folder first"));
    }
    Ok(())
}
