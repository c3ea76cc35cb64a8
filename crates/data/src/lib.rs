//! Data for Rhyton as tensors: tables, IDX files, a few built-in data sets, and what lies between a file and
//! `fit`: splitting, scaling, one-hot coding, padding, windows over time.
//!
//! Nothing here downloads anything. The built-in sets ([`datasets::digits`], [`datasets::diabetes`],
//! [`datasets::airline_passengers`]) are part of the program; the larger ones are read from a folder.
//!
//! ```
//! let ((x_train, y_train), (x_test, y_test)) = rhyton_data::datasets::digits_28x28()?;
//! assert_eq!(x_train.shape(), [1437, 28, 28, 1]);
//! assert_eq!(y_train.shape(), [1437]);
//! assert_eq!((x_test.shape()[0], y_test.len()), (360, 360));
//! # Ok::<(), rhyton_tensor::Error>(())
//! ```

mod check;
pub mod datasets;
mod frame;
mod idx;
mod image;
mod scale;
mod sequence;
mod source;
mod split;
mod windows;

pub use check::check_finite;
pub use frame::{Column, Csv, Frame};
pub use idx::{parse_idx, read_idx};
pub use image::{rescale, resize_bilinear};
pub use scale::Standardize;
pub use sequence::{PadSequences, Side, pad_sequences, timeseries_windows};
pub use split::{to_categorical, train_test_split};
pub use windows::WindowBatches;
