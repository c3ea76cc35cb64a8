//! The passes: each rewrites a [`Function`] into an equal one that is smaller or easier to lower. One file each.

mod canonicalize;
mod dead;
mod deduplicate;
mod hoist;
mod inline;
mod merge_scans;
mod pads;
mod views;

use crate::backend::Backend;
use crate::expr::{Expr, rewrite};
use crate::function::Function;
use crate::ops::{Control, Op};
use rhyton_tensor::{Error, Result};
use std::collections::HashMap;
use std::sync::Arc;

/// What passes may know beside the function.
pub struct Context<'a> {
    /// Which named functions stay whole.
    pub backend: &'a dyn Backend,
    /// (result, parameter) pairs of results that replace a parameter.
    pub updates: &'a [(usize, usize)],
    /// The last pass to run, but for those that lowering needs: to find the pass at fault.
    pub stop_after: Option<&'a str>,
}

/// The environment variable that names the last pass to run (see [`Context::stop_after`]).
pub const STOP_AFTER: &str = "RHYTON_STOP_AFTER";

/// A pass maps a function to new results over the same parameters.
pub type Pass = fn(&Function, &Context) -> Vec<Expr>;

/// All passes in the order they run.
pub const PASSES: &[(&str, Pass)] = &[
    ("inline", inline::inline),
    ("canonicalize", canonicalize::canonicalize),
    ("deduplicate", deduplicate::deduplicate),
    ("merge_scans", merge_scans::merge_scans),
    ("dead", dead::dead),
    ("hoist", hoist::hoist),
    ("deduplicate_again", deduplicate::deduplicate),
    ("views", views::views),
];

/// Passes that lowering cannot do without.
const NEEDED: &[&str] = &["inline", "views"];

/// The position of a pass.
///
/// # Errors
/// When there is none of this name; the error names those that there are.
pub fn position(name: &str) -> Result<usize> {
    PASSES.iter().position(|(known, _)| *known == name).ok_or_else(|| {
        let known: Vec<&str> = PASSES.iter().map(|(name, _)| *name).collect();
        Error::new(format!("there is no pass '{name}'")).expected(format!("one of {}", known.join(", ")))
    })
}

/// Runs all passes, or those up to [`Context::stop_after`]; debug builds verify the function after each.
///
/// # Errors
/// When there is no such pass to stop after, or one broke the function, which is a mistake of Rhyton's.
pub fn run(function: &Function, cx: &Context) -> Result<Function> {
    let end = match cx.stop_after {
        Some(name) => position(name).map_err(|e| e.place(STOP_AFTER))?,
        None => PASSES.len(),
    };
    let mut f = function.rebuilt(function.params.clone(), function.results.clone());
    for (i, (name, pass)) in PASSES.iter().enumerate() {
        if i > end && !NEEDED.contains(name) {
            continue;
        }
        f = apply(*pass, &f, cx);
        crate::inspect::passed(name, &f);
        if cfg!(debug_assertions) {
            crate::verify::verify(&f).map_err(|e| e.place(format!("{} after the pass {name}", f.name)))?;
        }
    }
    Ok(f)
}

/// One pass over a function, then over the bodies of its loops.
pub fn apply(pass: Pass, f: &Function, cx: &Context) -> Function {
    let inner = Context { updates: &[], ..*cx };
    let results = rewrite(&pass(f, cx), HashMap::new(), |e, inputs| {
        let Op::Control(Control::Scan { body, .. }) = e.op() else { return e.with_inputs(inputs) };
        let new = apply(pass, body, &inner);
        let changed = new.results.iter().zip(&body.results).any(|(a, b)| a.key() != b.key());
        if changed { e.with_op(with_body(e.op(), new), inputs) } else { e.with_inputs(inputs) }
    });
    f.rebuilt(f.params.clone(), results)
}

/// A loop with another body that takes and gives the same.
fn with_body(op: &Op, new: Function) -> Op {
    let mut op = op.clone();
    if let Op::Control(Control::Scan { body, .. }) = &mut op {
        *body = Arc::new(new);
    }
    op
}
