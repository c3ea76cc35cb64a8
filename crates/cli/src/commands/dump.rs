//! `rhyton dump`.

use crate::data::Data;
use crate::load_compiled;
use crate::output::say;
use rhyton::graph::inspect::{Compilation, watch};
use rhyton::graph::{Type, passes, text};
use rhyton::model::Model;
use rhyton::tensor::DType;
use rhyton::train::Samples;
use rhyton::{Error, Result, Tensor, io};
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Arguments {
    /// The model, a .keras file
    model: PathBuf,
    /// Which of its programs
    #[arg(long, value_enum, default_value_t = Step::Predict)]
    step: Step,
    /// Print the graph after this pass of the compiler, or as `traced`, instead of the plan that a backend gets
    #[arg(long, value_name = "PASS")]
    after: Option<String>,
    /// Inputs and targets that the program is made for: an .npz file with x0, y0, ..; zeros unless given
    #[arg(long)]
    data: Option<PathBuf>,
}

/// A program of a model.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Step {
    /// Forward, loss, gradients and update.
    Train,
    /// Forward only.
    Predict,
}

pub fn run(a: &Arguments) -> Result<()> {
    // A wrong name is said before the work.
    let pass = match a.after.as_deref() {
        None | Some("traced") => None,
        Some(name) => Some(passes::position(name).map_err(|e| e.place("--after"))?),
    };
    let seen = match a.step {
        Step::Predict => predicting(a)?,
        Step::Train => training(a)?,
    };
    match (&a.after, pass) {
        (None, _) => match &seen.plan {
            Some(plan) => say(text::print_plan(plan).trim_end()),
            None => Err(Error::new("the program was not compiled")),
        },
        (Some(_), None) => say(text::print_with_sources(&seen.traced).trim_end()),
        (Some(name), Some(at)) => match seen.passes.get(at) {
            Some((_, f)) => say(text::print_with_sources(f).trim_end()),
            None => Err(Error::new(format!("the pass '{name}' did not run")).place("--after")),
        },
    }
}

/// The program of `Model::predict`.
fn predicting(a: &Arguments) -> Result<Compilation> {
    let model = io::load_keras(&a.model)?.into_model();
    let inputs = match &a.data {
        Some(path) => Data::read(path)?.inputs,
        None => zeros(&inputs(&model)?)?,
    };
    let (outputs, seen) = watch(|| model.predict_all(&inputs, 1));
    first(seen, outputs.err())
}

/// The program of a training step.
fn training(a: &Arguments) -> Result<Compilation> {
    let mut model = load_compiled(&a.model)?;
    let samples = match &a.data {
        Some(path) => Data::read_with_targets(path)?.samples(),
        None => {
            let outputs: Vec<Type> =
                model.trace(false)?.outputs.iter().map(|v| v.expr.ty().clone()).collect();
            Samples { x: zeros(&inputs(&model)?)?, y: zeros(&outputs)?, weights: vec![] }
        }
    };
    let (logs, seen) = watch(|| model.train_on_batch(samples));
    let no_targets = |_| {
        Error::new("zeros of the outputs' shapes are no targets for this loss")
            .place("--step train")
            .fix("give inputs and targets: --data FILE.npz")
    };
    let error = logs.err();
    first(seen, if a.data.is_some() { error } else { error.map(no_targets) })
}

/// What was compiled first, or why nothing was.
fn first(seen: Vec<Compilation>, error: Option<Error>) -> Result<Compilation> {
    let nothing = || Error::new("nothing was compiled");
    seen.into_iter().find(|c| c.plan.is_some()).ok_or_else(|| error.unwrap_or_else(nothing))
}

fn inputs(model: &Model) -> Result<Vec<Type>> {
    Ok(model.trace(false)?.inputs.iter().map(|e| e.ty().clone()).collect())
}

/// One sample for each type; what is open has the size 1.
fn zeros(types: &[Type]) -> Result<Vec<Tensor>> {
    let sizes = |t: &Type| t.shape.iter().map(|d| d.as_fixed().unwrap_or(1)).collect::<Vec<_>>();
    let zero =
        |t: &Type| Tensor::try_zeros(if t.dtype == DType::BF16 { DType::F32 } else { t.dtype }, sizes(t));
    types.iter().map(zero).collect()
}
