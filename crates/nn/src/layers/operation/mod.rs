//! Operations on tensors between layers: what files of Keras hold for `2 * x + y`, for slices and for masks.

mod call;
mod numbers;
mod pick;
mod products;
mod reductions;
mod shapes;
mod table;

use crate::handle::record;
use crate::layer::{Base, Based, LayerRef, plain_config};
use crate::registry::{ListedRow, Listing};
use crate::{Args, Cx, Layer, Object, Outputs};
use call::Call;
use rhyton_tensor::{Error, Result};
use serde_json::{Map, Value as Json};
use std::sync::Arc;
use table::{KNOWN, Known};

/// Where Keras's modules of operations begin.
const MODULES: &str = "keras.src.ops";

/// An operation on tensors, by its name in Keras. What is no tensor among its operands is a literal of the call.
#[derive(Clone, Debug)]
pub struct Operation {
    base: Base,
    row: &'static Known,
    config: Map<String, Json>,
}

impl Operation {
    /// The operation of a record of a Keras file; `None` for records of layers.
    ///
    /// # Errors
    /// When the operation is unknown.
    pub fn from_record(record: &Json) -> Option<Result<Arc<dyn Layer>>> {
        record["module"].as_str().filter(|m| m.starts_with(MODULES))?;
        let name = record["class_name"].as_str().unwrap_or_default();
        let Some(row) = KNOWN.iter().find(|k| k.class_name == name) else {
            return Some(Err(crate::registry::unknown("tensor operation", name, Operation::names())));
        };
        let mut config = record["config"].as_object().cloned().unwrap_or_default();
        let mut base = Base::here();
        base.name = config.shift_remove("name").and_then(|n| n.as_str().map(String::from));
        ["trainable"].iter().for_each(|key| drop(config.shift_remove(*key)));
        Some(Ok(Arc::new(Operation { base, row, config })))
    }

    /// All operations, for programs that list what there is.
    pub const LISTING: Listing = Listing {
        what: "tensor operation",
        module: "keras.ops",
        rows: || Operation::names().map(ListedRow::of_name).collect(),
        read: |value| {
            let named = |row: &&Known| *value == row.class_name;
            let record = KNOWN.iter().find(named).map(|row| record(row.module, row.class_name, Map::new()));
            let operation = Operation::from_record(record.as_ref().unwrap_or(value));
            let unknown = || Error::new(format!("{value} is no tensor operation"));
            Ok(LayerRef::new(operation.ok_or_else(unknown)??).to_json())
        },
    };

    /// The names of all operations.
    pub fn names() -> impl Iterator<Item = &'static str> {
        KNOWN.iter().map(|k| k.class_name)
    }

    /// Whether a layer is an operation on tensors, which Keras does not count as a layer.
    pub fn is(layer: &dyn Layer) -> bool {
        layer.module().is_some_and(|m| m.starts_with(MODULES))
    }

    /// Whether the operation takes one list of tensors.
    pub fn takes_list(name: &str) -> bool {
        matches!(name, "Concatenate" | "Stack" | "Hstack" | "Vstack")
    }
}

impl Object for Operation {
    fn class_name(&self) -> &'static str {
        self.row.class_name
    }
    fn config(&self) -> Map<String, Json> {
        self.config.clone()
    }
    fn module(&self) -> Option<&'static str> {
        Some(self.row.module)
    }
}

impl Based for Operation {
    fn base(&self) -> &Base {
        &self.base
    }
    fn base_mut(&mut self) -> &mut Base {
        &mut self.base
    }
}

impl Layer for Operation {
    fn config_named(&self, name: &str) -> Map<String, Json> {
        plain_config(self, name)
    }
    fn call(&self, _: &mut Cx<'_>, args: &Args) -> Outputs {
        let call = Call::new(self.row.class_name, &self.config, args);
        self.row.apply.run(&call).map(Outputs::from).into()
    }
}
