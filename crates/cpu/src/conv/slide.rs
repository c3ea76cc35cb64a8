//! Forward convolution and input gradient: both slide a window over a source. A task owns some rows of a result
//! image; the source it needs is walked in place, or copied with its zeros where it leaves the image.

use super::axis::{Axis, Region};
use super::{ConvArgs, ConvShape, volume};
use crate::gemm::pack::pack_panel;
use crate::gemm::tile::{Dots, MicroKernel, Tile};
use rhyton_graph::ops::ConvKind;

/// Numbers of the result in a task, about: with the source they stay in the second-level cache.
const TASK: usize = 1 << 14;
/// Results from which on packing the kernel pays.
const PACK: usize = 128;

/// How the result is cut. A task is `rows` whole rows of an image, or `cols` columns of one row.
#[derive(Clone, Copy)]
pub(super) struct Cut {
    pub axes: [Axis; 3],
    rows: usize,
    cols: usize,
    /// Channels of source and result in a group, and of all groups.
    pub per: [usize; 2],
    pub all: [usize; 2],
    /// Taps along the last dim that lie side by side in memory.
    pub run: usize,
}

impl Cut {
    pub fn new(s: &ConvShape) -> Cut {
        let axes = Axis::all(s);
        let (mut per, mut all) = ([s.per_in(), s.per_out()], [s.c_in, s.c_out]);
        if s.kind == ConvKind::InputGrad {
            per.reverse();
            all.reverse();
        }
        let [planes, height, width] = axes.map(|a| a.out);
        let wanted = (TASK / all[1].max(1)).max(32);
        let cols = if width > 2 * wanted { wanted } else { width };
        let mut rows = if cols < width { 1 } else { (wanted / width.max(1)).clamp(1, height.max(1)) };
        while rows > 1 {
            let tasks = s.batch * planes * height.div_ceil(rows);
            let few = tasks < 8 && s.work() / tasks.max(1) as f64 > 3e5;
            if !few {
                break;
            }
            rows = rows.div_ceil(2);
        }
        // Bands of nearly equal height.
        let rows = height.div_ceil(height.div_ceil(rows.max(1)).max(1));
        let side_by_side = axes[2].div == 1 && s.dilation[2] == 1 && s.groups == 1;
        let run = if side_by_side { axes[2].taps.max(1) } else { 1 };
        Cut { axes, rows: rows.max(1), cols: cols.max(1), per, all, run }
    }

    /// Bands of an image plane, and pieces of a row.
    pub fn parts(&self) -> [usize; 2] {
        [self.axes[1].out.div_ceil(self.rows), self.axes[2].out.div_ceil(self.cols)]
    }

    pub fn taps(&self) -> usize {
        self.axes.iter().map(|a| a.taps).product()
    }

    /// Numbers of the packed kernel, the same for all instruction sets.
    fn packed_len(&self, groups: usize) -> usize {
        let n = self.per[1];
        let padded = if n <= 128 { n.next_power_of_two().max(16) } else { n.next_multiple_of(128) };
        groups * self.taps() * self.per[0] * padded
    }

    /// Numbers of a worker: runs, source box, result.
    pub fn worker_len(&self) -> [usize; 3] {
        let reach = self.axes[0].most_reach(1) * self.axes[1].most_reach(self.rows);
        let region = reach * self.axes[2].most_reach(self.cols) * self.all[0];
        let tile = self.rows * self.cols * self.all[1];
        [2 * self.taps(), region, tile].map(|n| n.next_multiple_of(16))
    }

    /// The part of the result that a task owns.
    pub fn task(&self, task: usize) -> Part {
        let [bands, pieces] = self.parts();
        let [planes, height, width] = self.axes.map(|a| a.out);
        let (piece, rest) = (task % pieces, task / pieces);
        let (band, plane, image) = (rest % bands, rest / bands % planes, rest / bands / planes);
        let rows = [band * self.rows, height.min((band + 1) * self.rows)];
        let x = [piece * self.cols, width.min((piece + 1) * self.cols)];
        let first = ((image * planes + plane) * height + rows[0]) * width + x[0];
        Part { image, plane, rows, x, first }
    }
}

/// Some rows of a result image, or some columns of one row.
pub(super) struct Part {
    pub image: usize,
    pub plane: usize,
    pub rows: [usize; 2],
    /// Columns.
    pub x: [usize; 2],
    /// Number of the first pixel among all images.
    pub first: usize,
}

impl Part {
    pub fn cols(&self) -> usize {
        self.x[1] - self.x[0]
    }

