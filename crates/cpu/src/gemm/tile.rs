//! The inner kernel: a tile of a sum of products, held in registers.

use crate::isa::Isa;
use crate::simd::Simd;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{__m512, __m512bh, _mm512_dpbf16_ps};

/// A tile `c[i, j] (+)= sum over segments s and p < len of a[seg[s].0 + i * a_rs + p * a_cs] * b[seg[s].1 + p * b_ks + j]`.
///
/// A matrix product has one segment; a convolution has one per run of window entries that lie side by side in
/// memory. The sum has one order, segment by segment, so its bits do not depend on how a result is cut in tiles.
#[derive(Clone, Copy)]
pub(crate) struct Tile {
    /// Where each run starts in a and b.
    pub seg: *const [u32; 2],
    /// Number of runs.
    pub segs: usize,
    /// Length of a run.
    pub len: usize,
    /// Left side.
    pub a: *const f32,
    /// Distance between its rows.
    pub a_rs: isize,
    /// Distance between its columns.
    pub a_cs: isize,
    /// Right side; its columns are neighbours.
    pub b: *const f32,
    /// Distance between its rows.
    pub b_ks: isize,
    /// Result; its columns are neighbours.
    pub c: *mut f32,
    /// Distance between its rows.
    pub c_ld: usize,
    /// Columns.
    pub cols: usize,
    /// Add to what the result holds, instead of starting from zero.
    pub accumulate: bool,
}

/// What the lanes of a vector hold, and how two are multiplied.
trait Lanes<S: Simd> {
    /// `a * b + sum`.
    unsafe fn multiply_add(a: S::F, b: S::F, sum: S::F) -> S::F;
}

/// A float32 in each lane.
struct Whole;

impl<S: Simd> Lanes<S> for Whole {
    #[inline(always)]
    unsafe fn multiply_add(a: S::F, b: S::F, sum: S::F) -> S::F {
        // SAFETY: the frame's contract, 2 and 6.
        unsafe { S::fma(a, b, sum) }
    }
}

/// Two bfloat16 in each lane, whose products are both added to a sum in float32.
struct Pair;

impl<S: Simd> Lanes<S> for Pair {
    #[inline(always)]
    unsafe fn multiply_add(a: S::F, b: S::F, sum: S::F) -> S::F {
        // SAFETY: the frame's contract, 2 and 6.
        unsafe {
            let first = |x: S::F| S::float(S::shl::<16>(S::bits(x)));
            let second = |x: S::F| S::float(S::iand(S::bits(x), S::isplat(0xffff_0000_u32 as i32)));
            S::fma(second(a), second(b), S::fma(first(a), first(b), sum))
        }
    }
}

/// [`Pair`] by the instruction made for it, which takes numbers below the smallest normal one as zeros.
#[cfg(target_arch = "x86_64")]
struct NativePair;

#[cfg(target_arch = "x86_64")]
impl Lanes<crate::simd::avx512::Avx512> for NativePair {
    #[inline(always)]
    unsafe fn multiply_add(a: __m512, b: __m512, sum: __m512) -> __m512 {
        // SAFETY: the caller promises the instruction set; the types have the same 64 bytes.
        unsafe {
            _mm512_dpbf16_ps(
                sum,
                std::mem::transmute::<__m512, __m512bh>(a),
                std::mem::transmute::<__m512, __m512bh>(b),
            )
        }
    }
}

