//! A plan prepared for one set of shapes.

use super::profile::Clock;
use super::resolve::Setting;
use super::task::{Context, Task};
use super::{address, element_bytes, has_address};
use crate::isa::Isa;
use crate::pool::Pool;
use crate::tile::space::Table;
use rhyton_graph::backend::LaunchTime;
use rhyton_graph::bounds;
use rhyton_graph::memory::Layout;
use rhyton_graph::ops::Literal;
use rhyton_graph::plan::{Place, Plan, Stop};
use rhyton_tensor::{DType, Error, Result};
use std::collections::HashSet;

/// Bytes of lists and code that a task holds, of those seen.
const TASK: usize = 3 << 10;

/// A plan with numbers instead of symbols, and the addresses of the current run.
pub(crate) struct Frame {
    isa: Isa,
    /// Address of each buffer.
    table: Vec<*mut u8>,
    tasks: Vec<Task>,
    /// Buffers in the arena and their offsets in bytes.
    temps: Vec<(usize, usize)>,
    temp_bytes: usize,
    scratch_bytes: usize,
    /// Buffer of each parameter.
    inputs: Vec<usize>,
    /// Buffer of each result.
    outputs: Vec<usize>,
    stop: Option<Stop>,
    /// Results that are computed where they belong.
    direct: Vec<bool>,
    /// Where each result goes.
    targets: Vec<*mut u8>,
    types: Vec<(DType, Vec<usize>)>,
    base: *mut u8,
    scratch: *mut u8,
    /// One clock for each task, when they are measured.
    clocks: Vec<Clock>,
    /// Keeps the addresses of constants valid.
    _constants: Vec<Literal>,
}

// SAFETY: the addresses point into memory that whoever runs the frame holds during the run, into the arena of the
// program that owns the frame, or into constants the frame shares.
unsafe impl Send for Frame {}

impl Frame {
    /// Prepares every launch; temporaries lie as `layout` says. This is the door to the unsafe code.
    ///
    /// # The frame's contract
    /// What every kernel of this crate relies on. The reasons at `unsafe` name it by these numbers. It is checked here,
    /// once, in every build and for the sizes at hand, but for what stands behind a dash: that is what others guarantee.
    ///
    /// 1. No array and no index space is so large that distances, or sums of a few of them, wrap around.
    /// 2. Every view lies inside its buffer; so does every element that a kernel reaches through it.
    /// 3. What a kernel takes as contiguous is contiguous.
    /// 4. The sides of convolutions, pooling windows and loops fit together, and so do the rows of stages.
    /// 5. Parameters, constants and updated state have the sizes and types of their buffers.
    /// 6. What is read has been written. Every buffer has the address of memory of its size, aligned for its elements,
    ///    and every task as much scratch memory as it asked for - `Session::run` and `infer` for parameters and results,
    ///    whose types and shapes `Prepared::choose` compares with the plan's; `Prepared::prepare` for arena and scratch
    ///    memory, of which it reserves [`Frame::bytes`]; `ScanTask` for the same of a loop's body.
    /// 7. What a launch writes, nothing else uses meanwhile: launches run one after the other, what one (or a stage of
    ///    one) writes it reads at the same element alone, and temporaries that are alive together do not overlap - for parameters and
    ///    results again the session, which unshares what is written, and `check_slots`; that the tasks of one launch
    ///    write parts apart, the kernel that splits it.
    /// 8. The machine has the instruction set.
    pub fn new(plan: &Plan, layout: &Layout, setting: &Setting) -> Result<Frame> {
        if !setting.isa.runs_here() {
            return Err(Error::new(format!("this machine lacks the instruction set {}", setting.isa.name())));
        }
        bounds::check(plan, setting.bindings)?;
        layout.check(plan, setting.bindings)?;
        if let Some(b) = plan.buffers.iter().find(|b| !has_address(b.dtype)) {
            return Err(Error::new(format!("the cpu backend has no arrays of {}", b.dtype)).place(&plan.name));
        }
        let mut frame = Frame {
            isa: setting.isa,
            table: vec![std::ptr::null_mut(); plan.buffers.len()],
            tasks: Vec::with_capacity(plan.launches.len()),
            temps: vec![],
            temp_bytes: layout.total.next_multiple_of(64),
            scratch_bytes: 0,
            inputs: plan.inputs.clone(),
            outputs: plan.outputs.clone(),
            stop: plan.stop,
            direct: vec![],
            targets: vec![std::ptr::null_mut(); plan.outputs.len()],
            types: vec![],
            base: std::ptr::null_mut(),
            scratch: std::ptr::null_mut(),
            clocks: vec![],
            _constants: vec![],
        };
        for (i, b) in plan.buffers.iter().enumerate() {
            match &b.place {
                Place::Temp => frame.temps.push((i, layout.offsets[i])),
                Place::Constant(literal) => {
                    frame.table[i] = address(&literal.0);
                    frame._constants.push(literal.clone());
                }
                // The kernel gives it one of its own.
                Place::Rows => frame.table[i] = std::ptr::dangling_mut(),
                Place::Input(_) | Place::Output(_) => {}
            }
        }
        let updates: HashSet<(usize, usize)> = plan.updates.iter().copied().collect();
        for (r, b) in plan.outputs.iter().enumerate() {
            let buffer = &plan.buffers[*b];
            frame.direct.push(match buffer.place {
                Place::Output(i) => i == r,
                Place::Input(p) => updates.contains(&(r, p)),
                _ => false,
            });
            frame.types.push((buffer.dtype, setting.sizes(&buffer.shape)?));
        }
        for (i, launch) in plan.launches.iter().enumerate() {
            let body = layout.bodies.iter().find(|b| b.launch == i);
            let task = Task::new(plan, launch, body, setting).map_err(|e| e.place(&launch.label))?;
            if setting.profile {
                frame.clocks.push(Clock::new(plan, launch, setting)?);
            }
            frame.scratch_bytes = frame.scratch_bytes.max(task.scratch());
            frame.tasks.push(task);
        }
        Ok(frame)
    }

