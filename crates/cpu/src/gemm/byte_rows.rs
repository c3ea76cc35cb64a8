//! Products of a few rows of int8: the right side is read once, where it lies, four rows at a time. Its bytes are
//! flipped to 0..=255 on the way, which adds to each sum 128 times the sum of the left row.

use super::GemmArgs;
use crate::isa::Isa;
use crate::simd::Simd;
use crate::simd::bytes::{ByteDots, I, Lanewise};
use crate::simd::portable::Portable;

/// Most rows of the left side.
pub(super) const ROWS: usize = 4;
/// Columns of a task.
const COLS: usize = 256;
/// Bytes of the right side from which on it is shared among threads.
const SPLIT: usize = 1 << 18;
/// Bytes of a row of the right side that are read at once, at most.
const WIDTH: usize = 64;

/// Whether a product is computed this way: few rows, and a right side whose columns are neighbours.
pub(super) fn fits(args: &GemmArgs<i8>) -> bool {
    args.m <= ROWS && args.b.cs == 1 && args.b.rs >= args.n as isize
}

/// Bytes from row to row of the copied left side.
fn row_len(k: usize) -> usize {
    k.next_multiple_of(64)
}

/// Numbers of scratch memory that [`run`] needs: the left side, a result for each worker.
pub(super) fn scratch_len(batch: usize, k: usize, threads: usize) -> usize {
    16 + batch * ROWS * (row_len(k) / 4 + 16) + threads * ROWS * COLS
}

/// Some columns of one product.
struct Strip {
    /// Left side, rows padded by zeros.
    a: *const u8,
    /// 128 times the sums of its rows.
    sums: *const i32,
    rows: usize,
    k: usize,
    /// Right side: first column, distance between rows, and bytes that may be read from there on.
    b: *const u8,
    ld: usize,
    readable: usize,
    /// Result.
    c: *mut i32,
    c_ld: usize,
    cols: usize,
}

/// Everything that the tasks of one product share.
struct Product<'a> {
    args: GemmArgs<'a, i8>,
    /// Copies of the left sides, 128 times the sums of their rows, and a result for each worker.
    left: *mut u8,
    sums: *mut i32,
    tiles: *mut f32,
    kernel: MicroKernel,
}

// SAFETY: tasks read the operands and their copies, which nobody writes meanwhile, and write disjoint parts of the
// result and of the scratch memory.
unsafe impl Sync for Product<'_> {}

/// Computes the product.
///
/// # Safety
/// As for [`super::gemm_bytes`].
pub(super) unsafe fn run(args: GemmArgs<i8>) {
    let GemmArgs { isa, pool, batch, m, n, k, .. } = args;
    let left = super::cache_line(args.scratch).cast::<u8>();
    let sums = left.wrapping_add(batch * ROWS * row_len(k)).cast::<i32>();
    let tiles = sums.wrapping_add(batch * ROWS * 16).cast();
    let p = Product { args, left, sums, tiles, kernel: kernel(isa) };
    for (q, i) in (0..batch).flat_map(|q| (0..m).map(move |i| (q, i))) {
        // SAFETY: the frame's contract, 2 and 6.
        unsafe { p.copy(q, i) };
    }
    let tasks = batch * n.div_ceil(COLS);
    // SAFETY: the frame's contract, 2 and 6.
    let task = |worker: usize, task: usize| unsafe { p.task(worker, task) };
    pool.run_if(batch * k * n >= SPLIT, tasks, &task);
}

impl Product<'_> {
    /// Copies row `i` of the left side of product `q`.
    unsafe fn copy(&self, q: usize, i: usize) {
        let (a, k) = (self.args.a, self.args.k);
        let row = a.ptr.wrapping_offset(a.batch.at(q) + i as isize * a.rs);
        let to = self.left.wrapping_add((q * ROWS + i) * row_len(k)).cast::<i8>();
        // SAFETY: the caller vouches for the left side; the scratch memory has room for its copies.
        unsafe {
            let line = std::slice::from_raw_parts_mut(to, row_len(k));
            let (values, rest) = line.split_at_mut(k);
            values.iter_mut().enumerate().for_each(|(p, x)| *x = *row.offset(p as isize * a.cs));
            rest.fill(0);
            *self.sums.add(q * ROWS + i) =
                values.iter().map(|x| i32::from(*x)).sum::<i32>().wrapping_mul(128);
        }
    }

    unsafe fn task(&self, worker: usize, task: usize) {
        let GemmArgs { m, n, k, b, c, epilogue, .. } = self.args;
        let blocks = n.div_ceil(COLS);
        let (q, col) = (task / blocks, task % blocks * COLS);
        let cols = COLS.min(n - col);
        let (to, ld) = match c {
            Some((c, ld, step)) => (c.wrapping_offset(step.at(q)).wrapping_add(col), ld),
            None => (self.tiles.wrapping_add(worker * ROWS * COLS), cols),
        };
        let strip = Strip {
            a: self.left.wrapping_add(q * ROWS * row_len(k)),
            sums: self.sums.wrapping_add(q * ROWS),
            rows: m,
            k,
            b: b.ptr.wrapping_offset(b.batch.at(q) + col as isize).cast(),
            ld: b.rs as usize,
            readable: k.saturating_sub(1) * b.rs as usize + n - col,
            c: to.cast(),
            c_ld: ld,
            cols,
        };
        // SAFETY: the strip lies inside the operands; strips of tasks are disjoint.
        unsafe { (self.kernel)(&strip) };
        if let Some(e) = epilogue {
            e.block(q, 0, m, col, cols, to, ld);
        }
    }
}

