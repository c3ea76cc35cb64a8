//! Walks the tiles of a block: sets every operand, then runs the code.

use super::code::{Access, LANE, Location, OPERANDS, Stage, WORK, Width};
use super::nest::LoopNest;
use super::run::{Operand, run};
use super::space::{Argument, Place, Table, locate};
use super::transfer::{self, Layout};
use rhyton_graph::ops::Scalar;
use std::cell::UnsafeCell;

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

/// A finished tile: its first row and column, their numbers, and what was computed.
pub struct Finished<'a> {
    pub row: usize,
    pub col: usize,
    pub rows: usize,
    pub cols: usize,
    operands: *const Operand,
    results: &'a [usize],
}

impl Finished<'_> {
    /// The operand that holds a result of the program.
    pub fn result(&self, i: usize) -> Operand {
        // SAFETY: operands are inside the table by assembly, and the tile is shown while they hold its values.
        unsafe { *self.operands.add(self.results[i]) }
    }
}

/// The tiles of one call.
pub struct Tile<'a> {
    nest: &'a LoopNest,
    table: Table,
    area: *mut u8,
    operands: *mut Operand,
}

impl Tile<'_> {
    /// Runs `f` on the work area of this thread.
    ///
    /// # Safety
    /// As for `LoopNest::block`. `f` must not run a loop nest of its own.
    pub unsafe fn with<R>(nest: &LoopNest, table: Table, f: impl FnOnce(Tile) -> R) -> R {
        WORK_AREA.with(|work| {
            let work = work.get();
            // SAFETY: the area belongs to this thread, and a loop nest never runs inside a loop nest.
            let (area, operands) = unsafe { (&raw mut (*work).bytes, &raw mut (*work).operands) };
            let mut tile = Tile { nest, table, area: area.cast(), operands: operands.cast() };
            // SAFETY: the frame's contract, 2 and 6.
            unsafe { tile.start() };
            f(tile)
        })
    }

    /// What is the same for all tiles: homes, constants, values that never change.
    ///
    /// # Safety
    /// As for `LoopNest::block`.
    unsafe fn start(&mut self) {
        let code = &self.nest.code;
        // SAFETY: homes lie inside the work area, operands inside the table, by assembly.
        unsafe {
            for (k, home) in code.locations.iter().enumerate() {
                let (at, step) = match home {
                    Location::None | Location::Memory => continue,
                    Location::Lane(at) => (*at, 0),
                    Location::Tile(at) => (*at, usize::from(code.widths[k] == Width::Full)),
                };
                *self.operands.add(k) = Operand { ptr: self.area.add(at), row: 0, step };
            }
            for (k, scalar) in &code.constants {
                let (bytes, bits) = match scalar {
                    Scalar::F32(x) | Scalar::BF16(x) => (4, x.to_bits()),
                    Scalar::I32(x) => (4, *x as u32),
                    Scalar::I8(x) => (1, u32::from(*x as u8)),
                    Scalar::Bool(x) => (1, u32::from(*x)),
                };
                transfer::replicate((*self.operands.add(*k)).ptr, bytes, bits);
            }
            for (argument, _) in self.nest.read(Stage::Once) {
                transfer::load_one((*self.operands.add(argument.register)).ptr, self.layout(argument, 0));
            }
            run(self.nest.isa, &code.instrs[..code.once], self.operands, 1, 1);
        }
    }

    unsafe fn layout(&self, argument: &Argument, start: isize) -> Layout {
        let ptr = match argument.place {
            Place::Buffer { buffer, offset } => {
                let at = offset * argument.bytes() as isize;
                // SAFETY: every argument's buffer is in the table.
                unsafe { self.table.get(buffer) }.wrapping_offset(at)
            }
            Place::Block | Place::Count => std::ptr::null_mut(),
        };
        Layout { ptr, start, row: argument.row(), col: argument.col(), bytes: argument.bytes() }
    }

    /// A patch of rows and columns that each have one stride: cut into tiles.
    ///
    /// # Safety
    /// As for `LoopNest::block`.
    pub unsafe fn patch(
        &mut self,
        batch: usize,
        (row, rows): (usize, usize),
        (col, cols): (usize, usize),
        block: Option<(*mut f32, usize)>,
        origin: (usize, usize),
        finished: &mut impl FnMut(Finished),
    ) {
        let most_cols = self.nest.most_cols;
        for c in (0..cols).step_by(most_cols) {
            let width = most_cols.min(cols - c);
            let most_rows = (self.nest.code.tile / width).min(self.nest.code.tile * 4 / LANE).max(1);
            // SAFETY: the frame's contract, 2 and 6.
            unsafe { self.steady((batch, row, col + c), most_rows.min(rows), width) };
            for r in (0..rows).step_by(most_rows) {
                let height = most_rows.min(rows - r);
                let (r, c) = (row + r, col + c);
                let block = block.map(|(ptr, ld)| {
                    (ptr.wrapping_add((r - origin.0) * ld + (c - origin.1)).cast::<u8>(), ld)
                });
                // SAFETY: the frame's contract, 2 and 6.
                unsafe { self.tile(batch, (r, height), (c, width), block, finished) };
            }
        }
    }

    fn start_of(&self, p: &Argument, (batch, row, col): (usize, usize, usize)) -> isize {
        let space = &self.nest.space;
        locate(&space.batch, &p.strides.batch, batch)
            + locate(&space.rows, &p.strides.rows, row)
            + locate(&space.cols, &p.strides.cols, col)
    }

    /// What is the same for all tiles of a patch, the first of which has so many rows and columns.
    unsafe fn steady(&mut self, at: (usize, usize, usize), rows: usize, cols: usize) {
        let (nest, code) = (self.nest, &self.nest.code);
        // SAFETY: the frame's contract, 2 and 6; operands are inside the table by assembly.
        unsafe {
            self.set_rows(cols);
            for (argument, access) in nest.read(Stage::Patch) {
                let to = (*self.operands.add(argument.register)).ptr;
                let layout = self.layout(argument, self.start_of(argument, at));
                match access {
                    Access::Repeated => transfer::repeat_row(to, layout, rows, cols),
                    _ => transfer::load_one(to, layout),
                }
            }
            run(nest.isa, &code.instrs[code.once..code.before], self.operands, rows, cols);
        }
    }

    unsafe fn tile(
        &mut self,
        batch: usize,
        (row, rows): (usize, usize),
        (col, cols): (usize, usize),
        block: Option<(*mut u8, usize)>,
        finished: &mut impl FnMut(Finished),
    ) {
        let (nest, code) = (self.nest, &self.nest.code);
        let start = |p: &Argument| self.start_of(p, (batch, row, col));
        // SAFETY: the frame's contract, 2 and 6; operands are inside the table by assembly.
        unsafe {
            for (argument, access) in nest.read(Stage::Tile) {
                let o = self.operands.add(argument.register);
                if argument.place == Place::Block {
                    let (ptr, ld) = block.unwrap_or((std::ptr::null_mut(), 0));
                    *o = Operand { ptr, row: (ld * 4) as isize, step: 1 };
                    continue;
                }
                let layout = self.layout(argument, start(argument));
                match access {
                    Access::Unit => *o = direct(layout),
                    // The same for the whole patch.
                    Access::One | Access::Repeated => {}
                    Access::Row => transfer::load_rows((*o).ptr, layout, rows),
                    Access::Strided => transfer::load_all(nest.isa, (*o).ptr, layout, rows, cols),
                }
            }
            let outputs = code.locations.len() - nest.outputs.len();
            for (j, argument) in nest.outputs.iter().enumerate() {
                *self.operands.add(outputs + j) = direct(self.layout(argument, start(argument)));
            }
            run(nest.isa, &code.instrs[code.before..], self.operands, rows, cols);
            for (j, argument) in nest.outputs.iter().enumerate().filter(|(j, _)| !code.written[*j]) {
                let from = *self.operands.add(code.results[j]);
                transfer::store_all(nest.isa, from, self.layout(argument, start(argument)), rows, cols);
            }
            let (operands, results) = (self.operands.cast_const(), &code.results[..]);
            finished(Finished { row, col, rows, cols, operands, results });
        }
    }

    /// Row strides of the tile registers for tiles of `cols` columns.
    unsafe fn set_rows(&mut self, cols: usize) {
        let code = &self.nest.code;
        for (k, home) in code.locations.iter().enumerate() {
            if let Location::Tile(_) = home {
                let row = if code.widths[k] == Width::Full { cols * code.bytes[k] } else { LANE };
                // SAFETY: operands are inside the table by assembly.
                unsafe { (*self.operands.add(k)).row = row as isize };
            }
        }
    }
}

/// An operand used where it lies.
fn direct(layout: Layout) -> Operand {
    Operand {
        ptr: layout.ptr.wrapping_offset(layout.start * layout.bytes as isize),
        row: layout.row * layout.bytes as isize,
        step: 1,
    }
}
