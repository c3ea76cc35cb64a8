//! The inner kernel of int8 products: a tile of sums in registers, four products to a lane. The left side comes with
//! its bytes flipped to 0..=255, as the instructions want one side without signs; the right side is packed in strips
//! of 16 columns, each headed by what the flip adds to its sums.

use crate::isa::Isa;
use crate::simd::bytes::{ByteDots, I, Lanewise};
use crate::simd::{Simd, portable::Portable};

/// Columns of a strip.
pub(crate) const STRIP: usize = 16;
/// Bytes of a strip's head, and of four rows of it.
const LINE: usize = 4 * STRIP;

/// Bytes of a packed strip whose sums consist of `runs` of `len` products.
pub(crate) fn strip_len(runs: usize, len: usize) -> usize {
    LINE * (1 + runs * len.div_ceil(4))
}

/// A tile `c[i, j] = sum over runs r and p < len of a[runs[r] + i * a_rs + p] * b[r, p, j]`.
#[derive(Clone, Copy)]
pub(crate) struct ByteTile {
    /// Where each run starts in a row of the left side.
    pub runs: *const u32,
    /// Number of runs.
    pub count: usize,
    /// Groups of four products in a run. Up to three bytes behind a run are read; their products are zero.
    pub groups: usize,
    /// Left side, flipped.
    pub a: *const u8,
    /// Distance between its rows.
    pub a_rs: usize,
    /// Right side: packed strips.
    pub b: *const u8,
    /// Distance between strips.
    pub strip: usize,
    /// First column.
    pub col: usize,
    /// Columns.
    pub cols: usize,
    /// Result; its columns are neighbours.
    pub c: *mut i32,
    /// Distance between its rows.
    pub c_ld: usize,
}

#[inline(always)]
unsafe fn tile<D: ByteDots, const R: usize, const N: usize>(t: &ByteTile) {
    // SAFETY: the caller vouches for all that the tile names; strips hold whole vectors.
    unsafe {
        let load = |p: *const u8| D::S::bits(D::S::load(p.cast()));
        let strips: [*const u8; N] = std::array::from_fn(|j| {
            let col = t.col + j * D::S::LANES;
            t.b.add(col / STRIP * t.strip + col % STRIP * 4)
        });
        let head: [I<D>; N] = strips.map(load);
        let mut acc = [head; R];
        let mut at = LINE;
        for r in 0..t.count {
            let mut a = t.a.add(*t.runs.add(r) as usize);
            for _ in 0..t.groups {
                let row: [I<D>; N] = strips.map(|s| load(s.add(at)));
                for (i, sums) in acc.iter_mut().enumerate() {
                    let x = D::S::isplat(a.add(i * t.a_rs).cast::<i32>().read_unaligned());
                    for (sum, v) in sums.iter_mut().zip(row) {
                        *sum = D::dot4(*sum, x, v);
                    }
                }
                a = a.wrapping_add(4);
                at += LINE;
            }
        }
        let mask = D::S::part(t.cols - (N - 1) * D::S::LANES);
        for (i, row) in acc.into_iter().enumerate() {
            for (j, v) in row.into_iter().enumerate() {
                let (p, v) = (t.c.add(i * t.c_ld + j * D::S::LANES).cast(), D::S::float(v));
                if j + 1 < N { D::S::store(p, v) } else { D::S::store_part(p, v, mask) }
            }
        }
    }
}

/// Columns of the right side to be packed: element (r, p, j) is at `from + (r * len + p) * rs + j * cs`.
#[derive(Clone, Copy)]
pub(crate) struct Columns {
    /// First element.
    pub from: *const i8,
    /// Distance between rows.
    pub rs: isize,
    /// Distance between columns.
    pub cs: isize,
    /// Number of runs.
    pub runs: usize,
    /// Length of a run.
    pub len: usize,
    /// Columns, at most [`STRIP`].
    pub cols: usize,
}

