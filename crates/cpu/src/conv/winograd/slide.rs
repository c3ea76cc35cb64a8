//! Forward convolution and input gradient. A task owns some bands of squares: it transforms what they read, does
//! the products with the kernel, which was transformed before, and transforms back, all in its cache.

use super::lines::{OutputMatrix, Source, Window};
use super::number::Number;
use super::tiles::{IN, Image, OUT, Tiles};
use super::transforms::{Form, InputTransform, OutputTransform, SQUARE, TransformedTiles};
use crate::conv::{ConvArgs, ConvShape};
use crate::gemm::pack::pack_panel;
use crate::gemm::tile::{MicroKernel, Tile};
use rhyton_graph::ops::ConvKind;

/// Numbers of a task between the transforms, about, and limits of its squares: few leave the tiles low, many leave
/// the other threads without work.
const TASK: usize = 160 << 10;
const SQUARES: [usize; 2] = [28, 112];
/// Rows of the kernel that are transposed at a time, an even number.
const ROWS: usize = 32;

#[derive(Clone, Copy)]
struct Cut {
    tiles: Tiles,
    /// Channels of source and result.
    inner: usize,
    outer: usize,
    /// Products take pairs of source channels; numbers of a sum.
    pairs: bool,
    summed: usize,
    tasks: usize,
}

impl Cut {
    fn new(pairs: bool, s: &ConvShape) -> Cut {
        let tiles = Tiles::new(s);
        let (inner, outer) = if s.kind == ConvKind::Forward { (s.c_in, s.c_out) } else { (s.c_out, s.c_in) };
        let summed = if pairs { inner.div_ceil(2) } else { inner };
        let squares = (TASK / SQUARE / (summed + outer)).clamp(SQUARES[0], SQUARES[1]);
        let count = tiles.count();
        let mut tasks = count.div_ceil(squares);
        if tasks < 16 {
            // Halves and quarters can be shared evenly; so small a loss of height costs less than waiting.
            tasks = ((count as f64 / squares as f64).log2().round().exp2() as usize).max(1);
        }
        Cut { tiles, inner, outer, pairs, summed, tasks: tasks.clamp(1, tiles.bands().max(1)) }
    }

    fn bands(&self, task: usize) -> [usize; 2] {
        [task, task + 1].map(|t| t * self.tiles.bands() / self.tasks)
    }

    /// The transformed kernel, at `ptr`.
    fn kernel(&self, ptr: *mut f32) -> TransformedTiles {
        TransformedTiles::panels(Form::of(self.pairs, Form::Rows), ptr, self.summed, self.outer)
    }

    /// Most squares of a task.
    fn squares(&self) -> usize {
        self.tiles.most(self.tiles.bands().div_ceil(self.tasks))
    }

    /// A worker's memory at `ptr`: transformed source, products, and the results of a band.
    fn worker(&self, ptr: *mut f32) -> (TransformedTiles, TransformedTiles, *mut f32) {
        let form = Form::of(self.pairs, Form::Columns);
        let source = TransformedTiles::rows(form, ptr, self.squares(), self.summed);
        let result =
            TransformedTiles::rows(Form::Whole, ptr.wrapping_add(source.len()), self.squares(), self.outer);
        (source, result, ptr.wrapping_add(source.len() + result.len()))
    }

    fn worker_len(&self) -> usize {
        let (source, result, _) = self.worker(std::ptr::null_mut());
        // The kernel's rows in another order take the same place, before the tasks; and so do rows of a tap.
        let all = source.len() + result.len() + self.tiles.band_results() * self.outer;
        all.max(10 * ROWS * self.outer.next_multiple_of(16)).next_multiple_of(16)
    }

    fn zeros_len(&self) -> usize {
        self.inner.next_multiple_of(16)
    }
}

pub(super) fn scratch_len(pairs: bool, s: &ConvShape, threads: usize) -> usize {
    let cut = Cut::new(pairs, s);
    16 + cut.zeros_len() + cut.kernel(std::ptr::null_mut()).len() + threads * cut.worker_len()
}

struct Slide<'a, T> {
    args: &'a ConvArgs<'a, T>,
    cut: Cut,
    kernel: TransformedTiles,
    zeros: *mut f32,
    workers: *mut f32,
}

// SAFETY: as for `ConvArgs`.
unsafe impl<T> Sync for Slide<'_, T> {}

pub(super) unsafe fn run<T: Number>(args: &ConvArgs<T>) {
    let cut = Cut::new(T::PAIRS, args.s);
    let zeros = args.scratch();
    let kernel = cut.kernel(zeros.wrapping_add(cut.zeros_len()));
    let workers = zeros.wrapping_add(cut.zeros_len() + kernel.len());
    let slide = Slide { args, cut, kernel, zeros, workers };
    // SAFETY: the zeros have a place of their own; tasks by the frame's contract, 7.
    unsafe {
        std::slice::from_raw_parts_mut(zeros, cut.zeros_len()).fill(0.0);
        args.run(cut.inner.div_ceil(ROWS), &|worker, task| slide.transform(worker, task));
        args.run(cut.tasks, &|worker, task| slide.task(worker, task));
    }
}

