//! How a product is cut in blocks and handed to threads. The cuts depend on the shape alone.

use super::long::{self, is_long};
use super::pack::{block_len, copy_block, pack_panel, panel_ld};
use super::tile::{Dots, MicroKernel, Tile};
use super::{Epilogue, GemmArgs, MatView};

/// Most rows and columns of a block, and the length of sums between two visits of its elements: a copied block of
/// the left side, a panel of the right side and the result then stay in a second-level cache of 1 MiB.
const ROWS: usize = 168;
const COLS: usize = 256;
const DEPTH: usize = 384;
/// Operations below which a split costs more than it saves when the other cores are busy: some microseconds.
pub(crate) const SPLIT: f64 = 2e6;
/// Sums long enough that lines fetched meanwhile do not hold up the tile itself.
const AHEAD: usize = 64;

/// The blocks of a product.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    rows: usize,
    cols: usize,
    /// Blocks start at multiples of so many columns, which every tile width divides.
    quantum: usize,
}

impl Grid {
    pub fn new(batch: usize, m: usize, n: usize, k: usize) -> Grid {
        let quantum = if m <= 6 { 128 } else { 32 };
        let mut g = Grid { rows: m.div_ceil(ROWS).max(1), cols: n.div_ceil(COLS).max(1), quantum };
        let work = 2.0 * batch as f64 * m as f64 * n as f64 * k as f64;
        loop {
            let tasks = batch * g.rows * g.cols;
            let each = work / tasks.max(1) as f64;
            let few = (tasks < 8 && each > 3e5) || (tasks < 16 && each > 3e6) || (tasks < 64 && each > 3e7);
            let few = few && work >= SPLIT;
            let (high, wide) = (m / g.rows, n / g.cols);
            if few && high >= 28 && (high >= wide || wide < 2 * quantum) {
                g.rows *= 2;
            } else if few && wide >= 2 * quantum {
                g.cols *= 2;
            } else {
                return g;
            }
        }
    }

    fn row_range(&self, i: usize, m: usize) -> (usize, usize) {
        (i * m / self.rows, (i + 1) * m / self.rows)
    }

    fn col_range(&self, j: usize, n: usize) -> (usize, usize) {
        let quanta = n.div_ceil(self.quantum);
        let at = |j: usize| (j * quanta / self.cols * self.quantum).min(n);
        (at(j), at(j + 1))
    }

    /// Number of blocks of one product.
    pub fn tasks(&self) -> usize {
        self.rows * self.cols
    }

    /// Number of the product, rows and columns of a task's block.
    pub fn block(&self, task: usize, m: usize, n: usize) -> (usize, (usize, usize), (usize, usize)) {
        let (j, rest) = (task % self.cols, task / self.cols);
        let (q, i) = (rest / self.rows, rest % self.rows);
        (q, self.row_range(i, m), self.col_range(j, n))
    }

    /// Most rows and columns of a block.
    pub fn largest(&self, m: usize, n: usize) -> (usize, usize) {
        (m.div_ceil(self.rows), n.div_ceil(self.quantum).div_ceil(self.cols) * self.quantum)
    }

    /// Numbers of a worker's copies of a left block and of a panel, and of its result block.
    fn worker_len(&self, m: usize, n: usize, k: usize) -> [usize; 3] {
        let (rows, cols) = self.largest(m, n);
        let panel = k.min(DEPTH) * n.min(self.quantum).next_multiple_of(16);
        [block_len(rows, k.min(DEPTH)), panel, (rows * cols).next_multiple_of(16)]
    }
}

/// Numbers of scratch memory that [`gemm`] needs.
pub fn scratch_len(batch: usize, m: usize, n: usize, k: usize, threads: usize) -> usize {
    let of = |m: usize, n: usize| {
        if is_long(batch, m, n, k) {
            long::scratch_len(m, n, k, threads)
        } else {
            run_scratch_len(batch, m, n, k, threads)
        }
    };
    if n == 1 { of(m, 1).max(of(1, m)) } else { of(m, n) }
}

