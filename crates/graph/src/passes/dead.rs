//! What nobody reads goes away. Plain nodes disappear by not being reached; this pass shortens loops: results
//! that nobody reads, results collected twice or collected from a sequence unchanged, states that only feed
//! themselves, and inputs that the rest does not need.

use super::Context;
use crate::expr::{Expr, rewrite, topological};
use crate::function::Function;
use crate::ops::{Control, Op};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The pass.
pub fn dead(f: &Function, _: &Context) -> Vec<Expr> {
    let mut read: HashSet<(u64, usize)> = f.results.iter().map(Expr::key).collect();
    for e in f.nodes() {
        read.extend(e.inputs().iter().map(Expr::key));
    }
    rewrite(&f.results, HashMap::new(), |e, inputs| {
        let Op::Control(Control::Scan { body, carries, .. }) = e.op() else { return e.with_inputs(inputs) };
        let live: Vec<bool> = (0..body.results.len()).map(|o| read.contains(&(e.node().id, o))).collect();
        shorten(e, &inputs, body, live, *carries).unwrap_or_else(|| e.with_inputs(inputs))
    })
}

/// Which parameters of `body` its live results depend on; a state in use makes its new value live.
fn reach(body: &Function, live: &mut [bool], carries: usize) -> Vec<bool> {
    loop {
        let wanted: Vec<Expr> =
            body.results.iter().zip(live.iter()).filter(|(_, l)| **l).map(|(r, _)| r.clone()).collect();
        let nodes: HashSet<u64> = topological(&wanted).iter().map(|e| e.node().id).collect();
        let used: Vec<bool> = body.params.iter().map(|p| nodes.contains(&p.node().id)).collect();
        let grown = (0..carries).filter(|i| used[*i] && !live[*i]).collect::<Vec<_>>();
        if grown.is_empty() {
            return used;
        }
        grown.into_iter().for_each(|i| live[i] = true);
    }
}

fn shorten(
    e: &Expr,
    inputs: &[Expr],
    body: &Function,
    mut live: Vec<bool>,
    carries: usize,
) -> Option<Vec<Expr>> {
    let Op::Control(Control::Scan { xs, length, reverse, .. }) = e.op() else { return None };
    let known = collected(body, inputs, carries, *xs);
    for (o, source) in known.iter().enumerate() {
        match source {
            Source::Same(first) => live[*first] |= std::mem::take(&mut live[o]),
            Source::Input(_) => live[o] = false,
            Source::Own => {}
        }
    }
    let mut used = reach(body, &mut live, carries);
    // The initial value of a state that is read counts even when the body ignores it.
    (0..carries).for_each(|i| used[i] = live[i]);
    if live.iter().chain(&used).all(|b| *b) {
        return None;
    }
    let keep = |all: &[Expr], which: &[bool]| -> Vec<Expr> {
        all.iter().zip(which).filter(|(_, k)| **k).map(|(e, _)| e.clone()).collect()
    };
    let count = |which: &[bool]| which.iter().filter(|k| **k).count();
    let op = Control::Scan {
        body: Arc::new(body.rebuilt(keep(&body.params, &used), keep(&body.results, &live))),
        carries: count(&live[..carries]),
        xs: count(&used[carries..carries + xs]),
        length: length.clone(),
        reverse: *reverse,
    };
    let new = Expr::apply_at(op.into(), keep(inputs, &used), e.node().source.clone(), e.node().path.clone())
        .siblings();
    let place = |o: usize| live[..o].iter().filter(|l| **l).count();
    let result = |(o, source): (usize, Source)| match source {
        Source::Input(e) => Some(e),
        Source::Same(first) if live[first] => new.get(place(first)).cloned(),
        _ if live[o] => new.get(place(o)).cloned(),
        // A result that nobody reads may be anything.
        _ => Some(e.sibling(o)),
    };
    known.into_iter().enumerate().map(result).collect()
}

/// Where the entries of a collected result are, other than in it.
enum Source {
    Own,
    /// In an earlier result.
    Same(usize),
    /// In a sequence that the loop reads.
    Input(Expr),
}

fn collected(body: &Function, inputs: &[Expr], carries: usize, xs: usize) -> Vec<Source> {
    let mut first: HashMap<(u64, usize), usize> = HashMap::new();
    let sequences: HashMap<(u64, usize), usize> =
        (carries..carries + xs).map(|i| (body.params[i].key(), i)).collect();
    let source = |(o, r): (usize, &Expr)| match (sequences.get(&r.key()), first.get(&r.key())) {
        _ if o < carries => Source::Own,
        (Some(i), _) => Source::Input(inputs[*i].clone()),
        (None, Some(first)) => Source::Same(*first),
        (None, None) => {
            first.insert(r.key(), o);
            Source::Own
        }
    };
    body.results.iter().enumerate().map(source).collect()
}
