//! Reductions: a program's result is folded while it is still in a tile register.
//!
//! Order is fixed by shapes alone, so that results have the same bits at any number of threads: a tile is folded in
//! vectors, tiles add up in double precision, and long folds are cut into parts that are combined in order.

mod fold;
#[cfg(test)]
mod tests;

use crate::Shared;
use crate::exec::Setting;
use crate::exec::axes::{Draft, merge};
use crate::exec::resolve::Lane;
use crate::exec::task::Context;
use crate::tile::code::dtype;
use crate::tile::run::Operand;
use crate::tile::space::locate;
use crate::tile::sweep::Sweep;
use fold::{Acc, Lines, fold_cols, fold_rows};
use rhyton_graph::ops::Fold;
use rhyton_graph::plan::{Kernel, Launch, Plan, Reduction};
use rhyton_tensor::{DType, Error, Result};

/// Kept elements a task folds at once.
const BLOCK: usize = 256;
/// Columns a task folds at once when columns are kept.
const COLUMNS: usize = 64;
/// Elements that are worth a task of their own.
const PART: usize = 16 * 1024;
/// Fewest rows, or columns of a single row, of a part.
const ROWS: usize = 16;
const COLS: usize = 512;
/// Most parts of one fold.
const PARTS: usize = 16;
/// Work below this is not split, in nanoseconds.
const SPLIT_NS: f32 = 8_000.0;

/// What is folded, as the fold kernels see it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct How {
    pub reduction: Reduction,
    /// Type of what is folded.
    pub float: bool,
}

/// A prepared reduction.
pub(crate) struct ReduceTask {
    sweep: Sweep,
    how: How,
    result: DType,
    /// True when the innermost axis is kept: whole rows are folded into one.
    columns: bool,
    /// Kept elements; when `columns`, those of a batch are neighbours.
    kept: usize,
    /// Rows of the sweep that belong to one kept element (row mode).
    rows_each: usize,
    /// Parts of the folded range.
    parts: usize,
    kept_sizes: Vec<usize>,
    write: Lane,
}

impl ReduceTask {
    pub fn new(plan: &Plan, launch: &Launch, setting: &Setting) -> Result<ReduceTask> {
        let Kernel::Reduce { shape, folded, fold, program } = &launch.kernel else {
            return Err(Error::new("not a reduction"));
        };
        let sizes = setting.sizes(shape)?;
        let reads = setting.views(&launch.reads)?;
        let write = setting.views(&launch.writes)?.pop();
        let cut = sizes.len().checked_sub(*folded);
        let (Some(write), Some(cut), [result]) = (write, cut, &program.outputs[..]) else {
            return Err(Error::new("a reduction's views do not fit its axes"));
        };
        if write.strides.len() != cut || reads.iter().any(|r| r.strides.len() != sizes.len()) {
            return Err(Error::new("a reduction's views do not fit its axes"));
        }
        let folded_type = dtype(program, *result);
        let columns = keeps_columns(&sizes, cut, &reads) && *fold != Reduction::ArgMax;
        let (order, groups) = arrange(&sizes, cut, columns);
        let moved: Vec<Option<Lane>> = reads.iter().map(|r| Some(permute(r, &order))).collect();
        let moved_sizes: Vec<usize> = order.iter().map(|a| sizes[*a]).collect();
        let renamed = renumber(program, &order);
        let draft = Draft {
            setting,
            program: &renamed,
            sizes: &moved_sizes,
            groups: Some(groups),
            reads: &moved,
            writes: &[],
        };
        let sweep = draft.sweep()?;
        let kept: usize = sizes[..cut].iter().product();
        let total: usize = sizes.iter().product();
        let blocks = if columns { kept.div_ceil(COLUMNS) } else { kept.div_ceil(BLOCK) };
        let (kept_sizes, strides) = merge(&sizes[..cut], std::slice::from_ref(&write.strides));
        let (_, rows, cols) = sweep.extent();
        let rows_each = if columns { rows } else { rows.checked_div(kept).unwrap_or(0) };
        let (longest, least) = if columns || rows_each > 1 { (rows_each, ROWS) } else { (cols, COLS) };
        let wanted = (total / PART).min(PARTS) / blocks.max(1);
        Ok(ReduceTask {
            sweep,
            how: How { reduction: *fold, float: folded_type.is_float() },
            result: plan.buffers[write.buffer].dtype,
            columns,
            kept,
            rows_each,
            parts: wanted.min(longest / least).max(1),
            kept_sizes,
            write: Lane { strides: strides.into_iter().next().unwrap_or_default(), ..write },
        })
    }

