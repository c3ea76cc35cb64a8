//! Matrix products and convolutions, and what happens to their results on the way to memory.

use super::axes::{NestBuilder, merge, single};
use super::resolve::{Lane, Setting, three};
use super::side::{Side, aligned, identity, row_major, side};
use super::task::Context;
use crate::conv::pairs::Paired;
use crate::conv::{ConvArgs, ConvShape, conv, conv_bytes, conv_bytes_scratch_len, conv_scratch_len};
use crate::gemm::{Epilogue, GemmArgs, MatView, Steps, gemm, gemm_bytes, scratch_len, scratch_len_bytes};
use crate::tile::nest::LoopNest;
use crate::tile::space::Table;
use rhyton_graph::ops::ConvKind;
use rhyton_graph::plan::{Kernel, Launch, Plan, Program};
use rhyton_tensor::{DType, Error, Result};

/// An epilogue at work.
pub(super) struct Finish<'a> {
    pub nest: &'a LoopNest,
    pub table: Table,
    /// Number of the first product among all batches.
    pub batch: usize,
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
            self.nest.block(self.table, block, self.batch + batch, (row, row + rows), (col, col + cols));
        }
    }

    fn prefetch(&self, batch: usize, rows: [usize; 2], cols: [usize; 2]) {
        // SAFETY: as above.
        unsafe { self.nest.prefetch(self.table, self.batch + batch, rows, cols) };
    }
}

/// A prepared matrix product.
pub(crate) struct DotTask {
    a: Side,
    b: Side,
    /// Sizes of the joined batch axes; the last two are the kernel's own.
    batch: Vec<usize>,
    sizes: [usize; 3],
    /// The sides are bfloat16; the summed size counts pairs.
    pairs: bool,
    /// The result: place, row stride, batch strides.
    direct: Option<(Lane, usize, Vec<isize>)>,
    finish: Option<LoopNest>,
    /// The sides are int8; they are float32 otherwise.
    bytes: bool,
    /// Numbers of scratch memory: copies of the sides, what the kernel needs.
    packed: usize,
    work: usize,
}

struct Dims {
    batch: Vec<usize>,
    m: Vec<usize>,
    n: Vec<usize>,
    k: Vec<usize>,
}

