//! [`Program`]: compiled, shared, run by any number of threads.

use super::Values;
use super::values::Layout;
use crate::program::Guard;
use rhyton_graph::backend::{Backend, Executable, LaunchTime, Session};
use rhyton_graph::compile::{Watch, compile_watched};
use rhyton_graph::{Expr, Function, Type};
use rhyton_tensor::{Error, Result, Tensor};
use std::borrow::Borrow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a program is compiled from.
pub(crate) struct ProgramParts<'a> {
    pub(crate) name: &'a str,
    /// Names and parameters of what is kept from run to run.
    pub(crate) slots: Vec<(String, Expr)>,
    /// Names and parameters of the batch.
    pub(crate) inputs: Vec<(String, Expr)>,
    pub(crate) results: Vec<Expr>,
    /// (result, slot): what becomes of a slot.
    pub(crate) updates: Vec<(usize, usize)>,
    /// Parameters whose numbers the caller checks (see [`rhyton_nn::indices`]).
    pub(crate) checked: Vec<Expr>,
    /// A result, and the slots that change only where it is finite.
    pub(crate) watch: Option<(usize, Vec<usize>)>,
}

/// A compiled program. It is shared: it changes only the [`Values`] it is given, and what a run needs besides - memory
/// for what is computed on the way - each thread has for itself.
///
/// Numbers that choose rows or classes are checked before every run (see [`rhyton_nn::indices`]).
pub struct Program {
    backend: Arc<dyn Backend>,
    executable: Arc<dyn Executable>,
    /// Whether it ends before what it was to hold, see [`Watch`].
    pub(super) stops: bool,
    slots: Vec<String>,
    inputs: Vec<(String, Type)>,
    guard: Guard,
    /// Sessions that no thread uses at the moment.
    idle: Mutex<Vec<Running>>,
}

/// What one thread needs to run a program.
struct Running {
    session: Box<dyn Session>,
    /// The layout in which `places` were looked up.
    layout: Arc<Layout>,
    /// Where the values of the slots lie.
    places: Vec<usize>,
    /// Numbers that choose, where they have to be computed.
    choosing: Vec<Tensor>,
}

impl Program {
    pub(crate) fn compile(parts: ProgramParts<'_>, backend: &Arc<dyn Backend>) -> Result<Program> {
        let ProgramParts { name, slots, inputs, results, updates, checked, watch } = parts;
        let (slots, mut params): (Vec<String>, Vec<Expr>) = slots.into_iter().unzip();
        params.extend(inputs.iter().map(|(_, e)| e.clone()));
        let guard = Guard::new(&slots, &params, &results, &checked);
        let watch = watch.as_ref().map(|(result, held)| Watch { result: *result, held });
        let function = Function::new(name, params, results);
        let plan = compile_watched(&function, slots.len(), &updates, watch.as_ref(), &**backend)?;
        let inputs = inputs.into_iter().map(|(name, e)| (name, e.ty().clone())).collect();
        let (stops, executable) = (plan.stop.is_some(), backend.load(Arc::new(plan))?);
        let (backend, idle) = (backend.clone(), Mutex::default());
        Ok(Program { backend, executable, stops, slots, inputs, guard, idle })
    }

    /// Runs once and writes what it changes into `values`; `results` is reused from call to call.
    ///
    /// # Errors
    /// When a shape or type does not fit, a value is missing, or a number that is to choose a row or class chooses
    /// none; then nothing was written.
    pub fn run(&self, values: &mut Values, batch: &[Tensor], results: &mut Vec<Tensor>) -> Result<()> {
        self.with_session(values, batch, |values, running| {
            running.session.run(values.store_mut(), &running.places, batch, results)
        })
    }

    /// Runs a program that changes nothing. Several threads may do so at once.
    ///
    /// # Errors
    /// As for [`run`](Program::run), and when the program changes values.
    pub fn infer(&self, values: &Values, batch: &[Tensor], results: &mut Vec<Tensor>) -> Result<()> {
        self.with_session(values, batch, |values, running| {
            running.session.infer(values.store(), &running.places, batch, results)
        })
    }

    /// Runs in a session that no other thread uses, after the numbers that choose were checked.
    fn with_session<V: Borrow<Values>>(
        &self,
        values: V,
        batch: &[Tensor],
        run: impl FnOnce(V, &mut Running) -> Result<()>,
    ) -> Result<()> {
        let idle = self.idle().pop();
        let mut running = idle.unwrap_or_else(|| Running::new(self.executable.session()));
        let home = || Ok(self.backend.clone());
        let ready = running
            .look_up(&self.slots, values.borrow())
            .and_then(|()| self.guard.check(&home, values.borrow(), batch, 0, &mut running.choosing));
        let done = ready.and_then(|()| run(values, &mut running));
        self.idle().push(running);
        done
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Running>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names of what is kept from run to run.
    pub fn slots(&self) -> &[String] {
        &self.slots
    }

    /// Names and types of the batch's tensors.
    pub fn inputs(&self) -> &[(String, Type)] {
        &self.inputs
    }

    /// Starts (afresh) or stops measuring every launch, where the backend can.
    pub fn profile(&self, on: bool) {
        self.idle().iter_mut().for_each(|r| r.session.profile(on));
    }

    /// The measurements since the last call, in the order of the launches.
    pub fn take_profile(&self) -> Vec<LaunchTime> {
        self.idle().iter_mut().flat_map(|r| r.session.take_profile()).collect()
    }
}

impl Running {
    fn new(session: Box<dyn Session>) -> Running {
        Running { session, layout: Arc::default(), places: vec![], choosing: vec![] }
    }

    /// Finds the values of the slots, unless they lie where they lay in the last run.
    fn look_up(&mut self, slots: &[String], values: &Values) -> Result<()> {
        if self.places.len() == slots.len() && Arc::ptr_eq(&self.layout, values.layout()) {
            return Ok(());
        }
        let missing = |name: &String| Error::new(format!("the program needs the value '{name}'"));
        let places = slots.iter().map(|n| values.layout().place(n).ok_or_else(|| missing(n)));
        self.places = places.collect::<Result<_>>()?;
        self.layout = values.layout().clone();
        Ok(())
    }
}