    /// Bytes for the results of parts.
    pub fn scratch(&self) -> usize {
        if self.parts > 1 { self.parts * self.kept * size_of::<Acc>() } else { 0 }
    }

    /// Kept elements of a task and their number of tasks.
    fn blocks(&self) -> (usize, usize) {
        let (batches, _, cols) = self.sweep.extent();
        if self.columns {
            (COLUMNS, batches * cols.div_ceil(COLUMNS))
        } else {
            let folded = self.rows_each * cols;
            let each = (PART / folded.max(1)).clamp(1, BLOCK);
            (each, self.kept.div_ceil(each))
        }
    }

    /// # Safety
    /// As for `Task::run`.
    pub unsafe fn run(&self, cx: Context) {
        let (each, blocks) = self.blocks();
        let (batches, rows, cols) = self.sweep.extent();
        let tasks = blocks * self.parts;
        let scratch = Shared(cx.scratch.cast::<Acc>());
        let task = |t: usize| {
            let (block, part) = (t / self.parts, t % self.parts);
            // SAFETY: tasks own disjoint kept elements and parts.
            unsafe { self.block(cx, &scratch, block, each, part) };
        };
        let time = (self.sweep.cost() + 0.1) * (batches * rows * cols) as f32;
        if tasks == 1 || time < SPLIT_NS {
            (0..tasks).for_each(task);
        } else {
            cx.pool.run(tasks, &task);
        }
        if self.parts > 1 {
            for k in 0..self.kept {
                // SAFETY: every part wrote its results; the write lies inside its buffer.
                unsafe {
                    let mut acc = scratch.get().add(k).read();
                    for p in 1..self.parts {
                        acc.join(self.how, &scratch.get().add(p * self.kept + k).read());
                    }
                    self.store(cx, k, &acc);
                }
            }
        }
    }

    /// Folds one part of some kept elements.
    unsafe fn block(&self, cx: Context, scratch: &Shared<Acc>, block: usize, each: usize, part: usize) {
        let mut accs = [Acc::start(self.how); BLOCK];
        let first = if self.columns {
            // SAFETY: passed on.
            unsafe { self.fold_columns(cx, block, part, &mut accs) }
        } else {
            // SAFETY: passed on.
            unsafe {
                self.fold_lines(cx, (block * each, ((block + 1) * each).min(self.kept)), part, &mut accs)
            }
        };
        for (i, acc) in accs.iter().enumerate().take(first.1 - first.0) {
            // SAFETY: kept elements are inside the result and the scratch memory.
            unsafe {
                if self.parts > 1 {
                    scratch.get().add(part * self.kept + first.0 + i).write(*acc);
                } else {
                    self.store(cx, first.0 + i, acc);
                }
            }
        }
    }

    fn part(&self, n: usize, part: usize) -> (usize, usize) {
        let each = n.div_ceil(self.parts);
        ((part * each).min(n), ((part + 1) * each).min(n))
    }

    /// Kept columns: rows fold into one row.
    unsafe fn fold_columns(
        &self,
        cx: Context,
        block: usize,
        part: usize,
        accs: &mut [Acc],
    ) -> (usize, usize) {
        let (_, rows, cols) = self.sweep.extent();
        let across = cols.div_ceil(COLUMNS);
        let (batch, c0) = (block / across, block % across * COLUMNS);
        let c1 = (c0 + COLUMNS).min(cols);
        let how = self.how;
        let visit = |_: usize, c: usize, rows: usize, cols: usize, tile: Operand| {
            // SAFETY: the operand covers the tile.
            unsafe { fold_cols(cx.isa, how, tile, rows, cols, &mut accs[c - c0..]) };
        };
        // SAFETY: passed on.
        unsafe {
            let range = self.part(rows, part);
            self.sweep.visit(cx.table, None, (batch, batch + 1), range, (c0, c1), visit);
        }
        (batch * cols + c0, batch * cols + c1)
    }

