//! Gradients as a transformation of graphs: the result is made of the same primitives, so gradients of gradients
//! come for free.

use crate::expr::{Expr, Type, substitute, topological};
use crate::function::Function;
use crate::ops::{Class, Contract, Control, Elementwise, Fold, Movement, Op, Reduce, Unary};
use rhyton_tensor::{DType, Error};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Gradients of the scalar `loss` with respect to `wrt`; zeros where it does not depend on them.
///
/// ```
/// use rhyton_graph::{eval, grad};
/// use rhyton_tensor::Tensor;
/// let f = |x: &[rhyton_graph::Expr]| grad(&(&x[0] * &x[0] * x[0].clone()).sum(&[0]), &[x[0].clone()]);
/// let g = eval(f, &[Tensor::vector(vec![2.0f32])])?;
/// assert_eq!(g[0].to_vec::<f32>(), [12.0]);
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
pub fn grad(loss: &Expr, wrt: &[Expr]) -> Vec<Expr> {
    if loss.is_poisoned() {
        return vec![loss.clone(); wrt.len()];
    }
    if loss.rank() != 0 || loss.dtype() != DType::F32 {
        let e = Error::new(format!("a gradient needs a scalar loss, got {}", loss.ty()))
            .fix("reduce the loss first, for example with mean");
        return vec![Expr::poison(e); wrt.len()];
    }
    vjp(std::slice::from_ref(loss), &[Some(Expr::scalar(1.0f32))], wrt)
        .into_iter()
        .zip(wrt)
        .map(|(g, w)| g.unwrap_or_else(|| w.zeros_like()))
        .collect()
}

/// Cotangents of `wrt` from cotangents of `results`; `None` is zero.
pub fn vjp(results: &[Expr], cotangents: &[Option<Expr>], wrt: &[Expr]) -> Vec<Option<Expr>> {
    let order = topological(results);
    let mut reaches: HashSet<u64> = wrt.iter().map(|w| w.node().id).collect();
    for e in &order {
        if e.inputs().iter().any(|i| reaches.contains(&i.node().id)) {
            reaches.insert(e.node().id);
        }
    }
    let mut sums: HashMap<(u64, usize), Expr> = HashMap::new();
    let add = |sums: &mut HashMap<(u64, usize), Expr>, to: &Expr, g: Expr| {
        let sum = match sums.remove(&to.key()) {
            Some(old) => old + g,
            None => g,
        };
        sums.insert(to.key(), sum);
    };
    for (r, g) in results.iter().zip(cotangents) {
        if let Some(g) = g {
            add(&mut sums, r, g.clone());
        }
    }
    let wanted: HashSet<(u64, usize)> = wrt.iter().map(Expr::key).collect();
    for e in order.iter().rev().filter(|e| reaches.contains(&e.node().id)) {
        let outs = e.node().outs.len();
        let g: Vec<Option<Expr>> = (0..outs)
            .map(|o| {
                let key = (e.node().id, o);
                if wanted.contains(&key) { sums.get(&key).cloned() } else { sums.remove(&key) }
            })
            .collect();
        if g.iter().all(Option::is_none) || e.inputs().is_empty() {
            continue;
        }
        let back = crate::expr::in_path(&e.node().path, || {
            crate::expr::at_source(e.node().source, || e.op().vjp(e, &g))
        });
        for (input, g) in e.inputs().iter().zip(back) {
            if let (Some(g), true) = (g, reaches.contains(&input.node().id)) {
                add(&mut sums, input, g);
            }
        }
    }
    wrt.iter().map(|w| sums.get(&w.key()).cloned()).collect()
}

/// Cotangents through a named function: its own rule, or the call of a function `<name>.vjp` whose body is the
/// differentiated body. What both bodies compute alike is computed once, after both are inlined.
pub(crate) fn call_vjp(f: &Arc<Function>, out: &Expr, cotangents: &[Option<Expr>]) -> Vec<Option<Expr>> {
    let inputs = out.inputs();
    if let Some(rule) = f.vjp {
        return rule(f, inputs, &out.siblings(), cotangents);
    }
    let given: Vec<Expr> = cotangents.iter().flatten().cloned().collect();
    let types: Vec<Type> =
        f.params.iter().map(|p| p.ty().clone()).chain(given.iter().map(|g| g.ty().clone())).collect();
    let mut present = vec![];
    let function = Function::trace(&format!("{}.vjp", f.name), &types, |p| {
        let (xs, gs) = p.split_at(f.params.len());
        let replace = f.params.iter().zip(xs).map(|(old, new)| (old.key(), new.clone())).collect();
        let results = substitute(&f.results, &replace);
        let mut gs = gs.iter();
        let seeds: Vec<Option<Expr>> =
            cotangents.iter().map(|c| c.as_ref().and_then(|_| gs.next().cloned())).collect();
        let back = vjp(&results, &seeds, xs);
        present = back.iter().map(Option::is_some).collect();
        back.into_iter().flatten().collect()
    });
    if function.results.is_empty() {
        return vec![None; inputs.len()];
    }
    let args: Vec<Expr> = inputs.iter().cloned().chain(given).collect();
    let mut results = function.with_attrs(f.attrs.clone()).call(&args).into_iter();
    present.iter().map(|p| if *p { results.next() } else { None }).collect()
}

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

