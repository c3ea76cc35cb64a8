//! The gradient with respect to the kernel: for each point a product over all squares, a group of them at a time.

use super::transform::{Contract, Cotangent, Image, Place, Source, Spread};
use super::{Grid, POINTS, SIDE, TAPS, apart};
use crate::conv::{ConvShape, Job};
use crate::gemm::tile::{Kernel, Tile};

/// Squares of a group: their points stay in the shared cache between the transforms and the products.
const GROUP: usize = 256;
/// Squares of a task that transforms.
const SQUARES: usize = 16;
/// Channels that lie side by side.
const PANEL: usize = 32;
/// Numbers of a task that transforms sums.
const CONTRACT: usize = 1 << 11;

/// How the work is cut.
#[derive(Clone, Copy)]
struct Cut {
    grid: Grid,
    groups: usize,
    /// Distances between points of x, of y's cotangent, of the sums.
    apart: [usize; 3],
    /// Rows of the kernel of a task that transforms sums.
    rows: usize,
}

impl Cut {
    fn new(s: &ConvShape) -> Cut {
        let grid = Grid::new(s.batch, [s.y[1], s.y[2]], SQUARES);
        let per_group = (GROUP / grid.squares[1]).clamp(1, grid.lines.max(1));
        let groups = grid.lines.div_ceil(per_group).max(1);
        let squares = grid.lines.div_ceil(groups) * grid.squares[1];
        let padded = |channels: usize| apart(squares * channels.next_multiple_of(PANEL));
        let apart = [padded(s.c_in), padded(s.c_out), apart(s.c_in * s.c_out)];
        Cut { grid, groups, apart, rows: (CONTRACT / s.c_out).max(1) }
    }

    /// Numbers before those of the workers.
    fn shared_len(&self) -> usize {
        POINTS * self.apart.iter().sum::<usize>()
    }

    fn worker_len(&self, s: &ConvShape) -> usize {
        (TAPS * self.rows * s.c_out).next_multiple_of(16)
    }
}

pub(in crate::conv) fn scratch_len(s: &ConvShape, threads: usize) -> usize {
    let cut = Cut::new(s);
    16 + cut.shared_len() + threads * cut.worker_len(s)
}

struct Sums<'a> {
    job: &'a Job<'a>,
    cut: Cut,
    kernel: &'static Kernel,
    width: usize,
}

// SAFETY: as for `Job`.
unsafe impl Sync for Sums<'_> {}

/// # Safety
/// As for `conv`.
pub(in crate::conv) unsafe fn run(job: &Job) {
    let (s, cut) = (job.s, Cut::new(job.s));
    let kernel = Kernel::of(job.isa, false);
    let sums = Sums { job, cut, kernel, width: kernel.width(PANEL, PANEL) };
    // SAFETY: passed on to the caller; each stage ends before the next begins.
    unsafe {
        for group in 0..cut.groups {
            let lines = [group, group + 1].map(|g| g * cut.grid.lines / cut.groups);
            let part = (SQUARES / cut.grid.squares[1]).max(1);
            let parts = (lines[1] - lines[0]).div_ceil(part);
            job.run(parts, &|_, i| {
                let from = lines[0] + i * part;
                sums.spread(lines, [from, lines[1].min(from + part)]);
            });
            let panels = s.c_in.div_ceil(PANEL);
            job.run(POINTS * panels, &|_, i| sums.multiply(lines, i / panels, i % panels, group > 0));
        }
        job.run(s.c_in.div_ceil(cut.rows), &|worker, i| {
            sums.contract(worker, i * cut.rows, s.c_in.min((i + 1) * cut.rows));
        });
    }
}

impl Sums<'_> {
    /// The points of x, of the cotangent, and the sums.
    fn points(&self, which: usize) -> *mut f32 {
        let before: usize = self.cut.apart[..which].iter().sum();
        self.job.scratch.wrapping_add(POINTS * before)
    }

    /// Where the squares from line `line` of a group go.
    fn place(&self, which: usize, group: [usize; 2], line: usize) -> Place {
        let columns = self.cut.grid.squares[1];
        let at = self.points(which).wrapping_add((line - group[0]) * columns * PANEL);
        Place { at, step: self.cut.apart[which], panel: PANEL, squares: (group[1] - group[0]) * columns }
    }

    unsafe fn spread(&self, group: [usize; 2], lines: [usize; 2]) {
        let (s, grid) = (self.job.s, &self.cut.grid);
        let image = |at, size: [usize; 3], channels| Image { at, size: [size[1], size[2]], channels };
        let (x, y) = (image(self.job.a, s.x, s.c_in), image(self.job.b, s.y, s.c_out));
        let pad = [s.pad_lo[1], s.pad_lo[2]];
        let to = self.place(0, group, lines[0]);
        self.job.isa.run(Spread::<_, 6> { grid, image: x, pad, lines, to, line: Source });
        let to = self.place(1, group, lines[0]);
        self.job.isa.run(Spread::<_, SIDE> { grid, image: y, pad: [0; 2], lines, to, line: Cotangent });
    }

    /// Adds a group's squares to one panel of rows of one point's sum.
    unsafe fn multiply(&self, group: [usize; 2], point: usize, panel: usize, accumulate: bool) {
        let (s, cut) = (self.job.s, &self.cut);
        let squares = (group[1] - group[0]) * cut.grid.squares[1];
        let at = |which: usize, panel: usize| {
            self.points(which).wrapping_add(point * cut.apart[which] + panel * squares * PANEL)
        };
        let row = panel * PANEL;
        for col in (0..s.c_out).step_by(PANEL) {
            let tile = Tile {
                seg: &[0, 0],
                segs: 1,
                len: squares,
                a: at(0, panel),
                a_rs: 1,
                a_cs: PANEL as isize,
                b: at(1, col / PANEL),
                b_ks: PANEL as isize,
                c: self.points(2).wrapping_add(point * cut.apart[2] + row * s.c_out + col),
                c_ld: s.c_out,
                cols: PANEL.min(s.c_out - col),
                accumulate,
            };
            // SAFETY: the tile lies inside the point's matrices; tasks have disjoint rows of the sums.
            unsafe { self.kernel.run(tile, PANEL.min(s.c_in - row), self.width) };
        }
    }

    /// Transforms the sums of some input channels and hands them over, tap by tap.
    unsafe fn contract(&self, worker: usize, from: usize, to: usize) {
        let (job, s, cut) = (self.job, self.job.s, &self.cut);
        let own = job.scratch.wrapping_add(cut.shared_len() + worker * cut.worker_len(s));
        let len = (to - from) * s.c_out;
        let mut taps = [own; TAPS];
        for (tap, at) in taps.iter_mut().enumerate() {
            *at = job.rows_at(tap * s.c_in + from, own.wrapping_add(tap * len));
        }
        let points = self.points(2).wrapping_add(from * s.c_out);
        job.isa.run(Contract { points, step: cut.apart[2], taps, len });
        for (tap, at) in taps.into_iter().enumerate() {
            job.finish(tap * s.c_in + from, to - from, at);
        }
    }
}
