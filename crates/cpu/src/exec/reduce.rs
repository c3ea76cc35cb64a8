//! Reductions: a program's result is folded while it is still in a tile register.
//!
//! Several results of one program are folded in one pass. Order is fixed by shapes alone, so that results have the
//! same bits at any number of threads: a tile is folded in vectors, tiles add up in double precision, and long folds
//! are cut into parts that are combined in order.

mod fold;
mod program;
#[cfg(test)]
mod tests;

use crate::Shared;
use crate::exec::Setting;
use crate::exec::axes::{NestBuilder, merge};
use crate::exec::resolve::Lane;
use crate::exec::task::Context;
use crate::tile::code::dtype;
use crate::tile::nest::LoopNest;
use crate::tile::space::locate;
use crate::tile::walk::Finished;
use fold::{Acc, Folded, Lines, fold_cols, fold_rows};
use program::{products, renumber};
use rhyton_graph::ops::Fold;
use rhyton_graph::plan::{Buffer, Kernel, Launch, Reduction};
use rhyton_tensor::{DType, Error, Result};

/// Kept elements a task folds at once.
const BLOCK: usize = 256;
/// Most folds of one kernel.
pub const FOLDS: usize = 4;
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

/// Folds in progress: of each fold, those of some kept elements.
pub(crate) type Accs = [Acc; BLOCK];
pub(crate) const NONE: Accs = [Acc { value: 0.0, index: 0 }; BLOCK];

/// What is folded, as the fold kernels see it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct How {
    pub reduction: Reduction,
    /// Type of what is folded.
    pub float: bool,
}

/// One of the folds of a reduction.
struct Part {
    how: How,
    /// Which result of the loop nest is folded, or its products with which other one.
    of: (usize, Option<usize>),
    result: DType,
    write: Lane,
}

/// A prepared reduction.
pub(crate) struct ReduceTask {
    nest: LoopNest,
    folds: Vec<Part>,
    /// True when the innermost axis is kept: whole rows are folded into one.
    columns: bool,
    /// Kept elements; when `columns`, those of a batch are neighbours.
    kept: usize,
    /// Rows of the loop nest that belong to one kept element (row mode).
    rows_each: usize,
    /// Parts of the folded range.
    parts: usize,
    kept_sizes: Vec<usize>,
}

/// The kept elements, and which of so many parts of what is folded into them, that a task takes.
struct Piece {
    kept: (usize, usize),
    part: (usize, usize),
}

impl ReduceTask {
    /// `buffers` are those of the launch's views. With `by_rows`, any of the kept elements can be folded alone.
    pub fn new(buffers: &[Buffer], launch: &Launch, setting: &Setting, by_rows: bool) -> Result<ReduceTask> {
        let Kernel::Reduce { shape, folded, folds, program } = &launch.kernel else {
            return Err(Error::new("not a reduction"));
        };
        let sizes = setting.sizes(shape)?;
        let (reads, mut writes) = (setting.views(&launch.reads)?, setting.views(&launch.writes)?);
        let misfit = || Error::new("a reduction's views do not fit its axes");
        let cut = sizes.len().checked_sub(*folded).ok_or_else(misfit)?;
        let counts = [writes.len(), program.outputs.len()].iter().all(|n| *n == folds.len());
        let fits = |all: &[Lane], rank: usize| all.iter().all(|v| v.strides.len() == rank);
        let some = (1..=FOLDS).contains(&folds.len());
        if !(counts && some && fits(&writes, cut) && fits(&reads, sizes.len())) {
            return Err(misfit());
        }
        let columns = !by_rows && keeps_columns(&sizes, cut, &reads) && !folds.contains(&Reduction::ArgMax);
        let (order, groups) = arrange(&sizes, cut, columns);
        let moved: Vec<Option<Lane>> = reads.iter().map(|r| Some(permute(r, &order))).collect();
        let moved_sizes: Vec<usize> = order.iter().map(|a| sizes[*a]).collect();
        let (renamed, of) = products(&renumber(program, &order), folds);
        let builder = NestBuilder {
            setting,
            program: &renamed,
            sizes: &moved_sizes,
            groups: Some(groups),
            reads: &moved,
            writes: &[],
        };
        let nest = builder.build()?;
        let strides: Vec<Vec<isize>> = writes.iter().map(|w| w.strides.clone()).collect();
        let (kept_sizes, strides) = merge(&sizes[..cut], &strides);
        writes.iter_mut().zip(strides).for_each(|(w, s)| w.strides = s);
        let part = |(i, write): (usize, Lane)| Part {
            how: How { reduction: folds[i], float: dtype(program, program.outputs[i]).is_float() },
            of: of[i],
            result: buffers[write.buffer].dtype,
            write,
        };
        let kept: usize = sizes[..cut].iter().product();
        let rows = nest.extent().1;
        let rows_each = if columns { rows } else { rows.checked_div(kept).unwrap_or(0) };
        let folds = writes.into_iter().enumerate().map(part).collect();
        let task = ReduceTask { nest, folds, columns, kept, rows_each, parts: 1, kept_sizes };
        Ok(ReduceTask { parts: task.parts(), ..task })
    }

