//! Models and tensors in files: Keras archives, HDF5 weights, NumPy `.npy`/`.npz`, safetensors.
//!
//! Every reader takes hostile bytes: it returns an error instead of panicking, allocates in proportion to the bytes
//! that are really there, and can run no code. Every writer replaces its file in one step or leaves the old one alone.

pub mod archive;
pub mod callbacks;
pub mod files;
pub mod hdf5;
mod keras;
pub mod npz;
pub mod safetensors;
mod weights;

pub use archive::{Archive, ArchiveWriter};
pub use hdf5::{Attribute, Dataset, Group, read_hdf5, write_hdf5};
pub use callbacks::{BackupAndRestore, CSVLogger, ModelCheckpoint, read_training_state, write_training_state};
pub use keras::{Loaded, load_keras, save_compiled, save_keras};
pub use npz::{read_npy, read_npz, write_npy, write_npz};
pub use safetensors::{SafeTensors, read_safetensors, write_safetensors};
pub use weights::{load_weights, save_weights};

/// `model.save("digits.keras")`, for models that are compiled or not.
pub trait Save {
    /// Writes the whole model to a `.keras` file, which Keras 3 loads; a compiled one with its optimizer's state.
    ///
    /// # Errors
    /// When the name does not end in `.keras` or the file cannot be written; an old file is untouched then.
    fn save(&self, path: impl AsRef<std::path::Path>) -> rhyton_tensor::Result<()>;
}

impl Save for rhyton_nn::Model {
    fn save(&self, path: impl AsRef<std::path::Path>) -> rhyton_tensor::Result<()> {
        save_keras(self, path)
    }
}

impl Save for rhyton_nn::training::Compiled {
    fn save(&self, path: impl AsRef<std::path::Path>) -> rhyton_tensor::Result<()> {
        save_compiled(self, path)
    }
}
