//! Programs over models: what they compute ([`Build`]), what they keep ([`Values`]), how they run ([`Program`]).
//!
//! Everything that is computed with a model is one of these: predicting, evaluating, training, a training step of
//! one's own. What a program keeps from run to run lies in named slots, and slots of equal names are one value:
//!
//! | slot | what |
//! | --- | --- |
//! | `model.0/sequential/dense/kernel` | a weight of the first model of the program, by its path |
//! | `optimizer.0/iteration` | what the first optimizer keeps |
//! | `state/rounds` | what the program keeps for itself |
//! | `train/loss/0`, `test/loss/0` | what a figure of training or evaluation has counted so far |
//! | `key` | seed and step of random numbers |

mod batched;
mod build;
mod guard;
mod run;
mod scores;
mod update;
mod values;

pub use batched::joined;
pub use build::Build;
pub(crate) use guard::Guard;
pub use run::Program;
pub use scores::{class_labels, logits, per_sample, sample_axes};
pub use values::Values;
