//! Pooling over channels-last windows. Vectors run along the channels.

use crate::isa::{Isa, Loops};
use crate::pool::Pool;
use crate::simd::Simd;
use rhyton_graph::ops::PoolKind;
use std::ops::Range;

/// Sizes of a pooling: full side `[batch, full.., channels]`, pooled side `[batch, pooled.., channels]`. Leading
/// spatial dims that are not used are 1 (their window and stride too, their padding 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolShape {
    /// Number of images.
    pub batch: usize,
    /// Channels.
    pub channels: usize,
    /// Spatial sizes of the full side.
    pub full: [usize; 3],
    /// Spatial sizes of the pooled side.
    pub pooled: [usize; 3],
    /// Window.
    pub window: [usize; 3],
    /// Steps between windows.
    pub stride: [usize; 3],
    /// Positions before the full side that the first window covers.
    pub pad_lo: [usize; 3],
}

/// Numbers read below which a split costs more than it saves.
const SPLIT: usize = 1 << 15;

/// Pools: see [`PoolKind`] for what `a` and `b` are (`b` is not used by kinds with one input). A window without any
/// position inside has the maximum minus infinity, and takes zero.
///
/// # Safety
/// `a`, `b` and `out` must be valid for the contiguous sides that `kind` names, `out` for writing, and nothing else
/// may use `out` meanwhile.
pub unsafe fn pool(
    kind: PoolKind,
    isa: Isa,
    threads: &Pool,
    s: &PoolShape,
    a: *const f32,
    b: *const f32,
    out: *mut f32,
) {
    // SAFETY: passed on to the caller.
    unsafe { pool_of(kind, isa, threads, s, [a, b], out) }
}

/// [`pool`] of float32, or of bfloat16.
///
/// # Safety
/// As for [`pool`].
pub(crate) unsafe fn pool_of<E: Element>(
    kind: PoolKind,
    isa: Isa,
    threads: &Pool,
    s: &PoolShape,
    [a, b]: [*const E; 2],
    out: *mut E,
) {
    let job = Job { kind, s, a, b, out };
    let per_image = s.pooled[0] * s.pooled[1];
    let work = s.batch * per_image * s.pooled[2] * s.window.iter().product::<usize>() * s.channels;
    // Windows may overlap, so that an image that they add up in belongs to one task.
    let (count, per_task) = if kind.result_full() {
        (s.batch, 1)
    } else {
        let row = work / (s.batch * per_image).max(1);
        (s.batch * per_image, (SPLIT / 2 / row.max(1)).max(1))
    };
    let task = |task: usize| {
        let range = task * per_task..count.min((task + 1) * per_task);
        let range = if kind.result_full() { range.start * per_image..range.end * per_image } else { range };
        // SAFETY: passed on to the caller; tasks write disjoint rows or images.
        unsafe { job.clear(task) };
        isa.run(Rows(&job, range));
    };
    let tasks = count.div_ceil(per_task);
    if work >= SPLIT { threads.run(tasks, &task) } else { (0..tasks).for_each(task) }
}

/// What the sides hold.
pub(crate) trait Element: Copy + Default {
    /// The first `n` numbers.
    unsafe fn load<S: Simd>(p: *const Self, n: usize) -> S::F;
    /// Stores the first `n` numbers.
    unsafe fn store<S: Simd>(p: *mut Self, x: S::F, n: usize);
}

impl Element for f32 {
    #[inline(always)]
    unsafe fn load<S: Simd>(p: *const f32, n: usize) -> S::F {
        // SAFETY: passed on to the caller.
        unsafe { if n == S::LANES { S::load(p) } else { S::load_part(p, S::part(n)) } }
    }
    #[inline(always)]
    unsafe fn store<S: Simd>(p: *mut f32, x: S::F, n: usize) {
        // SAFETY: passed on to the caller.
        unsafe { if n == S::LANES { S::store(p, x) } else { S::store_part(p, x, S::part(n)) } }
    }
}

/// bfloat16, as its bits.
impl Element for u16 {
    #[inline(always)]
    unsafe fn load<S: Simd>(p: *const u16, n: usize) -> S::F {
        // SAFETY: passed on to the caller.
        unsafe { S::widen(p, n) }
    }
    #[inline(always)]
    unsafe fn store<S: Simd>(p: *mut u16, x: S::F, n: usize) {
        // SAFETY: passed on to the caller.
        unsafe { S::narrow(p, x, n) }
    }
}

struct Job<'a, E> {
    kind: PoolKind,
    s: &'a PoolShape,
    a: *const E,
    b: *const E,
    out: *mut E,
}