#[inline(always)]
unsafe fn strip<D: ByteDots>(s: &Strip) {
    for col in (0..s.cols).step_by(4 * D::S::LANES) {
        // SAFETY: the frame's contract, 2 and 6.
        unsafe {
            match s.rows {
                1 => columns::<D, 1>(s, col),
                2 => columns::<D, 2>(s, col),
                3 => columns::<D, 3>(s, col),
                _ => columns::<D, 4>(s, col),
            }
        }
    }
}

/// As many columns as four vectors hold, or the last ones.
#[inline(always)]
unsafe fn columns<D: ByteDots, const R: usize>(s: &Strip, col: usize) {
    // SAFETY: the caller vouches for the strip. Rows that cannot be read in full width are copied first.
    unsafe {
        let width = 4 * D::S::LANES;
        let cols = width.min(s.cols - col);
        let flip = D::S::isplat(i32::from_ne_bytes([0x80; 4]));
        let mut acc: [[I<D>; 4]; R] =
            std::array::from_fn(|i| [D::S::isplat((*s.sums.add(i)).wrapping_neg()); 4]);
        let mut spare = [[0u8; WIDTH]; 4];
        for p in (0..s.k).step_by(4) {
            let rows: [*const u8; 4] = std::array::from_fn(|q| {
                let at = (p + q) * s.ld + col;
                if p + q < s.k && at + width <= s.readable {
                    return s.b.wrapping_add(at);
                }
                if p + q < s.k {
                    std::ptr::copy_nonoverlapping(s.b.add(at), spare[q].as_mut_ptr(), cols);
                }
                spare[q].as_ptr()
            });
            let lines = D::interleave(rows).map(|v| D::S::ixor(v, flip));
            for (i, sums) in acc.iter_mut().enumerate() {
                let x = D::S::isplat(s.a.add(i * row_len(s.k) + p).cast::<i32>().read_unaligned());
                for (sum, v) in sums.iter_mut().zip(lines) {
                    *sum = D::dot4(*sum, v, x);
                }
            }
        }
        for (i, sums) in acc.into_iter().enumerate() {
            let mut line = [0i32; WIDTH];
            for (q, v) in sums.into_iter().enumerate() {
                let mut lanes = [0i32; 16];
                D::S::store(lanes.as_mut_ptr().cast(), D::S::float(v));
                for (l, four) in lanes.chunks_exact(4).enumerate().take(D::S::LANES / 4) {
                    line[16 * l + 4 * q..16 * l + 4 * q + 4].copy_from_slice(four);
                }
            }
            std::ptr::copy_nonoverlapping(line.as_ptr(), s.c.add(i * s.c_ld + col), cols);
        }
    }
}

type MicroKernel = unsafe fn(&Strip);

fn kernel(isa: Isa) -> MicroKernel {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 if is_x86_feature_detected!("avx512vnni") => vnni,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 | Isa::Avx2 => avx2,
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => neon,
        _ => portable,
    }
}

macro_rules! kernels {
    ($($(#[$feature:meta])* $name:ident: $dots:ty;)*) => {
        $($(#[$feature])*
        unsafe fn $name(s: &Strip) {
            // SAFETY: the frame's contract, 2 and 6.
            unsafe { strip::<$dots>(s) }
        })*
    };
}
kernels! {
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512vnni,avx2,fma")]
    vnni: crate::simd::bytes::Vnni;
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    avx2: crate::simd::bytes::Pairs;
    #[cfg(target_arch = "aarch64")]
    #[target_feature(enable = "neon")]
    neon: Lanewise<crate::simd::neon::Neon>;
    portable: Lanewise<Portable>;
}
