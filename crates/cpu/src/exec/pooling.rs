//! Pooling.

use super::product::{Finish, epilogue};
use super::resolve::{Lane, Setting, three};
use super::task::Context;
use crate::simd::Element;
use crate::tile::nest::LoopNest;
use crate::window::{PoolShape, Target, pool_of, pool_scratch_len};
use rhyton_graph::plan::{Kernel, Launch, Plan};
use rhyton_tensor::{DType, Error, Result};

/// Pooling.
pub(crate) struct PoolTask {
    shape: PoolShape,
    dtype: DType,
    a: Lane,
    /// The second operand of the kinds that have one.
    b: Option<Lane>,
    /// Without an epilogue, where the result goes.
    write: Lane,
    finish: Option<LoopNest>,
    work: usize,
}

impl PoolTask {
    pub fn new(plan: &Plan, launch: &Launch, setting: &Setting) -> Result<PoolTask> {
        let Kernel::Pool { window, outer, epilogue: program } = &launch.kernel else {
            return Err(Error::new("not a pooling"));
        };
        let kind = window.kind;
        let shape = PoolShape {
            kind,
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
        let work = if finish.is_some() { pool_scratch_len(&shape, setting.threads) } else { 0 };
        let dtype = plan.buffers[reads[0].buffer].dtype;
        let (a, b) = (reads[0].clone(), (operands > 1).then(|| reads[1].clone()));
        Ok(PoolTask { shape, dtype, a, b, write: writes[0].clone(), finish, work })
    }

    pub fn scratch(&self) -> usize {
        self.work * 4
    }

    /// # Safety
    /// As for `Task::run`.
    pub unsafe fn run(&self, cx: Context) {
        // SAFETY: the frame's contract, 2 and 6; the plan's views are contiguous and inside their buffers.
        unsafe {
            match self.dtype {
                DType::BF16 => self.run_of::<u16>(cx),
                _ => self.run_of::<f32>(cx),
            }
        }
    }

    unsafe fn run_of<E: Element>(&self, cx: Context) {
        // SAFETY: the frame's contract, 2 and 6.
        unsafe {
            let a = cx.at::<E>(&self.a).cast_const();
            let b = self.b.as_ref().map_or(std::ptr::null(), |b| cx.at::<E>(b).cast_const());
            let finish = self.finish.as_ref().map(|nest| Finish { nest, table: cx.table, batch: 0 });
            let target = match &finish {
                Some(finish) => Target::Epilogue(finish, cx.scratch.cast()),
                None => Target::Memory(cx.at(&self.write)),
            };
            pool_of(cx.isa, cx.pool, &self.shape, [a, b], target);
        }
    }
}