    /// How many parts the folded range is cut into: few kept elements leave little else to share.
    fn parts(&self) -> usize {
        let (batches, rows, cols) = self.nest.extent();
        let blocks = self.kept.div_ceil(if self.columns { COLUMNS } else { BLOCK });
        let by_rows = self.columns || self.rows_each > 1;
        let (longest, least) = if by_rows { (self.rows_each, ROWS) } else { (cols, COLS) };
        let wanted = (batches * rows * cols / PART).min(PARTS) / blocks.max(1);
        wanted.min(longest / least).max(1)
    }

    /// Bytes for the results of parts.
    pub fn scratch(&self) -> usize {
        if self.parts > 1 { self.parts * self.folds.len() * self.kept * size_of::<Acc>() } else { 0 }
    }

    /// Most kept elements that are folded at once.
    pub fn room(&self) -> usize {
        BLOCK / self.folds.len()
    }

    /// Kept elements of a task and their number of tasks.
    fn blocks(&self) -> (usize, usize) {
        let (batches, _, cols) = self.nest.extent();
        if self.columns {
            (COLUMNS, batches * cols.div_ceil(COLUMNS))
        } else {
            let folded = self.rows_each * cols;
            let each = (PART / folded.max(1)).clamp(1, self.room());
            (each, self.kept.div_ceil(each))
        }
    }

    /// Rough time in nanoseconds.
    pub fn time(&self) -> f32 {
        let (batches, rows, cols) = self.nest.extent();
        (self.nest.cost() + 0.1 * self.folds.len() as f32) * (batches * rows * cols) as f32
    }

    /// # Safety
    /// As for `Task::run`.
    pub unsafe fn run(&self, cx: Context) {
        let (each, blocks) = self.blocks();
        let tasks = blocks * self.parts;
        let scratch = Shared(cx.scratch.cast::<Acc>());
        let task = |_: usize, t: usize| {
            let (block, part) = (t / self.parts, (t % self.parts, self.parts));
            let kept = (block * each, ((block + 1) * each).min(self.kept));
            // SAFETY: tasks own disjoint kept elements and parts.
            unsafe { self.block(cx, &scratch, block, Piece { kept, part }) };
        };
        cx.pool.run_if(self.time() >= SPLIT_NS, tasks, &task);
        if self.parts > 1 {
            let step = self.folds.len() * self.kept;
            for (f, fold) in self.folds.iter().enumerate() {
                for k in 0..self.kept {
                    // SAFETY: every part wrote its results; the write lies inside its buffer.
                    unsafe {
                        let first = scratch.get().add(f * self.kept + k);
                        let mut acc = first.read();
                        (1..self.parts).for_each(|p| acc.join(fold.how, &first.add(p * step).read()));
                        self.store(cx, fold, k, &acc);
                    }
                }
            }
        }
    }

    /// Folds these kept elements, of a reduction made by rows, on this thread and without scratch memory.
    ///
    /// # Safety
    /// As for `Task::run`.
    pub unsafe fn some(&self, cx: Context, kept: (usize, usize)) {
        let scratch = Shared(std::ptr::null_mut());
        for first in (kept.0..kept.1).step_by(self.room()) {
            let piece = Piece { kept: (first, kept.1.min(first + self.room())), part: (0, 1) };
            // SAFETY: the frame's contract, 2 and 6.
            unsafe { self.block(cx, &scratch, 0, piece) };
        }
    }

    /// Begins to fold the first `n` of these.
    pub fn start(&self, accs: &mut Accs, n: usize) {
        for (fold, accs) in self.folds.iter().zip(accs.chunks_exact_mut(self.room())) {
            accs[..n].fill(Acc::start(fold.how));
        }
    }

    /// Folds the rows of a tile of another loop nest, which computes what is folded; `first` is that of `accs`.
    ///
    /// # Safety
    /// The operand must cover the tile.
    pub unsafe fn ride(&self, cx: Context, t: &Finished, result: usize, first: usize, accs: &mut Accs) {
        let lines = Lines { first: t.row - first, count: t.rows, each: 1, cols: (t.col, t.cols, usize::MAX) };
        for (fold, accs) in self.folds.iter().zip(accs.chunks_exact_mut(self.room())) {
            let folded = Folded { a: t.result(result), times: None };
            // SAFETY: the caller promises the operand.
            unsafe { fold_rows(cx.isa, fold.how, folded, lines, accs) };
        }
    }

    /// Stores what was folded into the kept elements from `first` to `end`.
    ///
    /// # Safety
    /// As for `Task::run`.
    pub unsafe fn finish(&self, cx: Context, (first, end): (usize, usize), accs: &Accs) {
        for (fold, accs) in self.folds.iter().zip(accs.chunks_exact(self.room())) {
            for (kept, acc) in (first..end).zip(accs) {
                // SAFETY: kept elements are inside the result.
                unsafe { self.store(cx, fold, kept, acc) };
            }
        }
    }

