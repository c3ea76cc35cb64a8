//! [`KINDS`]: everything that has a registry.

use rhyton_explain::{Attribution, Measure};
use rhyton_graph::named;
use rhyton_nn::Layer;
use rhyton_nn::activations::Activate;
use rhyton_nn::constraints::Constrain;
use rhyton_nn::initializers::Initialize;
use rhyton_nn::layers::Operation;
use rhyton_nn::losses::Loss;
use rhyton_nn::metrics::Metric;
use rhyton_nn::optimizers::Optimizer;
use rhyton_nn::optimizers::schedules::Schedule;
use rhyton_nn::registry::{ListedRow, Listing, unknown};
use rhyton_nn::regularizers::Regularize;
use rhyton_robust::Attack;
use rhyton_robust::bounds::Bound;
use rhyton_robust::defences::Defence;

/// All kinds of objects that a name or a file can stand for. `rhyton list` shows them.
///
/// ```
/// let losses = rhyton::KINDS.iter().find(|kind| kind.what == "loss").unwrap();
/// assert!((losses.rows)().iter().any(|row| row.name == "Huber"));
/// ```
pub static KINDS: &[Listing] = &[
    Listing::of::<dyn Layer>(),
    Listing::of::<dyn Activate>(),
    Listing::of::<dyn Loss>(),
    Listing::of::<dyn Metric>(),
    Listing::of::<dyn Optimizer>(),
    Listing::of::<dyn Initialize>(),
    Listing::of::<dyn Regularize>(),
    Listing::of::<dyn Constrain>(),
    Listing::of::<dyn Schedule>(),
    Listing::of::<dyn Attribution>(),
    Listing::of::<dyn Attack>(),
    Listing::of::<dyn Bound>(),
    Listing::of::<dyn Defence>(),
    Listing::of::<dyn Measure>(),
    Operation::LISTING,
    FUNCTIONS,
];

/// The functions that kernels, rules and exporters know, with their inputs, settings and results.
const FUNCTIONS: Listing = Listing {
    what: "named function",
    module: "rhyton::graph::named",
    rows: || {
        let row = |f: &&named::Named| ListedRow {
            doc: format!("({}) {}", f.signature, f.doc),
            examples: vec![f.name.into()],
            ..ListedRow::of_name(f.name)
        };
        named::ALL.iter().map(row).collect()
    },
    read: |value| {
        let names = || named::ALL.iter().map(|f| f.name);
        let name = value.as_str().unwrap_or_default();
        names().find(|n| *n == name).map(Into::into).ok_or_else(|| unknown("named function", name, names()))
    },
};

#[cfg(test)]
mod tests {
    use super::*;

    /// Every example and every name of every row gives an object, whose record reads back as it was written.
    #[test]
    fn every_row_has_its_names_and_records() {
        for kind in KINDS {
            for row in (kind.rows)() {
                // A layer around others cannot be made of its name alone.
                let names = if kind.what == "layer" {
                    vec![]
                } else {
                    [&[row.name.clone()], &row.names[..]].concat()
                };
                let objects = names.into_iter().map(|n| (kind.read)(&n.into()).unwrap());
                for record in objects.chain(row.examples.clone()) {
                    assert_eq!((kind.read)(&record).unwrap(), record, "{}", row.name);
                    assert!(record["class_name"] == row.name || record == row.name, "{record}");
                    let module = record["module"].as_str().unwrap_or(kind.module);
                    assert!(
                        ["layer", "tensor operation"].contains(&kind.what) || module == kind.module,
                        "{record}"
                    );
                }
                let is_operation = kind.what == "tensor operation";
                assert!(is_operation || !row.doc.is_empty() && !row.examples.is_empty(), "{}", row.name);
            }
        }
    }
}
