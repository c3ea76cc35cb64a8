//! Training: `compile`, `fit`, `evaluate`, custom steps, histories, progress, checkpoints.

extern crate self as rhyton_train;

pub mod callbacks;
mod checks;
mod compile;
mod compiled;
mod conditions;
mod context;
mod data;
mod diverged;
mod evaluate;
mod feed;
mod figures;
mod fit;
mod history;
mod logs;
mod objective;
mod predict;
mod progress;
mod quantize;
mod run;
mod standard;
mod state;
mod step;
mod steps;
mod warnings;

pub use compile::Compile;
pub use compiled::{Compiled, ModelExt};
pub use context::Training;
pub use data::{Samples, Source};
pub use evaluate::Evaluate;
pub use fit::Fit;
pub use history::History;
pub use logs::{Logs, from_number, number};
pub use progress::Verbose;
pub use rhyton_nn::choice::{Choice, LossWeights, Losses, Metrics, PerOutput, by_output};
pub use rhyton_tensor::batches::{Batch, Batches};
pub use standard::TrainStep;
pub use state::TrainingState;
pub use step::Step;