impl DotTask {
    pub fn new(plan: &Plan, launch: &Launch, setting: &Setting) -> Result<DotTask> {
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
        let dtype = plan.buffers[reads[0].buffer].dtype;
        let mut a = side(setting, dtype, &reads[0], &d.batch, [&d.m, &d.k], &mut packed)?;
        let mut b = side(setting, dtype, &reads[1], &d.batch, [&d.k, &d.n], &mut packed)?;
        let mut sizes = [&d.m, &d.n, &d.k].map(|s| s.iter().product());
        let pairs = dtype == DType::BF16;
        if pairs {
            let [m, n, k] = sizes;
            a = a.paired(true, &d.batch, k, m, aligned(plan, &reads[0]), &mut packed);
            b = b.paired(false, &d.batch, k, n, aligned(plan, &reads[1]), &mut packed);
            sizes[2] = k.div_ceil(2);
        }
        let (bytes, sums) = sums_of(dtype);
        let direct = if epilogue.is_none() { straight(&d, &writes[0]) } else { None };
        let finish = match (&direct, epilogue) {
            (Some(_), _) => None,
            (None, program) => {
                let program = program.clone().unwrap_or_else(|| identity(sums));
                Some(finish(setting, &program, &d, &reads[2..], &writes)?)
            }
        };
        let mut task = DotTask {
            a,
            b,
            batch: vec![],
            sizes,
            pairs,
            direct,
            finish,
            bytes,
            packed: packed.next_multiple_of(16),
            work: 0,
        };
        task.join_batches(&d.batch);
        let [m, n, k] = task.sizes;
        let need = if bytes { scratch_len_bytes } else { scratch_len };
        task.work = need(task.own_batch().1.iter().product(), m, n, k, setting.threads);
        Ok(task)
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

    /// Sizes of the batch axes that are walked here, and of those that the kernel walks.
    fn own_batch(&self) -> (&[usize], &[usize]) {
        self.batch.split_at(self.batch.len().saturating_sub(2))
    }

    pub fn scratch(&self) -> usize {
        (self.packed + self.work) * 4
    }

    /// # Safety
    /// As for `Task::run`.
    pub unsafe fn run(&self, cx: Context) {
        // SAFETY: the frame's contract, 2 and 6.
        unsafe { if self.bytes { self.run_with(cx, gemm_bytes) } else { self.run_with(cx, gemm) } }
    }

    unsafe fn run_with<T>(&self, cx: Context, gemm: unsafe fn(GemmArgs<T>)) {
        let [m, n, k] = self.sizes;
        let (outer_sizes, own_sizes) = self.own_batch();
        let (outer, own): (usize, usize) = (outer_sizes.iter().product(), own_sizes.iter().product());
        if m * n * own * outer == 0 {
            return;
        }
        let steps = |s: &[isize]| match (own_sizes, &s[outer_sizes.len()..]) {
            ([_, inner], [far, near]) => Steps { inner: *inner, near: *near, far: *far },
            (_, [step]) => Steps::every(*step),
            _ => Steps::NONE,
        };
        // SAFETY: views lie inside their buffers (the plan's promise), scratch memory is as large as asked for.
        unsafe {
            let (a, b) = (self.a.start(cx).cast::<T>(), self.b.start(cx).cast::<T>());
            let work = cx.scratch.cast::<f32>().add(self.packed);
            for o in 0..outer {
                let at = |s: &[isize]| crate::tile::space::locate(outer_sizes, &s[..outer_sizes.len()], o);
                let view = |p: *const T, s: &Side| MatView {
                    ptr: p.offset(at(&s.batch)),
                    rs: s.rs,
                    cs: s.cs,
                    batch: steps(&s.batch),
                };
                let c = self.direct.as_ref().map(|(lane, ld, batch)| {
                    let c = cx.table.get(lane.buffer).cast::<f32>().offset(lane.offset + at(batch));
                    (c, *ld, steps(batch))
                });
                let finish =
                    self.finish.as_ref().map(|nest| Finish { nest, table: cx.table, batch: o * own });
                gemm(GemmArgs {
                    isa: cx.isa,
                    pairs: self.pairs,
                    pool: cx.pool,
                    batch: own,
                    m,
                    n,
                    k,
                    a: view(a, &self.a),
                    b: view(b, &self.b),
                    c,
                    epilogue: finish.as_ref().map(|f| f as &dyn Epilogue),
                    scratch: std::slice::from_raw_parts_mut(work, self.work),
                });
            }
        }
    }
}

/// Whether products of `dtype` are those of int8, and the type of their sums.
fn sums_of(dtype: DType) -> (bool, DType) {
    if dtype == DType::I8 { (true, DType::I32) } else { (false, DType::F32) }
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

fn finish(
    setting: &Setting,
    program: &Program,
    d: &Dims,
    reads: &[Lane],
    writes: &[Lane],
) -> Result<LoopNest> {
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
) -> Result<LoopNest> {
    let reads: Vec<Option<Lane>> = std::iter::once(None).chain(reads.iter().cloned().map(Some)).collect();
    NestBuilder { setting, program, sizes, groups: Some(groups), reads: &reads, writes }.build()
}

/// A prepared convolution.
pub(crate) struct ConvTask {
    shape: ConvShape,
    /// The sides are bfloat16.
    pairs: Option<Paired>,
    a: Lane,
    b: Lane,
    /// Without an epilogue, where the result goes.
    out: Option<Lane>,
    finish: Option<LoopNest>,
    /// The sides are int8; they are float32 otherwise.
    bytes: bool,
    work: usize,
    empty: bool,
}

impl ConvTask {
    pub fn new(plan: &Plan, launch: &Launch, setting: &Setting) -> Result<ConvTask> {
        let Kernel::Conv { conv: c, x, w, y, epilogue: program } = &launch.kernel else {
            return Err(Error::new("not a convolution"));
        };
        let (x, w, y) = (setting.sizes(x)?, setting.sizes(w)?, setting.sizes(y)?);
        let n = c.strides.len();
        let reads = setting.views(&launch.reads)?;
        let writes = setting.views(&launch.writes)?;
        let ranks = [x.len(), w.len(), y.len()].iter().all(|r| *r == n + 2);
        if !ranks || c.dilation.len() != n || c.pad_lo.len() != n || reads.len() < 2 || writes.is_empty() {
            return Err(Error::new("a convolution's views do not fit its axes"));
        }
        let shape = ConvShape {
            kind: c.kind,
            batch: x[0],
            x: three(&x[1..=n], 1)?,
            k: three(&w[..n], 1)?,
            y: three(&y[1..=n], 1)?,
            stride: three(&c.strides, 1)?,
            dilation: three(&c.dilation, 1)?,
            pad_lo: three(&setting.sizes(&c.pad_lo)?, 0)?,
            groups: c.groups,
            c_in: x[n + 1],
            c_out: y[n + 1],
        };
        let [_, _, result] = c.kind.sides([&x, &w, &y]);
        let finish = match program {
            Some(p) => Some(epilogue(setting, p, result, [0, n + 1, 1], &reads[2..], &writes)?),
            None => None,
        };
        let dtype = plan.buffers[reads[0].buffer].dtype;
        let sides = [aligned(plan, &reads[0]), aligned(plan, &reads[1])];
        let pairs = (dtype == DType::BF16).then(|| Paired::new(&shape, sides));
        let (bytes, _) = sums_of(dtype);
        if bytes && c.kind != ConvKind::Forward {
            return Err(Error::new("there are no gradients of int8 convolutions"));
        }
        let work = match &pairs {
            Some(p) => p.scratch_len(setting.threads),
            None if bytes => conv_bytes_scratch_len(&shape, setting.threads),
            None => conv_scratch_len(false, &shape, setting.threads),
        };
        Ok(ConvTask {
            shape,
            pairs,
            a: reads[0].clone(),
            b: reads[1].clone(),
            out: finish.is_none().then(|| writes[0].clone()),
            finish,
            work,
            bytes,
            empty: result.contains(&0),
        })
    }

    pub fn scratch(&self) -> usize {
        self.work * 4
    }

    /// # Safety
    /// As for `Task::run`.
    pub unsafe fn run(&self, cx: Context) {
        if self.empty {
            return;
        }
        // SAFETY: the plan's views are contiguous and inside their buffers; scratch is as large as asked for.
        unsafe {
            let finish = self.finish.as_ref().map(|nest| Finish { nest, table: cx.table, batch: 0 });
            let epilogue = finish.as_ref().map(|f| f as &dyn Epilogue);
            match &self.pairs {
                Some(pairs) => pairs.run(self.args(cx, epilogue)),
                None if self.bytes => conv_bytes(self.args(cx, epilogue)),
                None => conv(self.args(cx, epilogue)),
            }
        }
    }

    /// # Safety
    /// As for `Task::run`; `T` is what the sides hold.
    unsafe fn args<'a, T>(&'a self, cx: Context<'a>, epilogue: Option<&'a dyn Epilogue>) -> ConvArgs<'a, T> {
        // SAFETY: the frame's contract, 2 and 6.
        unsafe {
            ConvArgs {
                isa: cx.isa,
                pairs: false,
                pool: cx.pool,
                s: &self.shape,
                a: cx.at(&self.a),
                b: cx.at(&self.b),
                out: self.out.as_ref().map(|l| cx.at(l)),
                epilogue,
                scratch: std::ptr::slice_from_raw_parts_mut(cx.scratch.cast(), self.work),
            }
        }
    }
}
