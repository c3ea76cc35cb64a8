//! Gradient of a convolution with respect to its kernel: for every tap a product of the image, transposed, with
//! the result's cotangent, summed over all pixels.
//!
//! The images are cut in a number of chunks that depends on the shape alone; each chunk has a sum of its own,
//! and the sums are added in order.

use super::axis::{Axis, Region};
use super::{ConvArgs, ConvShape, volume};
use crate::gemm::tile::{MicroKernel, Tile};

/// Pixels between two visits of a sum.
const PIXELS: usize = 256;
/// Numbers of a task that adds sums.
const ADD: usize = 1 << 13;

/// How the work is cut.
#[derive(Clone, Copy)]
struct Cut {
    axes: [Axis; 3],
    /// Chunks of images, and of the kernel's rows.
    chunks: usize,
    blocks: usize,
    /// Taps along the last dim that lie side by side in memory, and rows of the kernel that they cover.
    run: usize,
    rows: usize,
    /// Rows of y between two visits.
    band: usize,
    /// Numbers of the kernel.
    len: usize,
}

impl Cut {
    fn new(s: &ConvShape) -> Cut {
        let axes = Axis::all(s);
        let len = volume(s.k) * s.per_in() * s.c_out;
        let (images, work) = (s.batch.max(1), s.work());
        let tasks = if work > 1e9 { 16 } else { ((work / 3e5) as usize).clamp(1, 8) };
        let chunks = tasks.min(images).min(((1 << 20) / len.max(1)).max(2));
        let run = if s.dilation[2] == 1 && s.groups == 1 { s.k[2].max(1) } else { 1 };
        let rows = run * s.per_in();
        let units = volume(s.k) / run * s.groups;
        let blocks = (tasks / chunks).clamp(1, (units * rows / 28).max(1));
        let band = (PIXELS / s.y[2].max(1)).clamp(1, s.y[1].max(1));
        Cut { axes, chunks, blocks, run, rows, band, len }
    }

    /// Numbers of a worker: runs, source box.
    fn worker_len(&self, s: &ConvShape) -> [usize; 2] {
        let reach = |d: usize, count| self.axes[d].most_reach(count);
        let region = reach(0, 1) * reach(1, self.band) * reach(2, s.y[2]) * s.c_in;
        [2 * self.band, region].map(|n| n.next_multiple_of(16))
    }

    fn sum_len(&self) -> usize {
        self.len.next_multiple_of(16)
    }
}

pub(super) fn scratch_len(s: &ConvShape, threads: usize) -> usize {
    let cut = Cut::new(s);
    16 + cut.chunks * cut.sum_len() + threads * cut.worker_len(s).iter().sum::<usize>()
}

struct Sums<'a> {
    args: &'a ConvArgs<'a>,
    cut: Cut,
    kernel: &'static MicroKernel,
    width: usize,
}

pub(super) unsafe fn run(args: &ConvArgs) {
    let (s, cut) = (args.s, Cut::new(args.s));
    let kernel = MicroKernel::of(args.isa, args.pairs);
    let sums = Sums { args, cut, kernel, width: kernel.width(cut.rows.div_ceil(cut.blocks), s.per_out()) };
    // SAFETY: the frame's contract, 2 and 6.
    args.run(cut.chunks * cut.blocks, &|worker, task| unsafe { sums.task(worker, task) });
    let rows = cut.len / s.c_out;
    let per_task = (ADD / s.c_out).max(1);
    // SAFETY: as above; all sums are complete.
    args.run(rows.div_ceil(per_task), &|_, task| unsafe {
        sums.add(task * per_task, rows.min((task + 1) * per_task));
    });
}

