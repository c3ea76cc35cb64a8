//! Matrix products, and what happens to their results on the way to memory.

use super::axes::{Draft, merge, single};
use super::resolve::{Lane, Setting};
use super::task::Context;
use crate::Shared;
use crate::gemm::{Epilogue, GemmArgs, MatView, SPLIT, gemm, scratch_len, work};
use crate::tile::space::Table;
use crate::tile::sweep::Sweep;
use rhyton_graph::plan::{Kernel, Launch, Plan, Program};
use rhyton_tensor::{DType, Error, Result};

/// Tasks that small products of many batches are handed out in: enough to keep some cores evenly busy.
const TASKS: usize = 16;

/// Distances of a contiguous array.
pub(crate) fn row_major(sizes: &[usize]) -> Vec<isize> {
    let mut strides = vec![1; sizes.len()];
    for i in (0..sizes.len().saturating_sub(1)).rev() {
        strides[i] = strides[i + 1] * sizes[i + 1] as isize;
    }
    strides
}

/// The program that only moves float32.
fn identity() -> Program {
    Program { inputs: vec![DType::F32], code: vec![], outputs: vec![0] }
}

/// An epilogue at work.
pub(super) struct Finish<'a> {
    sweep: &'a Sweep,
    table: Table,
    /// Number of the first product among all batches.
    batch: usize,
}

impl<'a> Finish<'a> {
    /// Of products from number `batch` on.
    pub fn new(sweep: &'a Sweep, table: Table, batch: usize) -> Finish<'a> {
        Finish { sweep, table, batch }
    }
}

impl Epilogue for Finish<'_> {
    fn block(
        &self,
        batch: usize,
        row: usize,
        rows: usize,
        col: usize,
        cols: usize,
        tile: *mut f32,
        ld: usize,
    ) {
        let block = Some((tile, ld));
        // SAFETY: the kernel gives every block once, so no two of them touch the same results; the table holds
        // valid addresses while the task runs.
        unsafe {
            self.sweep.block(self.table, block, self.batch + batch, (row, row + rows), (col, col + cols));
        }
    }
}

/// An operand of a product: where it lies, and the copy made first when strides alone cannot say it.
struct Side {
    lane: Lane,
    /// Copies into scratch memory; the lane's offset then counts from there.
    pack: Option<Sweep>,
    /// Distances between rows, columns.
    rs: isize,
    cs: isize,
    /// Distances along the joined batch axes.
    batch: Vec<isize>,
}

impl Side {
    /// First element, after packing where needed.
    unsafe fn start(&self, cx: Context) -> *const f32 {
        // SAFETY: the caller promises a valid table and scratch memory; a packed side's table has one more entry,
        // the scratch memory.
        unsafe {
            match &self.pack {
                None => cx.table.get(self.lane.buffer).cast::<f32>().offset(self.lane.offset),
                Some(sweep) => {
                    let to = cx.scratch.cast::<f32>().offset(self.lane.offset);
                    let entries = [cx.table.get(self.lane.buffer), to.cast()];
                    sweep.all(cx.pool, Table(entries.as_ptr()));
                    to
                }
            }
        }
    }
}

/// A prepared matrix product.
pub(crate) struct DotTask {
    a: Side,
    b: Side,
    /// Sizes of the joined batch axes; the last one is the kernel's own batch.
    batch: Vec<usize>,
    sizes: [usize; 3],
    /// The result: place, row stride, batch strides.
    direct: Option<(Lane, usize, Vec<isize>)>,
    finish: Option<Sweep>,
    packed: usize,
    /// Numbers of scratch memory for each worker that computes products.
    work: usize,
    /// Whether batches that are too small to be split themselves are handed to threads,
    split: bool,
    /// each in so many pieces.
    pieces: usize,
    threads: usize,
}

struct Dims {
    batch: Vec<usize>,
    m: Vec<usize>,
    n: Vec<usize>,
    k: Vec<usize>,
}

