//! Gradient of the kernel: all images are transformed, some squares at a time, and 36 products, summed over the
//! squares, are transformed to the nine of the window. A sum has one order, that of the squares in each part of them,
//! then that of the parts.

use super::lines::{Cotangent, Source, WindowGrad};
use super::sheet::{Gather, SQUARE, Sheet, Spread};
use super::tiles::{IN, Image, OUT, Tiles};
use crate::conv::{ConvShape, Job};
use crate::gemm::tile::{Kernel, Tile};
use rhyton_graph::ops::ConvKind;

/// Numbers between the transforms, about, where all threads work on them: they stay in a third-level cache; and most
/// squares of a product, so that a panel of it stays in a first-level cache.
const TURN: usize = 2400 << 10;
const SQUARES: usize = 256;
/// Numbers of a task that works alone, about, of which its sums may take so many: they stay in a second-level cache.
const ALONE: usize = 176 << 10;
const SUMS: usize = 80 << 10;
/// Most blocks of columns of such tasks, each of which transforms x.
const BLOCKS: usize = 2;
/// Such tasks, about; fewest squares that are worth sums of their own.
const TASKS: usize = 16;
const PART: usize = 128;
/// Numbers of a task of the last transform.
const LAST: usize = 1 << 11;

/// Small sums: a task works alone on a part of the bands and a block of the columns. Large ones: there is one part,
/// and all threads take turns at transforms and products.
#[derive(Clone, Copy)]
struct Cut {
    tiles: Tiles,
    /// Channels of x and y.
    inner: usize,
    outer: usize,
    alone: bool,
    /// Parts of the bands, each with sums of its own.
    parts: usize,
    /// Columns of a block.
    cols: usize,
    /// Bands between two visits of the sums.
    bands: usize,
}

impl Cut {
    fn new(s: &ConvShape) -> Cut {
        let (tiles, inner, outer) = (Tiles::new(ConvKind::KernelGrad, s), s.c_in, s.c_out);
        let blocks = (SQUARE * inner * outer).div_ceil(SUMS).max(1);
        let cols = outer.div_ceil(blocks).next_multiple_of(16);
        let blocks = outer.div_ceil(cols);
        let parts = (tiles.count() / PART).min(TASKS / blocks);
        let alone = blocks <= BLOCKS && parts * blocks >= 4;
        let (parts, cols) = if alone { (parts, cols) } else { (1, outer) };
        let squares = if alone {
            ((ALONE - SUMS.min(SQUARE * inner * cols)) / SQUARE / (inner + cols)).clamp(16, PART)
        } else {
            (TURN / SQUARE / (inner + outer)).clamp(32, SQUARES)
        };
        let turns = tiles.count().div_ceil(parts * squares).max(1);
        let bands = tiles.bands().div_ceil(parts * turns).max(1);
        Cut { tiles, inner, outer, alone, parts, cols, bands }
    }

    fn part(&self, part: usize) -> [usize; 2] {
        [part, part + 1].map(|p| p * self.tiles.bands() / self.parts)
    }

    /// Transforms of x and y.
    fn sheets(&self, ptr: *mut f32) -> [Sheet; 2] {
        let squares = self.tiles.most(self.bands);
        let x = Sheet::rows(ptr, squares, self.inner);
        [x, Sheet::panels(ptr.wrapping_add(x.len()), squares, self.cols)]
    }

    fn sheets_len(&self) -> usize {
        self.sheets(std::ptr::null_mut()).iter().map(Sheet::len).sum()
    }

    /// The sums of the first part, at `ptr`; the others follow.
    fn sums(&self, ptr: *mut f32) -> Sheet {
        Sheet::rows(ptr, self.inner, self.outer)
    }

    fn zeros_len(&self) -> usize {
        self.inner.max(self.outer).next_multiple_of(16)
    }

    /// Rows of the kernel's matrices in a task of the last transform.
    fn rows(&self) -> usize {
        (LAST / self.outer).max(1)
    }

    /// Numbers of zeros, sums, sheets that all share, and of a worker.
    fn lens(&self) -> [usize; 4] {
        let sums = self.parts * self.sums(std::ptr::null_mut()).len();
        let results = (9 * self.rows() * self.outer).next_multiple_of(16);
        let (shared, own) = if self.alone { (0, self.sheets_len()) } else { (self.sheets_len(), 0) };
        [self.zeros_len(), sums, shared, own.max(results)]
    }
}

pub(super) fn scratch_len(s: &ConvShape, threads: usize) -> usize {
    let [zeros, sums, shared, worker] = Cut::new(s).lens();
    16 + zeros + sums + shared + threads * worker
}

struct Sums<'a> {
    job: &'a Job<'a>,
    cut: Cut,
    zeros: *mut f32,
    /// Those of the first part.
    sums: Sheet,
    workers: *mut f32,
}

// SAFETY: as for `Job`.
unsafe impl Sync for Sums<'_> {}

pub(super) unsafe fn run(job: &Job) {
    let cut = Cut::new(job.s);
    let [zeros_len, sums_len, shared_len, _] = cut.lens();
    let zeros = job.scratch;
    let sums = cut.sums(zeros.wrapping_add(zeros_len));
    let shared = zeros.wrapping_add(zeros_len + sums_len);
    let all = Sums { job, cut, zeros, sums, workers: shared.wrapping_add(shared_len) };
    // SAFETY: the zeros have a place of their own; for the rest, passed on to the caller.
    unsafe {
        std::slice::from_raw_parts_mut(zeros, zeros_len).fill(0.0);
        if cut.alone {
            let blocks = cut.outer.div_ceil(cut.cols);
            let plain = |tasks: usize, task: &Each| (0..tasks).for_each(task);
            job.run(cut.parts * blocks, &|worker, task| {
                all.part(task / blocks, task % blocks * cut.cols, cut.sheets(all.own(worker)), plain);
            });
        } else {
            let split = |tasks: usize, task: &Each| job.run(tasks, &|_, i| task(i));
            all.part(0, 0, cut.sheets(shared), split);
        }
    }
    // SAFETY: as above; all sums are complete.
    job.run(cut.inner.div_ceil(cut.rows()), &|worker, task| unsafe { all.last(worker, task) });
}