    /// Folds one part of some kept elements.
    unsafe fn block(&self, cx: Context, scratch: &Shared<Acc>, block: usize, piece: Piece) {
        let mut accs = NONE;
        let (part, parts) = piece.part;
        self.start(&mut accs, if self.columns { COLUMNS } else { piece.kept.1 - piece.kept.0 });
        // SAFETY: the frame's contract, 2 and 6; kept elements are inside the result and the scratch memory.
        unsafe {
            let (first, end) = if self.columns {
                self.fold_columns(cx, block, piece.part, &mut accs)
            } else {
                self.fold_lines(cx, piece, &mut accs)
            };
            if parts == 1 {
                return self.finish(cx, (first, end), &accs);
            }
            for (f, accs) in accs.chunks_exact(self.room()).take(self.folds.len()).enumerate() {
                let at = (part * self.folds.len() + f) * self.kept + first;
                accs[..end - first]
                    .iter()
                    .enumerate()
                    .for_each(|(i, acc)| scratch.get().add(at + i).write(*acc));
            }
        }
    }

    /// Kept columns: rows fold into one row.
    unsafe fn fold_columns(
        &self,
        cx: Context,
        block: usize,
        part: (usize, usize),
        accs: &mut Accs,
    ) -> (usize, usize) {
        let (_, rows, cols) = self.nest.extent();
        let across = cols.div_ceil(COLUMNS);
        let (batch, c0) = (block / across, block % across * COLUMNS);
        let c1 = (c0 + COLUMNS).min(cols);
        let visit = |t: Finished| {
            for (fold, accs) in self.folds.iter().zip(accs.chunks_exact_mut(self.room())) {
                let (extent, accs) = ((t.rows, t.cols), &mut accs[t.col - c0..]);
                // SAFETY: the operands cover the tile.
                unsafe { fold_cols(cx.isa, fold.how, fold.operands(&t), extent, accs) };
            }
        };
        // SAFETY: the frame's contract, 2 and 6.
        unsafe {
            let range = cut(rows, part);
            self.nest.visit(cx.table, None, (batch, batch + 1), range, (c0, c1), visit);
        }
        (batch * cols + c0, batch * cols + c1)
    }

    /// Kept rows: every row folds into one value.
    unsafe fn fold_lines(&self, cx: Context, Piece { kept, part }: Piece, accs: &mut Accs) -> (usize, usize) {
        let (_, _, cols) = self.nest.extent();
        let each = self.rows_each;
        let mut visit = |t: Finished| {
            let first = t.row - kept.0 * each;
            let lines = Lines { first, count: t.rows, each, cols: (t.col, t.cols, cols) };
            for (fold, accs) in self.folds.iter().zip(accs.chunks_exact_mut(self.room())) {
                // SAFETY: the operands cover the tile.
                unsafe { fold_rows(cx.isa, fold.how, fold.operands(&t), lines, accs) };
            }
        };
        // SAFETY: the frame's contract, 2 and 6.
        unsafe {
            if each == 1 {
                self.nest.visit(cx.table, None, (0, 1), kept, cut(cols, part), &mut visit);
            } else {
                let range = cut(each, part);
                for k in kept.0..kept.1 {
                    let rows = (k * each + range.0, k * each + range.1);
                    self.nest.visit(cx.table, None, (0, 1), rows, (0, cols), &mut visit);
                }
            }
        }
        kept
    }

    unsafe fn store(&self, cx: Context, fold: &Part, kept: usize, acc: &Acc) {
        let write = &fold.write;
        let at = write.offset + locate(&self.kept_sizes, &write.strides, kept);
        // SAFETY: the caller promises that the kept element exists.
        unsafe {
            let p = cx.table.get(write.buffer);
            match (fold.how.reduction, fold.result) {
                (Reduction::ArgMax, _) => p.cast::<i32>().offset(at).write(acc.index.max(0)),
                (_, DType::I32) => p.cast::<i32>().offset(at).write(acc.value as i32),
                _ => p.cast::<f32>().offset(at).write(acc.value as f32),
            }
        }
    }
}

impl Part {
    fn operands(&self, t: &Finished) -> Folded {
        Folded { a: t.result(self.of.0), times: self.of.1.map(|i| t.result(i)) }
    }
}

/// Which of `n` belong to a part.
fn cut(n: usize, (part, parts): (usize, usize)) -> (usize, usize) {
    let each = n.div_ceil(parts);
    ((part * each).min(n), ((part + 1) * each).min(n))
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

impl How {
    /// How two values combine.
    pub(crate) fn fold(self) -> Fold {
        match self.reduction {
            Reduction::Fold(f) => f,
            Reduction::ArgMax => Fold::Max,
        }
    }
}
