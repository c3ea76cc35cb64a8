//! A program over an iteration space that is seen as batches of a two-dimensional block.

use super::code::{Access, Code, Home, LANE, Leaf, OPERANDS, Output, WORK, Width, assemble};
use super::run::{Operand, run};
use super::transfer::{self, Lie};
use crate::isa::Isa;
use crate::pool::Pool;
use super::simd::SPLAT;
use rhyton_graph::plan::{Program, Register};
use rhyton_graph::ops::Scalar;
use rhyton_tensor::{DType, Result};
use std::cell::UnsafeCell;

/// Sizes of an iteration space by what they are for: independent batches, rows and columns of a block. Each is a
/// list of axes in row-major order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Space<T> {
    /// Batches.
    pub batch: Vec<T>,
    /// Rows.
    pub rows: Vec<T>,
    /// Columns.
    pub cols: Vec<T>,
}

/// What an input or output of the program is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Place {
    /// A buffer, from this element on.
    Buffer {
        /// Index in the table of pointers.
        buffer: usize,
        /// First element.
        offset: isize,
    },
    /// The block given from outside (a product's tile).
    Block,
    /// The position itself: its value is the offset that its strides give.
    Count,
}

/// An input or output.
#[derive(Clone, Debug)]
pub struct Port {
    /// Register of the program.
    pub register: Register,
    /// Element type.
    pub dtype: DType,
    /// Where.
    pub place: Place,
    /// Distance in elements along every axis.
    pub strides: Space<isize>,
}

impl Port {
    fn row(&self) -> isize {
        self.strides.rows.last().copied().unwrap_or(0)
    }
    fn col(&self) -> isize {
        self.strides.cols.last().copied().unwrap_or(0)
    }
    fn bytes(&self) -> usize {
        if self.dtype == DType::Bool { 1 } else { 4 }
    }
    fn access(&self) -> Access {
        match self.place {
            Place::Block => Access::Unit,
            Place::Count if self.col() != 0 => Access::Strided,
            _ => Access::of(self.row(), self.col()),
        }
    }
    /// The same value at every element.
    fn once(&self) -> bool {
        let s = &self.strides;
        self.place != Place::Block && s.batch.iter().chain(&s.rows).chain(&s.cols).all(|x| *x == 0)
    }
}

/// A program with concrete sizes and strides.
#[derive(Clone, Debug)]
pub struct Sweep {
    isa: Isa,
    /// The iteration space.
    pub space: Space<usize>,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    code: Code,
    /// Largest tile.
    most: (usize, usize),
}

/// The work area of a thread: part of its static storage, so that nothing is allocated when a program runs.
#[repr(C, align(64))]
struct Work {
    bytes: [u8; WORK],
    operands: [Operand; OPERANDS],
}

thread_local! {
    static WORK_AREA: UnsafeCell<Work> =
        const { UnsafeCell::new(Work { bytes: [0; WORK], operands: [Operand::NONE; OPERANDS] }) };
}

/// Work that takes less time than this is not split.
const SPLIT_NS: f32 = 8_000.0;

/// The address of every buffer, shared between threads.
#[derive(Clone, Copy)]
pub struct Table(pub *const *mut u8);

// SAFETY: whoever runs a kernel promises that its parts write disjoint places (see `Sweep::block`).
unsafe impl Send for Table {}
// SAFETY: as above.
unsafe impl Sync for Table {}

impl Table {
    /// Address of a buffer.
    ///
    /// # Safety
    /// The table must have an entry for it.
    #[inline(always)]
    pub unsafe fn get(self, buffer: usize) -> *mut u8 {
        // SAFETY: the caller promises that the entry exists.
        unsafe { *self.0.add(buffer) }
    }
}

/// Rows or columns that follow one another with one stride.
struct Run {
    at: usize,
    len: usize,
}

fn product(sizes: &[usize]) -> usize {
    sizes.iter().product()
}

/// Offset of the element `linear` of axes in row-major order.
pub fn locate(sizes: &[usize], strides: &[isize], mut linear: usize) -> isize {
    let mut offset = 0;
    for (n, s) in sizes.iter().zip(strides).rev() {
        offset += (linear % n) as isize * s;
        linear /= n;
    }
    offset
}

