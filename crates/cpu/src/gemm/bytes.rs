//! Products of int8 matrices with exact int32 sums: the right side is packed once, then blocks of the result are
//! computed from copies of rows of the left side.

use super::byte_tile::{ByteKernel, ByteTile, Columns, STRIP, strip_len};
use super::drive::{Grid, SPLIT, cache_line};
use super::{GemmArgs, MatView, byte_rows};

/// Bytes from row to row of a copied block: an odd number of cache lines, so that rows fall in different sets.
fn row_len(k: usize) -> usize {
    (k.next_multiple_of(4).div_ceil(64) | 1) * 64
}

/// Sizes of a product and the cuts that follow from them. A product of bytes costs a fourth of one of floats.
struct Cut {
    grid: Grid,
    strip: usize,
    strips: usize,
    rows: usize,
    cols: usize,
}

impl Cut {
    fn new(batch: usize, m: usize, n: usize, k: usize) -> Cut {
        let grid = Grid::new(batch, m, n, k.div_ceil(4));
        let (rows, cols) = grid.largest(m, n);
        Cut { grid, strip: strip_len(1, k), strips: n.div_ceil(STRIP), rows, cols }
    }

    /// Bytes of a worker: copied rows, result.
    fn worker_len(&self, k: usize) -> [usize; 2] {
        [self.rows * row_len(k), (self.rows * self.cols * 4).next_multiple_of(64)]
    }
}

/// Numbers of scratch memory that [`gemm_bytes`] needs.
pub fn scratch_len_bytes(batch: usize, m: usize, n: usize, k: usize, threads: usize) -> usize {
    let rows = if m <= byte_rows::ROWS { byte_rows::scratch_len(batch, k, threads) } else { 0 };
    let cut = Cut::new(batch, m, n, k);
    let workers = threads * cut.worker_len(k).iter().sum::<usize>();
    rows.max(16 + (batch * cut.strips * cut.strip + workers).div_ceil(4))
}

/// Everything that the tasks of one product share.
struct Product<'a> {
    args: GemmArgs<'a, i8>,
    cut: Cut,
    kernel: &'static ByteKernel,
    packed: *mut u8,
    workers: *mut u8,
}

// SAFETY: tasks read the operands, which nobody writes, and write disjoint blocks of the result and of the
// scratch memory.
unsafe impl Sync for Product<'_> {}

/// Computes the product; its numbers are int32.
///
/// # Safety
/// All elements that the views name must be valid for reading, those of `c` for writing, and nothing else may
/// use those of `c` meanwhile.
pub unsafe fn gemm_bytes(args: GemmArgs<i8>) {
    let GemmArgs { isa, pool, batch, m, n, k, b, .. } = args;
    if batch * m * n == 0 {
        return;
    }
    assert!(
        args.scratch.len() >= scratch_len_bytes(batch, m, n, k, pool.threads()),
        "scratch memory is too small"
    );
    if byte_rows::fits(&args) {
        // SAFETY: the frame's contract, 2 and 6.
        return unsafe { byte_rows::run(args) };
    }
    let cut = Cut::new(batch, m, n, k);
    let packed = cache_line(args.scratch).cast::<u8>();
    let workers = packed.wrapping_add(batch * cut.strips * cut.strip);
    let (tasks, strips) = (batch * cut.grid.tasks(), cut.strips);
    let p = Product { args, cut, kernel: ByteKernel::of(isa), packed, workers };
    // A right side shared by all products is packed once.
    let packs = strips * if b.batch.is_shared() { 1 } else { batch };
    // SAFETY: the caller vouches for the operands.
    let (pack, task) = (
        |_: usize, i: usize| unsafe { p.pack(i / strips, i % strips) },
        |worker: usize, task: usize| unsafe { p.block(worker, task) },
    );
    pool.run_if(packs * k * STRIP >= 1 << 15, packs, &pack);
    pool.run_if(0.5 * batch as f64 * m as f64 * n as f64 * k as f64 >= SPLIT, tasks, &task);
}

impl Product<'_> {
    fn packed_at(&self, q: usize, strip: usize) -> *mut u8 {
        let q = if self.args.b.batch.is_shared() { 0 } else { q };
        self.packed.wrapping_add((q * self.cut.strips + strip) * self.cut.strip)
    }

    unsafe fn pack(&self, q: usize, strip: usize) {
        let (b, col) = (self.args.b, strip * STRIP);
        let columns = Columns {
            from: b.ptr.wrapping_offset(b.batch.at(q) + col as isize * b.cs),
            rs: b.rs,
            cs: b.cs,
            runs: 1,
            len: self.args.k,
            cols: STRIP.min(self.args.n - col),
        };
        // SAFETY: the columns lie inside the right side; strips are disjoint in the scratch memory.
        unsafe { (self.kernel.pack)(&columns, self.packed_at(q, strip)) }
    }

    unsafe fn block(&self, worker: usize, task: usize) {
        let GemmArgs { m, n, k, a, c, epilogue, .. } = self.args;
        let (q, (r0, r1), (c0, c1)) = self.cut.grid.block(task, m, n);
        if r1 <= r0 || c1 <= c0 {
            return;
        }
        let [rows_len, c_len] = self.cut.worker_len(k);
        let own = self.workers.wrapping_add(worker * (rows_len + c_len));
        let from = a.ptr.wrapping_offset(a.batch.at(q) + r0 as isize * a.rs);
        let (to, ld) = match c {
            Some((c, ld, step)) => (c.wrapping_offset(step.at(q)).wrapping_add(r0 * ld + c0), ld),
            None => (own.wrapping_add(rows_len).cast(), c1 - c0),
        };
        // SAFETY: the block lies inside the operands; blocks and workers' memory are disjoint.
        unsafe {
            copy_rows(self.kernel, MatView { ptr: from, ..a }, r1 - r0, k, own);
            let panel = self.kernel.columns(r1 - r0, c1 - c0);
            for col in (c0..c1).step_by(panel) {
                let tile = ByteTile {
                    runs: &0,
                    count: 1,
                    groups: k.div_ceil(4),
                    a: own,
                    a_rs: row_len(k),
                    b: self.packed_at(q, 0),
                    strip: self.cut.strip,
                    col,
                    cols: panel.min(c1 - col),
                    c: to.wrapping_add(col - c0).cast(),
                    c_ld: ld,
                };
                self.kernel.run(tile, r1 - r0);
            }
        }
        if let Some(e) = epilogue {
            e.block(q, r0, r1 - r0, c0, c1 - c0, to, ld);
        }
    }
}

/// Rows of `from`, flipped, as the tiles read them.
unsafe fn copy_rows(kernel: &ByteKernel, from: MatView<i8>, rows: usize, k: usize, to: *mut u8) {
    for i in 0..rows {
        let (row, line) = (from.ptr.wrapping_offset(i as isize * from.rs), to.wrapping_add(i * row_len(k)));
        // SAFETY: the caller vouches for the rows and for their copies.
        unsafe {
            if from.cs == 1 {
                (kernel.flip)(row.cast(), line, k);
            } else {
                (0..k).for_each(|p| *line.add(p) = *row.offset(p as isize * from.cs) as u8 ^ 0x80);
            }
        }
    }
}
