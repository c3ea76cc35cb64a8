//! Kernels that take contiguous operands: pooling, gathering, random numbers.

use super::product::{Finish, epilogue};
use super::resolve::{Lane, Setting, three};
use super::task::Context;
use crate::index::{IndexShape, gather as gather_kernel, scatter_add};
use crate::random::random;
use crate::simd::Element;
use crate::tile::sweep::Sweep;
use crate::window::{PoolShape, Target, pool_of, pool_scratch_len};
use rhyton_graph::ops::{Distribution, PoolKind};
use rhyton_graph::plan::{Kernel, Launch, Plan};
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
    a: Lane,
    /// The second operand of the kinds that have one.
    b: Option<Lane>,
    /// Without an epilogue, where the result goes.
    write: Lane,
    finish: Option<Sweep>,
    work: usize,
}

impl PoolTask {
    pub fn new(plan: &Plan, launch: &Launch, setting: &Setting) -> Result<PoolTask> {
        let Kernel::Pool { window, outer, epilogue: program } = &launch.kernel else {
            return Err(Error::new("not a pooling"));
        };
        let kind = window.kind;
        let shape = PoolShape {
            batch: setting.size(&outer[0])?,
            channels: setting.size(&outer[1])?,
            full: three(&setting.sizes(&window.full)?, 1)?,
            pooled: three(&setting.sizes(&window.pooled)?, 1)?,
            window: three(&window.window, 1)?,
            stride: three(&window.strides, 1)?,
            pad_lo: three(&setting.sizes(&window.pad_lo)?, 0)?,
        };
        let (reads, writes) = (setting.views(&launch.reads)?, setting.views(&launch.writes)?);
        let operands = kind.inputs_full().len();
        if reads.len() < operands || writes.is_empty() {
            return Err(Error::new("a pooling has the wrong number of reads or writes"));
        }
        let sizes = setting.sizes(&launch.shapes().1[0])?;
        let finish = match program {
            Some(p) => {
                let groups = [0, sizes.len().saturating_sub(1), 1];
                Some(epilogue(setting, p, &sizes, groups, &reads[operands..], &writes)?)
            }
            None => None,
        };
        let work = if finish.is_some() { pool_scratch_len(kind, &shape, setting.threads) } else { 0 };
        let dtype = plan.buffers[reads[0].buffer].dtype;
        let (a, b) = (reads[0].clone(), (operands > 1).then(|| reads[1].clone()));
        Ok(PoolTask { kind, shape, dtype, a, b, write: writes[0].clone(), finish, work })
    }

    pub fn scratch(&self) -> usize {
        self.work * 4
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
            let a = cx.at::<E>(&self.a).cast_const();
            let b = self.b.as_ref().map_or(std::ptr::null(), |b| cx.at::<E>(b).cast_const());
            let finish = self.finish.as_ref().map(|sweep| Finish { sweep, table: cx.table, batch: 0 });
            let target = match &finish {
                Some(finish) => Target::Epilogue(finish, cx.scratch.cast()),
                None => Target::Memory(cx.at(&self.write)),
            };
            pool_of(self.kind, cx.isa, cx.pool, &self.shape, [a, b], target);
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