/// Cuts `from..to` where the innermost axis of `sizes` ends.
fn runs(sizes: &[usize], from: usize, to: usize) -> impl Iterator<Item = Run> {
    let inner = if sizes.len() > 1 { sizes[sizes.len() - 1] } else { usize::MAX };
    let mut at = from;
    std::iter::from_fn(move || {
        let len = (inner - at % inner).min(to - at);
        let run = Run { at, len };
        at += len;
        (len > 0).then_some(run)
    })
}

impl Sweep {
    /// Prepares `program`. Registers that are neither a port nor in `constants` are computed; without `outputs`
    /// the program's results stay in registers and are given to the visitor of [`Sweep::visit`].
    ///
    /// # Errors
    /// When the program is too large.
    pub fn new(
        isa: Isa,
        program: &Program,
        space: Space<usize>,
        mut inputs: Vec<Port>,
        mut outputs: Vec<Port>,
        constants: &[(Register, Scalar)],
    ) -> Result<Sweep> {
        if product(&space.cols) == 1 {
            // A single column has no neighbour: call it contiguous, so that columns of rows are long rows.
            let varies = |p: &Port| p.row() != 0 && p.place != Place::Count;
            for p in inputs.iter_mut().filter(|p| varies(p)).chain(&mut outputs) {
                p.strides.cols.iter_mut().for_each(|s| *s = 1);
            }
        }
        let leaf = |r: Register| {
            let constant = constants.iter().find(|(c, _)| *c == r).map(|(_, s)| Leaf::Constant(*s));
            let port = inputs.iter().find(|p| p.register == r);
            constant.or_else(|| port.map(|p| Leaf::Read { access: p.access(), once: p.once() }))
        };
        let buffer = |p: &Port| if let Place::Buffer { buffer, .. } = p.place { Some(buffer) } else { None };
        let kept = Output { access: None, aliases: vec![] };
        let targets: Vec<Output> = if outputs.is_empty() {
            vec![kept; program.outputs.len()]
        } else {
            let aliases = |o: &Port| inputs.iter().filter(|i| buffer(i) == buffer(o)).map(|i| i.register).collect();
            outputs.iter().map(|o| Output { access: Some(o.access()), aliases: aliases(o) }).collect()
        };
        let code = assemble(program, leaf, &targets)?;
        let most = Sweep::largest(&code, &space, inputs.iter().chain(&outputs));
        Ok(Sweep { isa, space, inputs, outputs, code, most })
    }

