//! Runs a plan. Everything symbolic is resolved once for each set of shapes into a [`frame::Frame`]; a run then
//! walks a flat list of tasks over a table of addresses.

mod arena;
pub(crate) mod axes;
#[cfg(test)]
mod draft_tests;
mod frame;
mod pooling;
mod product;
#[cfg(test)]
mod product_tests;
mod profile;
pub(crate) mod resolve;
mod scan;
mod scan_rows;
mod scan_turn;
mod side;
pub(crate) mod task;
#[cfg(test)]
pub(crate) mod testing;

use crate::backend::Threads;
use crate::denormals::as_zero;
use crate::isa::Isa;
use arena::Arena;
use frame::Frame;
use rhyton_graph::backend::{Executable, LaunchTime};
use rhyton_graph::memory;
use rhyton_graph::plan::{Param, Plan, bind};
use rhyton_tensor::{Bindings, DType, Data, Error, Result, Tensor, memory as limit};
use std::sync::Arc;

pub(crate) use resolve::Setting;

/// Frames kept for shapes seen before: the full batch, the last one, the one of validation, ..
const FRAMES: usize = 8;

/// A loaded plan.
pub(crate) struct Program {
    plan: Arc<Plan>,
    threads: Threads,
    isa: Isa,
    /// Most recently used last.
    frames: Vec<(Vec<usize>, Frame)>,
    arena: Arena,
    /// Results that the caller gets, in order; the others update state.
    returned: Vec<usize>,
    /// State parameters that are written.
    written: Vec<bool>,
    profile: bool,
}

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
        let written = (0..plan.state).map(|p| plan.updates.iter().any(|(_, u)| *u == p)).collect();
        Ok(Program {
            plan,
            threads,
            isa,
            frames: vec![],
            arena: Arena::default(),
            returned,
            written,
            profile: false,
        })
    }

    /// Moves the frame for these shapes to the end of the list, making it when it is new.
    fn choose(&mut self, state: &[Tensor], batch: &[Tensor]) -> Result<()> {
        let params = &self.plan.params;
        if state.len() != self.plan.state || state.len() + batch.len() != params.len() {
            return Err(self.wrong_count(state.len(), batch.len()));
        }
        for (i, (p, t)) in params.iter().zip(state.iter().chain(batch)).enumerate() {
            if t.dtype() != p.ty.dtype {
                return Err(Error::new(format!("'{}' is {}", name(p, i), t.dtype()))
                    .place(&self.plan.name)
                    .expected(p.ty.dtype.to_string())
                    .fix(format!("convert it with `.cast(DType::{:?})`", p.ty.dtype)));
            }
        }
        // Ranks are fixed by the parameters once a frame exists, so the flat list of sizes identifies the shapes.
        let sizes = || state.iter().chain(batch).flat_map(|t| t.shape().iter().copied());
        let ranks = params.iter().zip(state.iter().chain(batch)).all(|(p, t)| p.ty.shape.rank() == t.rank());
        if let (true, Some(i)) = (ranks, self.frames.iter().position(|(s, _)| sizes().eq(s.iter().copied())))
        {
            let last = self.frames.len() - 1;
            self.frames[i..=last].rotate_left(1);
            return Ok(());
        }
        let shapes: Vec<&[usize]> = state.iter().chain(batch).map(Tensor::shape).collect();
        let bindings = bind(params, &shapes).map_err(|e| e.place(&self.plan.name))?;
        let setting = Setting {
            isa: self.isa,
            threads: self.threads.pool().threads(),
            bindings: &bindings,
            profile: self.profile,
        };
        let layout = memory::layout(&self.plan, &bindings).map_err(|e| e.place(&self.plan.name))?;
        self.fits(layout.total, &bindings)?;
        let frame = Frame::new(&self.plan, &layout, &setting)?;
        let (temps, scratch) = frame.bytes();
        let bytes = temps.saturating_add(scratch);
        self.fits(bytes, &bindings)?;
        if let Err(e) = self.arena.reserve(bytes) {
            // The old arena is gone, and the frames with it.
            self.frames.clear();
            return Err(e.place(&self.plan.name));
        }
        if self.frames.len() == FRAMES {
            self.frames.remove(0);
        }
        self.frames.push((sizes().collect(), frame));
        Ok(())
    }

    /// Whether the memory limit allows an arena of `bytes` and the results, before anything is allocated. Parameters
    /// are counted already.
    fn fits(&self, bytes: usize, bindings: &Bindings) -> Result<()> {
        let mut needed = bytes.saturating_sub(self.arena.bytes());
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

    /// Gives the frame the addresses of this run.
    fn connect(&mut self, state: &mut [Tensor], batch: &[Tensor], results: &mut Vec<Tensor>) -> Result<()> {
        let Some((_, frame)) = self.frames.last_mut() else { return Ok(()) };
        let base = self.arena.base();
        frame.place(base, base.wrapping_add(frame.bytes().0));
        for (i, t) in state.iter_mut().enumerate() {
            let address = if self.written[i] { address_mut(t)? } else { address(t) };
            frame.set_input(i, address);
        }
        for (i, t) in batch.iter().enumerate() {
            frame.set_input(state.len() + i, address(t));
        }
        for (result, param) in &self.plan.updates {
            frame.set_output(*result, frame.input(*param));
        }
        results.truncate(self.returned.len());
        for (k, r) in self.returned.iter().enumerate() {
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
}

impl Executable for Program {
    fn run(&mut self, state: &mut [Tensor], batch: &[Tensor], results: &mut Vec<Tensor>) -> Result<()> {
        self.choose(state, batch)?;
        self.connect(state, batch, results).map_err(|e| e.place(&self.plan.name))?;
        if let Some((_, frame)) = self.frames.last_mut() {
            // SAFETY: `connect` gave every buffer an address of its size: parameters and results were checked
            // against the frame's shapes, temporaries lie in the arena.
            as_zero(|| unsafe { frame.run(self.threads.pool()) });
        }
        Ok(())
    }

    fn profile(&mut self, on: bool) {
        // Frames are prepared again, with or without clocks.
        self.profile = on;
        self.frames.clear();
    }

    fn take_profile(&mut self) -> Vec<LaunchTime> {
        let mut all = vec![];
        self.frames.iter_mut().for_each(|(_, frame)| frame.take_profile(0, &mut all));
        all
    }
}

fn name(p: &Param, i: usize) -> String {
    if p.name.is_empty() { format!("parameter {i}") } else { p.name.clone() }
}

/// Address of the elements, for reading.
pub(crate) fn address(t: &Tensor) -> *mut u8 {
    match t.data() {
        Data::F32(v) => v.as_ptr().cast::<u8>().cast_mut(),
        Data::BF16(v) => v.as_ptr().cast::<u8>().cast_mut(),
        Data::I32(v) => v.as_ptr().cast::<u8>().cast_mut(),
        Data::I8(v) => v.as_ptr().cast::<u8>().cast_mut(),
        Data::Bool(v) => v.as_ptr().cast::<u8>().cast_mut(),
        // `choose` lets no other type in.
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
        Data::Bool(v) => v.as_mut_ptr().cast(),
        _ => std::ptr::null_mut(),
    })
}

/// Bytes of an element in a buffer.
pub(crate) fn element_bytes(dtype: DType) -> usize {
    dtype.size_bytes()
}
