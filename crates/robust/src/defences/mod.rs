//! Defences: steps of training that make a model withstand. Each is one compiled step under `fit`, with the attack as a
//! loop inside.
//!
//! ```
//! use rhyton_model::Sequential;
//! use rhyton_nn::layers::Dense;
//! use rhyton_robust::{attacks::PgdLinf, defences::{AdversarialTraining, defended}};
//! use rhyton_tensor::Tensor;
//! use rhyton_train::{Compile, Fit, ModelExt};
//! # let reference = std::sync::Arc::<rhyton_graph::reference::ReferenceBackend>::default();
//! # rhyton_model::backend::set_backend(reference);
//! let model = Sequential::new([2]).add(Dense::new(2).softmax()).build()?;
//! let attack = PgdLinf::default().eps(0.1).step_size(0.05).steps(3);
//! let arguments = Compile::new("adam", "sparse_categorical_crossentropy");
//! let mut model = model.compile(defended(arguments, AdversarialTraining::default().attack(attack)))?;
//! let (x, y) = (Tensor::full([4, 2], 0.5f32), Tensor::vector(vec![0i32, 1, 0, 1]));
//! model.fit((&x, &y), Fit::epochs(1).verbose(0))?;
//! # Ok::<(), rhyton_tensor::Error>(())
//! ```

mod adversarial;
mod free;
mod interval;
mod mart;
mod overfitting;
mod trades;

pub use adversarial::AdversarialTraining;
pub use free::FreeTraining;
pub use interval::IntervalTraining;
pub use mart::Mart;
pub use overfitting::CatastrophicOverfitting;
pub use trades::Trades;

use crate::{Attack, Victim};
use rhyton_graph::Expr;
use rhyton_graph::ops::Distribution;
use rhyton_model::program::logits;
use rhyton_nn::layer::Value;
use rhyton_nn::{Handle, Object};
use rhyton_tensor::{DType, Dim, Error, Result};
use rhyton_train::{Compile, TrainStep};

/// A step of training that makes a model withstand. A new one is a file here and a row of the registry below.
pub trait Defence: Object {
    /// Forward, attack, loss, gradients, update and figures of one batch.
    ///
    /// # Errors
    /// When the defence does not fit the model.
    fn step(&self, s: &mut TrainStep<'_>) -> Result<()>;
}

/// A shared defence.
pub type DefenceRef = Handle<dyn Defence>;

// The defences.
rhyton_nn::registry! {
    local dyn Defence, "defence" in "rhyton.robust";
    AdversarialTraining ["pgd_training"] "the loss of adversarial samples in place of clean ones";
    FreeTraining ["free"] "several updates on a batch, each with one more step of the attack";
    Trades "the loss of clean samples and how far the answers to adversarial ones are from theirs";
    Mart "the same, with more weight on samples that are not right yet";
    IntervalTraining ["ibp_training", "crown_ibp"] "the loss of the worst logits that certified bounds allow";
}

/// Arguments of `compile` with a step of training that defends.
pub fn defended(arguments: Compile, defence: impl Into<DefenceRef>) -> Compile {
    let defence = defence.into();
    arguments.train_step(move |s| {
        if let Err(e) = defence.get().and_then(|d| d.step(s).map_err(|e| e.place(d.class_name()))) {
            s.report(e);
        }
    })
}

/// The only input that is changed: the model's first.
fn input(s: &TrainStep<'_>) -> Result<Expr> {
    match s.inputs().first() {
        Some(x) if x.dtype().is_float() => Ok(x.clone()),
        _ => Err(Error::new("the model's first input does not hold floating-point numbers")
            .expected("an input whose values can be changed a little")),
    }
}

/// The labels of a batch as class numbers, int32 `[batch]`.
fn labels(s: &TrainStep<'_>, classes: usize) -> Result<Expr> {
    let y = s.targets().first().cloned().flatten().ok_or_else(|| Error::new("no labels were given"))?;
    let batch = s.inputs()[0].shape()[0].clone();
    match y.shape().last().and_then(Dim::as_fixed) {
        Some(n) if n == classes && y.rank() == 2 && n > 1 => Ok(y.argmax(1)),
        Some(1) if y.rank() == 2 => Ok(y.reshape([batch]).cast(DType::I32)),
        _ if y.rank() == 1 => Ok(y.cast(DType::I32)),
        _ => {
            Err(Error::new(format!("labels of the shape {}", y.shape())).expected("a class for each sample"))
        }
    }
}

/// The model at this point of the step as an attack sees it: with layers as in prediction.
fn victim(s: &mut TrainStep<'_>, bounds: (f64, f64)) -> Result<Victim> {
    let (x, inputs) = (input(s)?, s.inputs().to_vec());
    let output = s.call_inference(0, &inputs).swap_remove(0);
    let classes = logits(&output).shape().last().and_then(Dim::as_fixed).unwrap_or(1);
    let labels = labels(s, classes)?;
    let key = (s.random(Distribution::Uniform, [2]) * 16_777_216.0).cast(DType::I32);
    Victim::new(&x, &output, &labels, (bounds.0 as f32, bounds.1 as f32), &key)
}

/// What an attack makes of the batch, as numbers.
fn attacked(s: &mut TrainStep<'_>, attack: &dyn Attack, bounds: (f64, f64)) -> Result<Expr> {
    let mut victim = victim(s, bounds)?;
    Ok(attack.perturb(&mut victim)?.stop_gradient())
}

/// The model's outputs, as in training, for another first input.
fn forward_at(s: &mut TrainStep<'_>, x: &Expr) -> Vec<Value> {
    let mut inputs: Vec<Value> = s.inputs().iter().cloned().map(Value::from).collect();
    inputs[0] = x.clone().into();
    s.call_masked(0, &inputs, true)
}

/// The logits of the first output, `[batch, classes]`; one number stands for the second of two classes.
fn scores(outputs: &[Value]) -> Expr {
    let z = logits(&outputs[0].expr).float();
    match z.shape().last().and_then(Dim::as_fixed) {
        Some(1) => Expr::concat(&[z.zeros_like(), z], 1),
        _ => z,
    }
}
