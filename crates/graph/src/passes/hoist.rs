//! What is the same in every step of a loop is computed once before it.

use super::Context;
use crate::expr::{Expr, rewrite, substitute};
use crate::function::Function;
use crate::ops::{Class, Control, Op};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The pass.
pub fn hoist(f: &Function, _: &Context) -> Vec<Expr> {
    rewrite(&f.results, HashMap::new(), |e, inputs| lift(e, &inputs).unwrap_or_else(|| e.with_inputs(inputs)))
}

/// The largest computations of `body` that depend on nothing but its constants. Views and constants cost nothing
/// where they are, so they do not count.
fn invariant(body: &Function, first_constant: usize) -> Vec<Expr> {
    let changing: HashSet<u64> = body.params[..first_constant].iter().map(|p| p.node().id).collect();
    let (mut varies, mut constant_only) = (changing, HashSet::new());
    let (nodes, mut found, mut seen) = (body.nodes(), Vec::new(), HashSet::new());
    for e in &nodes {
        if e.inputs().iter().any(|i| varies.contains(&i.node().id)) {
            varies.insert(e.node().id);
        }
        let is_param = matches!(e.op(), Op::Control(Control::Param { .. }));
        if !is_param && e.inputs().iter().all(|i| constant_only.contains(&i.node().id)) {
            constant_only.insert(e.node().id);
        }
    }
    let mut consider = |e: &Expr| {
        let mut e = e.clone();
        while e.op().class() == Class::View {
            e = e.inputs()[0].clone();
        }
        let id = e.node().id;
        let computes = e.op().class() != Class::Source && !constant_only.contains(&id);
        if computes && !varies.contains(&id) && seen.insert(e.key()) {
            found.push(e);
        }
    };
    nodes.iter().filter(|e| varies.contains(&e.node().id)).flat_map(|e| e.inputs()).for_each(&mut consider);
    body.results.iter().for_each(consider);
    found
}

fn lift(e: &Expr, inputs: &[Expr]) -> Option<Vec<Expr>> {
    let Op::Control(Control::Scan { body, carries, xs, length, reverse }) = e.op() else { return None };
    let found = invariant(body, carries + xs);
    if found.is_empty() {
        return None;
    }
    let outside = body.params.iter().map(Expr::key).zip(inputs.iter().cloned()).collect();
    let mut args = inputs.to_vec();
    args.extend(substitute(&found, &outside));
    let fresh: Vec<Expr> = found.iter().map(|e| Expr::param("hoisted", e.ty().clone())).collect();
    let results =
        substitute(&body.results, &found.iter().map(Expr::key).zip(fresh.iter().cloned()).collect());
    let params = body.params.iter().cloned().chain(fresh).collect();
    let op = Control::Scan {
        body: Arc::new(body.rebuilt(params, results)),
        carries: *carries,
        xs: *xs,
        length: length.clone(),
        reverse: *reverse,
    };
    Some(e.with_op(op, args))
}
