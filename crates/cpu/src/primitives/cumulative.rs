//! Running folds along an axis. Columns do not depend on each other, so any split gives the same bits.

use super::{Primitive, Sides};
use crate::Shared;
use crate::exec::resolve::Lane;
use crate::exec::task::Context;
use crate::pool::Pool;
use rhyton_graph::ops::{Cumulative, Running};
use rhyton_tensor::{DType, Error, Result};

/// Elements of a task, about.
const CHUNK: usize = 1 << 13;
/// Columns that are folded side by side.
const COLUMNS: usize = 512;

struct CumulativeTask {
    kind: Running,
    dtype: DType,
    walk: Walk,
    inputs: Vec<Lane>,
    write: Lane,
}

/// Prepares a running fold.
pub(crate) fn prepare(op: &Cumulative, sides: &Sides) -> Result<Box<dyn Primitive>> {
    let write = sides.output(0)?;
    let [outer, size, inner] = write.around(op.axis)?;
    if sides.inputs.len() != 1 + usize::from(op.kind == Running::Linear) {
        return Err(Error::new("a running fold has the wrong number of inputs"));
    }
    Ok(Box::new(CumulativeTask {
        kind: op.kind,
        dtype: write.dtype,
        walk: Walk { outer, size, inner, reverse: op.reverse },
        inputs: sides.inputs.iter().map(|s| s.lane.clone()).collect(),
        write: write.lane.clone(),
    }))
}

impl Primitive for CumulativeTask {
    unsafe fn run(&self, cx: Context) {
        // SAFETY: the frame's contract, 2 and 6; inputs and result have the sizes of the walk, and there is one input, two of `Linear`.
        unsafe {
            match self.dtype {
                DType::I32 => {
                    let (x, out): (*const i32, *mut i32) = (cx.at(&self.inputs[0]), cx.at(&self.write));
                    match self.kind {
                        Running::Product => self.walk.run(cx.pool, [x], out, 1, |y, [x]| y.wrapping_mul(x)),
                        Running::Max => self.walk.run(cx.pool, [x], out, i32::MIN, |y, [x]| y.max(x)),
                        Running::Min => self.walk.run(cx.pool, [x], out, i32::MAX, |y, [x]| y.min(x)),
                        Running::Sum | Running::Linear => {
                            self.walk.run(cx.pool, [x], out, 0, |y, [x]| y.wrapping_add(x));
                        }
                    }
                }
                _ => {
                    let (x, out): (*const f32, *mut f32) = (cx.at(&self.inputs[0]), cx.at(&self.write));
                    let start = self.kind.start() as f32;
                    match self.kind {
                        Running::Sum => self.walk.run(cx.pool, [x], out, start, |y, [x]| y + x),
                        Running::Product => self.walk.run(cx.pool, [x], out, start, |y, [x]| y * x),
                        // NaN wins.
                        Running::Max => {
                            let larger = |y, [x]: [f32; 1]| if x > y || x.is_nan() { x } else { y };
                            self.walk.run(cx.pool, [x], out, start, larger);
                        }
                        Running::Min => {
                            let smaller = |y, [x]: [f32; 1]| if x < y || x.is_nan() { x } else { y };
                            self.walk.run(cx.pool, [x], out, start, smaller);
                        }
                        Running::Linear => {
                            let b: *const f32 = cx.at(&self.inputs[1]);
                            self.walk.run(cx.pool, [x, b], out, start, |y, [a, b]| a * y + b);
                        }
                    }
                }
            }
        }
    }
}

/// A contiguous array `[outer, size, inner]`, folded along `size`.
#[derive(Clone, Copy)]
struct Walk {
    outer: usize,
    size: usize,
    inner: usize,
    reverse: bool,
}

impl Walk {
    /// `out = step(out of the entry before, inputs)`, `start` before the first.
    ///
    /// # Safety
    /// The pointers must be valid for the array; nobody else writes `out` or any of the inputs.
    unsafe fn run<T: Copy + Sync, const N: usize>(
        self,
        pool: &Pool,
        inputs: [*const T; N],
        out: *mut T,
        start: T,
        step: impl Fn(T, [T; N]) -> T + Sync,
    ) {
        if self.outer * self.size * self.inner == 0 {
            return;
        }
        let (inputs, out) = (inputs.map(|x| Shared(x.cast_mut())), Shared(out));
        let blocks = self.inner.div_ceil(COLUMNS);
        let units = self.outer * blocks;
        let per_task = (CHUNK / (self.size * self.inner.min(COLUMNS))).max(1);
        pool.run(units.div_ceil(per_task), &|task| {
            for unit in task * per_task..units.min((task + 1) * per_task) {
                let first = unit % blocks * COLUMNS;
                let base = unit / blocks * self.size * self.inner + first;
                // SAFETY: units are disjoint ranges of columns inside the array.
                unsafe {
                    let inputs = inputs.each_ref().map(|x| x.get().cast_const().add(base));
                    let columns = COLUMNS.min(self.inner - first);
                    self.block(columns, inputs, out.get().add(base), start, &step);
                }
            }
        });
    }

    /// Some columns from the first entry to the last.
    ///
    /// # Safety
    /// The pointers must be valid for `columns` columns of `size` entries, `inner` elements apart.
    #[inline(always)]
    unsafe fn block<T: Copy, const N: usize>(
        self,
        columns: usize,
        inputs: [*const T; N],
        out: *mut T,
        start: T,
        step: &impl Fn(T, [T; N]) -> T,
    ) {
        let place = |i: usize| self.inner * if self.reverse { self.size - 1 - i } else { i };
        // SAFETY: `place` is an entry of the axis, and columns are those of the block.
        unsafe {
            if columns == 1 {
                let mut y = start;
                for at in (0..self.size).map(place) {
                    y = step(y, inputs.map(|x| *x.add(at)));
                    *out.add(at) = y;
                }
                return;
            }
            for i in 0..self.size {
                let (at, before) = (place(i), place(i.saturating_sub(1)));
                for c in 0..columns {
                    let y = if i == 0 { start } else { *out.add(before + c) };
                    *out.add(at + c) = step(y, inputs.map(|x| *x.add(at + c)));
                }
            }
        }
    }
}