impl DotTask {
    pub fn new(_plan: &Plan, launch: &Launch, setting: &Setting) -> Result<DotTask> {
        let Kernel::Dot { batch, m, n, k, epilogue } = &launch.kernel else {
            return Err(Error::new("not a product"));
        };
        let d = Dims {
            batch: setting.sizes(batch)?,
            m: setting.sizes(m)?,
            n: setting.sizes(n)?,
            k: setting.sizes(k)?,
        };
        let reads = setting.views(&launch.reads)?;
        let writes = setting.views(&launch.writes)?;
        let ranks = [d.m.len() + d.k.len(), d.k.len() + d.n.len()];
        let fits = reads.len() >= 2 && (0..2).all(|i| reads[i].strides.len() == d.batch.len() + ranks[i]);
        if !fits || writes.is_empty() {
            return Err(Error::new("a product's views do not fit its axes"));
        }
        let mut packed = 0;
        let a = side(setting, &reads[0], &d.batch, [&d.m, &d.k], &mut packed)?;
        let b = side(setting, &reads[1], &d.batch, [&d.k, &d.n], &mut packed)?;
        let direct = if epilogue.is_none() { straight(&d, &writes[0]) } else { None };
        let finish = match (&direct, epilogue) {
            (Some(_), _) => None,
            (None, program) => {
                let program = program.clone().unwrap_or_else(identity);
                Some(finish(setting, &program, &d, &reads[2..], &writes)?)
            }
        };
        let mut task = DotTask {
            a,
            b,
            batch: vec![],
            sizes: [&d.m, &d.n, &d.k].map(|s| s.iter().product()),
            direct,
            finish,
            packed: packed.next_multiple_of(16),
            work: 0,
            split: false,
            pieces: 1,
            threads: setting.threads,
        };
        task.join_batches(&d.batch);
        task.divide();
        Ok(task)
    }

    /// Batches that a loop walks, and those that the kernel walks.
    fn batches(&self) -> (usize, usize) {
        match self.batch.split_last() {
            Some((inner, outer)) => (outer.iter().product(), *inner),
            None => (1, 1),
        }
    }

    /// Decides by shape alone how batches become tasks.
    fn divide(&mut self) {
        let [m, n, k] = self.sizes;
        let (outer, inner) = self.batches();
        let each = work(inner, m, n, k);
        self.split = outer > 1 && each < SPLIT && each * outer as f64 >= SPLIT;
        if self.split {
            self.pieces = (TASKS / outer).clamp(1, inner);
        }
        self.work = scratch_len(inner, m, n, k, self.threads).next_multiple_of(16);
    }

    fn join_batches(&mut self, sizes: &[usize]) {
        let c = self.direct.as_ref().map(|d| d.2.clone()).unwrap_or_else(|| row_major(sizes));
        let (joined, mut strides) = merge(sizes, &[self.a.batch.clone(), self.b.batch.clone(), c]);
        self.batch = joined;
        if let (Some(d), Some(c)) = (&mut self.direct, strides.pop()) {
            d.2 = c;
        }
        if let [a, b, ..] = &mut strides[..] {
            self.a.batch = std::mem::take(a);
            self.b.batch = std::mem::take(b);
        }
    }

    pub fn scratch(&self) -> usize {
        let workers = if self.split { self.threads } else { 1 };
        (self.packed + workers * self.work) * 4
    }

    /// # Safety
    /// As for `Task::run`.
    pub unsafe fn run(&self, cx: Context) {
        let [m, n, _] = self.sizes;
        let (outer, inner) = self.batches();
        if m * n * inner * outer == 0 {
            return;
        }
        // SAFETY: views lie inside their buffers (the plan's promise), scratch memory is as large as asked for.
        unsafe {
            let (a, b) = (Shared(self.a.start(cx).cast_mut()), Shared(self.b.start(cx).cast_mut()));
            let work = Shared(cx.scratch.cast::<f32>().add(self.packed));
            let some = |worker: usize, part: usize| {
                let (o, piece) = (part / self.pieces, part % self.pieces);
                let range = (piece * inner / self.pieces, (piece + 1) * inner / self.pieces);
                let work = std::slice::from_raw_parts_mut(work.get().add(worker * self.work), self.work);
                self.some(cx, [a.get(), b.get()], o, range, work);
            };
            if self.split {
                cx.pool.run_on(outer * self.pieces, &some);
            } else {
                (0..outer).for_each(|o| some(0, o));
            }
        }
    }

