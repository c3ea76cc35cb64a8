//! `rhyton attack`.

use crate::commands::explain::settings;
use crate::data::Data;
use crate::output::{Target as Out, complain};
use rhyton::robust::{Adversarial, AttackRef, Attacker, Norm};
use rhyton::{Result, io};
use serde_json::{Map, Value as Json};
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Arguments {
    /// The model, a .keras file
    model: PathBuf,
    /// How: `rhyton list attack` shows the methods
    #[arg(long, default_value = "pgd_linf")]
    method: String,
    /// Settings of the method, like {"eps": 0.1, "steps": 20}
    #[arg(long, default_value = "{}", value_parser = settings)]
    args: Map<String, Json>,
    /// Inputs x0, x1, .. and classes y0 in an .npz file; - reads it from standard input
    #[arg(long)]
    data: PathBuf,
    /// The array that holds the classes: what samples are or, of a targeted attack, what they are to be taken for
    #[arg(long, default_value = "y0")]
    labels: String,
    /// Least and largest value of an input
    #[arg(long, default_value = "0,1", value_parser = bounds, allow_hyphen_values = true)]
    bounds: (f32, f32),
    /// Which of the model's outputs
    #[arg(long, default_value_t = 0)]
    output: usize,
    /// Which of the model's inputs is changed; the first of floats unless given
    #[arg(long)]
    input: Option<usize>,
    /// Where adversarial inputs go: an .npz file, by the name of the method; - writes it to standard output
    #[arg(long)]
    out: Out,
    /// Samples computed at a time
    #[arg(long, default_value_t = 32)]
    batch_size: usize,
    /// Seed of methods that draw random numbers
    #[arg(long, default_value_t = 0)]
    seed: u32,
}

/// `0,1`
pub fn bounds(text: &str) -> std::result::Result<(f32, f32), String> {
    let numbers: Vec<f32> = text.split(',').filter_map(|n| n.trim().parse().ok()).collect();
    match numbers[..] {
        [low, high] if low < high => Ok((low, high)),
        _ => Err("expected the least and the largest value, like 0,1".into()),
    }
}

pub fn run(a: &Arguments) -> Result<()> {
    let attack = AttackRef::with_settings(&a.method, &a.args).map_err(|e| e.place("--method, --args"))?;
    let model = io::load_keras(&a.model)?.into_model();
    let data = Data::read(&a.data)?;
    let labels = data.array(&a.labels)?;
    let bytes = data.inputs.iter().map(|t| t.data().bytes()).sum::<usize>();
    a.out.try_now("--out", bytes as u64)?;
    let attacker = Attacker::new(&model).output(a.output).bounds(a.bounds.0, a.bounds.1);
    let attacker = attacker.batch_size(a.batch_size).seed(a.seed);
    let attacker = match a.input {
        Some(input) => attacker.input(input),
        None => attacker,
    };
    let found = attacker.attack(attack, &data.inputs, labels)?;
    complain(&summary(&found));
    a.out.write(|out| io::write_npz_to(out, &[(a.method.as_str(), &found.examples)]))
}

fn summary(found: &Adversarial) -> String {
    let mean = |norm: Norm| {
        let sizes = found.size(norm);
        sizes.iter().sum::<f32>() / sizes.len().max(1) as f32
    };
    let [what, after] = match found.is_targeted() {
        true => ["taken for the class wanted", "after the attack"],
        false => ["accuracy", "under attack"],
    };
    format!(
        "{what} {:.4}, {after} {:.4}; mean change: largest value {:.4}, Euclidean {:.4}, sum {:.4}",
        found.clean_accuracy(),
        found.robust_accuracy(),
        mean(Norm::Inf),
        mean(Norm::L2),
        mean(Norm::L1)
    )
}