// SAFETY: tasks read the operands, which nobody writes, and write disjoint parts of the result.
unsafe impl<E> Sync for Job<'_, E> {}

/// Some rows of the pooled side.
struct Rows<'a, E>(&'a Job<'a, E>, Range<usize>);

impl<E: Element> Loops for Rows<'_, E> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        // No closure: it would be compiled for any machine.
        for row in self.1 {
            // SAFETY: the caller of `pool` vouches for the sides.
            unsafe { self.0.row::<S>(row) };
        }
    }
}

/// Runs `$body` for every position in row-major order with its number and its place in memory. Numbers are floats
/// so that vectors of them can be compared: windows have far fewer than 2^24 positions. (No closure: those are not
/// always inlined, and then their vectors are not in registers.)
macro_rules! each {
    ($positions:expr, |$number:ident, $at:ident| $body:expr) => {{
        let mut $number = 0.0f32;
        for z in $positions.spans[0].clone() {
            for y in $positions.spans[1].clone() {
                for x in $positions.spans[2].clone() {
                    let $at = $positions.place(z, y, x);
                    $body;
                    $number += 1.0;
                }
            }
        }
    }};
}

/// `N` vectors of neighbouring channels, of which the last may be cut short by a mask.
struct Lanes<const N: usize> {
    /// Numbers of the last vector.
    last: usize,
}

impl<const N: usize> Lanes<N> {
    #[inline(always)]
    unsafe fn load<S: Simd, E: Element>(&self, p: *const E, at: usize) -> [S::F; N] {
        // SAFETY: passed on to the caller.
        unsafe {
            let mut all = [S::splat(0.0); N];
            for (i, x) in all.iter_mut().enumerate() {
                let n = if i + 1 < N { S::LANES } else { self.last };
                *x = E::load::<S>(p.add(at + i * S::LANES), n);
            }
            all
        }
    }

    #[inline(always)]
    unsafe fn store<S: Simd, E: Element>(&self, p: *mut E, at: usize, x: [S::F; N]) {
        for (i, x) in x.into_iter().enumerate() {
            let n = if i + 1 < N { S::LANES } else { self.last };
            // SAFETY: passed on to the caller.
            unsafe { E::store::<S>(p.add(at + i * S::LANES), x, n) };
        }
    }

    /// Adds to what is at `p`.
    #[inline(always)]
    unsafe fn add<S: Simd, E: Element>(&self, p: *mut E, at: usize, x: [S::F; N]) {
        // SAFETY: passed on to the caller.
        unsafe { self.store::<S, E>(p, at, sum::<S, N>(self.load::<S, E>(p, at), x)) }
    }
}

#[inline(always)]
unsafe fn sum<S: Simd, const N: usize>(a: [S::F; N], b: [S::F; N]) -> [S::F; N] {
    let mut all = a;
    for (x, y) in all.iter_mut().zip(b) {
        // SAFETY: passed on to the caller.
        *x = unsafe { S::fma(*x, S::splat(1.0), y) };
    }
    all
}

