//! Models and tensors in files: Keras archives, HDF5 weights, NumPy `.npy`/`.npz`, safetensors.
//!
//! Every reader takes hostile bytes: it returns an error instead of panicking, allocates in proportion to the bytes
//! that are really there, and can run no code. Every writer replaces its file in one step or leaves the old one alone.

pub mod archive;
pub mod callbacks;
pub mod files;
pub mod hdf5;
mod keras;
mod methods;
pub mod npz;
pub mod safetensors;
mod state;
mod weights;

pub use archive::{Archive, ArchiveWriter};
pub use hdf5::{Attribute, Dataset, Group, read_hdf5, write_hdf5};
pub use keras::{Loaded, Saved, load_keras, save_keras, write_keras};
pub use methods::{Load, Save};
pub use npz::{read_npy, read_npz, read_npz_bytes, write_npy, write_npz, write_npz_to};
pub use safetensors::{SafeTensors, read_safetensors, write_safetensors};
pub use state::{load_state, save_state};
pub use weights::{load_weights, save_weights};
