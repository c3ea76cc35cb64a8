//! Loops over the same inputs with the same states become one. A gradient makes an extended copy of a forward
//! loop that also collects what the backward loop needs; this pass lets it stand for the original.

use super::Context;
use super::deduplicate::Interner;
use crate::expr::{Expr, rewrite, substitute};
use crate::function::Function;
use crate::ops::{Control, Op};
use rhyton_tensor::Dim;
use std::collections::HashMap;
use std::sync::Arc;

/// The pass.
pub fn merge_scans(f: &Function, _: &Context) -> Vec<Expr> {
    let mut results = f.results.clone();
    // A merged loop may make the inputs of later loops equal.
    while let Some(merged) = round(&results) {
        results = Interner::default().results(&merged);
    }
    results
}

type Key = (Vec<(u64, usize)>, usize, usize, Dim, bool);

/// The loop that stands for others, and where their results are among its.
struct Merged {
    op: Op,
    places: HashMap<u64, Vec<usize>>,
}

fn round(results: &[Expr]) -> Option<Vec<Expr>> {
    let mut groups: HashMap<Key, Vec<Expr>> = HashMap::new();
    for e in crate::expr::topological(results) {
        if let Op::Control(Control::Scan { carries, xs, length, reverse, .. }) = e.op() {
            let inputs = e.inputs().iter().map(Expr::key).collect();
            groups.entry((inputs, *carries, *xs, length.clone(), *reverse)).or_default().push(e.clone());
        }
    }
    let mut of_node: HashMap<u64, Arc<Merged>> = HashMap::new();
    for group in groups.into_values().filter(|g| g.len() > 1) {
        if let Some(merged) = merge(&group).map(Arc::new) {
            of_node.extend(merged.places.keys().map(|id| (*id, merged.clone())));
        }
    }
    if of_node.is_empty() {
        return None;
    }
    let mut made: HashMap<*const Merged, Vec<Expr>> = HashMap::new();
    Some(rewrite(results, HashMap::new(), |e, inputs| {
        let Some(merged) = of_node.get(&e.node().id) else { return e.with_inputs(inputs) };
        let all = made.entry(Arc::as_ptr(merged)).or_insert_with(|| {
            Expr::apply_at(merged.op.clone(), inputs, e.node().source.clone(), e.node().path.clone())
                .siblings()
        });
        merged.places[&e.node().id].iter().map(|o| all[*o].clone()).collect()
    }))
}

/// One loop for those of `group` whose states change as the first one's do.
fn merge(group: &[Expr]) -> Option<Merged> {
    let Op::Control(Control::Scan { body: first, carries, xs, length, reverse }) = group.first()?.op() else {
        return None;
    };
    let mut all: Vec<Expr> = Vec::new();
    let mut ranges = Vec::new();
    for e in group {
        let Op::Control(Control::Scan { body, .. }) = e.op() else { return None };
        let replace = body.params.iter().map(Expr::key).zip(first.params.iter().cloned()).collect();
        let start = all.len();
        all.extend(substitute(&body.results, &replace));
        ranges.push((e.node().id, start..all.len()));
    }
    let all = Interner::default().results(&all);
    let states: Vec<_> = all[..*carries].iter().map(Expr::key).collect();
    let mut kept: Vec<Expr> = all[..*carries].to_vec();
    let mut places = HashMap::new();
    for (id, range) in ranges {
        let own = &all[range];
        if !own[..*carries].iter().map(Expr::key).eq(states.iter().copied()) {
            continue;
        }
        let mut at: Vec<usize> = (0..*carries).collect();
        for y in &own[*carries..] {
            let known = kept[*carries..].iter().position(|k| k.key() == y.key());
            at.push(known.map_or(kept.len(), |k| k + carries));
            if known.is_none() {
                kept.push(y.clone());
            }
        }
        places.insert(id, at);
    }
    let op = Control::Scan {
        body: Arc::new(first.rebuilt(first.params.clone(), kept)),
        carries: *carries,
        xs: *xs,
        length: length.clone(),
        reverse: *reverse,
    };
    (places.len() > 1).then(|| Merged { op: op.into(), places })
}
