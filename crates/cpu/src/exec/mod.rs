//! Runs a plan. Everything symbolic is resolved once for each set of shapes into a [`frame::Frame`]; a run then
//! walks a flat list of tasks over a table of addresses.

mod arena;
pub(crate) mod axes;
mod frame;
pub(crate) mod named;
#[cfg(test)]
mod nest_tests;
mod pooling;
mod product;
#[cfg(test)]
mod product_tests;
mod profile;
pub(crate) mod reduce;
pub(crate) mod resolve;
mod rows;
mod scan;
mod scan_rows;
mod scan_turn;
mod side;
pub(crate) mod task;
#[cfg(test)]
pub(crate) mod testing;

use crate::denormals::as_zero;
use crate::isa::Isa;
use crate::pool::{Pool, Threads};
use arena::Arena;
use frame::Frame;
use rhyton_graph::backend::{self, Executable, HostStore, LaunchTime, Store, check_slots, updates_state};
use rhyton_graph::memory;
use rhyton_graph::plan::{Param, Plan, bind};
use rhyton_tensor::{Bindings, DType, Data, Error, Result, Tensor, memory as limit};
use std::sync::Arc;

pub(crate) use resolve::Setting;

/// The frames kept for shapes seen before take at most this part of the memory limit, and two are kept in any case: the
/// full batch and the last one.
const SHARE: usize = 64;

/// A loaded plan.
pub(crate) struct Loaded {
    plan: Arc<Plan>,
    threads: Threads,
    isa: Isa,
    /// Results that the caller gets, in order; the others update state.
    returned: Vec<usize>,
    /// State parameters that are written.
    written: Vec<bool>,
}

/// The same, shared by its sessions.
pub(crate) struct Program(Arc<Loaded>);

impl Program {
    pub(crate) fn new(plan: Arc<Plan>, threads: Threads, isa: Isa) -> Result<Program> {
        let inputs = plan.inputs.len();
        let sound = plan.inputs.iter().chain(&plan.outputs).all(|b| *b < plan.buffers.len())
            && plan.params.len() == inputs
            && plan.updates.iter().all(|(r, p)| *r < plan.outputs.len() && *p < plan.state)
            && plan.stop.is_none_or(|s| {
                let buffer = plan.outputs.get(s.result).and_then(|b| plan.buffers.get(*b));
                buffer.is_some_and(|b| b.dtype == DType::F32 && b.shape.rank() == 0)
            })
            && plan.state <= inputs;
        if !sound {
            return Err(Error::new(format!("the plan '{}' does not fit its own buffers", plan.name)));
        }
        let returned = (0..plan.outputs.len()).filter(|r| plan.updates.iter().all(|(u, _)| u != r)).collect();
        let written = plan.written();
        Ok(Program(Arc::new(Loaded { plan, threads, isa, returned, written })))
    }
}

impl Executable for Program {
    fn session(&self) -> Box<dyn backend::Session> {
        Box::new(Session { program: self.0.clone(), own: Prepared::default() })
    }
}

/// What one thread needs to run a plan.
struct Session {
    program: Arc<Loaded>,
    own: Prepared,
}

/// Frames, and the memory that they use in turn.
#[derive(Default)]
struct Prepared {
    frames: Vec<ForShapes>,
    /// The frame of this run.
    current: usize,
    runs: u64,
    arena: Arena,
    /// Slots that were checked.
    slots: Vec<usize>,
    profile: bool,
}

/// A frame and what it is for.
struct ForShapes {
    /// Sizes of all parameters, one after the other. Ranks are fixed by the parameters, so they say the shapes.
    sizes: Vec<usize>,
    frame: Frame,
    /// The number of the run that used it last.
    used: u64,
}

impl Prepared {
    /// Checks what is given, and makes the frame for its shapes the current one.
    fn choose(
        &mut self,
        program: &Loaded,
        store: &HostStore,
        slots: &[usize],
        batch: &[Tensor],
    ) -> Result<()> {
        let params = &program.plan.params;
        if slots.len() != program.plan.state || slots.len() + batch.len() != params.len() {
            return Err(program.wrong_count(slots.len(), batch.len()));
        }
        if self.slots != slots || slots.iter().any(|s| *s >= store.values.len()) {
            check_slots(slots, &program.written, store).map_err(|e| e.place(&program.plan.name))?;
            self.slots = slots.to_vec();
        }
        let given = || slots.iter().map(|s| &store.values[*s]).chain(batch);
        for (i, (p, t)) in params.iter().zip(given()).enumerate() {
            if t.dtype() != p.ty.dtype {
                return Err(Error::new(format!("'{}' is {}", name(p, i), t.dtype()))
                    .place(&program.plan.name)
                    .expected(p.ty.dtype.to_string())
                    .fix(format!("convert it with `.cast(DType::{:?})`", p.ty.dtype)));
            }
        }
        let sizes = || given().flat_map(|t| t.shape().iter().copied());
        let ranks = params.iter().zip(given()).all(|(p, t)| p.ty.shape.rank() == t.rank());
        let fits = |p: &ForShapes| ranks && sizes().eq(p.sizes.iter().copied());
        self.runs += 1;
        if !self.frames.get(self.current).is_some_and(fits) {
            self.current = match self.frames.iter().position(fits) {
                Some(known) => known,
                None => {
                    let shapes: Vec<&[usize]> = given().map(Tensor::shape).collect();
                    let bindings = bind(params, &shapes).map_err(|e| e.place(&program.plan.name))?;
                    let frame = self.prepare(program, &bindings)?;
                    self.make_room(frame.size());
                    self.frames.push(ForShapes { sizes: sizes().collect(), frame, used: 0 });
                    self.frames.len() - 1
                }
            };
        }
        self.frames[self.current].used = self.runs;
        Ok(())
    }