    /// Bytes of the arena, and of scratch memory, that a run needs.
    pub fn bytes(&self) -> (usize, usize) {
        (self.temp_bytes, self.scratch_bytes)
    }

    /// Bytes that the frame itself takes, roughly: a task with what hangs on it takes a few thousand.
    pub fn size(&self) -> usize {
        let task = |t: &Task| match t {
            Task::Scan(scan) => scan.size() + size_of::<Task>() + TASK,
            Task::Rows(rows) => rows.stages() * (size_of::<Task>() + TASK),
            _ => size_of::<Task>() + TASK,
        };
        self.tasks.iter().map(task).sum::<usize>() + self.table.len() * size_of::<usize>()
    }

    /// Says where that memory is.
    pub fn place(&mut self, base: *mut u8, scratch: *mut u8) {
        self.scratch = scratch;
        if base != self.base {
            self.base = base;
            for (buffer, offset) in &self.temps {
                self.table[*buffer] = base.wrapping_add(*offset);
            }
        }
    }

    /// Address of parameter `i`.
    pub fn input(&self, i: usize) -> *mut u8 {
        self.table[self.inputs[i]]
    }

    /// Sets the address of parameter `i`.
    pub fn set_input(&mut self, i: usize, address: *mut u8) {
        self.table[self.inputs[i]] = address;
    }

    /// Sets the address of result `r`.
    pub fn set_output(&mut self, r: usize, address: *mut u8) {
        self.targets[r] = address;
        if self.direct[r] {
            self.table[self.outputs[r]] = address;
        }
    }

    /// Type and sizes of result `r`.
    pub fn result(&self, r: usize) -> (DType, &[usize]) {
        let (dtype, shape) = &self.types[r];
        (*dtype, shape)
    }

    /// Bytes of result `r`.
    pub fn result_bytes(&self, r: usize) -> usize {
        self.types[r].1.iter().product::<usize>() * element_bytes(self.types[r].0)
    }

    /// Moves what the clocks say to `all`.
    pub fn take_profile(&mut self, depth: usize, all: &mut Vec<LaunchTime>) {
        for (clock, task) in self.clocks.iter_mut().zip(&mut self.tasks) {
            all.push(LaunchTime { depth, ..clock.take() });
            if let Task::Scan(scan) = task {
                scan.take_profile(depth + 1, all);
            }
        }
    }

