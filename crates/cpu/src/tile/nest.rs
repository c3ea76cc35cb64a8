//! A program over an iteration space that is seen as batches of a two-dimensional block.

use super::assemble::assemble;
use super::code::{Access, Code, Output, Preload, Stage, origin};
use super::space::{Argument, Place, Space, Table, locate, product, runs};
use super::walk::{Finished, Tile};
use crate::isa::Isa;
use crate::pool::Pool;
use crate::simd::{SPLAT, prefetch};
use rhyton_graph::ops::Scalar;
use rhyton_graph::plan::{Program, Register};
use rhyton_tensor::Result;

/// A loop nest: a program with concrete sizes and strides.
#[derive(Clone, Debug)]
pub struct LoopNest {
    pub(super) isa: Isa,
    /// The iteration space.
    pub space: Space<usize>,
    pub(super) inputs: Vec<Argument>,
    /// Of each input, how it is reached and how often.
    pub(super) reach: Vec<(Access, Stage)>,
    pub(super) outputs: Vec<Argument>,
    pub(super) code: Code,
    /// Columns of the largest tile.
    pub(super) most_cols: usize,
}

/// Rows up to this long are repeated where one serves for all rows.
const SHORT: usize = 128;
/// Fewest rows that pay for repeating.
const MANY: usize = 8;

/// Work that takes less time than this is not split.
const SPLIT_NS: f32 = 8_000.0;

impl LoopNest {
    /// Prepares `program`. Registers that are neither an argument nor in `constants` are computed; without `outputs`
    /// the program's results stay in registers and are given to the visitor of [`LoopNest::visit`].
    ///
    /// # Errors
    /// When the program is too large.
    pub fn new(
        isa: Isa,
        program: &Program,
        space: Space<usize>,
        mut inputs: Vec<Argument>,
        mut outputs: Vec<Argument>,
        constants: &[(Register, Scalar)],
    ) -> Result<LoopNest> {
        if product(&space.cols) == 1 {
            // A single column has no neighbour: call it contiguous, so that columns of rows are long rows.
            let varies = |p: &Argument| p.row() != 0 && p.place != Place::Count;
            for p in inputs.iter_mut().filter(|p| varies(p)).chain(&mut outputs) {
                p.strides.cols.iter_mut().for_each(|s| *s = 1);
            }
        }
        let buffer =
            |p: &Argument| if let Place::Buffer { buffer, .. } = p.place { Some(buffer) } else { None };
        for i in &mut inputs {
            let given = program.outputs.iter().any(|r| origin(program, *r) == i.register);
            i.overwritten = given && outputs.iter().any(|o| buffer(o) == buffer(i));
        }
        repeat_short_rows(&mut inputs, &space);
        let preload = |r: Register| {
            let constant = constants.iter().find(|(c, _)| *c == r).map(|(_, s)| Preload::Constant(*s));
            let argument = inputs.iter().find(|p| p.register == r);
            constant.or_else(|| argument.map(|p| Preload::Read { access: p.access(), stage: p.stage() }))
        };
        let kept = Output { access: None, aliases: vec![] };
        let targets: Vec<Output> = if outputs.is_empty() {
            vec![kept; program.outputs.len()]
        } else {
            let aliases =
                |o: &Argument| inputs.iter().filter(|i| buffer(i) == buffer(o)).map(|i| i.register).collect();
            outputs.iter().map(|o| Output { access: Some(o.access()), aliases: aliases(o) }).collect()
        };
        let code = assemble(program, preload, &targets)?;
        let most_cols = LoopNest::widest(&code, &space, inputs.iter().chain(&outputs));
        let reach = inputs.iter().map(|p| (p.access(), p.stage())).collect();
        Ok(LoopNest { isa, space, inputs, reach, outputs, code, most_cols })
    }

    /// The inputs that are read so often, and how.
    pub(super) fn read(&self, often: Stage) -> impl Iterator<Item = (&Argument, Access)> {
        let reach = self.inputs.iter().zip(&self.reach);
        reach
            .filter(move |(_, (_, stage))| *stage == often)
            .map(|(argument, (access, _))| (argument, *access))
    }