impl<T: Number> Slide<'_, T> {
    /// Transforms some rows of the kernel's matrices.
    unsafe fn transform(&self, worker: usize, task: usize) {
        let (args, cut) = (self.args, &self.cut);
        let [row, end] = [task * ROWS, cut.inner.min((task + 1) * ROWS)];
        let all = args.s.c_out;
        let own = self.workers.wrapping_add(worker * cut.worker_len());
        if args.s.kind == ConvKind::Forward {
            let (from, tap) = (args.b.wrapping_add(row * all), cut.inner * all);
            return self.spread(from, [tap, all], [row, end]);
        }
        let (ld, rows) = (cut.outer.next_multiple_of(16), end - row);
        let floats = own.wrapping_add(9 * ROWS * ld);
        for tap in 0..9 {
            let mut view = args.tap(0, tap, 0);
            view.ptr = view.ptr.wrapping_offset(row as isize * view.rs);
            let to = own.wrapping_add(tap * ROWS * ld);
            // SAFETY: the rows lie inside w, and there is room for ten times so many.
            unsafe {
                let view = T::floats(args.isa, view, rows, cut.outer, floats);
                pack_panel(MicroKernel::of(args.isa, false), view, rows, cut.outer, ld, to);
            }
        }
        self.spread(own.cast_const(), [ROWS * ld, ld], [row, end]);
    }

    /// Transforms nine matrices, whose distances and those of their rows are given, to some rows of the 36.
    fn spread<N: Number>(&self, from: *const N, [tap, ld]: [usize; 2], [row, end]: [usize; 2]) {
        let window = |i: usize| {
            let at = from.wrapping_add(i * ld);
            std::array::from_fn(|y| std::array::from_fn(|x| at.wrapping_add((3 * y + x) * tap)))
        };
        self.args.isa.run(InputTransform::<_, _, 3> {
            from: window,
            line: Window,
            count: end - row,
            row: if self.cut.pairs { row / 2 } else { row },
            channels: self.cut.outer,
            to: self.kernel,
        });
    }

    unsafe fn task(&self, worker: usize, task: usize) {
        let cut = &self.cut;
        let (source, result, own) = cut.worker(self.workers.wrapping_add(worker * cut.worker_len()));
        let [from, to] = cut.bands(task);
        let first = cut.tiles.before(from);
        // SAFETY: the frame's contract, 2 and 6; the matrices have room for the squares of a task.
        unsafe {
            (from..to).for_each(|band| self.source(band, first, source));
            (0..SQUARE).for_each(|i| self.product(i, cut.tiles.before(to) - first, source, result));
            (from..to).for_each(|band| self.results(band, first, result, own));
        }
    }

    /// Transforms what a band reads.
    unsafe fn source(&self, band: usize, first: usize, to: TransformedTiles) {
        let (args, cut) = (self.args, &self.cut);
        let (image, at) = cut.tiles.place(band);
        let size = cut.tiles.src;
        let ptr = args.a.wrapping_add(image * size[0] * size[1] * cut.inner);
        let image = Image { ptr, size, channels: cut.inner, zeros: self.zeros.cast() };
        let row = cut.tiles.before(band);
        args.isa.run(InputTransform::<_, _, IN> {
            from: image.squares(cut.tiles.source(at)),
            line: Source,
            count: cut.tiles.before(band + 1) - row,
            row: row - first,
            channels: cut.inner,
            to,
        });
    }

    /// One of the products over all channels.
    unsafe fn product(&self, i: usize, squares: usize, source: TransformedTiles, result: TransformedTiles) {
        let (cut, kernel) = (&self.cut, MicroKernel::of(self.args.isa, T::PAIRS));
        for col in (0..cut.outer).step_by(self.kernel.panel()) {
            let cols = self.kernel.panel().min(cut.outer - col);
            let tile = Tile {
                seg: &[0, 0],
                segs: 1,
                len: cut.summed,
                a: source.at(i, 0, 0),
                a_rs: source.ld(0) as isize,
                a_cs: 1,
                b: self.kernel.at(i, 0, col),
                b_ks: self.kernel.ld(col) as isize,
                c: result.at(i, 0, col),
                c_ld: result.ld(0),
                cols,
                accumulate: false,
            };
            // SAFETY: the matrices have so many rows and columns.
            unsafe { kernel.run(tile, squares, kernel.width(squares, cols)) };
        }
    }

    /// Transforms the products of a band back, and finishes its results.
    unsafe fn results(&self, band: usize, first: usize, from: TransformedTiles, own: *mut f32) {
        let (args, cut) = (self.args, &self.cut);
        let ([height, width], outer) = (cut.tiles.out, cut.outer);
        let (image, [y, x]) = cut.tiles.place(band);
        let row = cut.tiles.before(band);
        let count = cut.tiles.before(band + 1) - row;
        let rows = OUT.min(height - y);
        let cols = (count * OUT).min(width - x);
        let start = (image * height + y) * width + x;
        let line = |i: usize| args.rows_at(start + i * width, own.wrapping_add(i * cols * outer));
        let lines: [_; OUT] = std::array::from_fn(line);
        let pixels = |tile: usize| {
            std::array::from_fn(|i| {
                std::array::from_fn(|j| {
                    let inside = i < rows && tile * OUT + j < cols;
                    let at = lines[i].wrapping_add((tile * OUT + j) * outer);
                    if inside { at } else { std::ptr::null_mut() }
                })
            })
        };
        let row = row - first;
        args.isa.run(OutputTransform::<_, _, OUT> {
            from,
            parts: 1,
            line: OutputMatrix,
            count,
            row,
            channels: outer,
            to: pixels,
        });
        if cols == width {
            args.finish(start, rows * cols, lines[0]);
        } else {
            (0..rows).for_each(|i| args.finish(start + i * width, cols, lines[i]));
        }
    }
}
