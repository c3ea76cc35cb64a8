//! Callbacks that write files: checkpoints of models and of training, logs.

mod backup;
mod checkpoint;
mod csv_logger;

pub use backup::{BackupAndRestore, read_training_state, write_training_state};
pub use checkpoint::ModelCheckpoint;
pub use csv_logger::CSVLogger;