    /// Source positions (start, length) that it reads along each dim.
    pub fn reach(&self, axes: &[Axis; 3]) -> [(isize, usize); 3] {
        let spans = [[self.plane, self.plane + 1], self.rows, self.x];
        std::array::from_fn(|d| axes[d].reach(spans[d][0], spans[d][1]))
    }

    /// Pixels from the first to the last, in images so wide.
    pub fn pixels(&self, width: usize) -> usize {
        (self.rows[1] - self.rows[0] - 1) * width + self.cols()
    }
}

pub(super) fn scratch_len(s: &ConvShape, threads: usize) -> usize {
    let cut = Cut::new(s);
    16 + cut.packed_len(s.groups).next_multiple_of(16) + threads * cut.worker_len().iter().sum::<usize>()
}

struct Slide<'a> {
    args: &'a ConvArgs<'a>,
    cut: Cut,
    kernel: &'static MicroKernel,
    width: usize,
    /// The kernel's matrix: packed, or as it is in memory; columns per panel and distance between rows.
    packed: bool,
    panel: usize,
    row: usize,
    /// The result has so few channels that vectors run along those of the source.
    dots: bool,
    workers: *mut f32,
}

// SAFETY: as for `ConvArgs`.
unsafe impl Sync for Slide<'_> {}

pub(super) unsafe fn run(args: &ConvArgs) {
    let (s, cut) = (args.s, Cut::new(args.s));
    let kernel = MicroKernel::of(args.isa, args.pairs);
    let width = kernel.width(cut.cols.div_ceil(cut.axes[2].div), cut.per[1]);
    let results = s.batch * volume(cut.axes.map(|a| a.out));
    let dots = cut.per[1] * 4 <= kernel.lanes && cut.run * cut.per[0] >= kernel.lanes;
    let packed = dots || args.s.kind == ConvKind::InputGrad || results > PACK;
    let most = if dots { 1 } else { kernel.columns(width) };
    let panel = most.min(cut.per[1].next_multiple_of(kernel.lanes));
    let row = if packed { panel } else { s.c_out };
    let workers = args.scratch().wrapping_add(cut.packed_len(s.groups).next_multiple_of(16));
    let slide = Slide { args, cut, kernel, width, packed, panel, row, dots, workers };
    if packed {
        let (taps, panels) = (cut.taps(), cut.per[1].div_ceil(panel));
        // SAFETY: the frame's contract, 2 and 6.
        let task =
            |_: usize, i: usize| unsafe { slide.pack(i / panels / taps, i / panels % taps, i % panels) };
        let tasks = s.groups * taps * panels;
        args.pool.run_if(cut.packed_len(s.groups) >= 1 << 15, tasks, &task);
    }
    let [bands, pieces] = cut.parts();
    // SAFETY: the frame's contract, 2 and 6.
    args.run(s.batch * cut.axes[0].out * bands * pieces, &|worker, task| unsafe { slide.task(worker, task) });
}

