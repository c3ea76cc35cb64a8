//! Training: `compile`, `fit`, `evaluate`, custom steps, histories, progress, checkpoints.

mod batch;
mod checks;
mod choice;
mod compile;
mod compiled;
mod data;
mod history;
mod logs;
mod objective;
mod programs;
mod progress;

pub use batch::{Batch, Batches};
pub use choice::{Choice, LossWeights, Losses, Metrics, PerOutput, by_output};
pub use compile::Compile;
pub use compiled::Compiled;
pub use data::{Samples, Source};
pub use history::History;
pub use logs::{Logs, from_number, number};
