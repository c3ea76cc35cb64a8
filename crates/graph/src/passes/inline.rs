//! Calls of named functions become their bodies, except those that the backend takes whole. After this pass the
//! forward half of a function and the forward half inside its gradient are the same arithmetic, which
//! `deduplicate` computes once.

use super::Context;
use crate::expr::{Expr, rewrite};
use crate::function::Function;
use crate::ops::{Control, Op};
use crate::plan::NamedCall;
use std::collections::HashMap;

/// The pass.
pub fn inline(f: &Function, cx: &Context) -> Vec<Expr> {
    expand(&f.results, HashMap::new(), cx)
}

fn expand(results: &[Expr], known: HashMap<(u64, usize), Expr>, cx: &Context) -> Vec<Expr> {
    rewrite(results, known, |e, inputs| match e.op() {
        Op::Control(Control::Call(f)) if !cx.backend.takes(&NamedCall::new(f)) => {
            expand(&f.results, f.params.iter().map(Expr::key).zip(inputs).collect(), cx)
        }
        _ => e.with_inputs(inputs),
    })
}
