//! Looking into the compiler: what a function is after each pass, and the plan that it becomes.

use crate::function::Function;
use crate::plan::Plan;
use std::cell::RefCell;

/// One function on its way through the compiler.
pub struct Compilation {
    /// As it was traced.
    pub traced: Function,
    /// Names of passes, and the function after each.
    pub passes: Vec<(&'static str, Function)>,
    /// The plan, unless something was wrong.
    pub plan: Option<Plan>,
}

thread_local! {
    static WATCHED: RefCell<Option<Vec<Compilation>>> = const { RefCell::new(None) };
}

/// Runs `f` and returns, beside its result, everything that was compiled meanwhile on this thread.
///
/// ```
/// use rhyton_graph::{Function, Type, compile, inspect, reference::ReferenceBackend, text};
/// let f = Function::trace("double", &[Type::f32([3])], |p| vec![&p[0] + &p[0]]);
/// let (plan, seen) = inspect::watch(|| compile(&f, 0, &[], &ReferenceBackend::default()));
/// assert_eq!(seen[0].passes.last().map(|(name, _)| *name), Some("views"));
/// assert_eq!(text::print_plan(&plan?), text::print_plan(seen[0].plan.as_ref().unwrap()));
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
pub fn watch<R>(f: impl FnOnce() -> R) -> (R, Vec<Compilation>) {
    /// Gives the outer watcher its own list back, also after a panic.
    struct Restore(Option<Vec<Compilation>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            WATCHED.set(self.0.take());
        }
    }
    let _restore = Restore(WATCHED.replace(Some(vec![])));
    let result = f();
    (result, WATCHED.take().unwrap_or_default())
}

/// A function begins its way.
pub(crate) fn traced(f: &Function) {
    let new = || Compilation { traced: same(f), passes: vec![], plan: None };
    WATCHED.with_borrow_mut(|w| w.iter_mut().for_each(|w| w.push(new())));
}

/// It has been through a pass.
pub(crate) fn passed(pass: &'static str, f: &Function) {
    last(|c| c.passes.push((pass, same(f))));
}

/// It has become a plan.
pub(crate) fn lowered(plan: &Plan) {
    last(|c| c.plan = Some(plan.clone()));
}

/// The same graph; its nodes are shared.
fn same(f: &Function) -> Function {
    f.rebuilt(f.params.clone(), f.results.clone())
}

fn last(f: impl FnOnce(&mut Compilation)) {
    WATCHED.with_borrow_mut(|w| w.as_mut().and_then(|w| w.last_mut()).map(f));
}