    /// Rows and columns of the largest tile. Transposing operands get square tiles, which use whole cache lines.
    fn largest<'a>(code: &Code, space: &Space<usize>, mut ports: impl Iterator<Item = &'a Port>) -> (usize, usize) {
        let inner = space.cols.last().copied().unwrap_or(1).max(1);
        let transposed =
            ports.any(|p| p.access() == Access::Strided && p.row() != 0 && p.row().abs() < p.col().abs());
        let cols = inner.min(if transposed { code.tile.min(32) } else { code.tile });
        ((code.tile / cols).min(code.tile * 4 / LANE).max(1), cols)
    }

    /// Rough time of one element in nanoseconds, memory traffic included.
    pub fn cost(&self) -> f32 {
        0.06 * self.code.cost + 0.06 * (self.inputs.len() + self.outputs.len()) as f32
    }

    /// Number of batches, rows and columns.
    pub fn extent(&self) -> (usize, usize, usize) {
        (product(&self.space.batch), product(&self.space.rows), product(&self.space.cols))
    }

    /// Runs over the whole space, in parallel where that pays.
    ///
    /// # Safety
    /// As for [`Sweep::block`].
    pub unsafe fn all(&self, pool: &Pool, table: Table) {
        let (batches, rows, cols) = self.extent();
        let nanoseconds = self.cost() * (batches * rows * cols) as f32;
        let parts = if nanoseconds < SPLIT_NS { 1 } else { pool.threads() * 2 };
        let lines = batches * rows;
        if parts == 1 || pool.threads() == 1 {
            // SAFETY: passed on.
            unsafe { self.lines(table, (0, lines), (0, cols)) }
        } else if lines >= parts {
            let each = lines.div_ceil(parts);
            let cut = |i: usize| (i * each).min(lines);
            // SAFETY: passed on; parts do not overlap.
            pool.run(parts, &|i| unsafe { self.lines(table, (cut(i), cut(i + 1)), (0, cols)) });
        } else {
            let each = cols.div_ceil(parts).next_multiple_of(SPLAT);
            let cut = |i: usize| (i * each).min(cols);
            // SAFETY: passed on; parts do not overlap.
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
            let (batches, to) =
                if whole > 0 { (whole, rows) } else { (1, rows.min(row + lines.1 - at)) };
            // SAFETY: passed on.
            unsafe { self.visit(table, None, (batch, batch + batches), (row, to), cols, |_, _, _, _, _| {}) };
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
        // SAFETY: passed on.
        unsafe { self.visit(table, block, (batch, batch + 1), rows, cols, |_, _, _, _, _| {}) }
    }

    /// [`Sweep::block`] over several batches that shows each finished tile: first row and column, numbers of rows
    /// and columns, and the operand that holds the first result.
    ///
    /// # Safety
    /// As for [`Sweep::block`].
    pub unsafe fn visit(
        &self,
        table: Table,
        block: Option<(*mut f32, usize)>,
        batches: (usize, usize),
        rows: (usize, usize),
        cols: (usize, usize),
        mut finished: impl FnMut(usize, usize, usize, usize, Operand),
    ) {
        if batches.0 >= batches.1 || rows.0 >= rows.1 || cols.0 >= cols.1 {
            return;
        }
        WORK_AREA.with(|work| {
            let work = work.get();
            // SAFETY: the area belongs to this thread, and a sweep never runs inside a sweep.
            let (area, operands) = unsafe { (&raw mut (*work).bytes, &raw mut (*work).operands) };
            let mut tile = Tile { sweep: self, table, area: area.cast(), operands: operands.cast() };
            // SAFETY: passed on.
            unsafe {
                tile.start();
                for batch in batches.0..batches.1 {
                    for r in runs(&self.space.rows, rows.0, rows.1) {
                        for c in runs(&self.space.cols, cols.0, cols.1) {
                            let origin = (rows.0, cols.0);
                            tile.patch(batch, (r.at, r.len), (c.at, c.len), block, origin, &mut finished);
                        }
                    }
                }
            }
        });
    }
}

/// The tiles of one call.
struct Tile<'a> {
    sweep: &'a Sweep,
    table: Table,
    area: *mut u8,
    operands: *mut Operand,
}