impl Slide<'_> {
    /// Row 0 of a panel of a group's kernel matrix, whose rows are (tap, source channel).
    fn panel_at(&self, group: usize, panel: usize) -> *mut f32 {
        let [inner, outer] = self.cut.per;
        if !self.packed {
            return self.args.b.wrapping_add(group * outer + panel * self.panel).cast_mut();
        }
        let panels = outer.div_ceil(self.panel);
        self.args.scratch().wrapping_add((group * panels + panel) * self.cut.taps() * inner * self.panel)
    }

    /// Packs one tap of one panel.
    unsafe fn pack(&self, group: usize, tap: usize, panel: usize) {
        let [inner, outer] = self.cut.per;
        let col = panel * self.panel;
        let cols = self.panel.min(outer - col);
        let to = self.panel_at(group, panel).wrapping_add(tap * inner * self.panel);
        let from = self.args.tap(group, tap, col);
        // SAFETY: the part lies inside w; parts are disjoint in the scratch memory.
        unsafe { pack_panel(self.kernel, from, inner, cols, self.panel, to) };
    }

    unsafe fn task(&self, worker: usize, task: usize) {
        let (cut, args) = (&self.cut, self.args);
        let part = cut.task(task);
        let Part { image, plane, rows, x: cols, first } = part;
        let width = cut.axes[2].out;
        let lens = cut.worker_len();
        let own = self.workers.wrapping_add(worker * lens.iter().sum::<usize>());
        let src = cut.axes.map(|a| a.src);
        let reach = part.reach(&cut.axes);
        let source = args.a.wrapping_add(image * volume(src) * cut.all[0]);
        let box_at = own.wrapping_add(lens[0]);
        // SAFETY: the image lies inside the source side; the box fits `worker_len`.
        let region =
            unsafe { Region::new(source, src, cut.all[0], reach.map(|r| r.0), reach.map(|r| r.1), box_at) };
        let to = args.rows_at(first, box_at.wrapping_add(lens[1]));
        let mut runs = Runs { list: own.cast(), count: 0, phases: None };
        for (group, panel) in
            (0..args.s.groups).flat_map(|g| (0..cut.per[1].div_ceil(self.panel)).map(move |p| (g, p)))
        {
            for y in rows[0]..rows[1] {
                let to = to.wrapping_add((y - rows[0]) * width * cut.all[1]);
                // SAFETY: the row lies inside the task's part of the result.
                unsafe { self.line(&region, &mut runs, [plane, y], cols, [group, panel], to) };
            }
        }
        args.finish(first, part.pixels(width), to);
    }

    /// One row of the result, one panel wide.
    unsafe fn line(
        &self,
        region: &Region,
        runs: &mut Runs,
        [plane, y]: [usize; 2],
        cols: [usize; 2],
        [group, panel]: [usize; 2],
        to: *mut f32,
    ) {
        let (cut, axes) = (&self.cut, &self.cut.axes);
        let [inner, outer] = cut.per;
        for phase in 0..axes[2].div {
            let (x, count) = axes[2].of_phase(phase, cols[0], cols[1]);
            if count == 0 {
                continue;
            }
            let bases = [axes[0].base(plane), axes[1].base(y), axes[2].base(x)];
            // SAFETY: the list has room for all taps.
            unsafe { runs.find(self, region, bases.map(|b| b.1)) };
            let start: [isize; 3] = std::array::from_fn(|d| bases[d].0 + axes[d].first_offset());
            let col = panel * self.panel;
            let tile = Tile {
                seg: runs.list,
                segs: runs.count,
                len: cut.run * inner,
                a: region.at(start).wrapping_add(group * inner),
                a_rs: (axes[2].mul * cut.all[0]) as isize,
                a_cs: 1,
                b: self.panel_at(group, panel),
                b_ks: self.row as isize,
                c: to.wrapping_add((x - cols[0]) * cut.all[1] + group * outer + col),
                c_ld: axes[2].div * cut.all[1],
                cols: self.panel.min(outer - col),
                accumulate: false,
            };
            // SAFETY: `reach` covers what the taps of these results read.
            unsafe { self.rows(tile, count) };
        }
    }
}

impl Slide<'_> {
    /// Some results of a row, one panel wide.
    unsafe fn rows(&self, t: Tile, rows: usize) {
        let Tile { seg, segs, len, a, a_rs, b, c, c_ld, .. } = t;
        // SAFETY: the frame's contract, 2 and 6; a panel of one column is contiguous.
        unsafe {
            if self.dots {
                (self.kernel.dots)(&Dots { seg, segs, len, rows, a, a_rs, b, c, c_ld });
            } else {
                self.kernel.run(t, rows, self.width);
            }
        }
    }
}

/// The runs of taps that results of some phases read.
struct Runs {
    list: *mut [u32; 2],
    count: usize,
    phases: Option<[usize; 3]>,
}

impl Runs {
    unsafe fn find(&mut self, slide: &Slide, region: &Region, phases: [usize; 3]) {
        if self.phases == Some(phases) {
            return;
        }
        (self.phases, self.count) = (Some(phases), 0);
        let (axes, cut, steps) = (&slide.cut.axes, &slide.cut, region.steps());
        let [nz, ny, nx] = axes.map(|a| a.taps);
        for (z, y) in (0..nz).flat_map(|z| (0..ny).map(move |y| (z, y))) {
            for x in (0..nx).step_by(cut.run) {
                let taps = [axes[0].tap(z), axes[1].tap(y), axes[2].tap(x)];
                if (0..3).all(|d| taps[d].1 == phases[d]) {
                    let offset = |d: usize| (taps[d].0 - axes[d].first_offset()) as usize * steps[d];
                    let row = ((z * ny + y) * nx + x) * cut.per[0];
                    let run = [(offset(0) + offset(1) + offset(2)) as u32, (row * slide.row) as u32];
                    // SAFETY: there are at most as many runs as taps.
                    unsafe { *self.list.add(self.count) = run };
                    self.count += 1;
                }
            }
        }
    }
}