/// Numbers of scratch memory that [`run`] needs.
pub(super) fn run_scratch_len(batch: usize, m: usize, n: usize, k: usize, threads: usize) -> usize {
    let worker: usize = Grid::new(batch, m, n, k).worker_len(m, n, k).iter().sum();
    16 + batch * k * n.next_multiple_of(16) + threads * worker
}

/// The first cache line of scratch memory, at most 16 numbers in.
pub(crate) fn cache_line(scratch: *mut [f32]) -> *mut f32 {
    let first = scratch.cast::<f32>();
    first.wrapping_add(first.align_offset(64).min(16))
}

/// How the tiles come by the right side.
#[derive(Clone, Copy, PartialEq)]
enum Packing {
    /// As it is in memory.
    Direct,
    /// Packed before all tasks, in the scratch memory.
    Packed,
    /// Packed by the tasks, of which no two need the same panel.
    OwnPack,
    /// There are no tiles: a vector is multiplied with columns that lie side by side.
    Dots,
}

/// Whether the tiles are better off with a copy of an operand: it has no neighbours, or rows at multiples of a page,
/// which fall on each other in the first-level cache. Any other one is read where it lies: who writes a copy for
/// others moves its cache lines from core to core, which costs more than lines that are not packed.
fn scattered(v: MatView) -> bool {
    let (rs, cs) = (v.rs.unsigned_abs(), v.cs.unsigned_abs());
    let far = rs.max(cs);
    far >= 128 && (rs.min(cs) != 1 || far.is_multiple_of(1024))
}

/// Everything that the tasks of one product share.
struct Product<'a> {
    args: GemmArgs<'a>,
    grid: Grid,
    kernel: &'static MicroKernel,
    width: usize,
    copy_a: bool,
    /// The epilogue is told ahead of what it will finish.
    ahead: bool,
    right: Packing,
    packed: *mut f32,
    workers: *mut f32,
}

// SAFETY: tasks read the operands, which nobody writes, and write disjoint blocks of the result and of the
// scratch memory.
unsafe impl Sync for Product<'_> {}

/// Sees rows where the product has columns.
struct Flipped<'a>(&'a dyn Epilogue);

impl Epilogue for Flipped<'_> {
    fn block(&self, batch: usize, _: usize, _: usize, col: usize, cols: usize, tile: *mut f32, _: usize) {
        self.0.block(batch, col, cols, 0, 1, tile, 1);
    }
}

/// Computes the product.
///
/// # Safety
/// All elements that the views name must be valid for reading, those of `c` for writing, and nothing else may
/// use those of `c` meanwhile.
pub unsafe fn gemm(args: GemmArgs) {
    let GemmArgs { isa, pairs, pool, batch, m, n, k, a, b, .. } = args;
    if batch * m * n == 0 {
        return;
    }
    assert!(args.scratch.len() >= scratch_len(batch, m, n, k, pool.threads()), "scratch memory is too small");
    let flip = |v: MatView| MatView { rs: v.cs, cs: v.rs, ..v };
    // SAFETY: the frame's contract, 2 and 6.
    unsafe {
        // A single column that is contiguous is a single row, along which vectors can run.
        if n == 1 && m > 1 && args.c.is_none_or(|(_, ld, _)| ld == 1) {
            let flipped = args.epilogue.map(Flipped);
            let epilogue = flipped.as_ref().map(|e| e as &dyn Epilogue);
            let c = args.c.map(|(c, _, step)| (c, m, step));
            let scratch = args.scratch;
            let (a, b) = (flip(b), flip(a));
            run(GemmArgs { isa, pairs, pool, batch, m: 1, n: m, k, a, b, c, epilogue, scratch });
        } else if is_long(batch, m, n, k) {
            long::long(args);
        } else {
            run(args);
        }
    }
}

