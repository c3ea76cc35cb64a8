//! The operands of matrix products: where they lie, copied or paired first where strides alone cannot say it.

use super::axes::{NestBuilder, single};
use super::resolve::{Lane, Setting};
use super::task::Context;
use crate::gemm::pairs::Interleave;
use crate::tile::nest::LoopNest;
use crate::tile::space::Table;
use rhyton_graph::plan::{Place, Plan, Program};
use rhyton_tensor::{DType, Result};

/// Distances of a contiguous array.
pub(crate) fn row_major(sizes: &[usize]) -> Vec<isize> {
    let mut strides = vec![1; sizes.len()];
    for i in (0..sizes.len().saturating_sub(1)).rev() {
        strides[i] = strides[i + 1] * sizes[i + 1] as isize;
    }
    strides
}

/// The program that only moves values.
pub(super) fn identity(dtype: DType) -> Program {
    Program { inputs: vec![dtype], code: vec![], outputs: vec![0] }
}

/// An operand of a product: where it lies, and the copy made first when strides alone cannot say it.
pub(super) struct Side {
    lane: Lane,
    dtype: DType,
    /// Copies into scratch memory; the lane's offset then counts from there.
    pack: Option<LoopNest>,
    /// Makes pairs of bfloat16 in scratch memory, from this number on, when they do not lie so.
    weave: Option<(Interleave, usize)>,
    /// Distances between rows, columns.
    pub rs: isize,
    pub cs: isize,
    /// Distances along the joined batch axes.
    pub batch: Vec<isize>,
}

impl Side {
    /// First element, after packing where needed.
    pub unsafe fn start(&self, cx: Context) -> *const f32 {
        // SAFETY: the caller promises a valid table and scratch memory; a packed side's table has one more entry,
        // the scratch memory.
        unsafe {
            let from: *mut u8 = match &self.pack {
                None => {
                    let bytes = self.lane.offset * self.dtype.size_bytes() as isize;
                    cx.table.get(self.lane.buffer).offset(bytes)
                }
                Some(nest) => {
                    let to = cx.scratch.cast::<f32>().offset(self.lane.offset);
                    let entries = [cx.table.get(self.lane.buffer), to.cast()];
                    nest.all(cx.pool, Table(entries.as_ptr()));
                    to.cast()
                }
            };
            let Some((weave, at)) = &self.weave else { return from.cast() };
            let to = cx.scratch.cast::<f32>().add(*at);
            weave.run(cx.isa, cx.pool, from.cast(), to);
            to
        }
    }
}

impl Side {
    /// Counts in pairs along the summed axis, of size `k`: the columns of a left side, the rows of a right one, the
    /// others being `other`. `aligned`: the side begins at a multiple of four bytes.
    pub fn paired(
        mut self,
        left: bool,
        batch: &[usize],
        k: usize,
        other: usize,
        aligned: bool,
        packed: &mut usize,
    ) -> Side {
        let (along, mut across) = if left { (self.cs, self.rs) } else { (self.rs, self.cs) };
        if other == 1 {
            across = k as isize;
        }
        let even = |s: &isize| s % 2 == 0;
        let lies = along == 1 && k.is_multiple_of(2) && even(&across) && self.batch.iter().all(even);
        let (along, across) = if lies && (self.pack.is_some() || (aligned && even(&self.lane.offset))) {
            self.batch.iter_mut().for_each(|s| *s /= 2);
            (1, across / 2)
        } else {
            let count = k.div_ceil(2);
            let (planes, plane) = (batch.to_vec(), self.batch);
            let weave = Interleave {
                planes,
                plane,
                lines: k,
                line: along,
                len: other,
                number: across,
                count,
                step: 2,
                before: 0,
                distance: 1,
            };
            let offset = packed.next_multiple_of(16);
            *packed = offset + weave.pairs();
            self.weave = Some((weave, offset));
            let whole: Vec<usize> = batch.iter().copied().chain([count, other]).collect();
            self.batch = row_major(&whole)[..batch.len()].to_vec();
            (other as isize, 1)
        };
        (self.rs, self.cs) = if left { (across, along) } else { (along, across) };
        self
    }
}

/// Whether a view of bfloat16 begins where pairs may: temporary buffers begin at cache lines.
pub(super) fn aligned(plan: &Plan, lane: &Lane) -> bool {
    matches!(plan.buffers[lane.buffer].place, Place::Temp) && lane.offset % 2 == 0
}

/// An operand over `batch ++ rows ++ cols`; packs it when rows or columns have no single stride.
pub(super) fn side(
    setting: &Setting,
    dtype: DType,
    lane: &Lane,
    batch: &[usize],
    [rows, cols]: [&[usize]; 2],
    packed: &mut usize,
) -> Result<Side> {
    let (nb, nr) = (batch.len(), rows.len());
    let part = |s: &[isize]| (s[..nb].to_vec(), s[nb..nb + nr].to_vec(), s[nb + nr..].to_vec());
    let width: usize = cols.iter().product();
    let (b, r, c) = part(&lane.strides);
    if let (Some(rs), Some(cs)) = (single(rows, &r, width as isize), single(cols, &c, 1)) {
        return Ok(Side { lane: lane.clone(), dtype, pack: None, weave: None, rs, cs, batch: b });
    }
    let sizes: Vec<usize> = batch.iter().chain(rows).chain(cols).copied().collect();
    let pack = Some(copy(setting, dtype, Lane { buffer: 0, ..lane.clone() }, &sizes)?);
    let offset = packed.next_multiple_of(16);
    *packed = offset + sizes.iter().product::<usize>();
    let lane = Lane { buffer: lane.buffer, offset: offset as isize, strides: vec![] };
    Ok(Side { lane, dtype, pack, weave: None, rs: width as isize, cs: 1, batch: part(&row_major(&sizes)).0 })
}

/// Copies `source` over `sizes` to buffer 1, without gaps.
pub(crate) fn copy(setting: &Setting, dtype: DType, source: Lane, sizes: &[usize]) -> Result<LoopNest> {
    let target = Lane { buffer: 1, offset: 0, strides: row_major(sizes) };
    let program = identity(dtype);
    let (reads, writes) = (&[Some(source)], &[target]);
    NestBuilder { setting, program: &program, sizes, groups: None, reads, writes }.build()
}
