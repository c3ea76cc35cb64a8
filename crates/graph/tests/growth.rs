//! Compiling takes time and memory in proportion to the graph, however its values are shared.

use rhyton_graph::reference::ReferenceBackend;
use rhyton_graph::{Expr, Function, Type, compile};
use std::time::{Duration, Instant};

/// Launches of the plan and the parts that they read.
fn compiled(shape: [usize; 2], f: impl FnOnce(&Expr) -> Vec<Expr>) -> (usize, usize) {
    let start = Instant::now();
    let f = Function::trace("f", &[Type::f32(shape)], |p| f(&p[0]));
    let plan = compile(&f, 0, &[], &ReferenceBackend::default()).unwrap();
    // Debug builds on busy machines need a good part of this; what doubles at every step needs years.
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    (plan.launches.len(), plan.launches.iter().map(|l| l.reads.len() + l.writes.len()).sum())
}

#[test]
fn a_value_joined_with_itself_again_and_again_stays_small() {
    let joined = |x: &Expr| (0..12).fold(x.clone(), |x, _| Expr::concat(&[x.clone(), x], 1));
    let (launches, parts) = compiled([1, 1], |x| vec![joined(x)]);
    assert!(launches < 10_000 && parts < 20_000, "{launches} launches, {parts} parts");
}

#[test]
fn a_value_used_twice_by_one_used_twice_is_looked_at_once() {
    let doubled = |x: &Expr| (0..60).fold(x.clone(), |x, _| &x + &x);
    compiled([4, 4], |x| vec![doubled(x)]);
    compiled([4, 4], |x| vec![doubled(x).sum(&[1])]);
    compiled([4, 4], |x| vec![Expr::concat(&[doubled(x), x.clone()], 0)]);
    let turned = |x: &Expr| (0..60).fold(x.clone(), |x, _| &x + x.transpose(&[1, 0]));
    compiled([4, 4], |x| vec![turned(x).sum(&[1])]);
}

#[test]
fn long_chains_of_views_do_not_overflow_the_stack() {
    let views = |x: &Expr| {
        let turn = |x: Expr| x.reshape([3, 2]).transpose(&[1, 0]);
        (0..5000).fold(x.clone(), |x, _| turn(x))
    };
    compiled([2, 3], |x| vec![views(x) + 1.0]);
    compiled([2, 3], |_| vec![views(&Expr::full([2, 3], 1.0))]);
}

#[test]
fn thousands_of_neighbours_are_no_trouble() {
    let rows = |x: &Expr| (0..3000).map(|i| x.matmul(&(x + i as f32))).collect::<Vec<_>>();
    compiled([2, 2], |x| vec![Expr::concat(&rows(x), 0)]);
    compiled([2, 2], |x| (0..3000).map(|i| (x + i as f32).tanh()).collect());
    compiled([2, 2], |x| vec![rows(x).into_iter().reduce(|a, b| a + b).unwrap()]);
}
