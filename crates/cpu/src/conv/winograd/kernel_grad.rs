//! Gradient of the kernel: all images are transformed, some squares at a time, and 36 products, summed over the
//! squares, are transformed to the nine of the window. A sum has one order, that of the squares in each part of them,
//! then that of the parts.

use super::lines::{Cotangent, Source, WindowGrad};
use super::number::Number;
use super::tiles::{IN, Image, OUT, Tiles};
use super::transforms::{Form, InputTransform, OutputTransform, SQUARE, TransformedTiles};
use crate::conv::{ConvArgs, ConvShape};
use crate::gemm::tile::{MicroKernel, Tile};

/// Numbers between the transforms, about, where all threads work on them: they stay in a third-level cache; and most
/// squares of a product, so that a panel of it stays in a first-level cache.
const TURN: usize = 2400 << 10;
const SQUARES: usize = 256;
/// Numbers of a task that works alone, about, of which its sums may take so many: they stay in a second-level cache.
const ALONE: usize = 176 << 10;
const SUMS: usize = 80 << 10;
/// Most such tasks; fewest squares that are worth sums of their own.
const PARTS: usize = 16;
const PART: usize = 128;
/// Numbers of a task of the last transform.
const LAST: usize = 1 << 11;

/// Small sums: a task works alone on a part of the bands. Large ones: there is one part, and all threads take turns at
/// transforms and products.
#[derive(Clone, Copy)]
struct Cut {
    tiles: Tiles,
    /// Channels of x and y.
    inner: usize,
    outer: usize,
    alone: bool,
    /// Products take pairs of squares.
    pairs: bool,
    /// Parts of the bands, each with sums of its own.
    parts: usize,
    /// Bands between two visits of the sums.
    bands: usize,
}

impl Cut {
    fn new(pairs: bool, s: &ConvShape) -> Cut {
        let (tiles, inner, outer) = (Tiles::new(s), s.c_in, s.c_out);
        let (sums, parts) = (SQUARE * inner * outer, (tiles.count() / PART).min(PARTS));
        let alone = sums <= SUMS && parts >= 4;
        let parts = if alone { parts } else { 1 };
        let squares = if alone {
            ((ALONE - sums) / SQUARE / (inner + outer)).clamp(16, PART)
        } else {
            (TURN / SQUARE / (inner + outer)).clamp(32, SQUARES)
        };
        let squares = if pairs { 2 * squares } else { squares };
        let turns = tiles.count().div_ceil(parts * squares).max(1);
        let bands = tiles.bands().div_ceil(parts * turns).max(1);
        Cut { tiles, inner, outer, alone, pairs, parts, bands }
    }

    fn part(&self, part: usize) -> [usize; 2] {
        [part, part + 1].map(|p| p * self.tiles.bands() / self.parts)
    }

    /// Rows of the transforms before a band.
    fn before(&self, band: usize) -> usize {
        if self.pairs { self.tiles.pairs_before(band) } else { self.tiles.before(band) }
    }

    /// Transforms of x and y.
    fn matrices(&self, ptr: *mut f32) -> [TransformedTiles; 2] {
        let most = self.tiles.most(1);
        let rows = self.bands * if self.pairs { most.div_ceil(2) } else { most };
        let form = Form::of(self.pairs, Form::Rows);
        let x = TransformedTiles::rows(form, ptr, rows, self.inner);
        [x, TransformedTiles::panels(form, ptr.wrapping_add(x.len()), rows, self.outer)]
    }

    fn matrices_len(&self) -> usize {
        self.matrices(std::ptr::null_mut()).iter().map(TransformedTiles::len).sum()
    }

    /// The sums of the first part, at `ptr`; the others follow.
    fn sums(&self, ptr: *mut f32) -> TransformedTiles {
        TransformedTiles::rows(Form::Whole, ptr, self.inner, self.outer)
    }

    fn zeros_len(&self) -> usize {
        self.inner.max(self.outer).next_multiple_of(16)
    }

    /// Rows of the kernel's matrices in a task of the last transform.
    fn rows(&self) -> usize {
        (LAST / self.outer).max(1)
    }

    /// Numbers of zeros, sums, matrices that all share, and of a worker.
    fn lens(&self) -> [usize; 4] {
        let sums = self.parts * self.sums(std::ptr::null_mut()).len();
        let results = (9 * self.rows() * self.outer).next_multiple_of(16);
        let (shared, own) = if self.alone { (0, self.matrices_len()) } else { (self.matrices_len(), 0) };
        [self.zeros_len(), sums, shared, own.max(results)]
    }
}

pub(super) fn scratch_len(pairs: bool, s: &ConvShape, threads: usize) -> usize {
    let [zeros, sums, shared, worker] = Cut::new(pairs, s).lens();
    16 + zeros + sums + shared + threads * worker
}

struct Sums<'a, T> {
    args: &'a ConvArgs<'a, T>,
    cut: Cut,
    zeros: *mut f32,
    /// Those of the first part.
    sums: TransformedTiles,
    workers: *mut f32,
}

// SAFETY: as for `ConvArgs`.
unsafe impl<T> Sync for Sums<'_, T> {}