    /// Columns of the largest tile. Transposing operands get square tiles, which use whole cache lines.
    fn widest<'a>(
        code: &Code,
        space: &Space<usize>,
        mut arguments: impl Iterator<Item = &'a Argument>,
    ) -> usize {
        let inner = space.cols.last().copied().unwrap_or(1).max(1);
        let transposed =
            arguments.any(|p| p.access() == Access::Strided && p.row() != 0 && p.row().abs() < p.col().abs());
        inner.min(if transposed { code.tile.min(32) } else { code.tile })
    }

    /// Rough time of one element in nanoseconds, memory traffic included.
    pub fn cost(&self) -> f32 {
        0.06 * self.code.cost + 0.06 * (self.inputs.len() + self.outputs.len()) as f32
    }

    /// Rough time of all elements in nanoseconds.
    pub fn time(&self) -> f32 {
        let (batches, rows, cols) = self.extent();
        self.cost() * (batches * rows * cols) as f32
    }

    /// Number of batches, rows and columns.
    pub fn extent(&self) -> (usize, usize, usize) {
        (product(&self.space.batch), product(&self.space.rows), product(&self.space.cols))
    }

    /// Runs over the whole space, in parallel where that pays.
    ///
    /// # Safety
    /// As for [`LoopNest::block`].
    pub unsafe fn all(&self, pool: &Pool, table: Table) {
        let (batches, rows, cols) = self.extent();
        let parts = if self.time() < SPLIT_NS { 1 } else { pool.threads() * 2 };
        let lines = batches * rows;
        if parts == 1 || pool.threads() == 1 {
            // SAFETY: the frame's contract, 2 and 6.
            unsafe { self.lines(table, (0, lines), (0, cols)) }
        } else if lines >= parts {
            let each = lines.div_ceil(parts);
            let cut = |i: usize| (i * each).min(lines);
            // SAFETY: the frame's contract, 2 and 6; parts do not overlap.
            pool.run(parts, &|i| unsafe { self.lines(table, (cut(i), cut(i + 1)), (0, cols)) });
        } else {
            let each = cols.div_ceil(parts).next_multiple_of(SPLAT);
            let cut = |i: usize| (i * each).min(cols);
            // SAFETY: the frame's contract, 2 and 6; parts do not overlap.
            pool.run(parts, &|i| unsafe { self.lines(table, (0, lines), (cut(i), cut(i + 1))) });
        }
    }

    /// Rows counted through all batches.
    unsafe fn lines(&self, table: Table, lines: (usize, usize), cols: (usize, usize)) {
        let (_, rows, _) = self.extent();
        let mut at = lines.0;
        while at < lines.1 {
            let (batch, row) = (at / rows, at % rows);
            let whole = if row == 0 { (lines.1 - at) / rows } else { 0 };
            let (batches, to) = if whole > 0 { (whole, rows) } else { (1, rows.min(row + lines.1 - at)) };
            // SAFETY: the frame's contract, 2 and 6.
            unsafe { self.visit(table, None, (batch, batch + batches), (row, to), cols, |_| {}) };
            at += batches * (to - row);
        }
    }

    /// Runs over rows `rows.0..rows.1` and columns `cols.0..cols.1` of a batch. `block` is the product's tile and
    /// its row stride in elements; its first element is (rows.0, cols.0).
    ///
    /// # Safety
    /// `table` must hold valid pointers for the buffers of all ports, and nobody else may write what is read or
    /// touch what is written.
    pub unsafe fn block(
        &self,
        table: Table,
        block: Option<(*mut f32, usize)>,
        batch: usize,
        rows: (usize, usize),
        cols: (usize, usize),
    ) {
        // SAFETY: the frame's contract, 2 and 6.
        unsafe { self.visit(table, block, (batch, batch + 1), rows, cols, |_| {}) }
    }

    /// Fetches what [`LoopNest::block`] touches line by line.
    ///
    /// # Safety
    /// `table` must hold pointers for the buffers of all ports.
    pub unsafe fn prefetch(&self, table: Table, batch: usize, rows: [usize; 2], cols: [usize; 2]) {
        let writes = self.outputs.iter().filter(|o| self.inputs.iter().all(|i| i.place != o.place));
        for argument in
            self.inputs.iter().chain(writes).filter(|p| (p.row(), p.col()) != (0, 1) && p.col() == 1)
        {
            let Place::Buffer { buffer, offset } = argument.place else { continue };
            let (bytes, lines) = (argument.bytes() as isize, (cols[1] - cols[0]) * argument.bytes());
            for r in runs(&self.space.rows, rows[0], rows[1]) {
                let first = offset
                    + locate(&self.space.batch, &argument.strides.batch, batch)
                    + locate(&self.space.rows, &argument.strides.rows, r.at)
                    + locate(&self.space.cols, &argument.strides.cols, cols[0]);
                for row in 0..r.len as isize {
                    // SAFETY: the frame's contract, 2 and 6; nothing is read.
                    let line =
                        unsafe { table.get(buffer) }.wrapping_offset((first + row * argument.row()) * bytes);
                    (0..lines).step_by(64).for_each(|at| prefetch(line.wrapping_add(at)));
                }
            }
        }
    }

    /// [`LoopNest::block`] over several batches that shows each finished tile.
    ///
    /// # Safety
    /// As for [`LoopNest::block`].
    pub unsafe fn visit(
        &self,
        table: Table,
        block: Option<(*mut f32, usize)>,
        batches: (usize, usize),
        rows: (usize, usize),
        cols: (usize, usize),
        mut finished: impl FnMut(Finished),
    ) {
        if batches.0 >= batches.1 || rows.0 >= rows.1 || cols.0 >= cols.1 {
            return;
        }
        // SAFETY: the frame's contract, 2 and 6.
        unsafe {
            Tile::with(self, table, |mut tile| {
                for batch in batches.0..batches.1 {
                    for r in runs(&self.space.rows, rows.0, rows.1) {
                        for c in runs(&self.space.cols, cols.0, cols.1) {
                            let origin = (rows.0, cols.0);
                            tile.patch(batch, (r.at, r.len), (c.at, c.len), block, origin, &mut finished);
                        }
                    }
                }
            });
        }
    }
}

/// Rows of a few vectors are walked as one long row if nothing keeps them apart. What is the same in every row is
/// repeated for that; a product's block has gaps between its rows anyway.
fn repeat_short_rows(inputs: &mut [Argument], space: &Space<usize>) {
    let last = |sizes: &[usize]| sizes.last().copied().unwrap_or(1);
    let pays = (2..=SHORT).contains(&last(&space.cols)) && last(&space.rows) >= MANY;
    if pays && inputs.iter().all(|p| p.place != Place::Block) {
        for p in inputs.iter_mut().filter(|p| (p.row(), p.access()) == (0, Access::Unit)) {
            p.repeated = true;
        }
    }
}
