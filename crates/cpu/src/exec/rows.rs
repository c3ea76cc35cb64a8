//! Loops and folds over the same rows: every task does all of them for some rows before it takes the next ones.
//!
//! What one stage hands to another lies in scratch memory, one piece a thread, as large as the rows of a task. Its
//! address is set so that row `i` of the whole is where row `i` would be; so the stages are those of any other launch.

use super::element_bytes;
use super::reduce::{NONE, ReduceTask};
use super::resolve::Setting;
use super::task::{Context, loop_task};
use crate::tile::nest::LoopNest;
use crate::tile::space::Table;
use crate::tile::walk::Finished;
use rhyton_graph::plan::{Buffer, Kernel, Launch, Place, Plan, product};
use rhyton_tensor::{DType, Error, Result};

/// Elements of the rows that go through all stages together: what these touch stays in the first-level cache.
const BLOCK: usize = 1 << 12;
/// Elements of the rows of a task.
const TASK: usize = 1 << 13;
/// A few rows from this length on leave nothing to share between threads but the rows themselves: each stage is then
/// shared by all before the next one begins.
const LONG: usize = 1 << 14;
const FEW: usize = 4;
/// Work below this is not split, in nanoseconds.
const SPLIT_NS: f32 = 8_000.0;

enum Stage {
    /// And the fold of one of its results, which takes it while it is in a register.
    Loop(LoopNest, Option<Box<(ReduceTask, usize)>>),
    Reduce(ReduceTask),
}

/// Where a buffer of the stages is.
enum Home {
    /// In the table of the launch.
    Outside(usize),
    /// In scratch memory, from this byte on; bytes of a row.
    Own { at: usize, row: usize },
}

/// Prepared stages.
pub(crate) struct RowsTask {
    stages: Vec<Stage>,
    rows: usize,
    /// Each stage is run over all rows before the next.
    few: bool,
    /// Rows of a block, and blocks of a task.
    each: usize,
    blocks: usize,
    /// The stages' table.
    homes: Vec<Home>,
    /// Bytes of scratch memory of a thread: its table, then what the stages hand on, then what a stage asks for.
    bytes: usize,
    /// Where the last begins.
    stage_scratch: usize,
    threads: usize,
    /// Of all rows, in nanoseconds.
    time: f32,
}

impl RowsTask {
    pub fn new(plan: &Plan, launch: &Launch, setting: &Setting) -> Result<RowsTask> {
        let Kernel::Rows { rows: dim, .. } = &launch.kernel else { return Err(Error::new("not over rows")) };
        let rows = setting.size(dim)?;
        let (mut used, mut buffers): (Vec<usize>, Vec<Buffer>) = (vec![], vec![]);
        let (mut stages, mut longest, mut together): (Vec<Stage>, usize, usize) = (vec![], 1, usize::MAX);
        let mut before: Option<Launch> = None;
        for mut stage in launch.stages().into_owned() {
            for view in stage.reads.iter_mut().chain(&mut stage.writes) {
                let known = used.iter().position(|b| *b == view.buffer);
                if known.is_none() {
                    used.push(view.buffer);
                    buffers.push(plan.buffers[view.buffer].clone());
                }
                view.buffer = known.unwrap_or(used.len() - 1);
            }
            let axes = stage.kernel.row_axes(dim);
            let axes = axes.ok_or_else(|| Error::new("a stage does not go over the rows of its kernel"))?;
            let (Kernel::Loop { shape, .. } | Kernel::Reduce { shape, .. }) = &stage.kernel else {
                return Err(Error::new("a stage that is neither a loop nor a fold"));
            };
            longest = longest.max(setting.size(&product(&shape[axes..]))?);
            if let Kernel::Loop { .. } = &stage.kernel {
                let groups = Some([0, axes, shape.len() - axes]);
                stages.push(Stage::Loop(loop_task(&stage, setting, groups)?, None));
                before = Some(stage);
                continue;
            }
            let reduce = ReduceTask::new(&buffers, &stage, setting, true)?;
            let carrier = before.take().and_then(|before| written(&before, &stage));
            match (carrier, stages.last_mut()) {
                (Some(result), Some(Stage::Loop(_, rider))) => {
                    together = together.min(reduce.room());
                    *rider = Some(Box::new((reduce, result)));
                }
                _ => stages.push(Stage::Reduce(reduce)),
            }
        }
        let few = longest >= LONG && rows < FEW;
        let each = if few { rows.max(1) } else { (BLOCK / longest).clamp(1, together.min(rows.max(1))) };
        let mut bytes = (used.len() * size_of::<*mut u8>()).next_multiple_of(64);
        let mut homes = vec![];
        for (outer, buffer) in used.iter().zip(&buffers) {
            if buffer.place != Place::Rows {
                homes.push(Home::Outside(*outer));
                continue;
            }
            let all = setting.sizes(&buffer.shape)?.iter().product::<usize>() * element_bytes(buffer.dtype);
            let row = all / rows.max(1);
            homes.push(Home::Own { at: bytes, row });
            bytes += (each * row).next_multiple_of(64);
        }
        let stage_scratch = bytes;
        if few {
            bytes += stages.iter().map(Stage::scratch).max().unwrap_or(0);
        }
        let blocks = (TASK / longest / each).max(1);
        let time = stages.iter().map(Stage::time).sum();
        let (bytes, threads) = (bytes.next_multiple_of(64), if few { 1 } else { setting.threads });
        Ok(RowsTask { stages, rows, few, each, blocks, homes, bytes, stage_scratch, threads, time })
    }

