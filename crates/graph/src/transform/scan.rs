//! The gradient of a loop: a loop in the other direction over what the forward loop stored. Sums over all steps
//! of matrix products, the cotangents of weights, are taken after the loop as one product.

use super::backward::{Rules, walk};
use crate::expr::{Expr, substitute};
use crate::function::Function;
use crate::ops::{Class, Contract, Control, Elementwise, Fold, Movement, Op, Reduce, Unary};
use rhyton_tensor::Error;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What a backward loop needs of the forward loop's body.
struct Residuals {
    /// Values that differ from step to step and are not already sequences: stored by the forward loop.
    stored: Vec<Expr>,
}

/// Reads through views: storing a view stores more than what it views.
fn behind_views(e: &Expr) -> Expr {
    let mut e = e.clone();
    while e.op().class() == Class::View {
        e = e.inputs()[0].clone();
    }
    e
}

impl Residuals {
    /// The forward values that `backward` reads, given the forward body.
    fn of(body: &Function, varying: &[Expr], backward: &[Expr]) -> Residuals {
        let forward: HashSet<u64> = body.nodes().iter().chain(&body.params).map(|e| e.node().id).collect();
        let mut varies: HashSet<u64> = varying.iter().map(|e| e.node().id).collect();
        for e in body.nodes() {
            if e.inputs().iter().any(|i| varies.contains(&i.node().id)) {
                varies.insert(e.node().id);
            }
        }
        let mut stored: Vec<Expr> = Vec::new();
        let mut seen = HashSet::new();
        let mut pending: Vec<Expr> = backward.to_vec();
        while let Some(e) = pending.pop() {
            if !seen.insert(e.key()) {
                continue;
            }
            if forward.contains(&e.node().id) && varies.contains(&e.node().id) {
                let base = behind_views(&e);
                if base.key() != e.key() {
                    pending.push(base);
                } else if !stored.iter().any(|s| s.key() == e.key()) {
                    stored.push(e);
                }
            } else {
                pending.extend(e.inputs().iter().cloned());
            }
        }
        stored.sort_by_key(Expr::key);
        Residuals { stored }
    }
}

/// One step backwards, written over the forward body's own values.
struct Step<'a> {
    body: &'a Function,
    /// Cotangents of the states and of the collected entries, as parameters.
    d_state: Vec<Option<Expr>>,
    d_y: Vec<Option<Expr>>,
    /// Cotangents of the body's parameters.
    back: Vec<Option<Expr>>,
    /// The parameters that have one: states (all that are floats), sequences, constants.
    states: Vec<usize>,
    sequences: Vec<usize>,
    constants: Vec<usize>,
    /// For each of `constants` how its sum over the steps is taken after the loop, where that is possible.
    hoists: Vec<Option<Hoisted>>,
}

impl<'a> Step<'a> {
    fn new(
        rules: &Rules,
        body: &'a Function,
        (carries, xs): (usize, usize),
        cotangents: &[Option<Expr>],
    ) -> Step<'a> {
        let is_float = |e: &Expr| e.dtype().is_float();
        let d_state: Vec<Option<Expr>> = body.params[..carries]
            .iter()
            .map(|c| is_float(c).then(|| Expr::param("d_state", c.ty().clone())))
            .collect();
        let d_y: Vec<Option<Expr>> = body.results[carries..]
            .iter()
            .zip(&cotangents[carries..])
            .map(|(y, g)| g.as_ref().map(|_| Expr::param("d_y", y.ty().clone())))
            .collect();
        let seeds: Vec<Option<Expr>> = d_state.iter().chain(&d_y).cloned().collect();
        let back = walk(rules, &body.results, &seeds, &body.params);
        let with = |range: std::ops::Range<usize>| range.filter(|i| back[*i].is_some()).collect::<Vec<_>>();
        let states = (0..carries).filter(|i| d_state[*i].is_some()).collect();
        let (sequences, constants) = (with(carries..carries + xs), with(carries + xs..body.params.len()));
        let mut step = Step { body, d_state, d_y, back, states, sequences, constants, hoists: vec![] };
        step.hoists = step.constants.iter().map(|i| hoist(&step.cotangent(*i))).collect();
        step
    }

    fn cotangent(&self, i: usize) -> Expr {
        self.back[i].clone().unwrap_or_else(|| self.body.params[i].zeros_like())
    }

    /// The constants whose sums the loop keeps itself.
    fn summed(&self) -> impl Iterator<Item = usize> + '_ {
        self.constants.iter().zip(&self.hoists).filter(|(_, h)| h.is_none()).map(|(i, _)| *i)
    }

    fn all(&self) -> Vec<Expr> {
        let indices = self.states.iter().chain(&self.sequences).chain(&self.constants);
        indices.map(|i| self.cotangent(*i)).collect()
    }
}

