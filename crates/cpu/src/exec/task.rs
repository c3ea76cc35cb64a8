//! One prepared launch.

use super::axes::{Groups, NestBuilder};
use super::named::NamedTask;
use super::pooling::PoolTask;
use super::product::{ConvTask, DotTask};
use super::reduce::ReduceTask;
use super::resolve::{Lane, Setting};
use super::rows::RowsTask;
use super::scan::ScanTask;
use crate::isa::Isa;
use crate::pool::Pool;
use crate::primitives::{self, Primitive};
use crate::tile::nest::LoopNest;
use crate::tile::space::Table;
use rhyton_graph::memory::Body;
use rhyton_graph::plan::{Kernel, Launch, Plan};
use rhyton_tensor::{Error, Result};

/// What a task may use while it runs.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    /// Instruction set.
    pub isa: Isa,
    /// Threads.
    pub pool: &'a Pool,
    /// Addresses of the buffers.
    pub table: Table,
    /// The arena of the plan's temporaries.
    pub arena: *mut u8,
    /// Scratch memory, as much as the task asked for, 64-byte aligned.
    pub scratch: *mut u8,
}

// SAFETY: tasks give their threads disjoint parts of the memory that the addresses point at.
unsafe impl Sync for Context<'_> {}

impl Context<'_> {
    /// First element of a contiguous view.
    ///
    /// # Safety
    /// The table must hold a valid address for the buffer.
    pub unsafe fn at<T>(&self, lane: &Lane) -> *mut T {
        // SAFETY: the frame's contract, 2 and 6.
        unsafe { self.table.get(lane.buffer).cast::<T>().offset(lane.offset) }
    }
}

/// A launch with numbers instead of symbols.
// Made once and then walked in place: one flat list is worth more than small variants.
#[allow(clippy::large_enum_variant)]
pub(crate) enum Task {
    Loop(LoopNest),
    Reduce(ReduceTask),
    Rows(RowsTask),
    Dot(DotTask),
    Conv(ConvTask),
    Pool(PoolTask),
    Primitive(Box<dyn Primitive>),
    Scan(Box<ScanTask>),
    Named(NamedTask),
}

impl Task {
    /// Prepares a launch of `plan`; `body` is where a loop's temporaries lie.
    pub fn new(plan: &Plan, launch: &Launch, body: Option<&Body>, setting: &Setting) -> Result<Task> {
        Ok(match &launch.kernel {
            Kernel::Loop { .. } => Task::Loop(loop_task(launch, setting, None)?),
            Kernel::Reduce { .. } => Task::Reduce(ReduceTask::new(&plan.buffers, launch, setting, false)?),
            Kernel::Rows { .. } => Task::Rows(RowsTask::new(plan, launch, setting)?),
            Kernel::Dot { .. } => Task::Dot(DotTask::new(plan, launch, setting)?),
            Kernel::Conv { .. } => Task::Conv(ConvTask::new(plan, launch, setting)?),
            Kernel::Pool { .. } => Task::Pool(PoolTask::new(plan, launch, setting)?),
            Kernel::Primitive { op, inputs, outputs } => {
                Task::Primitive(primitives::prepare(op, [inputs, outputs], launch, setting)?)
            }
            Kernel::Scan { .. } => Task::Scan(Box::new(ScanTask::new(plan, launch, body, setting)?)),
            Kernel::Named { call } => Task::Named(NamedTask::new(call, launch, setting)?),
        })
    }

    /// Bytes of scratch memory it needs.
    pub fn scratch(&self) -> usize {
        match self {
            Task::Reduce(t) => t.scratch(),
            Task::Rows(t) => t.scratch(),
            Task::Dot(t) => t.scratch(),
            Task::Conv(t) => t.scratch(),
            Task::Pool(t) => t.scratch(),
            Task::Scan(t) => t.scratch(),
            Task::Primitive(t) => t.scratch(),
            Task::Loop(_) | Task::Named(_) => 0,
        }
    }

    /// Runs it.
    ///
    /// # Safety
    /// The frame's contract (see `Frame::new`), 6 and 7.
    pub unsafe fn run(&mut self, cx: Context) {
        // SAFETY: the frame's contract, 2 and 6.
        unsafe {
            match self {
                Task::Loop(t) => t.all(cx.pool, cx.table),
                Task::Reduce(t) => t.run(cx),
                Task::Rows(t) => t.run(cx),
                Task::Dot(t) => t.run(cx),
                Task::Conv(t) => t.run(cx),
                Task::Pool(t) => t.run(cx),
                Task::Primitive(t) => t.run(cx),
                Task::Scan(t) => t.run(cx),
                Task::Named(t) => t.run(cx),
            }
        }
    }
}

/// The loop nest of a loop.
pub(crate) fn loop_task(launch: &Launch, setting: &Setting, groups: Groups) -> Result<LoopNest> {
    let Kernel::Loop { shape, program } = &launch.kernel else { return Err(Error::new("not a loop")) };
    let reads: Vec<_> = setting.views(&launch.reads)?.into_iter().map(Some).collect();
    let writes = setting.views(&launch.writes)?;
    let sizes = setting.sizes(shape)?;
    NestBuilder { setting, program, sizes: &sizes, groups, reads: &reads, writes: &writes }.build()
}