impl Tile<'_> {
    /// What is the same for all tiles: homes, constants, values that never change.
    unsafe fn start(&mut self) {
        let code = &self.sweep.code;
        // SAFETY: homes lie inside the work area, operands inside the table, by assembly.
        unsafe {
            for (k, home) in code.homes.iter().enumerate() {
                let (at, step) = match home {
                    Home::None | Home::Memory => continue,
                    Home::Lane(at) => (*at, 0),
                    Home::Tile(at) => (*at, usize::from(code.widths[k] == Width::Full)),
                };
                *self.operands.add(k) = Operand { ptr: self.area.add(at), row: 0, step };
            }
            for (k, scalar) in &code.constants {
                let (bytes, bits) = match scalar {
                    Scalar::F32(x) => (4, x.to_bits()),
                    Scalar::I32(x) => (4, *x as u32),
                    Scalar::Bool(x) => (1, u32::from(*x)),
                };
                transfer::replicate((*self.operands.add(*k)).ptr, bytes, bits);
            }
            for port in self.sweep.inputs.iter().filter(|p| p.once()) {
                transfer::load_one((*self.operands.add(port.register)).ptr, self.lie(port, 0));
            }
            run(self.sweep.isa, &code.instrs[..code.once], self.operands, 1, 1);
        }
    }

    unsafe fn lie(&self, port: &Port, start: isize) -> Lie {
        let ptr = match port.place {
            Place::Buffer { buffer, offset } => {
                let at = offset * port.bytes() as isize;
                // SAFETY: every port's buffer is in the table.
                unsafe { self.table.get(buffer) }.wrapping_offset(at)
            }
            Place::Block | Place::Count => std::ptr::null_mut(),
        };
        Lie { ptr, start, row: port.row(), col: port.col(), bytes: port.bytes() }
    }

    /// A patch of rows and columns that each have one stride: cut into tiles.
    unsafe fn patch(
        &mut self,
        batch: usize,
        (row, rows): (usize, usize),
        (col, cols): (usize, usize),
        block: Option<(*mut f32, usize)>,
        origin: (usize, usize),
        finished: &mut impl FnMut(usize, usize, usize, usize, Operand),
    ) {
        let (_, most_cols) = self.sweep.most;
        for c in (0..cols).step_by(most_cols) {
            let width = most_cols.min(cols - c);
            let most_rows = (self.sweep.code.tile / width).min(self.sweep.code.tile * 4 / LANE).max(1);
            for r in (0..rows).step_by(most_rows) {
                let height = most_rows.min(rows - r);
                let (r, c) = (row + r, col + c);
                let block = block.map(|(ptr, ld)| {
                    (ptr.wrapping_add((r - origin.0) * ld + (c - origin.1)).cast::<u8>(), ld)
                });
                // SAFETY: passed on.
                unsafe { self.tile(batch, (r, height), (c, width), block, finished) };
            }
        }
    }

    unsafe fn tile(
        &mut self,
        batch: usize,
        (row, rows): (usize, usize),
        (col, cols): (usize, usize),
        block: Option<(*mut u8, usize)>,
        finished: &mut impl FnMut(usize, usize, usize, usize, Operand),
    ) {
        let (sweep, code) = (self.sweep, &self.sweep.code);
        let start = |p: &Port| {
            locate(&sweep.space.batch, &p.strides.batch, batch)
                + locate(&sweep.space.rows, &p.strides.rows, row)
                + locate(&sweep.space.cols, &p.strides.cols, col)
        };
        // SAFETY: passed on; operands are inside the table by assembly.
        unsafe {
            self.set_rows(cols);
            for port in sweep.inputs.iter().filter(|p| !p.once()) {
                let o = self.operands.add(port.register);
                if port.place == Place::Block {
                    let (ptr, ld) = block.unwrap_or((std::ptr::null_mut(), 0));
                    *o = Operand { ptr, row: (ld * 4) as isize, step: 1 };
                    continue;
                }
                let lie = self.lie(port, start(port));
                match port.access() {
                    Access::Unit => *o = direct(lie),
                    Access::One => transfer::load_one((*o).ptr, lie),
                    Access::Row => transfer::load_rows((*o).ptr, lie, rows),
                    Access::Strided => transfer::load_all((*o).ptr, lie, rows, cols),
                }
            }
            let outputs = code.homes.len() - sweep.outputs.len();
            for (j, port) in sweep.outputs.iter().enumerate() {
                *self.operands.add(outputs + j) = direct(self.lie(port, start(port)));
            }
            run(sweep.isa, &code.instrs[code.once..], self.operands, rows, cols);
            for (j, port) in sweep.outputs.iter().enumerate().filter(|(j, _)| !code.written[*j]) {
                let from = *self.operands.add(code.results[j]);
                transfer::store_all(from, self.lie(port, start(port)), rows, cols);
            }
            if let Some(first) = code.results.first() {
                finished(row, col, rows, cols, *self.operands.add(*first));
            }
        }
    }

    /// Row strides of the tile registers for tiles of `cols` columns.
    unsafe fn set_rows(&mut self, cols: usize) {
        let code = &self.sweep.code;
        for (k, home) in code.homes.iter().enumerate() {
            if let Home::Tile(_) = home {
                let row = if code.widths[k] == Width::Full { cols * code.bytes[k] } else { LANE };
                // SAFETY: operands are inside the table by assembly.
                unsafe { (*self.operands.add(k)).row = row as isize };
            }
        }
    }
}

/// An operand used where it lies.
fn direct(lie: Lie) -> Operand {
    Operand {
        ptr: lie.ptr.wrapping_offset(lie.start * lie.bytes as isize),
        row: lie.row * lie.bytes as isize,
        step: 1,
    }
}
