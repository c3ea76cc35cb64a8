//! Pooling over channels-last windows. Vectors run along the channels.

use crate::gemm::Epilogue;
use crate::isa::{Isa, Loops};
use crate::pool::Pool;
use crate::simd::{Element, Simd};
use rhyton_graph::ops::PoolKind;
use std::ops::Range;

/// Sizes of a pooling: full side `[batch, full.., channels]`, pooled side `[batch, pooled.., channels]`. Leading
/// spatial dims that are not used are 1 (their window and stride too, their padding 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolShape {
    /// What happens in a window, and to which of the two sides.
    pub kind: PoolKind,
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

fn volume(size: [usize; 3]) -> usize {
    size.iter().product()
}

/// Numbers read below which a split costs more than it saves.
const SPLIT: usize = 1 << 15;

/// Where a result goes.
pub enum Target<'a, E> {
    /// To memory, contiguous.
    Memory(*mut E),
    /// To an epilogue, in blocks of rows that live in scratch memory of [`pool_scratch_len`] numbers. Rows are the
    /// flattened leading axes of the result, columns its channels, the batch is 0.
    Epilogue(&'a dyn Epilogue, *mut f32),
}

/// Numbers of scratch memory for [`Target::Epilogue`].
pub fn pool_scratch_len(s: &PoolShape, threads: usize) -> usize {
    threads * s.block_len()
}

/// Pools: see [`PoolKind`] for what the two operands are (the second is not used by kinds with one input). A window
/// without any position inside has the maximum minus infinity, and takes zero.
///
/// # Safety
/// Operands and target must be valid for the contiguous sides that the kind names, the target for writing, and
/// nothing else may use it meanwhile.
pub unsafe fn pool(isa: Isa, threads: &Pool, s: &PoolShape, operands: [*const f32; 2], target: Target<f32>) {
    // SAFETY: the frame's contract, 2 and 6.
    unsafe { pool_of(isa, threads, s, operands, target) }
}

/// [`pool`] of float32, or of bfloat16.
///
/// # Safety
/// As for [`pool`].
pub(crate) unsafe fn pool_of<E: Element>(
    isa: Isa,
    threads: &Pool,
    s: &PoolShape,
    [a, b]: [*const E; 2],
    target: Target<E>,
) {
    // SAFETY: the frame's contract, 2 and 6.
    unsafe {
        match target {
            Target::Memory(to) => Job { s, a, b, to, finish: None }.run(isa, threads),
            Target::Epilogue(e, to) => Job { s, a, b, to, finish: Some(e) }.run(isa, threads),
        }
    }
}

/// A part of the result that one task computes, and the windows it comes from.
struct Band {
    /// Rows of the pooled side, counted through all images.
    pooled: Range<usize>,
    /// Rows of the result: its flattened leading axes.
    rows: Range<usize>,
}

impl PoolShape {
    /// Whether each row of the pooled side has rows of the result for itself. Windows that overlap add up in an
    /// image, which then belongs to one task.
    fn by_row(&self) -> bool {
        let flat = self.full[0] == 1 && self.pooled[0] == 1 && self.pooled[1] > 0;
        !self.kind.result_full() || (flat && self.stride[1] >= self.window[1])
    }

    fn bands(&self) -> usize {
        self.batch * if self.by_row() { self.pooled[0] * self.pooled[1] } else { 1 }
    }

    fn band(&self, band: usize) -> Band {
        let [planes, height, width] = if self.kind.result_full() { self.full } else { self.pooled };
        if !self.kind.result_full() {
            return Band { pooled: band..band + 1, rows: band * width..(band + 1) * width };
        }
        if !self.by_row() {
            let (windows, image) = (self.pooled[0] * self.pooled[1], planes * height * width);
            return Band {
                pooled: band * windows..(band + 1) * windows,
                rows: band * image..(band + 1) * image,
            };
        }
        let (image, y) = (band / self.pooled[1], band % self.pooled[1]);
        let [from, to] = [y, y + 1].map(|y| match y {
            0 => 0,
            y if y == self.pooled[1] => height,
            y => (y * self.stride[1]).saturating_sub(self.pad_lo[1]).min(height),
        });
        Band { pooled: band..band + 1, rows: (image * height + from) * width..(image * height + to) * width }
    }

    /// Numbers of the largest band, in whole cache lines.
    fn block_len(&self) -> usize {
        let first = if self.by_row() { self.pooled[0] * self.pooled[1] } else { 1 };
        let rows = (0..first).map(|band| self.band(band).rows.len()).max().unwrap_or(0);
        (rows * self.channels).next_multiple_of(16)
    }
}

struct Job<'a, E, O> {
    s: &'a PoolShape,
    a: *const E,
    b: *const E,
    /// The whole result, or blocks of the workers when there is somebody to hand them to.
    to: *mut O,
    finish: Option<&'a dyn Epilogue>,
}

// SAFETY: tasks read the operands, which nobody writes, and write disjoint parts of the result or their worker's
// block.
unsafe impl<E, O> Sync for Job<'_, E, O> {}

/// Some rows of the pooled side; the result as a whole would start at `out`.
struct Rows<'a, E, O> {
    job: &'a Job<'a, E, O>,
    rows: Range<usize>,
    out: *mut O,
}