impl Columns {
    /// Four rows of a run from row `p` on, in the order of a strip; what is outside is zero.
    #[inline(always)]
    unsafe fn line(&self, run: usize, p: usize) -> [u8; LINE] {
        let mut line = [0; LINE];
        let first = self.from.wrapping_offset((run * self.len + p) as isize * self.rs);
        for q in 0..4.min(self.len - p) {
            for j in 0..self.cols {
                // SAFETY: the caller vouches for the columns.
                line[4 * j + q] = unsafe { *first.offset(q as isize * self.rs + j as isize * self.cs) } as u8;
            }
        }
        line
    }

    /// The same for four whole rows whose columns are neighbours.
    #[inline(always)]
    unsafe fn whole_line<S: Simd>(&self, run: usize, p: usize, to: *mut u8) {
        let first = self.from.wrapping_offset((run * self.len + p) as isize * self.rs);
        for j in (0..STRIP).step_by(S::LANES) {
            // SAFETY: the caller vouches for the columns and for the line.
            unsafe {
                let row = |q: isize| {
                    S::load_bytes(first.wrapping_offset(q * self.rs).wrapping_add(j).cast(), S::LANES)
                };
                let low = |v: S::I| S::iand(v, S::isplat(255));
                let halves =
                    [S::ior(low(row(0)), S::shl::<8>(low(row(1)))), S::ior(low(row(2)), S::shl::<8>(row(3)))];
                let all = S::ior(halves[0], S::shl::<16>(halves[1]));
                S::store(to.add(4 * j).cast(), S::float(all));
            }
        }
    }
}

#[inline(always)]
unsafe fn pack<D: ByteDots>(c: &Columns, to: *mut u8) {
    let whole = c.cs == 1 && c.cols == STRIP;
    let mut line = to.wrapping_add(LINE);
    // SAFETY: the caller vouches for the columns and for the strip.
    unsafe {
        for (run, p) in (0..c.runs).flat_map(|r| (0..c.len).step_by(4).map(move |p| (r, p))) {
            if whole && p + 4 <= c.len {
                c.whole_line::<D::S>(run, p, line);
            } else {
                line.cast::<[u8; LINE]>().write_unaligned(c.line(run, p));
            }
            line = line.wrapping_add(LINE);
        }
        // The flip adds 128 to each byte of the left side.
        for j in (0..LINE).step_by(4 * D::S::LANES) {
            let mut sums = D::S::isplat(0);
            let mut at = to.wrapping_add(LINE + j);
            while at < line {
                sums = D::dot4(sums, D::S::isplat(0x0101_0101), D::S::bits(D::S::load(at.cast())));
                at = at.wrapping_add(LINE);
            }
            let head = D::S::isub(D::S::isplat(0), D::S::shl::<7>(sums));
            D::S::store(to.add(j).cast(), D::S::float(head));
        }
    }
}

type Run = unsafe fn(&ByteTile);

/// Widths of the tables, in vectors.
const WIDTHS: [usize; 4] = [1, 2, 4, 8];