/// Cotangents through a loop: a loop in the other direction over what the forward loop stored.
pub(crate) fn scan_vjp(op: &Control, out: &Expr, cotangents: &[Option<Expr>]) -> Vec<Option<Expr>> {
    let Control::Scan { body, carries, xs, length, reverse } = op else { return vec![] };
    let (inputs, carries, xs) = (out.inputs(), *carries, *xs);
    let is_float = |e: &Expr| e.dtype() == DType::F32;
    // One step backwards, written over the forward body's own values.
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
    let back = vjp(&body.results, &seeds, &body.params);
    let zero_or = |i: usize| back[i].clone().unwrap_or_else(|| body.params[i].zeros_like());

    let states: Vec<usize> = (0..carries).filter(|i| d_state[*i].is_some()).collect();
    let sequences: Vec<usize> = (carries..carries + xs).filter(|i| back[*i].is_some()).collect();
    let constants: Vec<usize> = (carries + xs..inputs.len()).filter(|i| back[*i].is_some()).collect();
    let mut needed: Vec<Expr> =
        states.iter().chain(&sequences).chain(&constants).map(|i| zero_or(*i)).collect();
    let hoists: Vec<Option<Hoisted>> = constants.iter().map(|i| hoist(&zero_or(*i))).collect();
    needed.retain(|e| !e.is_poisoned());

    let residuals = Residuals::of(body, &body.params[..carries + xs], &needed);
    // Parameters that are sequences are at hand; the rest is stored by a forward loop with more results, which
    // takes the original's place when the graph is compiled.
    let is_sequence = |e: &Expr| body.params[carries..carries + xs].iter().any(|p| p.key() == e.key());
    let stored: Vec<Expr> = residuals.stored.iter().filter(|e| !is_sequence(e)).cloned().collect();
    let mut results = body.results.clone();
    results.extend(stored.iter().cloned());
    let forward = Expr::apply_all(
        Control::Scan {
            body: Arc::new(body.rebuilt(body.params.clone(), results)),
            carries,
            xs,
            length: length.clone(),
            reverse: *reverse,
        },
        inputs.to_vec(),
    );
    let kept = &forward[body.results.len()..];

    // The backward loop: states are cotangents of states and accumulators of constants that could not be hoisted.
    let summed: Vec<usize> = (0..constants.len()).filter(|i| hoists[*i].is_none()).collect();
    let mut init: Vec<Expr> =
        states.iter().map(|i| cotangents[*i].clone().unwrap_or_else(|| inputs[*i].zeros_like())).collect();
    init.extend(summed.iter().map(|i| inputs[constants[*i]].zeros_like()));
    let mut sequence_params: Vec<Expr> = d_y.iter().flatten().cloned().collect();
    let mut sequence_args: Vec<Expr> = cotangents[carries..].iter().flatten().cloned().collect();
    sequence_params.extend(body.params[carries..carries + xs].iter().cloned());
    sequence_args.extend(inputs[carries..carries + xs].iter().cloned());
    sequence_params.extend(stored.iter().cloned());
    sequence_args.extend(kept.iter().cloned());

    let mut params: Vec<Expr> = states.iter().filter_map(|i| d_state[*i].clone()).collect();
    let accumulators: Vec<Expr> =
        summed.iter().map(|i| Expr::param("sum", inputs[constants[*i]].ty().clone())).collect();
    params.extend(accumulators.iter().cloned());
    params.extend(sequence_params.iter().cloned());
    params.extend(body.params[carries + xs..].iter().cloned());

    let mut outs: Vec<Expr> = states.iter().map(|i| zero_or(*i)).collect();
    outs.extend(summed.iter().zip(&accumulators).map(|(i, a)| a + &zero_or(constants[*i])));
    outs.extend(sequences.iter().map(|i| zero_or(*i)));
    let hoisted_at = outs.len();
    outs.extend(hoists.iter().flatten().flat_map(|h| h.leaves.iter().cloned()));

    let backward = close(params, &outs);
    let mut args = init;
    args.extend(sequence_args);
    args.extend(inputs[carries + xs..].iter().cloned());
    let (n_states, n_sequences) = (states.len() + summed.len(), sequence_params.len());
    let done = Expr::apply_all(
        Control::Scan {
            body: Arc::new(backward),
            carries: n_states,
            xs: n_sequences,
            length: length.clone(),
            reverse: !*reverse,
        },
        args,
    );
    if done[0].is_poisoned() {
        return vec![Some(done[0].clone()); inputs.len()];
    }
    let mut result: Vec<Option<Expr>> = vec![None; inputs.len()];
    for (k, i) in states.iter().enumerate() {
        result[*i] = Some(done[k].clone());
    }
    for (k, i) in summed.iter().enumerate() {
        result[constants[*i]] = Some(done[states.len() + k].clone());
    }
    for (k, i) in sequences.iter().enumerate() {
        result[*i] = Some(done[n_states + k].clone());
    }
    let mut leaves = done[hoisted_at..].iter();
    for (i, h) in constants.iter().zip(&hoists) {
        if let Some(h) = h {
            result[*i] = Some(h.outside(&mut leaves));
        }
    }
    result
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