#[inline(always)]
unsafe fn tile<S: Simd, L: Lanes<S>, const R: usize, const N: usize>(t: &Tile) {
    // SAFETY: the caller vouches for all elements that the tile names; the mask leaves the others alone.
    unsafe {
        let mask = S::part(t.cols - (N - 1) * S::LANES);
        let mut acc = [[S::splat(0.0); N]; R];
        if t.accumulate {
            for (i, row) in acc.iter_mut().enumerate() {
                for (j, v) in row.iter_mut().enumerate() {
                    let p = t.c.add(i * t.c_ld + j * S::LANES);
                    *v = if j + 1 < N { S::load(p) } else { S::load_part(p, mask) };
                }
            }
        }
        for s in 0..t.segs {
            let [a_at, b_at] = *t.seg.add(s);
            let (mut a, mut b) = (t.a.add(a_at as usize), t.b.add(b_at as usize));
            for _ in 0..t.len {
                let mut row = [S::splat(0.0); N];
                for (j, v) in row.iter_mut().enumerate() {
                    let p = b.add(j * S::LANES);
                    *v = if j + 1 < N { S::load(p) } else { S::load_part(p, mask) };
                }
                for (i, sums) in acc.iter_mut().enumerate() {
                    let x = S::splat(*a.offset(i as isize * t.a_rs));
                    for (sum, v) in sums.iter_mut().zip(row) {
                        *sum = L::multiply_add(x, v, *sum);
                    }
                }
                a = a.wrapping_offset(t.a_cs);
                b = b.wrapping_offset(t.b_ks);
            }
        }
        for (i, row) in acc.into_iter().enumerate() {
            for (j, v) in row.into_iter().enumerate() {
                let p = t.c.add(i * t.c_ld + j * S::LANES);
                if j + 1 < N { S::store(p, v) } else { S::store_part(p, v, mask) }
            }
        }
    }
}

/// Products of rows with one vector, all side by side along the summed axis; segments as in [`Tile`]:
/// `c[i * c_ld] = sum over s and p < len of a[seg[s].0 + i * a_rs + p] * b[seg[s].1 + p]`.
#[derive(Clone, Copy)]
pub(crate) struct Dots {
    /// Where each run starts in a and b.
    pub seg: *const [u32; 2],
    /// Number of runs.
    pub segs: usize,
    /// Length of a run.
    pub len: usize,
    /// Number of rows.
    pub rows: usize,
    /// The rows.
    pub a: *const f32,
    /// Distance between them.
    pub a_rs: isize,
    /// The vector.
    pub b: *const f32,
    /// Result.
    pub c: *mut f32,
    /// Distance between its elements.
    pub c_ld: usize,
}

/// `R` rows; their sums do not depend on `R`.
#[inline(always)]
unsafe fn some_dots<S: Simd, L: Lanes<S>, const R: usize>(d: &Dots, first: usize) {
    // SAFETY: the caller vouches for all elements; the mask leaves the others alone.
    unsafe {
        let mut acc = [S::splat(0.0); R];
        let whole = d.len / S::LANES * S::LANES;
        let mask = S::part(d.len - whole);
        for s in 0..d.segs {
            let [a_at, b_at] = *d.seg.add(s);
            let a = d.a.offset(first as isize * d.a_rs).wrapping_add(a_at as usize);
            let b = d.b.wrapping_add(b_at as usize);
            for p in (0..whole).step_by(S::LANES) {
                let v = S::load(b.add(p));
                for (i, sum) in acc.iter_mut().enumerate() {
                    let x = S::load(a.offset(i as isize * d.a_rs).add(p));
                    *sum = L::multiply_add(x, v, *sum);
                }
            }
            if whole < d.len {
                let v = S::load_part(b.add(whole), mask);
                for (i, sum) in acc.iter_mut().enumerate() {
                    let last = S::load_part(a.offset(i as isize * d.a_rs).add(whole), mask);
                    *sum = L::multiply_add(last, v, *sum);
                }
            }
        }
        for (i, sum) in acc.into_iter().enumerate() {
            let mut lanes = [0.0f32; 16];
            S::store(lanes.as_mut_ptr(), sum);
            for half in [8, 4, 2, 1] {
                (0..half).for_each(|j| lanes[j] += lanes[j + half]);
            }
            *d.c.add((first + i) * d.c_ld) = lanes[0];
        }
    }
}

#[inline(always)]
unsafe fn dots<S: Simd, L: Lanes<S>>(d: &Dots) {
    let whole = d.rows / 8 * 8;
    // SAFETY: the frame's contract, 2 and 6.
    unsafe {
        (0..whole).step_by(8).for_each(|i| some_dots::<S, L, 8>(d, i));
        (whole..d.rows).for_each(|i| some_dots::<S, L, 1>(d, i));
    }
}

type Run = unsafe fn(&Tile);