/// Parameters of the backward loop with what they stand for outside.
#[derive(Default)]
struct Wires {
    params: Vec<Expr>,
    args: Vec<Expr>,
}

impl Wires {
    fn add(&mut self, param: &Expr, arg: &Expr) {
        self.params.push(param.clone());
        self.args.push(arg.clone());
    }

    fn extend(&mut self, params: &[Expr], args: &[Expr]) {
        params.iter().zip(args).for_each(|(p, a)| self.add(p, a));
    }
}

/// Cotangents of a loop's inputs from those of its results; `rules` reach into its body.
pub(super) fn scan_backward(
    rules: &Rules,
    op: &Control,
    out: &Expr,
    cotangents: &[Option<Expr>],
) -> Vec<Option<Expr>> {
    let Control::Scan { body, carries, xs, length, reverse } = op else { return vec![] };
    let (inputs, carries, xs) = (out.inputs(), *carries, *xs);
    let step = Step::new(rules, body, (carries, xs), cotangents);
    let needed = step.all();
    if let Some(bad) = needed.iter().find(|e| e.is_poisoned()) {
        return vec![Some(bad.clone()); inputs.len()];
    }
    // Parameters that are sequences are at hand; the rest is stored by a forward loop with more results, which
    // takes the original's place when the graph is compiled.
    let is_sequence = |e: &Expr| body.params[carries..carries + xs].iter().any(|p| p.key() == e.key());
    let residuals = Residuals::of(body, &body.params[..carries + xs], &needed);
    let stored: Vec<Expr> = residuals.stored.into_iter().filter(|e| !is_sequence(e)).collect();
    let results = body.results.iter().chain(&stored).cloned().collect();
    let longer = Arc::new(body.rebuilt(body.params.clone(), results));
    let forward = Control::Scan { body: longer, carries, xs, length: length.clone(), reverse: *reverse };
    let kept: Vec<Expr> =
        Expr::apply_all(forward, inputs.to_vec()).into_iter().skip(body.results.len()).collect();

    let mut wires = Wires::default();
    let mut outs: Vec<Expr> = step.states.iter().map(|i| step.cotangent(*i)).collect();
    for i in &step.states {
        let start = cotangents[*i].clone().unwrap_or_else(|| inputs[*i].zeros_like());
        step.d_state[*i].iter().for_each(|d| wires.add(d, &start));
    }
    for i in step.summed() {
        let sum = Expr::param("sum", inputs[i].ty().clone());
        wires.add(&sum, &inputs[i].zeros_like());
        outs.push(&sum + &step.cotangent(i));
    }
    let states = wires.params.len();
    step.d_y.iter().flatten().zip(cotangents[carries..].iter().flatten()).for_each(|(d, g)| wires.add(d, g));
    wires.extend(&body.params[carries..carries + xs], &inputs[carries..carries + xs]);
    wires.extend(&stored, &kept);
    let sequences = wires.params.len() - states;
    wires.extend(&body.params[carries + xs..], &inputs[carries + xs..]);
    outs.extend(step.sequences.iter().map(|i| step.cotangent(*i)));
    outs.extend(step.hoists.iter().flatten().flat_map(|h| h.leaves.iter().cloned()));

    let backward = Arc::new(close(wires.params, &outs));
    let (length, reverse) = (length.clone(), !*reverse);
    let loop_back = Control::Scan { body: backward, carries: states, xs: sequences, length, reverse };
    step.distribute(&Expr::apply_all(loop_back, wires.args), inputs.len())
}