/// The kernels of one instruction set: of `WIDTHS[w]` vectors, `tables[w][r - 1]` computes `r` rows.
pub(crate) struct ByteKernel {
    lanes: usize,
    tables: [&'static [Run]; 4],
    /// Packs a strip, of [`strip_len`] bytes.
    pub pack: unsafe fn(&Columns, *mut u8),
    /// Flips int8 to 0..=255; source and target may be the same.
    pub flip: unsafe fn(*const u8, *mut u8, usize),
}

impl ByteKernel {
    /// The kernels of `isa`. AVX-512 without VNNI has nothing that AVX2 lacks.
    pub fn of(isa: Isa) -> &'static ByteKernel {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 if is_x86_feature_detected!("avx512vnni") => &vnni::KERNEL,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Avx2 => &avx2::KERNEL,
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => &neon::KERNEL,
            _ => &portable::KERNEL,
        }
    }

    /// Index of the best width for a result of `rows` by `cols`.
    fn width(&self, rows: usize, cols: usize) -> usize {
        let fits = |w: &usize| {
            let most = self.tables[*w].len();
            most > 0 && (WIDTHS[*w] - 1) * self.lanes < cols && (*w <= 2 || rows <= most)
        };
        (0..WIDTHS.len()).rev().find(fits).unwrap_or(0)
    }

    /// Columns of the tiles that a result of `rows` by `cols` is made of: a panel to go through all rows with.
    pub fn columns(&self, rows: usize, cols: usize) -> usize {
        (WIDTHS[self.width(rows, cols)] * self.lanes).next_multiple_of(STRIP)
    }

    /// Computes `rows` by `t.cols` elements.
    ///
    /// # Safety
    /// All that the tile names must be valid, its result for writing; the machine has the set.
    pub unsafe fn run(&self, mut t: ByteTile, rows: usize) {
        let mut cols = t.cols;
        while cols > 0 && rows > 0 {
            let width = self.width(rows, cols);
            let table = self.tables[width];
            t.cols = cols.min(WIDTHS[width] * self.lanes);
            let (mut part, parts) = (t, rows.div_ceil(table.len()));
            for i in 0..parts {
                let count = (i + 1) * rows / parts - i * rows / parts;
                // SAFETY: the part lies inside the tile; `count` is at most the table's length.
                unsafe { table[count - 1](&part) };
                part.a = part.a.wrapping_add(count * t.a_rs);
                part.c = part.c.wrapping_add(count * t.c_ld);
            }
            cols -= t.cols;
            t.col += t.cols;
            t.c = t.c.wrapping_add(t.cols);
        }
    }
}

macro_rules! kernels {
    ($name:ident, $dots:ty, $(#[$feature:meta])?, [$($one:literal)*], [$($two:literal)*], [$($four:literal)*],
     [$($eight:literal)*]) => {
        mod $name {
            use super::*;
            $(#[$feature])?
            unsafe fn run<const R: usize, const N: usize>(t: &ByteTile) {
                // SAFETY: the frame's contract, 2 and 6.
                unsafe { tile::<$dots, R, N>(t) }
            }
            $(#[$feature])?
            unsafe fn run_pack(c: &Columns, to: *mut u8) {
                // SAFETY: the frame's contract, 2 and 6.
                unsafe { pack::<$dots>(c, to) }
            }
            $(#[$feature])?
            unsafe fn flip(from: *const u8, to: *mut u8, n: usize) {
                for i in 0..n {
                    // SAFETY: the caller promises `n` bytes.
                    unsafe { *to.add(i) = *from.add(i) ^ 0x80 };
                }
            }
            pub(super) static KERNEL: ByteKernel = ByteKernel {
                lanes: <<$dots as ByteDots>::S as Simd>::LANES,
                tables: [&[$(run::<$one, 1>),*], &[$(run::<$two, 2>),*], &[$(run::<$four, 4>),*],
                         &[$(run::<$eight, 8>),*]],
                pack: run_pack,
                flip,
            };
        }
    };
}

// Rows so that sums, one row of b and one broadcast fill the registers.
#[cfg(target_arch = "x86_64")]
kernels!(vnni, crate::simd::bytes::Vnni,
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512vnni,avx2,fma")],
    [1 2 3 4 5 6 7 8 9 10 11 12 13 14], [1 2 3 4 5 6 7 8 9 10 11 12], [1 2 3 4 5 6], [1 2]);
#[cfg(target_arch = "x86_64")]
kernels!(avx2, crate::simd::bytes::Pairs, #[target_feature(enable = "avx2,fma")], [1 2 3 4], [1 2 3], [], []);
#[cfg(target_arch = "aarch64")]
kernels!(neon, Lanewise<crate::simd::neon::Neon>, #[target_feature(enable = "neon")], [1 2 3 4], [1 2 3], [1 2], []);
kernels!(portable, Lanewise<Portable>, , [1 2], [1 2], [], []);
