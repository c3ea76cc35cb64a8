//! Gradient of the kernel: all images are transformed, some squares at a time, and 36 products, summed over the
//! squares, are transformed to the nine of the window. A sum has one order, that of the squares.

use super::lines::{Cotangent, Source, WindowGrad};
use super::sheet::{Gather, SQUARE, Sheet, Spread};
use super::tiles::{IN, Image, OUT, Tiles};
use crate::conv::{ConvShape, Job};
use crate::gemm::tile::{Kernel, Tile};
use rhyton_graph::ops::ConvKind;

/// Numbers between the transforms, about: they stay in a third-level cache; and most squares of a product, so that
/// a panel of it stays in a first-level cache.
const TURN: usize = 2400 << 10;
const SQUARES: usize = 256;
/// Numbers of a task of the last transform.
const LAST: usize = 1 << 11;

#[derive(Clone, Copy)]
struct Cut {
    tiles: Tiles,
    /// Channels of x and y.
    inner: usize,
    outer: usize,
    /// Bands between two visits of the sums.
    bands: usize,
}

impl Cut {
    fn new(s: &ConvShape) -> Cut {
        let tiles = Tiles::new(ConvKind::KernelGrad, s);
        let squares = (TURN / SQUARE / (s.c_in + s.c_out)).clamp(32, SQUARES);
        let turns = tiles.count().div_ceil(squares).max(1);
        let bands = tiles.bands().div_ceil(turns).max(1);
        Cut { tiles, inner: s.c_in, outer: s.c_out, bands }
    }

    /// Transforms of x and y, and the sums.
    fn sheets(&self, ptr: *mut f32) -> [Sheet; 3] {
        let squares = self.tiles.most(self.bands);
        let x = Sheet::rows(ptr, squares, self.inner);
        let y = Sheet::panels(ptr.wrapping_add(x.len()), squares, self.outer);
        let sums = Sheet::rows(ptr.wrapping_add(x.len() + y.len()), self.inner, self.outer);
        [x, y, sums]
    }

    fn zeros_len(&self) -> usize {
        self.inner.max(self.outer).next_multiple_of(16)
    }

    /// Rows of the kernel's matrices in a task of the last transform.
    fn rows(&self) -> usize {
        (LAST / self.outer).max(1)
    }

    fn worker_len(&self) -> usize {
        (9 * self.rows() * self.outer).next_multiple_of(16)
    }
}

pub(super) fn scratch_len(s: &ConvShape, threads: usize) -> usize {
    let cut = Cut::new(s);
    let sheets: usize = cut.sheets(std::ptr::null_mut()).iter().map(Sheet::len).sum();
    16 + cut.zeros_len() + sheets + threads * cut.worker_len()
}

struct Sums<'a> {
    job: &'a Job<'a>,
    cut: Cut,
    zeros: *mut f32,
    x: Sheet,
    y: Sheet,
    sums: Sheet,
    workers: *mut f32,
}

// SAFETY: as for `Job`.
unsafe impl Sync for Sums<'_> {}

pub(super) unsafe fn run(job: &Job) {
    let cut = Cut::new(job.s);
    let zeros = job.scratch;
    let sheets = zeros.wrapping_add(cut.zeros_len());
    let [x, y, sums] = cut.sheets(sheets);
    let workers = sheets.wrapping_add(x.len() + y.len() + sums.len());
    let all = Sums { job, cut, zeros, x, y, sums, workers };
    // SAFETY: the zeros have a place of their own.
    unsafe { std::slice::from_raw_parts_mut(zeros, cut.zeros_len()).fill(0.0) };
    let blocks = cut.inner.div_ceil(64);
    for from in (0..cut.tiles.bands()).step_by(cut.bands) {
        let to = cut.tiles.bands().min(from + cut.bands);
        // SAFETY: passed on to the caller.
        unsafe {
            job.run(to - from, &|_, band| all.transform(from + band, from));
            job.run(SQUARE * blocks, &|_, task| {
                all.product(task / blocks, task % blocks, blocks, [from, to])
            });
        }
    }
    // SAFETY: as above; all sums are complete.
    job.run(cut.inner.div_ceil(cut.rows()), &|worker, task| unsafe { all.last(worker, task) });
}

impl Sums<'_> {
    /// Transforms the squares of a band, in a turn that starts with band `from`.
    unsafe fn transform(&self, band: usize, from: usize) {
        let (job, cut, tiles) = (self.job, &self.cut, &self.cut.tiles);
        let (image, place) = tiles.place(band);
        let (count, row) =
            (tiles.before(band + 1) - tiles.before(band), tiles.before(band) - tiles.before(from));
        let of = |ptr: *const f32, size: [usize; 2], channels: usize| Image {
            ptr: ptr.wrapping_add(image * size[0] * size[1] * channels),
            size,
            channels,
            zeros: self.zeros,
        };
        let (x, y) = (of(job.a, tiles.src, cut.inner), of(job.b, tiles.out, cut.outer));
        let at = tiles.source(place);
        job.isa.run(Spread::<_, _, IN> {
            from: |i: usize| x.patch([at[0], at[1] + (i * OUT) as isize]),
            line: Source,
            count,
            row,
            channels: cut.inner,
            to: self.x,
        });
        let at = place.map(|n| n as isize);
        job.isa.run(Spread::<_, _, OUT> {
            from: |i: usize| y.patch([at[0], at[1] + (i * OUT) as isize]),
            line: Cotangent,
            count,
            row,
            channels: cut.outer,
            to: self.y,
        });
    }

    /// Adds the squares of a turn to some rows of a sum.
    unsafe fn product(&self, i: usize, block: usize, blocks: usize, [from, to]: [usize; 2]) {
        let (cut, kernel) = (&self.cut, Kernel::of(self.job.isa, false));
        let [row, end] = [block, block + 1].map(|b| b * cut.inner / blocks);
        for col in (0..cut.outer).step_by(self.y.panel()) {
            let cols = self.y.panel().min(cut.outer - col);
            let tile = Tile {
                seg: &[0, 0],
                segs: 1,
                len: cut.tiles.before(to) - cut.tiles.before(from),
                a: self.x.at(i, 0, row),
                a_rs: 1,
                a_cs: self.x.ld(0) as isize,
                b: self.y.at(i, 0, col),
                b_ks: self.y.ld(col) as isize,
                c: self.sums.at(i, row, col),
                c_ld: self.sums.ld(0),
                cols,
                accumulate: from > 0,
            };
            // SAFETY: the matrices have so many rows and columns; tasks have disjoint rows of the sums.
            unsafe { kernel.run(tile, end - row, kernel.width(end - row, cols)) };
        }
    }

    /// Transforms some rows of the sums to those of the window's nine matrices.
    unsafe fn last(&self, worker: usize, task: usize) {
        let (job, cut) = (self.job, &self.cut);
        let [row, end] = [task, task + 1].map(|t| cut.inner.min(t * cut.rows()));
        let own = self.workers.wrapping_add(worker * cut.worker_len());
        let count = end - row;
        let taps: [_; 9] = std::array::from_fn(|tap| {
            job.rows_at(tap * cut.inner + row, own.wrapping_add(tap * count * cut.outer))
        });
        let to = |i: usize| {
            std::array::from_fn(|y| std::array::from_fn(|x| taps[3 * y + x].wrapping_add(i * cut.outer)))
        };
        let (from, channels) = (self.sums, cut.outer);
        job.isa.run(Gather::<_, _, 3> { from, line: WindowGrad, count, row, channels, to });
        (0..9).for_each(|tap| job.finish(tap * cut.inner + row, count, taps[tap]));
    }
}
