//! What holds for every primitive.

use rhyton_graph::Function;
use rhyton_graph::ops::{Control, Op};
use rhyton_graph::passes::{self, Context};
use rhyton_graph::reference::NullBackend;
use rhyton_graph::testing::{random_function, with_gradients};
use std::collections::BTreeSet;

/// The primitives of a function and of all that it calls.
fn primitives(f: &Function, found: &mut BTreeSet<&'static str>) {
    for e in f.params.iter().chain(&f.nodes()) {
        found.insert(e.op().primitive());
        if let Op::Control(Control::Call(body) | Control::Scan { body, .. }) = e.op() {
            primitives(body, found);
        }
    }
}

/// Passes, lowering, the text form and kernels are tested with random functions: what these never hold is not tested.
#[test]
fn every_primitive_occurs_in_random_functions() {
    let mut found = BTreeSet::new();
    for seed in 0..200 {
        let f = with_gradients(&random_function(seed, 20));
        primitives(&f, &mut found);
        if seed % 10 == 0 {
            // Some are made by the compiler alone.
            primitives(
                &passes::run(&f, &Context { backend: &NullBackend, updates: &[], stop_after: None }).unwrap(),
                &mut found,
            );
        }
    }
    let missing: Vec<&str> =
        Op::primitives().into_iter().filter(|p| *p != "poison" && !found.contains(p)).collect();
    assert!(missing.is_empty(), "the generator (graph/src/testing/random.rs) never makes {missing:?}");
}