impl<E: Element> Job<'_, E> {
    /// Zeros an image of a full result.
    unsafe fn clear(&self, image: usize) {
        if self.kind.result_full() {
            let len = self.s.full.iter().product::<usize>() * self.s.channels;
            // SAFETY: the image lies inside the result.
            unsafe { std::slice::from_raw_parts_mut(self.out.add(image * len), len).fill(E::default()) };
        }
    }

    /// Full positions that pooled position `o` covers along dim `d`.
    #[inline(always)]
    fn span(&self, d: usize, o: usize) -> Range<usize> {
        let (start, pad) = (o * self.s.stride[d], self.s.pad_lo[d]);
        start.saturating_sub(pad)..(start + self.s.window[d]).saturating_sub(pad).min(self.s.full[d])
    }

    /// One row of the pooled side; rows are numbered through all images.
    #[inline(always)]
    unsafe fn row<S: Simd>(&self, row: usize) {
        let s = self.s;
        let [planes, height, width] = s.pooled;
        let (image, plane, y) = (row / height / planes, row / height % planes, row % height);
        let spans = [self.span(0, plane), self.span(1, y)];
        for x in 0..width {
            let spans = [spans[0].clone(), spans[1].clone(), self.span(2, x)];
            let mut positions = Positions { shape: s, image, spans, channel: 0 };
            let pooled = (row * width + x) * s.channels;
            // SAFETY: all positions are inside the sides.
            unsafe {
                let full = || Lanes::<2> { last: S::LANES };
                while positions.channel + 2 * S::LANES <= s.channels {
                    self.window::<S, 2>(&positions, pooled + positions.channel, full());
                    positions.channel += 2 * S::LANES;
                }
                while positions.channel < s.channels {
                    let last = S::LANES.min(s.channels - positions.channel);
                    self.window::<S, 1>(&positions, pooled + positions.channel, Lanes { last });
                    positions.channel += S::LANES;
                }
            }
        }
    }

    /// Some channels of one window; `pooled` is where they are on the pooled side.
    #[inline(always)]
    unsafe fn window<S: Simd, const N: usize>(&self, positions: &Positions, pooled: usize, lanes: Lanes<N>) {
        // SAFETY: passed on to the caller.
        unsafe {
            let zero = [S::splat(0.0); N];
            match self.kind {
                PoolKind::Max => {
                    lanes.store::<S, E>(self.out, pooled, self.largest::<S, N>(positions, &lanes).0)
                }
                PoolKind::MaxSpread => {
                    let ((_, chosen), y) =
                        (self.largest::<S, N>(positions, &lanes), lanes.load::<S, E>(self.b, pooled));
                    each!(positions, |number, at| {
                        lanes.add::<S, E>(self.out, at, where_equal::<S, N>(chosen, number, y, zero));
                    });
                }
                PoolKind::MaxTake => {
                    let ((_, chosen), mut out) = (self.largest::<S, N>(positions, &lanes), zero);
                    each!(positions, |number, at| {
                        out = where_equal::<S, N>(chosen, number, lanes.load::<S, E>(self.b, at), out);
                    });
                    lanes.store::<S, E>(self.out, pooled, out);
                }
                PoolKind::Sum => {
                    let mut total = zero;
                    each!(positions, |_number, at| total =
                        sum::<S, N>(total, lanes.load::<S, E>(self.a, at)));
                    lanes.store::<S, E>(self.out, pooled, total);
                }
                PoolKind::SumSpread => {
                    let y = lanes.load::<S, E>(self.a, pooled);
                    each!(positions, |_number, at| lanes.add::<S, E>(self.out, at, y));
                }
            }
        }
    }

    /// The largest of a window and the number of its position, the first if there are several.
    #[inline(always)]
    unsafe fn largest<S: Simd, const N: usize>(
        &self,
        positions: &Positions,
        lanes: &Lanes<N>,
    ) -> ([S::F; N], [S::F; N]) {
        // SAFETY: passed on to the caller.
        unsafe {
            let (mut best, mut chosen) = ([S::splat(f32::NEG_INFINITY); N], [S::splat(0.0); N]);
            each!(positions, |number, at| {
                let x = lanes.load::<S, E>(self.a, at);
                for i in 0..N {
                    let larger = S::larger(x[i], best[i]);
                    best[i] = S::select(larger, x[i], best[i]);
                    chosen[i] = S::select(larger, S::splat(number), chosen[i]);
                }
            });
            (best, chosen)
        }
    }
}

/// `yes` where the chosen position is `number`, else `no`.
#[inline(always)]
unsafe fn where_equal<S: Simd, const N: usize>(
    chosen: [S::F; N],
    number: f32,
    yes: [S::F; N],
    no: [S::F; N],
) -> [S::F; N] {
    let mut all = no;
    for i in 0..N {
        // SAFETY: passed on to the caller.
        all[i] = unsafe { S::select(S::eq(chosen[i], S::splat(number)), yes[i], no[i]) };
    }
    all
}

/// The positions of a window that are inside the image.
struct Positions<'a> {
    shape: &'a PoolShape,
    image: usize,
    spans: [Range<usize>; 3],
    channel: usize,
}