    /// Products `from..to` of the kernel's own batch, number `o` of the other batches.
    unsafe fn some(
        &self,
        cx: Context,
        [a, b]: [*const f32; 2],
        o: usize,
        (from, to): (usize, usize),
        scratch: &mut [f32],
    ) {
        let [m, n, k] = self.sizes;
        let (outer, last) = self.batch.split_at(self.batch.len().saturating_sub(1));
        let step = |s: &[isize]| if last.is_empty() { 0 } else { s[s.len() - 1] };
        let at =
            |s: &[isize]| crate::tile::space::locate(outer, &s[..outer.len()], o) + from as isize * step(s);
        // SAFETY: passed on to the caller.
        unsafe {
            let view = |p: *const f32, s: &Side| MatView {
                ptr: p.offset(at(&s.batch)),
                rs: s.rs,
                cs: s.cs,
                batch: step(&s.batch),
            };
            let c = self.direct.as_ref().map(|(lane, ld, batch)| {
                let c = cx.table.get(lane.buffer).cast::<f32>().offset(lane.offset + at(batch));
                (c, *ld, step(batch) as usize)
            });
            let batch = o * self.batches().1 + from;
            let finish = self.finish.as_ref().map(|sweep| Finish::new(sweep, cx.table, batch));
            gemm(GemmArgs {
                isa: cx.isa,
                pool: cx.pool,
                batch: to - from,
                m,
                n,
                k,
                a: view(a, &self.a),
                b: view(b, &self.b),
                c,
                epilogue: finish.as_ref().map(|f| f as &dyn Epilogue),
                scratch,
            });
        }
    }
}

/// An operand over `batch ++ rows ++ cols`; packs it when rows or columns have no single stride.
fn side(
    setting: &Setting,
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
        return Ok(Side { lane: lane.clone(), pack: None, rs, cs, batch: b });
    }
    let sizes: Vec<usize> = batch.iter().chain(rows).chain(cols).copied().collect();
    let pack = Some(copy(setting, Lane { buffer: 0, ..lane.clone() }, &sizes)?);
    let offset = packed.next_multiple_of(16);
    *packed = offset + sizes.iter().product::<usize>();
    let lane = Lane { buffer: lane.buffer, offset: offset as isize, strides: vec![] };
    Ok(Side { lane, pack, rs: width as isize, cs: 1, batch: part(&row_major(&sizes)).0 })
}

/// Copies `source` over `sizes` to buffer 1, without gaps.
pub(crate) fn copy(setting: &Setting, source: Lane, sizes: &[usize]) -> Result<Sweep> {
    let target = Lane { buffer: 1, offset: 0, strides: row_major(sizes) };
    let program = identity();
    let (reads, writes) = (&[Some(source)], &[target]);
    Draft { setting, program: &program, sizes, groups: None, reads, writes }.sweep()
}

/// The result as the kernel can write it: unit columns, one row stride.
fn straight(d: &Dims, write: &Lane) -> Option<(Lane, usize, Vec<isize>)> {
    let (nb, nm) = (d.batch.len(), d.m.len());
    let n: usize = d.n.iter().product();
    let rs = single(&d.m, &write.strides[nb..nb + nm], n as isize)?;
    let cs = single(&d.n, &write.strides[nb + nm..], 1)?;
    let batch = write.strides[..nb].to_vec();
    // The kernel's distances are not negative.
    let ld = usize::try_from(rs).ok().filter(|_| cs == 1 && batch.iter().all(|s| *s >= 0))?;
    Some((write.clone(), ld, batch))
}

fn finish(setting: &Setting, program: &Program, d: &Dims, reads: &[Lane], writes: &[Lane]) -> Result<Sweep> {
    let sizes: Vec<usize> = d.batch.iter().chain(&d.m).chain(&d.n).copied().collect();
    let groups = [d.batch.len(), d.m.len(), d.n.len()];
    epilogue(setting, program, &sizes, groups, reads, writes)
}

/// A program over the result of a product, which is its input 0.
pub(super) fn epilogue(
    setting: &Setting,
    program: &Program,
    sizes: &[usize],
    groups: [usize; 3],
    reads: &[Lane],
    writes: &[Lane],
) -> Result<Sweep> {
    let reads: Vec<Option<Lane>> = std::iter::once(None).chain(reads.iter().cloned().map(Some)).collect();
    Draft { setting, program, sizes, groups: Some(groups), reads: &reads, writes }.sweep()
}