    /// A frame for these sizes, and an arena large enough for it.
    fn prepare(&mut self, program: &Loaded, bindings: &Bindings) -> Result<Frame> {
        let plan = &program.plan;
        let setting = Setting {
            isa: program.isa,
            threads: program.threads.pool().threads(),
            bindings,
            profile: self.profile,
        };
        let layout = memory::layout(plan, bindings).map_err(|e| e.place(&plan.name))?;
        program.fits(layout.total.saturating_sub(self.arena.bytes()), bindings)?;
        let frame = Frame::new(plan, &layout, &setting)?;
        let (temps, scratch) = frame.bytes();
        let bytes = temps.saturating_add(scratch);
        program.fits(bytes.saturating_sub(self.arena.bytes()), bindings)?;
        if let Err(e) = self.arena.reserve(bytes) {
            // The old arena is gone, and the frames with it.
            self.frames.clear();
            return Err(e.place(&plan.name));
        }
        Ok(frame)
    }

    /// Drops the frames that were not used for longest until those that are left and one of `size` bytes are within
    /// their share.
    fn make_room(&mut self, size: usize) {
        let share = limit::limit().unwrap_or(0) / SHARE;
        let mut all = self.frames.iter().map(|p| p.frame.size()).fold(size, usize::saturating_add);
        while self.frames.len() > 1 && all > share {
            let oldest = self.frames.iter().enumerate().min_by_key(|(_, p)| p.used).map_or(0, |(i, _)| i);
            all = all.saturating_sub(self.frames.swap_remove(oldest).frame.size());
        }
    }

    /// Gives the current frame the addresses of this run; `state(i)` is where parameter `i` lies.
    fn connect(
        &mut self,
        program: &Loaded,
        mut state: impl FnMut(usize) -> Result<*mut u8>,
        batch: &[Tensor],
        results: &mut Vec<Tensor>,
    ) -> Result<()> {
        let Loaded { plan, returned, .. } = program;
        let frame = &mut self.frames[self.current].frame;
        let base = self.arena.base();
        frame.place(base, base.wrapping_add(frame.bytes().0));
        for i in 0..plan.state {
            frame.set_input(i, state(i)?);
        }
        for (i, t) in batch.iter().enumerate() {
            frame.set_input(plan.state + i, address(t));
        }
        for (result, param) in &plan.updates {
            frame.set_output(*result, frame.input(*param));
        }
        results.truncate(returned.len());
        for (k, r) in returned.iter().enumerate() {
            let (dtype, shape) = frame.result(*r);
            match results.get(k) {
                Some(t) if t.dtype() == dtype && t.shape() == shape => {}
                Some(_) => results[k] = Tensor::try_zeros(dtype, shape)?,
                None => results.push(Tensor::try_zeros(dtype, shape)?),
            }
            frame.set_output(*r, address_mut(&mut results[k])?);
        }
        Ok(())
    }

    /// Walks the current frame.
    ///
    /// # Safety
    /// `connect` gave it the addresses of parameters and results that `choose` has checked, and nobody else
    /// uses them meanwhile.
    unsafe fn walk(&mut self, pool: &Pool) {
        let frame = &mut self.frames[self.current].frame;
        // SAFETY: every buffer has an address of its size: parameters and results were checked against the frame's
        // shapes, temporaries lie in the session's arena.
        pool.called(|| as_zero(|| unsafe { frame.run(pool) }));
    }
}