pub(super) unsafe fn run<T: Number>(args: &ConvArgs<T>) {
    let cut = Cut::new(T::PAIRS, args.s);
    let [zeros_len, sums_len, shared_len, _] = cut.lens();
    let zeros = args.scratch();
    let sums = cut.sums(zeros.wrapping_add(zeros_len));
    let shared = zeros.wrapping_add(zeros_len + sums_len);
    let all = Sums { args, cut, zeros, sums, workers: shared.wrapping_add(shared_len) };
    // SAFETY: the zeros have a place of their own; for the rest, the frame's contract, 2 and 6.
    unsafe {
        std::slice::from_raw_parts_mut(zeros, zeros_len).fill(0.0);
        if cut.alone {
            let plain = |tasks: usize, task: &Each| (0..tasks).for_each(task);
            args.run(cut.parts, &|worker, part| all.part(part, cut.matrices(all.own(worker)), plain));
        } else {
            let split = |tasks: usize, task: &Each| args.run(tasks, &|_, i| task(i));
            all.part(0, cut.matrices(shared), split);
        }
    }
    // SAFETY: as above; all sums are complete.
    args.run(cut.inner.div_ceil(cut.rows()), &|worker, task| unsafe { all.last(worker, task) });
}

/// Some tasks, one number each.
type Each<'a> = dyn Fn(usize) + Sync + 'a;

/// Bands between two visits of the sums.
struct Turn {
    /// First and last band.
    bands: [usize; 2],
    x: TransformedTiles,
    y: TransformedTiles,
    sums: TransformedTiles,
    /// Whether the sums begin here.
    first: bool,
}

// SAFETY: bands have rows of their own in `x` and `y`, and tasks rows of their own in `sums`.
unsafe impl Sync for Turn {}

impl<T: Number> Sums<'_, T> {
    fn own(&self, worker: usize) -> *mut f32 {
        self.workers.wrapping_add(worker * self.cut.lens()[3])
    }

    /// The sums of a part; `run` does some tasks.
    unsafe fn part(&self, part: usize, [x, y]: [TransformedTiles; 2], run: impl Fn(usize, &Each)) {
        let cut = &self.cut;
        let [start, end] = cut.part(part);
        let blocks = if cut.alone { 1 } else { cut.inner.div_ceil(64) };
        for from in (start..end).step_by(cut.bands) {
            let to = end.min(from + cut.bands);
            let turn = Turn { bands: [from, to], x, y, sums: self.sums.sibling(part), first: from == start };
            // SAFETY: the frame's contract, 2 and 6.
            unsafe {
                run(to - from, &|band| self.transform(&turn, from + band));
                run(SQUARE * blocks, &|task| self.product(&turn, task / blocks, task % blocks, blocks));
            }
        }
    }

    /// Transforms the squares of a band.
    unsafe fn transform(&self, turn: &Turn, band: usize) {
        let (args, cut, tiles) = (self.args, &self.cut, &self.cut.tiles);
        let (image, place) = tiles.place(band);
        let count = tiles.before(band + 1) - tiles.before(band);
        let row = cut.before(band) - cut.before(turn.bands[0]);
        let of = |ptr: *const T, size: [usize; 2], channels: usize| Image {
            ptr: ptr.wrapping_add(image * size[0] * size[1] * channels),
            size,
            channels,
            zeros: self.zeros.cast(),
        };
        let x = of(args.a, tiles.src, cut.inner);
        let y = of(args.b, tiles.out, cut.outer);
        args.isa.run(InputTransform::<_, _, IN> {
            from: x.squares(tiles.source(place)),
            line: Source,
            count,
            row,
            channels: cut.inner,
            to: turn.x,
        });
        args.isa.run(InputTransform::<_, _, OUT> {
            from: y.squares(place.map(|n| n as isize)),
            line: Cotangent,
            count,
            row,
            channels: cut.outer,
            to: turn.y,
        });
    }

    /// Adds the squares of a turn to some rows of a sum.
    unsafe fn product(&self, turn: &Turn, i: usize, block: usize, blocks: usize) {
        let (cut, kernel) = (&self.cut, MicroKernel::of(self.args.isa, T::PAIRS));
        let [row, end] = [block, block + 1].map(|b| b * cut.inner / blocks);
        let [from, to] = turn.bands;
        for col in (0..cut.outer).step_by(turn.y.panel()) {
            let cols = turn.y.panel().min(cut.outer - col);
            let tile = Tile {
                seg: &[0, 0],
                segs: 1,
                len: cut.before(to) - cut.before(from),
                a: turn.x.at(i, 0, row),
                a_rs: 1,
                a_cs: turn.x.ld(0) as isize,
                b: turn.y.at(i, 0, col),
                b_ks: turn.y.ld(col) as isize,
                c: turn.sums.at(i, row, col),
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
        let (args, cut) = (self.args, &self.cut);
        let [row, end] = [task, task + 1].map(|t| cut.inner.min(t * cut.rows()));
        let (own, parts) = (self.own(worker), cut.parts);
        let count = end - row;
        let taps: [_; 9] = std::array::from_fn(|tap| {
            args.rows_at(tap * cut.inner + row, own.wrapping_add(tap * count * cut.outer))
        });
        let to = |i: usize| {
            std::array::from_fn(|y| std::array::from_fn(|x| taps[3 * y + x].wrapping_add(i * cut.outer)))
        };
        let (from, channels) = (self.sums, cut.outer);
        args.isa.run(OutputTransform::<_, _, 3> { from, parts, line: WindowGrad, count, row, channels, to });
        (0..9).for_each(|tap| args.finish(tap * cut.inner + row, count, taps[tap]));
    }
}