/// The tiles of one instruction set: of `widths[w]` vectors, `tables[w][r - 1]` computes `r` rows.
pub(crate) struct MicroKernel {
    /// Numbers in a vector.
    pub lanes: usize,
    /// Side of the squares that `transpose` copies, see [`Simd::transpose`].
    pub square: usize,
    /// Copies a transposed square.
    pub transpose: unsafe fn(*const f32, isize, *mut f32, usize),
    /// Computes products of rows with one vector.
    pub dots: unsafe fn(&Dots),
    tables: [&'static [Run]; 4],
}

/// Widths of the tables, in vectors. Few rows take wide tiles, so that enough sums are under way at once.
const WIDTHS: [usize; 4] = [1, 2, 4, 8];

impl MicroKernel {
    /// The kernels of `isa` for numbers of float32, or pairs of bfloat16.
    pub fn of(isa: Isa, pairs: bool) -> &'static MicroKernel {
        if pairs { MicroKernel::of_pairs(isa, isa.multiplies_pairs()) } else { MicroKernel::of_whole(isa) }
    }

    fn of_whole(isa: Isa) -> &'static MicroKernel {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => &avx512::KERNEL,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => &avx2::KERNEL,
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => &neon::KERNEL,
            _ => &portable::KERNEL,
        }
    }

    /// `native`: with the instruction for pairs, which the machine must have.
    pub fn of_pairs(isa: Isa, native: bool) -> &'static MicroKernel {
        match (isa, native) {
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512, true) => &avx512_native_pairs::KERNEL,
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512, false) => &avx512_pairs::KERNEL,
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx2, _) => &avx2_pairs::KERNEL,
            #[cfg(target_arch = "aarch64")]
            (Isa::Neon, _) => &neon_pairs::KERNEL,
            _ => &portable_pairs::KERNEL,
        }
    }

    /// Index of the best width for a result of `rows` by `cols`.
    pub fn width(&self, rows: usize, cols: usize) -> usize {
        let fits =
            |w: &usize| *w == 0 || (self.tables[*w].len() >= rows && (WIDTHS[*w] - 1) * self.lanes < cols);
        let wide = (0..4).rev().find(fits).unwrap_or(0);
        if wide == 0 && cols > self.lanes { 1 } else { wide }
    }

    /// Columns of a tile of width `w`.
    pub fn columns(&self, w: usize) -> usize {
        WIDTHS[w] * self.lanes
    }

    /// Most rows of a tile of width `w`.
    pub fn rows(&self, w: usize) -> usize {
        self.tables[w].len()
    }

    /// Computes `rows` by `t.cols` elements with tiles up to width `w`; the rows are split evenly.
    ///
    /// # Safety
    /// All elements that the tile names must be valid, those of c for writing; the machine has the set.
    pub unsafe fn run(&self, t: Tile, rows: usize, w: usize) {
        // SAFETY: the frame's contract, 2 and 6.
        unsafe { self.run_each(t, rows, w, |_, _| {}) }
    }

    /// [`MicroKernel::run`] that tells of every tile before it begins: its first row and the end of its rows, then columns.
    ///
    /// # Safety
    /// As for [`MicroKernel::run`].
    pub unsafe fn run_each(
        &self,
        mut t: Tile,
        rows: usize,
        w: usize,
        mut before: impl FnMut([usize; 2], [usize; 2]),
    ) {
        let all = t.cols;
        let (mut cols, most) = (t.cols, self.rows(w));
        let parts = rows.div_ceil(most);
        while cols > 0 {
            let width = (0..=w).rev().find(|w| *w == 0 || (WIDTHS[*w] - 1) * self.lanes < cols).unwrap_or(0);
            t.cols = cols.min(self.columns(width));
            let mut part = t;
            for i in 0..parts {
                let [first, end] = [i, i + 1].map(|i| i * rows / parts);
                let (count, col) = (end - first, all - cols);
                before([first, end], [col, col + t.cols]);
                // SAFETY: the part lies inside the tile; `count <= most`, and narrower tables have no fewer rows.
                unsafe {
                    self.tables[width][count - 1](&part);
                    part.a = part.a.wrapping_offset(count as isize * t.a_rs);
                    part.c = part.c.wrapping_add(count * t.c_ld);
                }
            }
            cols -= t.cols;
            t.b = t.b.wrapping_add(t.cols);
            t.c = t.c.wrapping_add(t.cols);
        }
    }
}

