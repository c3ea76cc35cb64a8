//! Gathering rows and adding rows up.

use super::{Primitive, Sides, no_kernel};
use crate::exec::resolve::Lane;
use crate::exec::task::Context;
use crate::{Shared, pool::Pool};
use rhyton_graph::ops::Index;
use rhyton_tensor::{DType, Result};

/// Elements below which a copy is not worth splitting.
const SPLIT: usize = 1 << 15;

/// Sizes of a gather or scatter along one axis.
#[derive(Clone, Copy, Debug)]
pub struct IndexShape {
    /// Product of the axes that have indices of their own.
    pub batch: usize,
    /// Product of the other axes before.
    pub outer: usize,
    /// Size of the axis.
    pub size: usize,
    /// Product of the axes after.
    pub inner: usize,
    /// Number of indices, of one batch.
    pub indices: usize,
}

/// Gathering rows or adding them up.
struct IndexTask {
    shape: IndexShape,
    scatter: bool,
    dtype: DType,
    values: Lane,
    indices: Lane,
    write: Lane,
}

/// Prepares a gather or a scatter-add.
pub(crate) fn prepare(op: &Index, sides: &Sides) -> Result<Box<dyn Primitive>> {
    let (values, indices, write) = (sides.input(0)?, sides.input(1)?, sides.output(0)?);
    // The side whose axis the indices count along.
    let ([before, size, inner], batch, scatter) = match op {
        Index::Gather { axis, batch } => (values.around(*axis)?, *batch, false),
        Index::ScatterAdd { axis, batch, .. } => (write.around(*axis)?, *batch, true),
        Index::Iota { .. } => return Err(no_kernel(&op.clone().into())),
    };
    let (own, rest) = indices.shape.split_at(batch.min(indices.shape.len()));
    let batch: usize = own.iter().product();
    let shape =
        IndexShape { batch, outer: before / batch.max(1), size, inner, indices: rest.iter().product() };
    Ok(Box::new(IndexTask {
        shape,
        scatter,
        dtype: write.dtype,
        values: values.lane.clone(),
        indices: indices.lane.clone(),
        write: write.lane.clone(),
    }))
}

impl Primitive for IndexTask {
    unsafe fn run(&self, cx: Context) {
        // SAFETY: the frame's contract, 2 and 6; the plan's views are contiguous and inside their buffers.
        unsafe {
            if self.scatter {
                let (updates, index, out) = (cx.at(&self.values), cx.at(&self.indices), cx.at(&self.write));
                return scatter_add(cx.pool, &self.shape, updates, index, out);
            }
            match self.dtype {
                DType::I8 => self.gather(cx, 0i8),
                DType::I32 => self.gather(cx, 0i32),
                _ => self.gather(cx, f32::NAN),
            }
        }
    }
}

impl IndexTask {
    /// # Safety
    /// As for `Task::run`, for values of the type `T`.
    unsafe fn gather<T: Copy + Sync>(&self, cx: Context, missing: T) {
        // SAFETY: the frame's contract, 2 and 6.
        unsafe {
            let (x, index, out): (*mut T, *mut i32, *mut T) =
                (cx.at(&self.values), cx.at(&self.indices), cx.at(&self.write));
            gather(cx.pool, &self.shape, x, index, out, missing);
        }
    }
}

/// The position that `index` means on an axis of `size`; negative ones count from the end.
fn locate(index: i32, size: usize) -> Option<usize> {
    let index = i64::from(index);
    let index = if index < 0 { index + size as i64 } else { index };
    usize::try_from(index).ok().filter(|i| *i < size)
}

/// `out[b, o, j, ..] = x[b, o, index[b, j], ..]`; `missing` where an index is out of range.
///
/// # Safety
/// `x`, `index` and `out` must be valid for `[batch, outer, size, inner]`, `[batch, indices]` and
/// `[batch, outer, indices, inner]`.
pub unsafe fn gather<T: Copy + Sync>(
    pool: &Pool,
    shape: &IndexShape,
    x: *const T,
    index: *const i32,
    out: *mut T,
    missing: T,
) {
    let IndexShape { batch, outer, size, inner, indices } = *shape;
    let (rows, x, index, out) =
        (batch * outer * indices, Shared(x.cast_mut()), Shared(index.cast_mut()), Shared(out));
    if inner == 0 {
        return;
    }
    let per_task = if rows * inner < SPLIT { rows.max(1) } else { (SPLIT / 4 / inner).max(1) };
    pool.run(rows.div_ceil(per_task), &|task| {
        for row in task * per_task..rows.min((task + 1) * per_task) {
            let (o, j) = (row / indices, row % indices);
            // SAFETY: `row < batch * outer * indices` and `locate` gives a position below `size`; tasks write disjoint
            // rows.
            unsafe {
                let to = std::slice::from_raw_parts_mut(out.get().add(row * inner), inner);
                match locate(*index.get().add(o / outer * indices + j), size) {
                    Some(i) => {
                        let from = x.get().add((o * size + i) * inner);
                        to.copy_from_slice(std::slice::from_raw_parts(from, inner));
                    }
                    None => to.fill(missing),
                }
            }
        }
    });
}

