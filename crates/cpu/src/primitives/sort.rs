//! Sorting rows: a number of 64 bits for each entry, the order of its value above its place, so that no two are equal.

use super::{Primitive, Sides};
use crate::Shared;
use crate::exec::resolve::Lane;
use crate::exec::task::Context;
use rhyton_graph::ops::Sort;
use rhyton_tensor::{DType, Error, Result};

/// Entries of a task, at least.
const CHUNK: usize = 1 << 11;

struct SortTask {
    descending: bool,
    dtype: DType,
    rows: usize,
    size: usize,
    threads: usize,
    read: Lane,
    values: Lane,
    places: Lane,
}

/// Prepares sorting.
pub(crate) fn prepare(op: &Sort, sides: &Sides) -> Result<Box<dyn Primitive>> {
    let (x, values, places) = (sides.input(0)?, sides.output(0)?, sides.output(1)?);
    let [rows, size, _] = x.around(x.shape.len().wrapping_sub(1))?;
    if i32::try_from(size).is_err() {
        return Err(Error::new(format!("sorting along an axis of {size} entries"))
            .expected(format!("at most {}, as many as int32 counts", i32::MAX)));
    }
    Ok(Box::new(SortTask {
        descending: op.descending,
        dtype: x.dtype,
        rows,
        size,
        threads: sides.setting.threads,
        read: x.lane.clone(),
        values: values.lane.clone(),
        places: places.lane.clone(),
    }))
}

/// A number that grows with `x`; all NaN are one number above infinity, both zeros one.
fn of_float(x: f32) -> u32 {
    let bits = x.to_bits();
    match bits {
        _ if x.is_nan() => u32::MAX,
        // Read from the bits: denormal numbers, which compare as zero here, have places of their own.
        0x8000_0000 => 0x8000_0000,
        _ if bits >> 31 == 1 => !bits,
        _ => bits | 0x8000_0000,
    }
}

fn of_int(x: i32) -> u32 {
    x as u32 ^ 0x8000_0000
}

impl Primitive for SortTask {
    fn scratch(&self) -> usize {
        self.threads * self.size * size_of::<u64>()
    }

    unsafe fn run(&self, cx: Context) {
        // SAFETY: the frame's contract, 2 and 6.
        unsafe {
            match self.dtype {
                DType::I32 => self.rows(cx, of_int),
                _ => self.rows(cx, of_float),
            }
        }
    }
}

impl SortTask {
    /// # Safety
    /// As for `Task::run`, for values of the type `T`.
    unsafe fn rows<T: Copy + Sync>(&self, cx: Context, key: impl Fn(T) -> u32 + Sync) {
        let (rows, n) = (self.rows, self.size);
        if rows * n == 0 {
            return;
        }
        // SAFETY: the frame's contract, 2 and 6.
        let (x, values, places) =
            unsafe { (cx.at::<T>(&self.read), cx.at::<T>(&self.values), cx.at::<i32>(&self.places)) };
        let (x, values, places, scratch) =
            (Shared(x), Shared(values), Shared(places), Shared(cx.scratch.cast::<u64>()));
        let per_task = (CHUNK / n).max(1);
        // Flips the order of values, but not that of places.
        let flip = if self.descending { u32::MAX } else { 0 };
        cx.pool.run_on(rows.div_ceil(per_task), &|worker, task| {
            // SAFETY: a worker's part of the scratch memory is its own; rows are disjoint.
            let keys = unsafe { std::slice::from_raw_parts_mut(scratch.get().add(worker * n), n) };
            for row in task * per_task..rows.min((task + 1) * per_task) {
                // SAFETY: as above; places are below `n`.
                unsafe {
                    let x = x.get().add(row * n);
                    for (i, to) in keys.iter_mut().enumerate() {
                        *to = u64::from(key(*x.add(i)) ^ flip) << 32 | i as u64;
                    }
                    keys.sort_unstable();
                    for (i, k) in keys.iter().enumerate() {
                        let from = *k as u32;
                        *values.get().add(row * n + i) = *x.add(from as usize);
                        *places.get().add(row * n + i) = from as i32;
                    }
                }
            }
        });
    }
}
