//! The walk backwards through calls of named functions.

use super::backward::{Rules, walk};
use crate::expr::{Expr, Type, substitute};
use crate::function::Function;
use std::sync::Arc;

/// Cotangents through a named function: its own rule, or the call of a function `<name>.vjp` whose body is the
/// differentiated body. What both bodies compute alike is computed once, after both are inlined.
///
/// Given rules reach inside: where one of them applies in the body, the body is walked with them, and neither the
/// function's own rule nor the shortcut for elementwise functions is taken.
pub(super) fn call_backward(
    rules: &Rules,
    f: &Arc<Function>,
    out: &Expr,
    cotangents: &[Option<Expr>],
) -> Vec<Option<Expr>> {
    let inner = rules.fresh();
    if rules.may_apply() {
        let back = through_body(&inner, f, out, cotangents, false);
        if inner.applied() {
            rules.note_applied();
            return back;
        }
    }
    match f.vjp {
        Some(rule) => rule(f, out.inputs(), &out.siblings(), cotangents),
        None => {
            let slope = f.params.len() == 1 && f.is_elementwise_in(0);
            through_body(&Rules::gradient(), f, out, cotangents, slope)
        }
    }
}

/// The differentiated body as a function of its own, called.
///
/// With `slope`, for one elementwise value, the body holds the derivative alone, and the cotangent is multiplied with
/// that: the kernel that computes the function can then compute the derivative too, and stores one number instead of
/// everything that the derivative is made of.
fn through_body(
    rules: &Rules,
    f: &Arc<Function>,
    out: &Expr,
    cotangents: &[Option<Expr>],
    slope: bool,
) -> Vec<Option<Expr>> {
    let inputs = out.inputs();
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
            let slopes = walk(rules, &results, &one, xs);
            slopes.into_iter().zip(&seeds).map(|(d, g)| Some(g.as_ref()? * d?)).collect()
        } else {
            walk(rules, &results, &seeds, xs)
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