impl Loaded {
    /// Whether the memory limit allows an arena that grows by `bytes`, and the results, before anything is allocated.
    /// Parameters are counted already.
    fn fits(&self, bytes: usize, bindings: &Bindings) -> Result<()> {
        let mut needed = bytes;
        for r in &self.returned {
            needed = needed.saturating_add(memory::result_bytes(&self.plan, *r, bindings)?);
        }
        limit::fits(needed).map_err(|e| {
            e.place(match memory::heaviest(&self.plan, bindings) {
                Some((bytes, label)) => {
                    format!("{}; the most, {}, is written at {label}", self.plan.name, limit::show(bytes))
                }
                None => self.plan.name.clone(),
            })
        })
    }

    fn wrong_count(&self, state: usize, batch: usize) -> Error {
        let (s, n) = (self.plan.state, self.plan.params.len());
        let names = |range: std::ops::Range<usize>| {
            range.map(|i| name(&self.plan.params[i], i)).collect::<Vec<_>>().join(", ")
        };
        Error::new(format!("{state} state and {batch} batch values were given"))
            .place(&self.plan.name)
            .expected(format!("{s} state ({}) and {} batch values ({})", names(0..s), n - s, names(s..n)))
    }
}

impl backend::Session for Session {
    fn run(
        &mut self,
        state: &mut dyn Store,
        slots: &[usize],
        batch: &[Tensor],
        results: &mut Vec<Tensor>,
    ) -> Result<()> {
        let Session { program, own } = self;
        let store = HostStore::of_mut(state)?;
        own.choose(program, store, slots, batch)?;
        let at = |i: usize| {
            let value = &mut store.values[slots[i]];
            if program.written[i] { address_mut(value) } else { Ok(address(value)) }
        };
        own.connect(program, at, batch, results).map_err(|e| e.place(&program.plan.name))?;
        // SAFETY: connected; the store is borrowed, no two parameters share what is written, and what is written is
        // shared with no other tensor.
        unsafe { own.walk(program.threads.pool()) };
        Ok(())
    }

    fn infer(
        &mut self,
        state: &dyn Store,
        slots: &[usize],
        batch: &[Tensor],
        results: &mut Vec<Tensor>,
    ) -> Result<()> {
        let Session { program, own } = self;
        if !program.plan.updates.is_empty() {
            return Err(updates_state(&program.plan.name));
        }
        let store = HostStore::of(state)?;
        own.choose(program, store, slots, batch)?;
        let at = |i: usize| Ok(address(&store.values[slots[i]]));
        own.connect(program, at, batch, results).map_err(|e| e.place(&program.plan.name))?;
        // SAFETY: connected; the program writes no parameter, and its results are shared with no other tensor.
        unsafe { own.walk(program.threads.pool()) };
        Ok(())
    }

    fn profile(&mut self, on: bool) {
        // Frames are prepared again, with or without clocks.
        self.own.profile = on;
        self.own.frames.clear();
    }

    fn take_profile(&mut self) -> Vec<LaunchTime> {
        let mut all = vec![];
        self.own.frames.iter_mut().for_each(|p| p.frame.take_profile(0, &mut all));
        all
    }
}

fn name(p: &Param, i: usize) -> String {
    if p.name.is_empty() { format!("parameter {i}") } else { p.name.clone() }
}

/// Whether arrays of this type have an address here.
pub(crate) fn has_address(dtype: DType) -> bool {
    use DType::{BF16, Bool, F32, I8, I32, U8};
    matches!(dtype, F32 | BF16 | I32 | I8 | U8 | Bool)
}

/// Address of the elements, for reading.
pub(crate) fn address(t: &Tensor) -> *mut u8 {
    match t.data() {
        Data::F32(v) => v.as_ptr().cast::<u8>().cast_mut(),
        Data::BF16(v) => v.as_ptr().cast::<u8>().cast_mut(),
        Data::I32(v) => v.as_ptr().cast::<u8>().cast_mut(),
        Data::I8(v) => v.as_ptr().cast::<u8>().cast_mut(),
        Data::U8(v) => v.as_ptr().cast_mut(),
        Data::Bool(v) => v.as_ptr().cast::<u8>().cast_mut(),
        // Frames have no others: see `has_address`.
        _ => std::ptr::null_mut(),
    }
}

/// Address of the elements, for writing; shared elements are copied first.
fn address_mut(t: &mut Tensor) -> Result<*mut u8> {
    t.unshare()?;
    Ok(match t.data_mut() {
        Data::F32(v) => v.as_mut_ptr().cast(),
        Data::BF16(v) => v.as_mut_ptr().cast(),
        Data::I32(v) => v.as_mut_ptr().cast(),
        Data::I8(v) => v.as_mut_ptr().cast(),
        Data::U8(v) => v.as_mut_ptr(),
        Data::Bool(v) => v.as_mut_ptr().cast(),
        _ => std::ptr::null_mut(),
    })
}

/// Bytes of an element in a buffer.
pub(crate) fn element_bytes(dtype: DType) -> usize {
    dtype.size_bytes()
}
