//! Gradients as a transformation of graphs: the result is made of the same primitives, so gradients of gradients
//! come for free.

use crate::expr::{Expr, Type, substitute, topological};
use crate::function::Function;
use crate::ops::{Control, Elementwise, Op, Unary};
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
                let g = if is_rounded_weight(input) { g } else { g.cast(input.dtype()) };
                add(&mut sums, input, g);
            }
        }
    }
    wrt.iter().map(|w| sums.get(&w.key()).cloned()).collect()
}

/// True for a weight that was rounded to be used, a parameter or what was assigned to one: its gradient adds up in
/// float32 and must not be rounded itself.
fn is_rounded_weight(e: &Expr) -> bool {
    let mut base = e;
    while let (Op::Movement(_), Some(input)) = (base.op(), base.inputs().first()) {
        base = input;
    }
    let is_weight = |e: &Expr| {
        let assigned = Op::Elementwise(Elementwise::Unary(Unary::StopGradient));
        matches!(e.op(), Op::Control(Control::Param { .. })) || *e.op() == assigned
    };
    matches!(base.op(), Op::Elementwise(Elementwise::Cast(_))) && base.inputs().iter().all(is_weight)
}

/// Whether each element of the one result depends on one element of the one parameter.
fn is_elementwise(f: &Function) -> bool {
    let constant = |e: &Expr| e.inputs().iter().all(|i| i.as_scalar().is_some());
    f.params.len() == 1
        && f.results.len() == 1
        && f.nodes().iter().all(|e| match e.op() {
            Op::Elementwise(_) | Op::Control(Control::Param { .. } | Control::Scalar(_)) => true,
            Op::Control(Control::Call(inner)) => is_elementwise(inner),
            Op::Movement(_) => constant(e),
            _ => false,
        })
}

/// Cotangents through a named function: its own rule, or the call of a function `<name>.vjp` whose body is the
/// differentiated body. What both bodies compute alike is computed once, after both are inlined.
///
/// Of one elementwise value the body holds the derivative alone, and the cotangent is multiplied with that: the
/// kernel that computes the function can then compute the derivative too, and stores one number instead of everything
/// that the derivative is made of.
pub(crate) fn call_vjp(f: &Arc<Function>, out: &Expr, cotangents: &[Option<Expr>]) -> Vec<Option<Expr>> {
    let inputs = out.inputs();
    if let Some(rule) = f.vjp {
        return rule(f, inputs, &out.siblings(), cotangents);
    }
    let slope = is_elementwise(f);
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
        let back = if slope {
            let one = seeds.iter().map(|s| s.as_ref().map(Expr::ones_like)).collect::<Vec<_>>();
            vjp(&results, &one, xs).into_iter().zip(&seeds).map(|(d, g)| Some(g.as_ref()? * d?)).collect()
        } else {
            vjp(&results, &seeds, xs)
        };
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
