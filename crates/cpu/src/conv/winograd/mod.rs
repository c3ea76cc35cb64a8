//! Convolutions with 3 x 3 windows by Winograd's minimal filtering F(4 x 4, 3 x 3): a square of 4 x 4 results costs 36
//! products for each pair of channels where the definition has 144. (Winograd 1980; Lavin and Gray, "Fast Algorithms
//! for Convolutional Neural Networks", 2016.)
//!
//! `Y = A' [(G w G') * (B' x B)] A`, where `*` multiplies point by point: for each of the 36 points a matrix product
//! over channels. The points are 0, 1, -1, 2, -2 and infinity. The gradient with respect to the kernel is the exact
//! transpose: `dw = G' [(B' x B) * (A dy A')] G`, summed over all squares.
//!
//! Rounding: over random numbers with 32 to 256 channels the root of the mean squared error is 1.3e-6 to 3.2e-6 of that
//! of the results, the direct sum's 3e-7 to 8e-7. A NaN or infinity reaches all results of the squares that read it.

mod kernel_grad;
mod transform;

pub(super) use kernel_grad::{run as kernel_grad, scratch_len as kernel_grad_scratch_len};

use super::{ConvShape, Job};
use crate::gemm::pack::pack_panel;
use crate::gemm::tile::{Kernel, Tile};
use crate::gemm::{MatView, Steps};
use rhyton_graph::ops::ConvKind;
use transform::{Collect, Expand, Image, Place, Source, Spread};

/// Results along the side of a square.
const SIDE: usize = 4;
/// Points of a square.
const POINTS: usize = 36;
/// Taps of the window.
const TAPS: usize = 9;
/// Squares of a task: a multiple of the rows of the inner kernel, and few enough to stay in the caches.
const SQUARES: usize = 56;
/// Channels below which the transforms cost more than they save.
const CHANNELS: usize = 32;
/// Numbers of a task that transforms the kernel.
const EXPAND: usize = 1 << 11;

/// Whether a convolution is computed so; depends on the shape alone.
pub(super) fn applies(s: &ConvShape) -> bool {
    let squares = s.batch * s.y[1].div_ceil(SIDE) * s.y[2].div_ceil(SIDE);
    s.k == [1, 3, 3]
        && s.x[0] == 1
        && s.y[0] == 1
        && s.pad_lo[0] == 0
        && s.pad_lo.iter().all(|p| *p <= 2)
        && s.stride == [1; 3]
        && s.dilation == [1; 3]
        && s.groups == 1
        && s.c_in.min(s.c_out) >= CHANNELS
        && s.y[1].min(s.y[2]) >= SIDE
        && squares >= 64
}

/// Distance between the matrices of two points: such that the points of one number fall in different sets of a cache.
fn apart(len: usize) -> usize {
    (len.div_ceil(16) | 1) * 16
}

/// Rows of squares, numbered through all images, and the tasks they are shared out to.
#[derive(Clone, Copy)]
struct Grid {
    /// Pixels of a result.
    size: [usize; 2],
    /// Squares of an image.
    squares: [usize; 2],
    /// Rows of squares of all images.
    lines: usize,
    tasks: usize,
}

impl Grid {
    fn new(batch: usize, size: [usize; 2], squares_per_task: usize) -> Grid {
        let squares = size.map(|n| n.div_ceil(SIDE));
        let lines = batch * squares[0];
        let tasks = lines.div_ceil((squares_per_task / squares[1]).max(1));
        let tasks = if tasks > 1 { tasks.next_multiple_of(4).min(lines) } else { 1 };
        Grid { size, squares, lines, tasks }
    }

    fn lines_of(&self, task: usize) -> [usize; 2] {
        [task, task + 1].map(|t| t * self.lines / self.tasks)
    }

    /// Most squares of a task.
    fn most(&self) -> usize {
        self.lines.div_ceil(self.tasks) * self.squares[1]
    }

    /// The first pixel of a row of squares, among all images.
    fn pixel(&self, line: usize) -> usize {
        let (image, row) = (line / self.squares[0], line % self.squares[0]);
        (image * self.size[0] + row * SIDE) * self.size[1]
    }
}

/// A convolution or its input gradient: the same with the window turned around and the channels exchanged.
#[derive(Clone, Copy)]
struct Shape {
    grid: Grid,
    source: [usize; 2],
    pad: [usize; 2],
    inner: usize,
    outer: usize,
}

impl Shape {
    fn new(kind: ConvKind, s: &ConvShape) -> Shape {
        let (x, y, pad) = ([s.x[1], s.x[2]], [s.y[1], s.y[2]], [s.pad_lo[1], s.pad_lo[2]]);
        if kind == ConvKind::Forward {
            let grid = Grid::new(s.batch, y, SQUARES);
            Shape { grid, source: x, pad, inner: s.c_in, outer: s.c_out }
        } else {
            let grid = Grid::new(s.batch, x, SQUARES);
            Shape { grid, source: y, pad: pad.map(|p| 2 - p), inner: s.c_out, outer: s.c_in }
        }
    }

    /// Numbers of one point, or one tap, of the packed kernel, the same for all instruction sets.
    fn kernel_len(&self) -> usize {
        self.inner * self.outer.next_multiple_of(16 * 8)
    }

