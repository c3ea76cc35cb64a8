//! Passes and lowering keep the meaning of functions: random ones on the reference backend against the
//! interpreter, and the hard cases of updates in place.

use rhyton_graph::plan::{Backend, Kernel, Place, Plan};
use rhyton_graph::reference::ReferenceBackend;
use rhyton_graph::testing::{assert_close, bindings, random_args, random_function, with_gradients};
use rhyton_graph::verify::verify_plan;
use rhyton_graph::{Expr, Function, Type, compile, interpret};
use rhyton_tensor::Tensor;
use std::sync::Arc;

fn run(plan: Plan, state: &mut [Tensor], batch: &[Tensor]) -> Vec<Tensor> {
    let mut results = vec![];
    ReferenceBackend::default().load(Arc::new(plan)).unwrap().run(state, batch, &mut results).unwrap();
    results
}

fn agrees(f: &Function, tolerance: f64) {
    let plan = compile(f, 0, &[], &ReferenceBackend::default()).unwrap();
    for batch in [1, 3, 4] {
        verify_plan(&plan, &bindings(batch)).unwrap();
        let args = random_args(f, batch, 5);
        let want = interpret(f, &args).unwrap();
        assert_close(
            &run(plan.clone(), &mut [], &args),
            &want,
            tolerance,
            &format!("{} batch {batch}", f.name),
        );
    }
}

#[test]
fn random_functions_keep_their_meaning() {
    for seed in 0..300 {
        agrees(&random_function(seed, 4 + seed as usize % 30), 1e-5);
    }
}

#[test]
fn random_gradients_keep_their_meaning() {
    for seed in 1000..1120 {
        agrees(&with_gradients(&random_function(seed, 3 + seed as usize % 12)), 2e-4);
    }
}