impl Sums<'_> {
    /// The sum of a chunk: a single one is the result itself.
    fn sum(&self, chunk: usize) -> *mut f32 {
        let own = self.args.scratch().wrapping_add(chunk * self.cut.sum_len());
        if self.cut.chunks == 1 { self.args.rows_at(0, own) } else { own }
    }

    /// Adds the chunks' sums for some rows of the kernel.
    unsafe fn add(&self, from: usize, to: usize) {
        let cols = self.args.s.c_out;
        let first = self.sum(0).wrapping_add(from * cols);
        let result = self.args.rows_at(from, first);
        let len = (to - from) * cols;
        // SAFETY: the rows lie inside the kernel; tasks have disjoint rows, sums are apart from each other and,
        // if there are several, from the result.
        unsafe {
            if self.cut.chunks > 1 && result != first {
                std::ptr::copy_nonoverlapping(first, result, len);
            }
            let total = std::slice::from_raw_parts_mut(result, len);
            for chunk in 1..self.cut.chunks {
                let sum = std::slice::from_raw_parts(first.add(chunk * self.cut.sum_len()), len);
                total.iter_mut().zip(sum).for_each(|(total, x)| *total += x);
            }
        }
        self.args.finish(from, to - from, result);
    }

    unsafe fn task(&self, worker: usize, task: usize) {
        let (cut, args, s) = (&self.cut, self.args, self.args.s);
        let (chunk, block) = (task / cut.blocks, task % cut.blocks);
        let lens = cut.worker_len(s);
        let own = args.scratch().wrapping_add(cut.chunks * cut.sum_len() + worker * (lens[0] + lens[1]));
        let images = chunk * s.batch / cut.chunks..(chunk + 1) * s.batch / cut.chunks;
        let mut accumulate = false;
        for (image, plane) in images.flat_map(|n| (0..s.y[0]).map(move |z| (n, z))) {
            for y in (0..s.y[1]).step_by(cut.band) {
                let band = [y, s.y[1].min(y + cut.band)];
                if s.y[2] > 0 {
                    // SAFETY: the frame's contract, 2 and 6.
                    unsafe { self.band(own, [chunk, block], [image, plane], band, accumulate) };
                    accumulate = true;
                }
            }
        }
        if !accumulate && block == 0 {
            // SAFETY: the sum has `len` numbers and no other task writes it, for there are no pixels.
            unsafe { std::slice::from_raw_parts_mut(self.sum(chunk), cut.len).fill(0.0) };
        }
    }

    /// Adds the pixels of rows `from..to` of a plane of y to a block of the kernel.
    unsafe fn band(
        &self,
        own: *mut f32,
        [chunk, block]: [usize; 2],
        [image, plane]: [usize; 2],
        [from, to]: [usize; 2],
        accumulate: bool,
    ) {
        let (cut, args, s) = (&self.cut, self.args, self.args.s);
        let lens = cut.worker_len(s);
        let spans = [[plane, plane + 1], [from, to], [0, s.y[2]]];
        let reach: [_; 3] = std::array::from_fn(|d| cut.axes[d].reach(spans[d][0], spans[d][1]));
        let source = args.a.wrapping_add(image * volume(s.x) * s.c_in);
        let (start, size) = (reach.map(|r| r.0), reach.map(|r| r.1));
        // SAFETY: the image lies inside x; the box fits `worker_len`.
        let region = unsafe { Region::new(source, s.x, s.c_in, start, size, own.wrapping_add(lens[0])) };
        let seg: *mut [u32; 2] = own.cast();
        let step = region.steps()[1] * s.stride[1];
        for y in 0..to - from {
            // SAFETY: there is room for the rows of a band.
            unsafe { *seg.add(y) = [(y * step) as u32, (y * s.y[2] * s.c_out) as u32] };
        }
        let first_row = ((image * s.y[0] + plane) * s.y[1] + from) * s.y[2];
        let tile = Tile {
            seg,
            segs: to - from,
            len: s.y[2],
            a: region.at(start),
            a_rs: 1,
            a_cs: (s.stride[2] * s.c_in) as isize,
            b: args.b.wrapping_add(first_row * s.c_out),
            b_ks: s.c_out as isize,
            c: self.sum(chunk),
            c_ld: s.c_out,
            cols: s.per_out(),
            accumulate,
        };
        // SAFETY: the frame's contract, 2 and 6.
        unsafe { self.block(&region, tile, block) };
    }

    /// The kernel's rows of one block; `tile` is set for the first tap.
    unsafe fn block(&self, region: &Region, mut tile: Tile, block: usize) {
        let (cut, s) = (&self.cut, self.args.s);
        let (a, b, c) = (tile.a, tile.b, tile.c);
        let units = volume(s.k) / cut.run;
        let total = units * s.groups * cut.rows;
        let (mut row, end) = (block * total / cut.blocks, (block + 1) * total / cut.blocks);
        while row < end {
            let (unit, inside) = (row / cut.rows % units, row % cut.rows);
            let group = row / cut.rows / units;
            let count = (cut.rows - inside).min(end - row);
            let x = unit * cut.run % s.k[2];
            let (y, z) = (unit * cut.run / s.k[2] % s.k[1], unit * cut.run / s.k[2] / s.k[1]);
            let steps = region.steps();
            let tap =
                z * s.dilation[0] * steps[0] + y * s.dilation[1] * steps[1] + x * s.dilation[2] * steps[2];
            let channel = group * s.per_in();
            tile.a = a.wrapping_add(tap + channel + inside);
            tile.b = b.wrapping_add(group * s.per_out());
            tile.c = c.wrapping_add((unit * cut.rows + inside) * s.c_out + group * s.per_out());
            // SAFETY: the rows lie inside the sum, and no other block has them.
            unsafe { self.kernel.run(tile, count, self.width) };
            row += count;
        }
    }
}

// SAFETY: as for `ConvArgs`.
unsafe impl Sync for Sums<'_> {}
