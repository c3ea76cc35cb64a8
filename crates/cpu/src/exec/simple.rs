//! Kernels that take contiguous operands and need no preparation: pooling, gathering, random numbers.

use super::resolve::{Lane, Setting, three};
use super::task::Context;
use crate::index::{IndexShape, gather as gather_kernel, scatter_add};
use crate::random::random;
use crate::window::{Element, PoolShape, pool_of};
use rhyton_graph::ops::{Distribution, PoolKind, Window};
use rhyton_graph::plan::{Launch, Plan};
use rhyton_tensor::{DType, Dim, Error, Result};

impl Context<'_> {
    /// First element of a contiguous view.
    ///
    /// # Safety
    /// The table must hold a valid address for the buffer.
    pub unsafe fn at<T>(&self, lane: &Lane) -> *mut T {
        // SAFETY: passed on.
        unsafe { self.table.get(lane.buffer).cast::<T>().offset(lane.offset) }
    }
}

/// Checks the numbers of reads and writes, and resolves them.
fn lanes(launch: &Launch, setting: &Setting, reads: usize) -> Result<(Vec<Lane>, Lane)> {
    let (r, mut w) = (setting.views(&launch.reads)?, setting.views(&launch.writes)?);
    match w.pop() {
        Some(write) if w.is_empty() && r.len() == reads => Ok((r, write)),
        _ => Err(Error::new("a launch has the wrong number of reads or writes")),
    }
}

/// Pooling.
pub(crate) struct PoolTask {
    kind: PoolKind,
    shape: PoolShape,
    dtype: DType,
    reads: Vec<Lane>,
    write: Lane,
}

impl PoolTask {
    pub fn new(
        plan: &Plan,
        window: &Window,
        outer: &[Dim; 2],
        launch: &Launch,
        setting: &Setting,
    ) -> Result<PoolTask> {
        let shape = PoolShape {
            batch: setting.size(&outer[0])?,
            channels: setting.size(&outer[1])?,
            full: three(&setting.sizes(&window.full)?, 1)?,
            pooled: three(&setting.sizes(&window.pooled)?, 1)?,
            window: three(&window.window, 1)?,
            stride: three(&window.strides, 1)?,
            pad_lo: three(&setting.sizes(&window.pad_lo)?, 0)?,
        };
        let two = matches!(window.kind, PoolKind::MaxSpread | PoolKind::MaxTake);
        let (reads, write) = lanes(launch, setting, 1 + usize::from(two))?;
        let dtype = plan.buffers[write.buffer].dtype;
        Ok(PoolTask { kind: window.kind, shape, dtype, reads, write })
    }

    /// # Safety
    /// As for `Task::run`.
    pub unsafe fn run(&self, cx: Context) {
        // SAFETY: passed on; the plan's views are contiguous and inside their buffers.
        unsafe {
            match self.dtype {
                DType::BF16 => self.run_of::<u16>(cx),
                _ => self.run_of::<f32>(cx),
            }
        }
    }

    unsafe fn run_of<E: Element>(&self, cx: Context) {
        // SAFETY: passed on.
        unsafe {
            let a = cx.at::<E>(&self.reads[0]).cast_const();
            let b = self.reads.get(1).map_or(std::ptr::null(), |r| cx.at::<E>(r).cast_const());
            pool_of(self.kind, cx.isa, cx.pool, &self.shape, [a, b], cx.at(&self.write));
        }
    }
}

/// Gathering rows or adding them up.
pub(crate) struct GatherTask {
    shape: IndexShape,
    scatter: bool,
    /// Of int8; of float32 otherwise.
    bytes: bool,
    values: Lane,
    indices: Lane,
    write: Lane,
}

/// Prepares a gather, or a scatter-add.
pub(crate) fn gather(
    dims: [&Dim; 4],
    scatter: bool,
    plan: &Plan,
    launch: &Launch,
    setting: &Setting,
) -> Result<GatherTask> {
    let [outer, size, inner, indices] = dims;
    let shape = IndexShape {
        outer: setting.size(outer)?,
        size: setting.size(size)?,
        inner: setting.size(inner)?,
        indices: setting.size(indices)?,
    };
    let (mut reads, write) = lanes(launch, setting, 2)?;
    let indices = reads.remove(1);
    let bytes = plan.buffers[write.buffer].dtype == DType::I8;
    Ok(GatherTask { shape, scatter, bytes, values: reads.remove(0), indices, write })
}

impl GatherTask {
    /// # Safety
    /// As for `Task::run`.
    pub unsafe fn run(&self, cx: Context) {
        // SAFETY: passed on; the plan's views are contiguous and inside their buffers.
        unsafe {
            let (x, i, out): (*mut f32, *mut i32, *mut f32) =
                (cx.at(&self.values), cx.at(&self.indices), cx.at(&self.write));
            if self.scatter {
                scatter_add(cx.pool, &self.shape, x, i, out);
            } else if self.bytes {
                let (x, out): (*mut i8, *mut i8) = (cx.at(&self.values), cx.at(&self.write));
                gather_kernel(cx.pool, &self.shape, x, i, out, 0);
            } else {
                gather_kernel(cx.pool, &self.shape, x, i, out, f32::NAN);
            }
        }
    }
}

/// Random numbers.
pub(crate) struct RandomTask {
    distribution: Distribution,
    stream: u32,
    elements: usize,
    key: Lane,
    write: Lane,
}

impl RandomTask {
    pub fn new(
        distribution: Distribution,
        stream: u32,
        elements: &Dim,
        launch: &Launch,
        setting: &Setting,
    ) -> Result<RandomTask> {
        let (mut reads, write) = lanes(launch, setting, 1)?;
        let elements = setting.size(elements)?;
        Ok(RandomTask { distribution, stream, elements, key: reads.remove(0), write })
    }

    /// # Safety
    /// As for `Task::run`.
    pub unsafe fn run(&self, cx: Context) {
        let stride = self.key.strides.first().copied().unwrap_or(1);
        // SAFETY: passed on; the key has two entries.
        unsafe {
            let key: *mut i32 = cx.at(&self.key);
            let key = [*key as u32, *key.offset(stride) as u32];
            random(cx.pool, self.distribution, key, self.stream, self.elements, cx.at(&self.write));
        }
    }
}
