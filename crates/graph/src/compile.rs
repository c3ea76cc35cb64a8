//! From a function to a plan: checks, passes, lowering.

use crate::backend::Backend;
use crate::expr::Expr;
use crate::function::Function;
use crate::inspect;
use crate::ops::{Control, Op};
use crate::passes::{self, Context};
use crate::plan::Plan;
use rhyton_tensor::{Error, Problem, Result};
use std::collections::HashSet;
use std::sync::Arc;

/// Compiles a function for a backend. Its first `state` parameters are state, the others the batch; `updates` are
/// (result, parameter) pairs: when the program ends, the state parameter has become the result.
///
/// ```
/// use rhyton_graph::{compile, reference::ReferenceBackend, Expr, Function, Type};
/// let f = Function::trace("f", &[Type::f32([64, 3])], |p| vec![(&p[0] * 2.0).exp()]);
/// let plan = compile(&f, 0, &[], &ReferenceBackend::default())?;
/// assert_eq!(plan.launches.len(), 1);
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
///
/// # Errors
/// Every diagnostic of the function's expressions, and updates that do not fit.
pub fn compile(
    function: &Function,
    state: usize,
    updates: &[(usize, usize)],
    backend: &dyn Backend,
) -> Result<Plan> {
    compile_watched(function, state, updates, None, backend)
}

/// Updates that happen only where a result is finite: the program ends before them otherwise.
pub struct Watch<'a> {
    /// The result, a float32 without axes.
    pub result: usize,
    /// The parameters that then stay as they are.
    pub held: &'a [usize],
}

/// [`compile`] with updates that wait for a result. The plan has no [`Plan::stop`] where some of them cannot wait.
///
/// # Errors
/// As for [`compile`].
pub fn compile_watched(
    function: &Function,
    state: usize,
    updates: &[(usize, usize)],
    watch: Option<&Watch>,
    backend: &dyn Backend,
) -> Result<Plan> {
    let mut problems = crate::expr::problems(&function.results);
    problems.extend(wrong_updates(function, state, updates));
    if let Some(e) = Error::from_problems(problems) {
        return Err(e);
    }
    crate::verify::verify(function)?;
    inspect::traced(function);
    let stop_after = std::env::var(passes::STOP_AFTER).ok();
    let cx = Context { backend, updates, stop_after: stop_after.as_deref() };
    let passed = Arc::new(passes::run(function, &cx)?);
    let plan = crate::lower::lower(&passed, state, updates, watch, backend)?;
    inspect::lowered(&plan);
    Ok(plan)
}

fn param_name(p: &Expr) -> String {
    match p.op() {
        Op::Control(Control::Param { name, .. }) => name.clone(),
        _ => String::new(),
    }
}

fn wrong_updates(f: &Function, state: usize, updates: &[(usize, usize)]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut report = |e: Error| problems.extend(e.problems);
    if state > f.params.len() {
        report(Error::new(format!("{} has {} parameters, not {state}", f.name, f.params.len())));
    }
    let (mut results, mut params) = (HashSet::new(), HashSet::new());
    for (result, param) in updates {
        let (Some(r), Some(p)) = (f.results.get(*result), f.params.get(*param).filter(|_| *param < state))
        else {
            let what = format!("update of parameter {param} by result {result}: no such state or result");
            report(Error::new(what).place(&f.name));
            continue;
        };
        let (first_result, first_param) = (results.insert(result), params.insert(param));
        if !(first_result && first_param) {
            let what = format!("'{}' is updated twice, or by a result that updates another", param_name(p));
            report(Error::new(what).place(&f.name));
        }
        if !r.is_poisoned() && r.ty() != p.ty() {
            let what = format!("the update of '{}' is {}", param_name(p), r.ty());
            report(Error::new(what).place(&f.name).expected(p.ty().to_string()).source(&r.node().source));
        }
    }
    problems
}
