//! Training: `compile`, `fit`, `evaluate`, custom steps, histories, progress, checkpoints.

mod batch;
mod checks;
mod choice;
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
mod programs;
mod progress;
mod run;
mod state;
mod step;
mod warnings;

pub use batch::{Batch, Batches};
pub use choice::{Choice, LossWeights, Losses, Metrics, PerOutput, by_output};
pub use compile::Compile;
pub use compiled::Compiled;
pub use context::Training;
pub use data::{Samples, Source};
pub use evaluate::Evaluate;
pub use fit::Fit;
pub use history::History;
pub use logs::{Logs, from_number, number};
pub use progress::Verbose;
pub use state::TrainingState;
pub use step::{Step, StepBuilder};