    /// Kept rows: every row folds into one value.
    unsafe fn fold_lines(
        &self,
        cx: Context,
        kept: (usize, usize),
        part: usize,
        accs: &mut [Acc],
    ) -> (usize, usize) {
        let (_, _, cols) = self.sweep.extent();
        let each = self.rows_each;
        let how = self.how;
        let mut visit = |r: usize, c: usize, rows: usize, cols_here: usize, tile: Operand| {
            let rows = Lines { first: r - kept.0 * each, count: rows, each };
            // SAFETY: the operand covers the tile.
            unsafe { fold_rows(cx.isa, how, tile, rows, (c, cols_here, cols), accs) };
        };
        // SAFETY: passed on.
        unsafe {
            if each == 1 {
                self.sweep.visit(cx.table, None, (0, 1), kept, self.part(cols, part), &mut visit);
            } else {
                let range = self.part(each, part);
                for k in kept.0..kept.1 {
                    let rows = (k * each + range.0, k * each + range.1);
                    self.sweep.visit(cx.table, None, (0, 1), rows, (0, cols), &mut visit);
                }
            }
        }
        kept
    }

    unsafe fn store(&self, cx: Context, kept: usize, acc: &Acc) {
        let at = self.write.offset + locate(&self.kept_sizes, &self.write.strides, kept);
        // SAFETY: the caller promises that the kept element exists.
        unsafe {
            let p = cx.table.get(self.write.buffer);
            match (self.how.reduction, self.result) {
                (Reduction::ArgMax, _) => p.cast::<i32>().offset(at).write(acc.index.max(0)),
                (_, DType::I32) => p.cast::<i32>().offset(at).write(acc.value as i32),
                _ => p.cast::<f32>().offset(at).write(acc.value as f32),
            }
        }
    }
}

/// True when neighbours in memory are kept ones: the input that varies most decides.
fn keeps_columns(sizes: &[usize], cut: usize, reads: &[Lane]) -> bool {
    let varies = |r: &&Lane| r.strides.iter().zip(sizes).filter(|(s, n)| **s != 0 && **n > 1).count();
    let Some(main) = reads.iter().max_by_key(varies) else { return false };
    let nearest = |range: std::ops::Range<usize>| {
        range.filter(|a| sizes[*a] > 1 && main.strides[*a] != 0).map(|a| main.strides[a].abs()).min()
    };
    match (nearest(0..cut), nearest(cut..sizes.len())) {
        (Some(k), Some(f)) => k < f,
        _ => false,
    }
}

/// The order of axes and how many are batches, rows and columns.
fn arrange(sizes: &[usize], cut: usize, columns: bool) -> (Vec<usize>, [usize; 3]) {
    let rank = sizes.len();
    if columns {
        // Batches: kept axes but the last that counts; rows: folded ones; columns: that last one.
        let last = (0..cut).rev().find(|a| sizes[*a] > 1).unwrap_or(0);
        let order = (0..last).chain(cut..rank).chain(last..cut).collect();
        return (order, [last, rank - cut, cut - last]);
    }
    // Rows: kept axes and all folded ones but the innermost run; columns: the last folded one.
    let last = (cut..rank).rev().find(|a| sizes[*a] > 1).unwrap_or(rank);
    ((0..rank).collect(), [0, last, rank - last])
}

fn permute(lane: &Lane, order: &[usize]) -> Lane {
    Lane { strides: order.iter().map(|a| lane.strides[*a]).collect(), ..lane.clone() }
}

/// The program over moved axes.
fn renumber(program: &rhyton_graph::plan::Program, order: &[usize]) -> rhyton_graph::plan::Program {
    use rhyton_graph::plan::Step;
    let mut p = program.clone();
    for i in &mut p.code {
        if let Step::Position(axis) = &mut i.op {
            *axis = order.iter().position(|a| a == axis).unwrap_or(*axis);
        }
    }
    p
}

impl How {
    /// How two values combine.
    pub(crate) fn fold(self) -> Fold {
        match self.reduction {
            Reduction::Fold(f) => f,
            Reduction::ArgMax => Fold::Max,
        }
    }
}