    /// Numbers of a worker: points of the source, points of the result, the result.
    fn worker_len(&self) -> [usize; 3] {
        let squares = self.grid.most();
        let pixels = self.grid.lines.div_ceil(self.grid.tasks) * SIDE * self.grid.size[1];
        let points = |channels: usize| POINTS * apart(squares * channels);
        [points(self.inner), points(self.outer), (pixels * self.outer).next_multiple_of(16)]
    }

    /// Numbers before those of the workers.
    fn shared_len(&self) -> usize {
        (POINTS + TAPS) * apart(self.kernel_len())
    }
}

pub(super) fn scratch_len(kind: ConvKind, s: &ConvShape, threads: usize) -> usize {
    let shape = Shape::new(kind, s);
    16 + shape.shared_len() + threads * shape.worker_len().iter().sum::<usize>()
}

struct Winograd<'a> {
    job: &'a Job<'a>,
    shape: Shape,
    kernel: &'static Kernel,
    width: usize,
    /// Columns of a panel of the kernel's matrices.
    panel: usize,
}

// SAFETY: as for `Job`.
unsafe impl Sync for Winograd<'_> {}

/// # Safety
/// As for `conv`.
pub(super) unsafe fn run(job: &Job) {
    let shape = Shape::new(job.kind, job.s);
    let kernel = Kernel::of(job.isa, false);
    let width = kernel.width(shape.grid.most(), shape.outer);
    let w = Winograd { job, shape, kernel, width, panel: kernel.columns(width) };
    let panels = shape.outer.div_ceil(w.panel);
    // SAFETY: passed on to the caller; packing ends before the transform of the kernel begins, that before the rest.
    unsafe {
        job.run(TAPS * panels, &|_, task| w.pack(task / panels, task % panels));
        let len = panels * shape.inner * w.panel;
        job.run(len.div_ceil(EXPAND), &|_, task| w.expand(task * EXPAND, len.min((task + 1) * EXPAND)));
        job.run(shape.grid.tasks, &|worker, task| w.task(worker, task));
    }
}

impl Winograd<'_> {
    /// The kernel's matrix of a point; after those of all points come those of the taps.
    fn matrix(&self, number: usize) -> *mut f32 {
        self.job.scratch.wrapping_add(number * apart(self.shape.kernel_len()))
    }

    /// Packs one tap of one panel of the kernel.
    unsafe fn pack(&self, tap: usize, panel: usize) {
        let Shape { inner, outer, .. } = self.shape;
        let (col, all) = (panel * self.panel, self.job.s.c_out);
        let (at, rs, cs) = match self.job.kind {
            ConvKind::Forward => (tap * inner * all + col, all, 1),
            _ => (((TAPS - 1 - tap) * outer + col) * all, 1, all),
        };
        let ptr = self.job.b.wrapping_add(at);
        let from = MatView { ptr, rs: rs as isize, cs: cs as isize, batch: Steps::NONE };
        let to = self.matrix(POINTS + tap).wrapping_add(panel * inner * self.panel);
        // SAFETY: the part lies inside w; parts are disjoint in the scratch memory.
        unsafe { pack_panel(self.kernel, from, inner, self.panel.min(outer - col), self.panel, to) };
    }

    /// Transforms some numbers of the packed kernel.
    unsafe fn expand(&self, from: usize, to: usize) {
        let step = apart(self.shape.kernel_len());
        let (taps, points) = (self.matrix(POINTS).wrapping_add(from), self.matrix(0).wrapping_add(from));
        self.job.isa.run(Expand { taps, points, step, len: to - from });
    }

    unsafe fn task(&self, worker: usize, task: usize) {
        let Shape { grid, source, pad, inner, outer } = self.shape;
        let lens = self.shape.worker_len();
        let own =
            self.job.scratch.wrapping_add(self.shape.shared_len() + worker * lens.iter().sum::<usize>());
        let lines = grid.lines_of(task);
        let squares = (lines[1] - lines[0]) * grid.squares[1];
        let place = |at: *mut f32, channels: usize| Place {
            at,
            step: apart(grid.most() * channels),
            panel: channels,
            squares,
        };
        let (v, m) = (place(own, inner), place(own.wrapping_add(lens[0]), outer));
        let image = Image { at: self.job.a, size: source, channels: inner };
        self.job.isa.run(Spread { grid: &grid, image, pad, lines, to: v, line: Source });
        for point in 0..POINTS {
            for col in (0..outer).step_by(self.panel) {
                let tile = Tile {
                    seg: &[0, 0],
                    segs: 1,
                    len: inner,
                    a: v.at.wrapping_add(point * v.step),
                    a_rs: inner as isize,
                    a_cs: 1,
                    b: self.matrix(point).wrapping_add(col * inner),
                    b_ks: self.panel as isize,
                    c: m.at.wrapping_add(point * m.step + col),
                    c_ld: outer,
                    cols: self.panel.min(outer - col),
                    accumulate: false,
                };
                // SAFETY: the tile lies inside the worker's points.
                unsafe { self.kernel.run(tile, squares, self.width) };
            }
        }
        let [first, last] = lines.map(|l| grid.pixel(l));
        let to = self.job.rows_at(first, own.wrapping_add(lens[0] + lens[1]));
        self.job.isa.run(Collect { grid: &grid, lines, from: m, to, channels: outer });
        self.job.finish(first, last - first, to);
    }
}