    /// Their number.
    pub fn stages(&self) -> usize {
        self.stages.len()
    }

    /// Scratch memory: a piece for each thread.
    pub fn scratch(&self) -> usize {
        self.threads.saturating_mul(self.bytes)
    }

    /// # Safety
    /// As for `Task::run`.
    pub unsafe fn run(&self, cx: Context) {
        if self.few {
            // SAFETY: the frame's contract, 2 and 6; the scratch memory has room for all rows.
            unsafe {
                let inner = self.inside(cx, 0, 0);
                self.stages.iter().for_each(|stage| stage.all(inner));
            }
            return;
        }
        let task = |worker: usize, t: usize| {
            for block in t * self.blocks..(t + 1) * self.blocks {
                let rows = (block * self.each, ((block + 1) * self.each).min(self.rows));
                if rows.0 >= rows.1 {
                    break;
                }
                // SAFETY: the frame's contract, 2, 4 and 6; blocks have disjoint rows, and workers that run at the same
                // time have different pieces of scratch memory, with room for the rows of a block.
                unsafe {
                    let inner = self.inside(cx, worker, rows.0);
                    self.stages.iter().for_each(|stage| stage.some(inner, rows));
                }
            }
        };
        cx.pool.run_if(self.time >= SPLIT_NS, self.rows.div_ceil(self.each * self.blocks), &task);
    }

    /// The context of the stages, for rows from `first` on, in the piece of a worker.
    ///
    /// # Safety
    /// As for `Task::run`.
    unsafe fn inside<'a>(&self, cx: Context<'a>, worker: usize, first: usize) -> Context<'a> {
        // SAFETY: the frame's contract, 6: the piece begins with room for the table.
        unsafe {
            let piece = cx.scratch.add(worker * self.bytes);
            let table = piece.cast::<*mut u8>();
            for (i, home) in self.homes.iter().enumerate() {
                *table.add(i) = match home {
                    Home::Outside(buffer) => cx.table.get(*buffer),
                    Home::Own { at, row } => piece.add(*at).wrapping_sub(first * row),
                };
            }
            Context { table: Table(table.cast_const()), scratch: piece.add(self.stage_scratch), ..cx }
        }
    }
}

impl Stage {
    /// All rows, shared by all threads.
    unsafe fn all(&self, cx: Context) {
        // SAFETY: the frame's contract, 2 and 6.
        unsafe {
            match self {
                Stage::Loop(nest, rider) => {
                    nest.all(cx.pool, cx.table);
                    if let Some(rider) = rider {
                        rider.0.run(cx);
                    }
                }
                Stage::Reduce(reduce) => reduce.run(cx),
            }
        }
    }

    /// Some rows, on this thread.
    unsafe fn some(&self, cx: Context, rows: (usize, usize)) {
        // SAFETY: the frame's contract, 2 and 6; riders fold what the tile holds.
        unsafe {
            match self {
                Stage::Reduce(reduce) => reduce.some(cx, rows),
                Stage::Loop(nest, None) => nest.block(cx.table, None, 0, rows, (0, nest.extent().2)),
                Stage::Loop(nest, Some(rider)) => {
                    let (reduce, result) = &**rider;
                    let mut accs = NONE;
                    reduce.start(&mut accs, rows.1 - rows.0);
                    let visit = |t: Finished| reduce.ride(cx, &t, *result, rows.0, &mut accs);
                    nest.visit(cx.table, None, (0, 1), rows, (0, nest.extent().2), visit);
                    reduce.finish(cx, rows, &accs);
                }
            }
        }
    }

    fn scratch(&self) -> usize {
        match self {
            Stage::Loop(_, rider) => rider.as_ref().map_or(0, |r| r.0.scratch()),
            Stage::Reduce(reduce) => reduce.scratch(),
        }
    }

    fn time(&self) -> f32 {
        match self {
            Stage::Loop(nest, rider) => nest.time() + rider.as_ref().map_or(0.0, |r| r.0.time()),
            Stage::Reduce(reduce) => reduce.time(),
        }
    }
}

/// Which result of a loop a fold folds as it is, if it is one. One of bfloat16 is rounded only in memory.
fn written(before: &Launch, fold: &Launch) -> Option<usize> {
    let (Kernel::Loop { shape: over, .. }, Kernel::Reduce { shape, program, .. }) =
        (&before.kernel, &fold.kernel)
    else {
        return None;
    };
    let plain = over == shape && program.code.is_empty() && program.inputs[..] != [DType::BF16];
    let [read] = &fold.reads[..] else { return None };
    before.writes.iter().position(|w| plain && w == read)
}