macro_rules! kernels {
    ($name:ident, $simd:ty, $lanes:ty, $(#[$feature:meta])?, [$($one:literal)*], [$($two:literal)*], [$($four:literal)*],
     [$($eight:literal)*]) => {
        mod $name {
            use super::*;
            $(#[$feature])?
            unsafe fn run<const R: usize, const N: usize>(t: &Tile) {
                // SAFETY: the frame's contract, 2 and 6.
                unsafe { tile::<$simd, $lanes, R, N>(t) }
            }
            $(#[$feature])?
            unsafe fn run_dots(d: &Dots) {
                // SAFETY: the frame's contract, 2 and 6.
                unsafe { dots::<$simd, $lanes>(d) }
            }
            $(#[$feature])?
            unsafe fn transpose(from: *const f32, from_ld: isize, to: *mut f32, to_ld: usize) {
                // SAFETY: the frame's contract, 2 and 6.
                unsafe { <$simd as Simd>::transpose(from, from_ld, to, to_ld) }
            }
            pub(super) static KERNEL: MicroKernel = MicroKernel {
                lanes: <$simd as Simd>::LANES,
                square: <$simd as Simd>::SQUARE,
                transpose,
                dots: run_dots,
                tables: [&[$(run::<$one, 1>),*], &[$(run::<$two, 2>),*], &[$(run::<$four, 4>),*],
                         &[$(run::<$eight, 8>),*]],
            };
        }
    };
}

// Rows so that sums, one row of b and one broadcast fill the registers: 32 of them for AVX-512 and NEON, 16 else.
#[cfg(target_arch = "x86_64")]
kernels!(avx512, crate::simd::avx512::Avx512, Whole, #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")],
    [1 2 3 4 5 6 7 8 9 10 11 12 13 14], [1 2 3 4 5 6 7 8 9 10 11 12 13 14], [1 2 3 4 5 6], [1 2 3]);
#[cfg(target_arch = "x86_64")]
kernels!(avx2, crate::simd::avx2::Avx2, Whole, #[target_feature(enable = "avx2,fma")],
    [1 2 3 4 5 6], [1 2 3 4 5 6], [1 2], [1]);
#[cfg(target_arch = "aarch64")]
kernels!(neon, crate::simd::neon::Neon, Whole, #[target_feature(enable = "neon")],
    [1 2 3 4 5 6 7 8 9 10 11 12], [1 2 3 4 5 6 7 8 9 10 11 12], [1 2 3 4 5 6], [1 2 3]);
kernels!(portable, crate::simd::portable::Portable, Whole, , [1 2 3 4], [1 2 3 4], [1 2], [1]);

// Pairs taken apart need more registers.
#[cfg(target_arch = "x86_64")]
kernels!(avx512_native_pairs, crate::simd::avx512::Avx512, NativePair, #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16,avx2,fma")],
    [1 2 3 4 5 6 7 8 9 10 11 12 13 14], [1 2 3 4 5 6 7 8 9 10 11 12 13 14], [1 2 3 4 5 6], [1 2 3]);
#[cfg(target_arch = "x86_64")]
kernels!(avx512_pairs, crate::simd::avx512::Avx512, Pair, #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")],
    [1 2 3 4 5 6 7 8 9 10 11 12], [1 2 3 4 5 6 7 8 9 10 11 12], [1 2 3 4 5], [1 2]);
#[cfg(target_arch = "x86_64")]
kernels!(avx2_pairs, crate::simd::avx2::Avx2, Pair, #[target_feature(enable = "avx2,fma")],
    [1 2 3 4], [1 2 3 4], [1 2], [1]);
#[cfg(target_arch = "aarch64")]
kernels!(neon_pairs, crate::simd::neon::Neon, Pair, #[target_feature(enable = "neon")],
    [1 2 3 4 5 6 7 8], [1 2 3 4 5 6 7 8], [1 2 3 4 5], [1 2]);
kernels!(portable_pairs, crate::simd::portable::Portable, Pair, , [1 2 3 4], [1 2 3 4], [1 2], [1]);
