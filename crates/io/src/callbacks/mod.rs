//! Callbacks that write files while a model is trained.

mod backup;
mod checkpoint;
mod csv;
mod name;

pub use backup::BackupAndRestore;
pub use checkpoint::ModelCheckpoint;
pub use csv::CSVLogger;
