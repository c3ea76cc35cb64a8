//! What a backend is: something that says what suits it and runs plans.

use crate::plan::{NamedCall, Plan};
use rhyton_tensor::{Error, Result, Tensor};
use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

/// What suits a backend: how much of a graph one of its kernels should compute.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Most folds of one `Reduce` kernel.
    pub folds: usize,
    /// Most values of the graph that one kernel computes and others could read.
    pub fused: usize,
    /// Most operands of one program: what it reads, its instructions and what it writes.
    pub operands: usize,
    /// A value is computed again for each of its readers up to this much arithmetic (an addition counts 1).
    pub recomputed: usize,
    /// The same where its readers repeat it under a broadcast.
    pub repeated: usize,
    /// Most values that are computed again inside one other.
    pub taken: usize,
    /// Most different readings of a value that is computed again.
    pub readings: usize,
    /// Most parts of joined values that one kernel writes; the rest are copied.
    pub placed: usize,
    /// Most loops and folds that run together, row by row.
    pub stages: usize,
    /// Longest row, in elements, for which they do.
    pub row: usize,
}

/// What suits processor cores: programs stay short enough for their values to stay in the first-level cache.
impl Default for Limits {
    fn default() -> Limits {
        Limits {
            folds: 4,
            fused: 192,
            operands: 512,
            recomputed: 5,
            repeated: 2,
            taken: 48,
            readings: 4,
            placed: 128,
            stages: 12,
            row: 1 << 16,
        }
    }
}

/// What one launch took, see [`Session::take_profile`].
#[derive(Clone, Debug, PartialEq)]
pub struct LaunchTime {
    /// Layer path and operation.
    pub label: String,
    /// The kernel and its sizes: `dot 1600 x 256, sums of 16`.
    pub kernel: String,
    /// 0 for the program's own launches, one more inside each loop; the launches of a loop's body follow the loop,
    /// whose time covers theirs.
    pub depth: usize,
    /// How often it ran.
    pub calls: u64,
    /// Seconds in all calls together.
    pub seconds: f64,
    /// Floating-point operations of a call; 0 for a loop, whose body has its own.
    pub flops: f64,
    /// Bytes that a call reads and writes if it touches each element once.
    pub bytes: f64,
    /// Threads that shared the work: 1 when it was not split.
    pub threads: usize,
}

/// Something that runs plans. What is loaded is shared ([`Executable`]); what a thread needs to run it is its own
/// ([`Session`]); what programs keep from run to run lies where the backend works ([`Store`]).
///
/// ```
/// use rhyton_graph::backend::Backend;
/// use rhyton_graph::{compile, reference::ReferenceBackend, Function, Type};
/// use rhyton_tensor::Tensor;
/// // A counter: the state becomes the state and one.
/// let f = Function::trace("count", &[Type::f32([2])], |p| vec![&p[0] + 1.0]);
/// let backend = ReferenceBackend::default();
/// let program = backend.load(compile(&f, 1, &[(0, 0)], &backend)?.into())?;
/// let mut state = backend.store(vec![Tensor::vector(vec![5.0f32, 7.0])])?;
/// program.session().run(&mut *state, &[0], &[], &mut vec![])?;
/// assert!(state.read(0)?.same_bits(&Tensor::vector(vec![6.0f32, 8.0])));
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
pub trait Backend: Send + Sync {
    /// For people: `cpu (avx512)`.
    fn name(&self) -> String;

    /// Whether the backend has a kernel for this named function; it is then kept whole as
    /// [`Kernel::Named`](crate::plan::Kernel::Named) instead of becoming its body.
    fn takes(&self, call: &NamedCall) -> bool;

    /// What suits it.
    fn limits(&self) -> Limits {
        Limits::default()
    }

    /// A store of these values, in slots from 0 on.
    ///
    /// # Errors
    /// When the backend has no room for them.
    fn store(&self, values: Vec<Tensor>) -> Result<Box<dyn Store>>;

    /// Prepares a plan.
    ///
    /// # Errors
    /// When the plan needs something the backend lacks.
    fn load(&self, plan: Arc<Plan>) -> Result<Arc<dyn Executable>>;
}

/// A loaded program, shared by all threads.
pub trait Executable: Send + Sync {
    /// What one thread needs to run it. The first run of a session prepares memory, later ones of the same sizes
    /// allocate nothing.
    fn session(&self) -> Box<dyn Session>;
}

/// What one thread needs to run a program.
pub trait Session: Send {
    /// Runs the program once. Its parameters are state, then the batch; `slots[i]` is the slot in which parameter `i`
    /// of the state lies. Parameters that a result updates (see [`Plan::updates`]) are written in place; the other
    /// results are written to `results`, in order, reusing its tensors where shape and type already fit. Symbols
    /// (batch, time) are bound from the shapes given.
    ///
    /// # Errors
    /// When a shape or type does not fit its parameter, the store is another backend's, or a slot that is written is
    /// that of another parameter, too; then nothing was written.
    fn run(
        &mut self,
        state: &mut dyn Store,
        slots: &[usize],
        batch: &[Tensor],
        results: &mut Vec<Tensor>,
    ) -> Result<()>;

