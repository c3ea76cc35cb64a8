//! Equal operations on equal inputs become one: what the forward pass and the gradient both compute is computed
//! once. Loops and calls are equal when their bodies are, node by node; random numbers when key and stream are.

use super::Context;
use crate::expr::{Expr, rewrite};
use crate::function::Function;
use crate::named::Named;
use crate::ops::{Binary, Control, Elementwise, Op};
use std::collections::HashMap;
use std::sync::Arc;

/// The pass.
pub fn deduplicate(f: &Function, _: &Context) -> Vec<Expr> {
    Interner::default().results(&f.results)
}

/// A function as data: equal functions have equal texts.
#[derive(PartialEq, Eq, Hash)]
struct Signature {
    name: String,
    named: Option<&'static Named>,
    attrs: String,
    has_rule: bool,
    params: usize,
    nodes: Vec<(Op, Vec<(usize, usize)>)>,
    results: Vec<(usize, usize)>,
}

/// Finds equal values and equal functions.
#[derive(Default)]
pub(super) struct Interner {
    functions: HashMap<Signature, Arc<Function>>,
    known: HashMap<Arc<Function>, Arc<Function>>,
}

impl Interner {
    /// `results` without repetitions.
    pub fn results(&mut self, results: &[Expr]) -> Vec<Expr> {
        let mut values: HashMap<(Op, Vec<(u64, usize)>), Expr> = HashMap::new();
        rewrite(results, HashMap::new(), |e, inputs| {
            let op = self.canonical(e.op());
            let mut keys: Vec<(u64, usize)> = inputs.iter().map(Expr::key).collect();
            if commutes(&op) {
                keys.sort_unstable();
            }
            let outs = e.node().outs.len();
            if let Some(known) = values.get(&(op.clone(), keys.clone())) {
                return known.siblings();
            }
            let new = if op == *e.op() { e.with_inputs(inputs) } else { e.with_op(op.clone(), inputs) };
            debug_assert_eq!(new.len(), outs);
            values.extend(new.first().map(|first| ((op, keys), first.clone())));
            new
        })
    }

    fn canonical(&mut self, op: &Op) -> Op {
        let mut op = op.clone();
        if let Op::Control(Control::Call(f) | Control::Scan { body: f, .. }) = &mut op {
            *f = self.function(f);
        }
        op
    }

    fn function(&mut self, f: &Arc<Function>) -> Arc<Function> {
        if let Some(known) = self.known.get(f) {
            return known.clone();
        }
        let results = self.results(&f.results);
        let same = results.iter().zip(&f.results).all(|(a, b)| a.key() == b.key());
        let new = if same { f.clone() } else { Arc::new(f.rebuilt(f.params.clone(), results)) };
        let one = self.functions.entry(signature(&new)).or_insert(new).clone();
        self.known.insert(f.clone(), one.clone());
        self.known.insert(one.clone(), one.clone());
        one
    }
}

fn commutes(op: &Op) -> bool {
    // Not `max` and `min`, whose result for zeros of both signs depends on the order.
    let commutative = [Binary::Add, Binary::Mul, Binary::Equal, Binary::And, Binary::Or];
    matches!(op, Op::Elementwise(Elementwise::Binary(b)) if commutative.contains(b))
}

fn signature(f: &Function) -> Signature {
    let mut place: HashMap<u64, usize> = HashMap::new();
    let mut nodes = Vec::new();
    for (i, p) in f.params.iter().enumerate() {
        place.insert(p.node().id, i);
        let (dtype, shape) = (p.dtype(), p.shape().clone());
        // The serial and name of a parameter say nothing; its position does.
        nodes.push((Control::Param { name: String::new(), dtype, shape, serial: i as u64 }.into(), vec![]));
    }
    for e in f.nodes() {
        let next = nodes.len();
        if *place.entry(e.node().id).or_insert(next) == next {
            nodes.push((e.op().clone(), e.inputs().iter().map(|i| (place[&i.node().id], i.out())).collect()));
        }
    }
    Signature {
        name: f.name.clone(),
        named: f.named,
        attrs: f.attrs.to_string(),
        has_rule: f.vjp.is_some(),
        params: f.params.len(),
        nodes,
        results: f.results.iter().map(|r| (place[&r.node().id], r.out())).collect(),
    }
}