    /// Runs every launch.
    ///
    /// # Safety
    /// The frame's contract, what it leaves to others in 6 and 7: all parameters and results have been given addresses,
    /// and [`Frame::place`] memory of [`Frame::bytes`].
    pub unsafe fn run(&mut self, pool: &Pool) {
        debug_assert!(self.table.iter().all(|a| !a.is_null()), "every buffer has an address");
        let table = Table(self.table.as_ptr());
        let cx = Context { isa: self.isa, pool, table, arena: self.base, scratch: self.scratch };
        for (i, task) in self.tasks.iter_mut().enumerate() {
            if let Some(stop) = self.stop.filter(|s| s.after == i) {
                let (from, to) = (self.table[self.outputs[stop.result]], self.targets[stop.result]);
                // SAFETY: both have the size of the result, one float32, and the launches so far wrote it; regions may
                // be the same one.
                let result = unsafe {
                    std::ptr::copy(from, to, size_of::<f32>());
                    from.cast::<f32>().read()
                };
                if !result.is_finite() {
                    return;
                }
            }
            // SAFETY: the frame's contract, 2 and 6.
            let mut run = || unsafe { task.run(cx) };
            match self.clocks.get_mut(i) {
                None => run(),
                Some(clock) => clock.measure(pool, run),
            }
        }
        for r in (0..self.outputs.len()).filter(|r| !self.direct[*r]) {
            let (from, to, n) = (self.table[self.outputs[r]], self.targets[r], self.result_bytes(r));
            // SAFETY: both have the size of the result; regions may be the same one.
            unsafe { std::ptr::copy(from, to, n) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CpuBackend;
    use rhyton_graph::{Function, Type, compile, memory};
    use rhyton_tensor::Bindings;

    /// Two products of which the second reads what the first writes, and a third that both are alive for.
    fn plan() -> Plan {
        let f = Function::trace("f", &[Type::f32([4, 4]), Type::f32([4, 4])], |p| {
            let a = p[0].matmul(&p[1]);
            vec![a.matmul(&p[1]).matmul(&a)]
        });
        compile(&f, 0, &[], &CpuBackend::with(1, Isa::Portable)).unwrap()
    }

    fn enter(isa: Isa, change: impl FnOnce(&mut Plan, &mut Layout)) -> Result<Frame> {
        let (mut plan, bindings) = (plan(), Bindings::new());
        let mut layout = memory::layout(&plan, &bindings).unwrap();
        change(&mut plan, &mut layout);
        Frame::new(&plan, &layout, &Setting { isa, threads: 1, bindings: &bindings, profile: false })
    }

    #[test]
    fn what_breaks_the_contract_stays_outside() {
        enter(Isa::Portable, |_, _| {}).unwrap();
        type Change = fn(&mut Plan, &mut Layout);
        let damages: [(&str, Change); 9] = [
            ("read before it is written", |p, _| p.launches.reverse()),
            ("a result is not written", |p, _| drop(p.launches.pop())),
            ("read elsewhere than it is written", |p, _| {
                let first = p.launches[0].writes[0].clone();
                p.launches[1].writes[0] = first;
            }),
            ("written that no result updates", |p, _| {
                let x = p.launches[0].reads[0].clone();
                p.launches[2].writes[0] = x;
            }),
            ("overlap", |_, l| l.offsets.fill(0)),
            ("outside the arena", |_, l| l.total -= 64),
            ("outside the arena", |_, l| l.offsets.iter_mut().for_each(|o| *o += 4)),
            ("result that has another", |p, _| p.inputs[1] = p.inputs[0]),
            ("no buffer of its own", |p, _| p.buffers[p.inputs[1]].place = Place::Temp),
        ];
        for (wanted, damage) in damages {
            let e = enter(Isa::Portable, damage).err().unwrap_or_else(|| panic!("{wanted} is let in"));
            assert!(e.to_string().contains(wanted), "{wanted}: {e}");
        }
        let foreign = if cfg!(target_arch = "x86_64") { Isa::Neon } else { Isa::Avx2 };
        let e = enter(foreign, |_, _| {}).err().unwrap().to_string();
        assert!(e.contains("lacks the instruction set"), "{e}");
    }
}
