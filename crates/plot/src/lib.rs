//! Charts and pictures from plain numbers, written as PNG or SVG: learning curves, lines, points, heatmaps, grids of
//! images. No browser, no system fonts, no Python.
//!
//! ```
//! use rhyton_plot::Chart;
//! let epochs = [1.0, 2.0, 3.0];
//! let path = std::env::temp_dir().join("rhyton-doc-chart.svg");
//! Chart::new("Training")
//!     .x_label("epoch")
//!     .y_label("loss")
//!     .line("training", &epochs, &[0.9, 0.5, 0.4])
//!     .line("validation", &epochs, &[1.0, 0.7, 0.6])
//!     .save(&path)?;
//! assert!(std::fs::read_to_string(&path).unwrap().contains("</svg>"));
//! # Ok::<(), rhyton_tensor::Error>(())
//! ```

mod attribution;
mod axis;
mod chart;
mod curves;
mod file;
mod heatmap;
mod images;
mod picture;

pub use attribution::{coloured_text, heat_maps, signed_bars};
pub use chart::{Chart, save_panels};
pub use curves::learning_curves;
pub use heatmap::Heatmap;
pub use images::{image_grid, image_picture};
pub use picture::Picture;