/// `out[b, o, index[b, j], ..] += updates[b, o, j, ..]` into zeros, in the order of `j`; indices out of range are dropped.
///
/// # Safety
/// `updates`, `index` and `out` must be valid for `[batch, outer, indices, inner]`, `[batch, indices]` and
/// `[batch, outer, size, inner]`.
pub unsafe fn scatter_add(
    pool: &Pool,
    shape: &IndexShape,
    updates: *const f32,
    index: *const i32,
    out: *mut f32,
) {
    let IndexShape { batch, outer, size, inner, indices } = *shape;
    let rows = batch * outer;
    let (updates, index, out) = (Shared(updates.cast_mut()), Shared(index.cast_mut()), Shared(out));
    if rows * size * inner == 0 {
        return;
    }
    // Each task owns some columns, so that equal indices meet in one task and add up in order.
    let whole = rows * (size + indices) * inner < SPLIT;
    let columns = if whole || inner < 32 { inner } else { inner.div_ceil(8).next_multiple_of(16) };
    let blocks = inner.div_ceil(columns);
    let task = |task: usize| {
        let (o, first) = (task / blocks, task % blocks * columns);
        let count = columns.min(inner - first);
        // SAFETY: rows are below `size`, columns below `inner`; tasks write disjoint columns.
        unsafe {
            let row = |i: usize| {
                std::slice::from_raw_parts_mut(out.get().add((o * size + i) * inner + first), count)
            };
            (0..size).for_each(|i| row(i).fill(0.0));
            for j in 0..indices {
                if let Some(i) = locate(*index.get().add(o / outer * indices + j), size) {
                    let from = updates.get().add((o * indices + j) * inner + first);
                    let from = std::slice::from_raw_parts(from, count);
                    row(i).iter_mut().zip(from).for_each(|(to, x)| *to += x);
                }
            }
        }
    };
    if whole { (0..rows * blocks).for_each(task) } else { pool.run(rows * blocks, &task) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// batch, outer, size, inner, indices
    const SHAPES: [(usize, usize, usize, usize, usize); 9] = [
        (3, 2, 5, 3, 4),
        (40, 3, 30, 2, 300),
        (1, 1, 5, 3, 4),
        (1, 2, 7, 1, 9),
        (1, 3, 4, 40, 11),
        (1, 1, 30, 100, 700),
        (1, 0, 3, 2, 2),
        (1, 2, 0, 3, 4),
        (1, 2, 3, 0, 4),
    ];

    fn values(n: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 37 + 11) % 101) as f32 / 7.0 - 5.0).collect()
    }

    fn indices(n: usize, size: usize) -> Vec<i32> {
        // From two below the range to two above it.
        (0..n).map(|i| ((i * 13 + 5) % (2 * size + 4)) as i32 - size as i32 - 2).collect()
    }

    #[test]
    fn gather_follows_its_definition() {
        for (batch, outer, size, inner, count) in SHAPES {
            let shape = IndexShape { batch, outer, size, inner, indices: count };
            let (x, index) = (values(batch * outer * size * inner), indices(batch * count, size));
            for threads in [1, 2, 3] {
                let mut out = vec![7.0; batch * outer * count * inner];
                // SAFETY: the sizes are those of `shape`.
                unsafe {
                    let (x, index) = (x.as_ptr(), index.as_ptr());
                    gather(&Pool::new(threads), &shape, x, index, out.as_mut_ptr(), f32::NAN);
                }
                for (at, got) in out.iter().enumerate() {
                    let (o, j, c) = (at / inner / count, at / inner % count, at % inner);
                    let given = index[o / outer * count + j];
                    let i = given as i64 + if given < 0 { size as i64 } else { 0 };
                    if (0..size as i64).contains(&i) {
                        assert_eq!(*got, x[(o * size + i as usize) * inner + c]);
                    } else {
                        assert!(got.is_nan());
                    }
                }
            }
        }
    }

    #[test]
    fn scatter_adds_in_order() {
        for (batch, outer, size, inner, count) in SHAPES {
            let shape = IndexShape { batch, outer, size, inner, indices: count };
            let (u, index) = (values(batch * outer * count * inner), indices(batch * count, size));
            let mut want = vec![0.0f32; batch * outer * size * inner];
            for (at, x) in u.iter().enumerate() {
                let (o, j, c) = (at / inner / count, at / inner % count, at % inner);
                let given = index[o / outer * count + j];
                let i = given as i64 + if given < 0 { size as i64 } else { 0 };
                if (0..size as i64).contains(&i) {
                    want[(o * size + i as usize) * inner + c] += x;
                }
            }
            for threads in [1, 2, 3] {
                let mut out = vec![7.0; want.len()];
                // SAFETY: the sizes are those of `shape`.
                unsafe {
                    scatter_add(&Pool::new(threads), &shape, u.as_ptr(), index.as_ptr(), out.as_mut_ptr())
                };
                assert_eq!(out, want);
            }
        }
    }
}
