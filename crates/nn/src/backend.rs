//! The backend that programs run on. The facade registers the default one; nothing here names any.

use crate::indices::Guard;
use rhyton_graph::backend::{Backend, HostStore, LaunchTime, Session};
use rhyton_graph::compile::{Watch, compile_watched};
use rhyton_graph::{Expr, Function};
use rhyton_tensor::{Error, Result, Tensor};
use std::sync::{Arc, RwLock};

/// A default backend, submitted with `inventory::submit!`.
pub struct DefaultBackend(pub fn() -> Result<Arc<dyn Backend>>);
inventory::collect!(DefaultBackend);

static CHOSEN: RwLock<Option<Arc<dyn Backend>>> = RwLock::new(None);

/// The backend in force.
///
/// # Errors
/// When no crate that was linked registered one, or the environment asks the default one for what it cannot give.
pub fn backend() -> Result<Arc<dyn Backend>> {
    if let Some(b) = CHOSEN.read().ok().and_then(|b| b.clone()) {
        return Ok(b);
    }
    let Some(default) = inventory::iter::<DefaultBackend>.into_iter().next() else {
        return Err(Error::new("no backend is registered")
            .fix("depend on the crate `rhyton`, or call set_backend with one"));
    };
    set_backend((default.0)()?);
    backend()
}

/// Runs programs compiled from now on with `backend`.
pub fn set_backend(backend: Arc<dyn Backend>) {
    if let Ok(mut chosen) = CHOSEN.write() {
        *chosen = Some(backend);
    }
}

/// A compiled program: state first, then the batch (see [`Session::run`]). The numbers that choose rows or classes in it are
/// checked before every run (see [`crate::indices`]).
pub struct Program {
    session: Box<dyn Session>,
    /// Where the caller's values lie during a run, and their slots.
    store: HostStore,
    slots: Vec<usize>,
    guard: Guard,
    /// Whether it ends before what it was to hold, see [`Watch`].
    pub(crate) stops: bool,
}

impl Program {
    /// Compiles `results` of `params`, the first `state` of which are state. `updates` are (result, parameter)
    /// pairs written in place.
    ///
    /// # Errors
    /// Every diagnostic of the graph.
    pub fn compile(
        name: &str,
        params: Vec<Expr>,
        state: usize,
        results: Vec<Expr>,
        updates: &[(usize, usize)],
    ) -> Result<Program> {
        Program::compile_given(name, params, state, results, updates, &[], None)
    }

    /// [`compile`](Program::compile) for callers that have checked the parameters `checked` themselves, with updates that
    /// wait for a result.
    pub(crate) fn compile_given(
        name: &str,
        params: Vec<Expr>,
        state: usize,
        results: Vec<Expr>,
        updates: &[(usize, usize)],
        checked: &[Expr],
        watch: Option<&Watch>,
    ) -> Result<Program> {
        let backend = backend()?;
        let guard = Guard::new(&params, state, &results, checked);
        let function = Function::new(name, params, results);
        let plan = compile_watched(&function, state, updates, watch, &*backend)?;
        let stops = plan.stop.is_some();
        let session = backend.load(Arc::new(plan))?.session();
        Ok(Program { session, store: HostStore::default(), slots: vec![], guard, stops })
    }

    /// Runs once; `results` is reused from call to call.
    ///
    /// # Errors
    /// When a shape or type does not fit, or a number that is to choose a row or class chooses none; then nothing was
    /// written.
    pub fn run(&mut self, state: &mut [Tensor], batch: &[Tensor], results: &mut Vec<Tensor>) -> Result<()> {
        self.guard.check(state, batch, 0)?;
        if self.slots.len() != state.len() {
            self.slots = (0..state.len()).collect();
            self.store.values.resize_with(state.len(), || Tensor::scalar(0.0f32));
        }
        self.exchange(state);
        let done = self.session.run(&mut self.store, &self.slots, batch, results);
        self.exchange(state);
        done
    }

    fn exchange(&mut self, state: &mut [Tensor]) {
        self.store.values.iter_mut().zip(state).for_each(|(own, given)| std::mem::swap(own, given));
    }

    /// Starts (afresh) or stops measuring every launch, where the backend can.
    pub fn profile(&mut self, on: bool) {
        self.session.profile(on);
    }

    /// The measurements since the last call, in the order of the launches.
    pub fn take_profile(&mut self) -> Vec<LaunchTime> {
        self.session.take_profile()
    }
}