    /// Runs a program that updates nothing. Several sessions may do so on one store at once.
    ///
    /// # Errors
    /// As for [`run`](Session::run), and when the program updates state.
    fn infer(
        &mut self,
        state: &dyn Store,
        slots: &[usize],
        batch: &[Tensor],
        results: &mut Vec<Tensor>,
    ) -> Result<()>;

    /// Starts (afresh) or stops measuring every launch; a backend that cannot measure ignores it.
    fn profile(&mut self, _on: bool) {}

    /// The measurements since the last call, in the order of the launches; empty when nothing is measured.
    /// Programs that ran with several shapes give the launches once for each.
    fn take_profile(&mut self) -> Vec<LaunchTime> {
        vec![]
    }
}

/// Values that programs keep from run to run, where the backend works: weights, statistics, what an optimizer keeps.
/// Each lies in a slot.
pub trait Store: Send + Sync {
    /// Number of slots.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value in a slot. On the processor its elements are shared, not copied.
    ///
    /// # Errors
    /// When there is no such slot, or the value cannot be brought here.
    fn read(&self, slot: usize) -> Result<Tensor>;

    /// Puts a value into a slot, whatever its shape and type.
    ///
    /// # Errors
    /// When there is no such slot, or no room.
    fn write(&mut self, slot: usize, value: Tensor) -> Result<()>;

    /// Puts a value into a new slot, behind the others.
    ///
    /// # Errors
    /// When there is no room.
    fn push(&mut self, value: Tensor) -> Result<()>;

    /// Removes the slots from `len` on.
    fn truncate(&mut self, len: usize);

    /// A store with the same values. They are copied when one of the two changes.
    fn share(&self) -> Box<dyn Store>;

    /// For the backend whose store it is.
    fn as_any(&self) -> &dyn Any;

    /// For the backend whose store it is.
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

/// The store of backends that work in the memory of the processor.
#[derive(Clone, Debug, Default)]
pub struct HostStore {
    /// The values, by slot.
    pub values: Vec<Tensor>,
}

impl HostStore {
    /// What a store is, for a backend that works in the memory of the processor.
    ///
    /// # Errors
    /// When the store is of another kind.
    pub fn of(store: &dyn Store) -> Result<&HostStore> {
        store.as_any().downcast_ref().ok_or_else(foreign)
    }

    /// The same, to be changed.
    ///
    /// # Errors
    /// When the store is of another kind.
    pub fn of_mut(store: &mut dyn Store) -> Result<&mut HostStore> {
        store.as_any_mut().downcast_mut().ok_or_else(foreign)
    }
}

/// The error of a session that is asked to [`infer`](Session::infer) with a program that updates state.
pub fn updates_state(program: &str) -> Error {
    Error::new("the program updates what it keeps")
        .place(program)
        .fix("run it where that may be written: `Session::run`")
}

fn foreign() -> Error {
    Error::new("the values that the program keeps lie in the store of another backend")
        .expected("a store in the memory of the processor")
        .fix("move them: read them from that store and make one of this backend with `Backend::store`")
}

impl Store for HostStore {
    fn len(&self) -> usize {
        self.values.len()
    }

    fn read(&self, slot: usize) -> Result<Tensor> {
        self.values.get(slot).cloned().ok_or_else(|| no_slot(slot, self.values.len()))
    }

    fn write(&mut self, slot: usize, value: Tensor) -> Result<()> {
        let len = self.values.len();
        *self.values.get_mut(slot).ok_or_else(|| no_slot(slot, len))? = value;
        Ok(())
    }

    fn push(&mut self, value: Tensor) -> Result<()> {
        self.values.push(value);
        Ok(())
    }

    fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
    }

    fn share(&self) -> Box<dyn Store> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

fn no_slot(slot: usize, len: usize) -> Error {
    Error::new(format!("the store has no slot {slot}")).expected(format!("a number below {len}"))
}

/// Checks the slots of a program's state: each is one of the store's, and one that is `written` belongs to one
/// parameter alone.
///
/// # Errors
/// The first slot that does not fit.
pub fn check_slots(slots: &[usize], written: &[bool], store: &dyn Store) -> Result<()> {
    if let Some(slot) = slots.iter().find(|s| **s >= store.len()) {
        return Err(no_slot(*slot, store.len()));
    }
    let mut owner: HashMap<usize, usize> = HashMap::new();
    for (param, slot) in slots.iter().enumerate() {
        if let Some(other) = owner.insert(*slot, param)
            && (written.get(param) == Some(&true) || written.get(other) == Some(&true))
        {
            return Err(Error::new(format!(
                "the state parameters {other} and {param} share the slot {slot}, which the program writes"
            ))
            .expected("a slot of its own for what is written"));
        }
    }
    Ok(())
}