/// Some tasks, one number each.
type Each<'a> = dyn Fn(usize) + Sync + 'a;

/// Bands between two visits of the sums.
struct Turn {
    /// First and last band.
    bands: [usize; 2],
    /// Columns.
    cols: [usize; 2],
    x: Sheet,
    y: Sheet,
    sums: Sheet,
    /// Whether the sums begin here.
    first: bool,
}

// SAFETY: bands have rows of their own in `x` and `y`, and tasks rows of their own in `sums`.
unsafe impl Sync for Turn {}

impl Sums<'_> {
    fn own(&self, worker: usize) -> *mut f32 {
        self.workers.wrapping_add(worker * self.cut.lens()[3])
    }

    /// The sums of a part and of a block of columns; `run` does some tasks.
    unsafe fn part(&self, part: usize, col: usize, [x, y]: [Sheet; 2], run: impl Fn(usize, &Each)) {
        let cut = &self.cut;
        let [start, end] = cut.part(part);
        let blocks = if cut.alone { 1 } else { cut.inner.div_ceil(64) };
        for from in (start..end).step_by(cut.bands) {
            let to = end.min(from + cut.bands);
            let cols = [col, cut.outer.min(col + cut.cols)];
            let turn =
                Turn { bands: [from, to], cols, x, y, sums: self.sums.sibling(part), first: from == start };
            // SAFETY: passed on to the caller.
            unsafe {
                run(to - from, &|band| self.transform(&turn, from + band));
                run(SQUARE * blocks, &|task| self.product(&turn, task / blocks, task % blocks, blocks));
            }
        }
    }

    /// Transforms the squares of a band.
    unsafe fn transform(&self, turn: &Turn, band: usize) {
        let (job, cut, tiles) = (self.job, &self.cut, &self.cut.tiles);
        let (image, place) = tiles.place(band);
        let before = tiles.before(band);
        let (count, row) = (tiles.before(band + 1) - before, before - tiles.before(turn.bands[0]));
        let of = |ptr: *const f32, size: [usize; 2], channels: usize| Image {
            ptr: ptr.wrapping_add(image * size[0] * size[1] * channels),
            size,
            channels,
            zeros: self.zeros,
        };
        let [col, end] = turn.cols;
        let x = of(job.a, tiles.src, cut.inner);
        let y = of(job.b.wrapping_add(col), tiles.out, cut.outer);
        let at = tiles.source(place);
        job.isa.run(Spread::<_, _, IN> {
            from: |i: usize| x.patch([at[0], at[1] + (i * OUT) as isize]),
            line: Source,
            count,
            row,
            channels: cut.inner,
            to: turn.x,
        });
        let at = place.map(|n| n as isize);
        job.isa.run(Spread::<_, _, OUT> {
            from: |i: usize| y.patch([at[0], at[1] + (i * OUT) as isize]),
            line: Cotangent,
            count,
            row,
            channels: end - col,
            to: turn.y,
        });
    }

    /// Adds the squares of a turn to some rows of a sum.
    unsafe fn product(&self, turn: &Turn, i: usize, block: usize, blocks: usize) {
        let (cut, kernel) = (&self.cut, Kernel::of(self.job.isa, false));
        let [row, end] = [block, block + 1].map(|b| b * cut.inner / blocks);
        let ([first, all], [from, to]) = (turn.cols, turn.bands);
        for col in (0..all - first).step_by(turn.y.panel()) {
            let cols = turn.y.panel().min(all - first - col);
            let tile = Tile {
                seg: &[0, 0],
                segs: 1,
                len: cut.tiles.before(to) - cut.tiles.before(from),
                a: turn.x.at(i, 0, row),
                a_rs: 1,
                a_cs: turn.x.ld(0) as isize,
                b: turn.y.at(i, 0, col),
                b_ks: turn.y.ld(col) as isize,
                c: turn.sums.at(i, row, first + col),
                c_ld: turn.sums.ld(0),
                cols,
                accumulate: !turn.first,
            };
            // SAFETY: the matrices have so many rows and columns; tasks have disjoint rows of the sums.
            unsafe { kernel.run(tile, end - row, kernel.width(end - row, cols)) };
        }
    }

    /// Transforms some rows of the sums to those of the window's nine matrices.
    unsafe fn last(&self, worker: usize, task: usize) {
        let (job, cut) = (self.job, &self.cut);
        let [row, end] = [task, task + 1].map(|t| cut.inner.min(t * cut.rows()));
        let (own, parts) = (self.own(worker), cut.parts);
        let count = end - row;
        let taps: [_; 9] = std::array::from_fn(|tap| {
            job.rows_at(tap * cut.inner + row, own.wrapping_add(tap * count * cut.outer))
        });
        let to = |i: usize| {
            std::array::from_fn(|y| std::array::from_fn(|x| taps[3 * y + x].wrapping_add(i * cut.outer)))
        };
        let (from, channels) = (self.sums, cut.outer);
        job.isa.run(Gather::<_, _, 3> { from, parts, line: WindowGrad, count, row, channels, to });
        (0..9).for_each(|tap| job.finish(tap * cut.inner + row, count, taps[tap]));
    }
}