/// Computes the product, block by block.
///
/// # Safety
/// As for [`gemm`].
pub(super) unsafe fn run(mut args: GemmArgs) {
    let GemmArgs { isa, pairs, pool, batch, m, n, k, .. } = args;
    if n == 1 {
        args.b.cs = 1;
    }
    if m == 1 && k == 1 {
        args.a.cs = 1;
    }
    let (a, b) = (args.a, args.b);
    let grid = Grid::new(batch, m, n, k);
    let kernel = MicroKernel::of(isa, pairs);
    let width = kernel.width(m.div_ceil(grid.rows), n);
    let right = if m == 1 && a.cs == 1 && b.rs == 1 && b.cs != 1 {
        Packing::Dots
    } else if b.cs == 1 && (m <= 3 * kernel.rows(width) || !scattered(b)) {
        Packing::Direct
    } else if grid.rows == 1 && (batch == 1 || !b.batch.is_shared()) {
        Packing::OwnPack
    } else {
        Packing::Packed
    };
    let copy_a = scattered(a) && m > 1 && k > 32 && n > 2 * kernel.columns(width);
    let packed = cache_line(args.scratch);
    let workers = packed.wrapping_add(batch * k * n.next_multiple_of(16));
    let splits = 2.0 * batch as f64 * m as f64 * n as f64 * k as f64 >= SPLIT;
    let ahead = splits && k >= AHEAD;
    let p = Product { args, grid, kernel, width, copy_a, ahead, right, packed, workers };
    if right == Packing::Packed {
        p.pack();
    }
    let tasks = batch * grid.tasks();
    // SAFETY: the caller vouches for the operands.
    let task = |worker: usize, task: usize| unsafe { p.block(worker, task) };
    pool.run_if(splits, tasks, &task);
}