impl Step<'_> {
    /// The results of the backward loop where they belong: one cotangent for each input of the forward loop.
    fn distribute(&self, done: &[Expr], inputs: usize) -> Vec<Option<Expr>> {
        if let Some(bad) = done.iter().find(|e| e.is_poisoned()) {
            return vec![Some(bad.clone()); inputs];
        }
        let mut done = done.iter();
        let mut result: Vec<Option<Expr>> = vec![None; inputs];
        for i in self.states.iter().copied().chain(self.summed()).chain(self.sequences.iter().copied()) {
            result[i] = done.next().cloned();
        }
        for (i, h) in self.constants.iter().zip(&self.hoists) {
            if let Some(h) = h {
                result[*i] = Some(h.outside(&mut done));
            }
        }
        result
    }
}

/// A function over fresh parameters: body values named in `params` become its parameters.
fn close(params: Vec<Expr>, results: &[Expr]) -> Function {
    let fresh: Vec<Expr> = params.iter().map(|p| Expr::param("step", p.ty().clone())).collect();
    let replace: HashMap<(u64, usize), Expr> =
        params.iter().zip(&fresh).map(|(p, f)| (p.key(), f.clone())).collect();
    Function::new("step.vjp", fresh, substitute(results, &replace))
}

/// A sum over steps that is better taken after the loop: the cotangent of a weight is one matrix product over
/// all steps instead of one product a step.
struct Hoisted {
    /// Per-step values to collect.
    leaves: Vec<Expr>,
    rule: Rule,
}

enum Rule {
    Add(Box<Hoisted>, Box<Hoisted>),
    View(Op, Box<Hoisted>),
    Neg(Box<Hoisted>),
    Dot { lhs: Vec<usize>, rhs: Vec<usize> },
    Sum(Vec<usize>),
}

/// Describes how the sum of `e` over all steps is computed from collected values; `None` when it is not a sum of
/// matrix products and reductions.
fn hoist(e: &Expr) -> Option<Hoisted> {
    let inputs = e.inputs();
    match e.op() {
        Op::Elementwise(Elementwise::Binary(crate::ops::Binary::Add)) => {
            let (a, b) = (hoist(&inputs[0])?, hoist(&inputs[1])?);
            let leaves = a.leaves.iter().chain(&b.leaves).cloned().collect();
            Some(Hoisted { leaves, rule: Rule::Add(Box::new(a), Box::new(b)) })
        }
        Op::Elementwise(Elementwise::Unary(Unary::Neg)) => {
            let a = hoist(&inputs[0])?;
            Some(Hoisted { leaves: a.leaves.clone(), rule: Rule::Neg(Box::new(a)) })
        }
        Op::Movement(Movement::Transpose { .. } | Movement::Reshape { .. }) => {
            let a = hoist(&inputs[0])?;
            Some(Hoisted { leaves: a.leaves.clone(), rule: Rule::View(e.op().clone(), Box::new(a)) })
        }
        Op::Contract(Contract::Dot { lhs_batch, lhs_contract, rhs_contract, .. }) if lhs_batch.is_empty() => {
            let rule = Rule::Dot { lhs: lhs_contract.clone(), rhs: rhs_contract.clone() };
            Some(Hoisted { leaves: inputs.to_vec(), rule })
        }
        Op::Reduce(Reduce::Fold { kind: Fold::Sum, axes }) => {
            Some(Hoisted { leaves: inputs.to_vec(), rule: Rule::Sum(axes.clone()) })
        }
        _ => None,
    }
}

impl Hoisted {
    /// The sum over all steps, from the collected sequences in the order of `leaves`.
    fn outside<'a>(&self, leaves: &mut impl Iterator<Item = &'a Expr>) -> Expr {
        let with_time =
            |axes: &[usize]| -> Vec<usize> { std::iter::once(0).chain(axes.iter().map(|a| a + 1)).collect() };
        let mut next =
            || leaves.next().cloned().unwrap_or_else(|| Expr::poison(Error::new("a loop lost a value")));
        match &self.rule {
            Rule::Add(a, b) => {
                let first = a.outside(leaves);
                first + b.outside(leaves)
            }
            Rule::Neg(a) => -a.outside(leaves),
            Rule::View(op, a) => Expr::apply(op.clone(), vec![a.outside(leaves)]),
            Rule::Dot { lhs, rhs } => {
                let (a, b) = (next(), next());
                let op = Contract::Dot {
                    lhs_batch: vec![],
                    rhs_batch: vec![],
                    lhs_contract: with_time(lhs),
                    rhs_contract: with_time(rhs),
                };
                Expr::apply(op, vec![a, b])
            }
            Rule::Sum(axes) => next().sum(&with_time(axes)),
        }
    }
}