impl Positions<'_> {
    /// Where a position is in memory.
    #[inline(always)]
    fn place(&self, z: usize, y: usize, x: usize) -> usize {
        let [planes, height, width] = self.shape.full;
        (((self.image * planes + z) * height + y) * width + x) * self.shape.channels + self.channel
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhyton_tensor::rng::Stream;

    fn grid(d: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
        (0..d[0]).flat_map(move |i| (0..d[1]).flat_map(move |j| (0..d[2]).map(move |k| [i, j, k])))
    }

    fn volume(d: [usize; 3]) -> usize {
        d.iter().product()
    }

    /// The definition, as in `ops/window.rs`.
    fn slow(kind: PoolKind, s: &PoolShape, a: &[f32], b: &[f32]) -> Vec<f32> {
        let size = if kind.result_full() { s.full } else { s.pooled };
        let flat = |size: [usize; 3], at: [usize; 3]| (at[0] * size[1] + at[1]) * size[2] + at[2];
        let mut out = vec![0.0; s.batch * volume(size) * s.channels];
        for (n, o) in (0..s.batch).flat_map(|n| grid(s.pooled).map(move |o| (n, o))) {
            for c in 0..s.channels {
                let p = (n * volume(s.pooled) + flat(s.pooled, o)) * s.channels + c;
                let positions = grid(s.window).filter_map(|k| {
                    let i = [0, 1, 2].map(|d| (o[d] * s.stride[d] + k[d]).wrapping_sub(s.pad_lo[d]));
                    let inside = (0..3).all(|d| i[d] < s.full[d]);
                    inside.then(|| (n * volume(s.full) + flat(s.full, i)) * s.channels + c)
                });
                let positions: Vec<usize> = positions.collect();
                let better = |i: usize, best: usize| a[i] > a[best] || (a[i].is_nan() && !a[best].is_nan());
                let largest =
                    || positions.iter().copied().reduce(|best, i| if better(i, best) { i } else { best });
                match kind {
                    PoolKind::Max => out[p] = largest().map_or(f32::NEG_INFINITY, |i| a[i]),
                    PoolKind::MaxSpread => largest().into_iter().for_each(|i| out[i] += b[p]),
                    PoolKind::MaxTake => out[p] = largest().map_or(0.0, |i| b[i]),
                    PoolKind::Sum => out[p] = positions.iter().map(|i| a[*i]).fold(0.0, |sum, x| sum + x),
                    PoolKind::SumSpread => positions.iter().for_each(|i| out[*i] += a[p]),
                }
            }
        }
        out
    }

    /// Small whole numbers, so that ties are common, with some NaN and infinities if wanted.
    fn values(r: &mut Stream, n: usize, special: bool) -> Vec<f32> {
        let mut one = || match r.below(24) {
            0 if special => f32::NAN,
            1 if special => f32::NEG_INFINITY,
            _ => r.below(7) as f32 - 3.0,
        };
        (0..n).map(|_| one()).collect()
    }

    fn check(s: &PoolShape, r: &mut Stream) {
        let (full, pooled) = (s.batch * volume(s.full) * s.channels, s.batch * volume(s.pooled) * s.channels);
        for kind in
            [PoolKind::Max, PoolKind::MaxSpread, PoolKind::MaxTake, PoolKind::Sum, PoolKind::SumSpread]
        {
            let first = if kind == PoolKind::SumSpread { pooled } else { full };
            let a = values(r, first, matches!(kind, PoolKind::Max | PoolKind::MaxSpread | PoolKind::MaxTake));
            let b = values(r, if kind == PoolKind::MaxTake { full } else { pooled }, false);
            let want = slow(kind, s, &a, &b);
            for (isa, threads) in Isa::available().into_iter().flat_map(|isa| [1, 2, 3].map(|t| (isa, t))) {
                let mut out = vec![9.0; want.len()];
                // SAFETY: the vectors have the sizes of the sides.
                unsafe { pool(kind, isa, &Pool::new(threads), s, a.as_ptr(), b.as_ptr(), out.as_mut_ptr()) };
                let same = |(x, y): (&f32, &f32)| x == y || (x.is_nan() && y.is_nan());
                assert!(out.iter().zip(&want).all(same), "{kind:?} {isa:?} {s:?}");
            }
        }
    }

    #[test]
    fn agrees_with_the_definition() {
        let mut r = Stream::new(3, 0, 0);
        let common = PoolShape {
            batch: 3,
            channels: 32,
            full: [1, 26, 26],
            pooled: [1, 13, 13],
            window: [1, 2, 2],
            stride: [1, 2, 2],
            pad_lo: [0; 3],
        };
        check(&common, &mut r);
        check(&PoolShape { batch: 0, ..common }, &mut r);
        check(&PoolShape { channels: 0, ..common }, &mut r);
        check(&PoolShape { window: [1, 26, 26], pooled: [1, 1, 1], ..common }, &mut r);
        check(&PoolShape { pad_lo: [0, 4, 4], batch: 1, channels: 70, ..common }, &mut r);
        for _ in 0..60 {
            let mut pick = |from: u32, to: u32| (from + r.below(to - from + 1)) as usize;
            let mut s = PoolShape { batch: pick(1, 3), channels: pick(1, 80), ..common };
            for d in 0..3 {
                (s.full[d], s.window[d]) = (pick(1, 6), pick(1, 3));
                (s.stride[d], s.pad_lo[d], s.pooled[d]) = (pick(1, 3), pick(0, 2), pick(1, 4));
            }
            check(&s, &mut r);
        }
    }
}