impl<E: Element, O: Element> Loops for Rows<'_, E, O> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        // No closure: it would be compiled for any machine.
        for row in self.rows {
            // SAFETY: the caller of `pool` vouches for the sides.
            unsafe { self.job.row::<S>(row, self.out) };
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
        // SAFETY: the frame's contract, 2 and 6.
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
            // SAFETY: the frame's contract, 2 and 6.
            unsafe { E::store::<S>(p.add(at + i * S::LANES), x, n) };
        }
    }

    /// Adds to what is at `p`.
    #[inline(always)]
    unsafe fn add<S: Simd, E: Element>(&self, p: *mut E, at: usize, x: [S::F; N]) {
        // SAFETY: the frame's contract, 2 and 6.
        unsafe { self.store::<S, E>(p, at, sum::<S, N>(self.load::<S, E>(p, at), x)) }
    }
}

#[inline(always)]
unsafe fn sum<S: Simd, const N: usize>(a: [S::F; N], b: [S::F; N]) -> [S::F; N] {
    let mut all = a;
    for (x, y) in all.iter_mut().zip(b) {
        // SAFETY: the frame's contract, 2 and 6.
        *x = unsafe { S::fma(*x, S::splat(1.0), y) };
    }
    all
}

impl<E: Element, O: Element> Job<'_, E, O> {
    /// # Safety
    /// As for [`pool`].
    unsafe fn run(&self, isa: Isa, threads: &Pool) {
        let s = self.s;
        let bands = s.bands();
        let work = s.batch * volume(s.pooled) * volume(s.window) * s.channels;
        let per_task = (SPLIT / 2 * bands / work.max(1)).max(1);
        let block = s.block_len();
        threads.run_if(work >= SPLIT, bands.div_ceil(per_task), &|worker, task| {
            for band in task * per_task..bands.min((task + 1) * per_task) {
                // SAFETY: the frame's contract, 2 and 6; bands are disjoint, and workers have blocks of their own.
                unsafe { self.band(isa, s.band(band), worker * block) };
            }
        });
    }

    /// Computes a band, in the result or in the block at `own`.
    unsafe fn band(&self, isa: Isa, band: Band, own: usize) {
        let channels = self.s.channels;
        let (start, len) = (band.rows.start * channels, band.rows.len() * channels);
        let to = self.to.wrapping_add(if self.finish.is_some() { own } else { start });
        if self.s.kind.result_full() {
            // SAFETY: the band lies inside the result or the block.
            unsafe { std::slice::from_raw_parts_mut(to, len).fill(O::default()) };
        }
        isa.run(Rows { job: self, rows: band.pooled, out: to.wrapping_sub(start) });
        if let (Some(e), true) = (self.finish, len > 0) {
            e.block(0, band.rows.start, band.rows.len(), 0, channels, to.cast(), channels);
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
    unsafe fn row<S: Simd>(&self, row: usize, out: *mut O) {
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
                    self.window::<S, 2>(&positions, pooled + positions.channel, full(), out);
                    positions.channel += 2 * S::LANES;
                }
                while positions.channel < s.channels {
                    let last = S::LANES.min(s.channels - positions.channel);
                    self.window::<S, 1>(&positions, pooled + positions.channel, Lanes { last }, out);
                    positions.channel += S::LANES;
                }
            }
        }
    }

    /// Some channels of one window; `pooled` is where they are on the pooled side.
    #[inline(always)]
    unsafe fn window<S: Simd, const N: usize>(
        &self,
        positions: &Positions,
        pooled: usize,
        lanes: Lanes<N>,
        out: *mut O,
    ) {
        // SAFETY: the frame's contract, 2 and 6.
        unsafe {
            let zero = [S::splat(0.0); N];
            match self.s.kind {
                PoolKind::Max => lanes.store::<S, O>(out, pooled, self.largest::<S, N>(positions, &lanes).0),
                PoolKind::MaxSpread => {
                    let ((_, chosen), y) =
                        (self.largest::<S, N>(positions, &lanes), lanes.load::<S, E>(self.b, pooled));
                    each!(positions, |number, at| {
                        lanes.add::<S, O>(out, at, where_equal::<S, N>(chosen, number, y, zero));
                    });
                }
                PoolKind::MaxTake => {
                    let ((_, chosen), mut taken) = (self.largest::<S, N>(positions, &lanes), zero);
                    each!(positions, |number, at| {
                        taken = where_equal::<S, N>(chosen, number, lanes.load::<S, E>(self.b, at), taken);
                    });
                    lanes.store::<S, O>(out, pooled, taken);
                }
                PoolKind::Sum => {
                    let mut total = zero;
                    each!(positions, |_number, at| total =
                        sum::<S, N>(total, lanes.load::<S, E>(self.a, at)));
                    lanes.store::<S, O>(out, pooled, total);
                }
                PoolKind::SumSpread => {
                    let y = lanes.load::<S, E>(self.a, pooled);
                    each!(positions, |_number, at| lanes.add::<S, O>(out, at, y));
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
        // SAFETY: the frame's contract, 2 and 6.
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
        // SAFETY: the frame's contract, 2 and 6.
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
mod tests;