impl Product<'_> {
    /// Columns of a panel.
    fn panel(&self) -> usize {
        self.kernel.columns(self.width)
    }

    /// The part of the right side of product `q` from row `k`, column `col` on.
    fn right_at(&self, q: usize, k: usize, col: usize) -> MatView {
        let b = self.args.b;
        let at = b.batch.at(q) + k as isize * b.rs + col as isize * b.cs;
        MatView { ptr: b.ptr.wrapping_offset(at), ..b }
    }

    /// Where row `k` of the packed panel at column `col` of product `q` is, and its row distance.
    fn packed_at(&self, q: usize, k: usize, col: usize) -> (*mut f32, usize) {
        let n = self.args.n;
        let ld = panel_ld(self.kernel, self.panel().min(n - col));
        // A right side shared by all products is packed once.
        let q = if self.args.b.batch.is_shared() { 0 } else { q };
        let start = self.args.k * (q * n.next_multiple_of(16) + col);
        (self.packed.wrapping_add(start + k * ld), ld)
    }

    fn pack(&self) {
        let (n, k) = (self.args.n, self.args.k);
        let batch = if self.args.b.batch.is_shared() { 1 } else { self.args.batch };
        let (chunks, panels) = (k.div_ceil(DEPTH), n.div_ceil(self.panel()));
        let task = |_: usize, task: usize| {
            let (row, panel) = (task % chunks * DEPTH, task / chunks);
            let (q, col) = (panel / panels, panel % panels * self.panel());
            self.pack_part(q, row, col, self.packed_at(q, row, col).0);
        };
        let tasks = batch * panels * chunks;
        self.args.pool.run_if(batch * n * k >= 1 << 13, tasks, &task);
    }

    /// Packs at most `DEPTH` rows, from `row` on, of the panel at column `col`.
    fn pack_part(&self, q: usize, row: usize, col: usize, to: *mut f32) {
        let (rows, cols) = (DEPTH.min(self.args.k - row), self.panel().min(self.args.n - col));
        let ld = panel_ld(self.kernel, cols);
        // SAFETY: the part lies inside the right side; there is room for it at `to`, where no other task writes.
        unsafe { pack_panel(self.kernel, self.right_at(q, row, col), rows, cols, ld, to) };
    }

    unsafe fn block(&self, worker: usize, task: usize) {
        let GemmArgs { m, n, k, a, c, epilogue, .. } = self.args;
        let (q, (r0, r1), (c0, c1)) = self.grid.block(task, m, n);
        let lens = self.grid.worker_len(m, n, k);
        let own = self.workers.wrapping_add(worker * lens.iter().sum::<usize>());
        let (to, ld) = match c {
            Some((c, ld, step)) => (c.wrapping_offset(step.at(q)).wrapping_add(r0 * ld + c0), ld),
            None => (own.wrapping_add(lens[0] + lens[1]), c1 - c0),
        };
        // SAFETY: the block lies inside the operands; blocks are disjoint.
        unsafe {
            if self.right == Packing::Dots {
                let (rows, v) = (self.right_at(q, 0, c0), a.ptr.wrapping_offset(a.batch.at(q)));
                let dots = Dots {
                    seg: &[0, 0],
                    segs: 1,
                    len: k,
                    rows: c1 - c0,
                    a: rows.ptr,
                    a_rs: rows.cs,
                    b: v,
                    c: to,
                    c_ld: 1,
                };
                (self.kernel.dots)(&dots);
            } else {
                (0..k.max(1))
                    .step_by(DEPTH)
                    .for_each(|k0| self.layer(q, k0, [r0, r1], [c0, c1], own, to, ld));
            }
        }
        if let (Some(e), true) = (epilogue, r1 > r0 && c1 > c0) {
            e.block(q, r0, r1 - r0, c0, c1 - c0, to, ld);
        }
    }

    /// Adds the part of the sums from `k0` on, at most `DEPTH` long, to a block at `to`.
    unsafe fn layer(
        &self,
        q: usize,
        k0: usize,
        [r0, r1]: [usize; 2],
        [c0, c1]: [usize; 2],
        own: *mut f32,
        to: *mut f32,
        ld: usize,
    ) {
        let GemmArgs { m, n, k, a, .. } = self.args;
        let panel = own.wrapping_add(self.grid.worker_len(m, n, k)[0]);
        let depth = DEPTH.min(k - k0);
        let at = a.batch.at(q) + r0 as isize * a.rs + k0 as isize * a.cs;
        let mut from = MatView { ptr: a.ptr.wrapping_offset(at), ..a };
        if self.copy_a {
            // SAFETY: the block lies inside the left side; `own` is this worker's.
            from = unsafe { copy_block(from, r1 - r0, depth, own) };
        }
        for col in (c0..c1).step_by(self.panel()) {
            let (b, b_ks) = match self.right {
                Packing::Packed => self.packed_at(q, k0, col),
                Packing::OwnPack => {
                    self.pack_part(q, k0, col, panel);
                    (panel, panel_ld(self.kernel, self.panel().min(n - col)))
                }
                _ => (self.right_at(q, k0, col).ptr.cast_mut(), self.args.b.rs as usize),
            };
            let tile = Tile {
                seg: &[0, 0],
                segs: 1,
                len: depth,
                a: from.ptr,
                a_rs: from.rs,
                a_cs: from.cs,
                b,
                b_ks: b_ks as isize,
                c: to.wrapping_add(col - c0),
                c_ld: ld,
                cols: self.panel().min(c1 - col),
                accumulate: k0 > 0,
            };
            // SAFETY: the tile lies inside the block.
            unsafe {
                match self.args.epilogue {
                    Some(e) if self.ahead && k0 + depth == k => {
                        self.kernel.run_each(tile, r1 - r0, self.width, |rows, cols| {
                            e.prefetch(q, rows.map(|i| r0 + i), cols.map(|j| col + j));
                        })
                    }
                    _ => self.kernel.run(tile, r1 - r0, self.width),
                }
            };
        }
    }
}
