//! The layers, one file a topic, and their table.

use crate::layer::{Layer, from_config};
use crate::object::Row;

pub mod core;

pub use self::core::Dense;

/// The layers: one row per class.
pub static ROWS: &[Row<dyn Layer>] = &[
    Row {
        class_name: "Dense",
        names: &[],
        build: from_config::<Dense>,
        doc: "activation(x . kernel + bias)",
    },
    Row {
        class_name: "InputLayer",
        names: &[],
        build: from_config::<crate::model::Input>,
        doc: "Where data enters a model.",
    },
    Row {
        class_name: "Sequential",
        names: &[],
        build: crate::model::json::build_definition,
        doc: "Layers one after the other.",
    },
    Row {
        class_name: "Functional",
        names: &["Model"],
        build: crate::model::json::build_definition,
        doc: "Layers connected as a graph.",
    },
];
