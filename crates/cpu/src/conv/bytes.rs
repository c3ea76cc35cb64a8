//! Forward convolution of int8 images with exact int32 sums. As in `slide`, a task owns some rows of a result image;
//! the source it needs is copied with zeros around it, since its bytes have to be flipped for the tiles anyway.

use super::axis::Region;
use super::slide::Cut;
use super::{ConvArgs, ConvShape, volume};
use crate::gemm::byte_tile::{ByteKernel, ByteTile, Columns, STRIP, strip_len};

/// What the tiles read beyond a copied source, rounded up.
const SLACK: usize = 64;

/// Sizes of the packed kernel and of a worker's memory, in bytes.
struct Sizes {
    cut: Cut,
    /// Taps that lie side by side, and the runs that all taps make.
    run: usize,
    runs: usize,
    strip: usize,
    /// Strips of a group.
    strips: usize,
    /// Starts of runs, source, result.
    worker: [usize; 3],
}

impl Sizes {
    fn new(s: &ConvShape) -> Sizes {
        let cut = Cut::new(s);
        let run = cut.run;
        let runs = cut.taps() / run;
        let [_, region, tile] = cut.worker_len();
        let worker = [4 * runs, region + SLACK, 4 * tile].map(|n| n.next_multiple_of(64));
        let strip = strip_len(runs, run * cut.per[0]);
        Sizes { run, runs, strip, strips: cut.per[1].div_ceil(STRIP), worker, cut }
    }

    fn packed(&self, groups: usize) -> usize {
        groups * self.strips * self.strip
    }
}

/// Numbers of scratch memory that [`run`] needs.
pub(super) fn scratch_len(s: &ConvShape, threads: usize) -> usize {
    let sizes = Sizes::new(s);
    16 + (sizes.packed(s.groups) + threads * sizes.worker.iter().sum::<usize>()).div_ceil(4)
}

struct Bytes<'a> {
    args: &'a ConvArgs<'a, i8>,
    sizes: Sizes,
    kernel: &'static ByteKernel,
    packed: *mut u8,
    workers: *mut u8,
}

// SAFETY: as for `ConvArgs`.
unsafe impl Sync for Bytes<'_> {}

/// Computes the convolution.
///
/// # Safety
/// As for [`super::conv`].
pub(super) unsafe fn run(args: &ConvArgs<i8>) {
    let (s, sizes) = (args.s, Sizes::new(args.s));
    let packed = args.scratch().cast::<u8>();
    let workers = packed.wrapping_add(sizes.packed(s.groups));
    let [bands, pieces] = sizes.cut.parts();
    let (packs, planes) = (s.groups * sizes.strips, sizes.cut.axes[0].out);
    let bytes = Bytes { args, kernel: ByteKernel::of(args.isa), packed, workers, sizes };
    // SAFETY: the frame's contract, 2 and 6.
    let (pack, task) = (
        |_: usize, i: usize| unsafe { bytes.pack(i) },
        |worker: usize, task: usize| unsafe { bytes.task(worker, task) },
    );
    args.pool.run_if(bytes.sizes.packed(s.groups) >= 1 << 15, packs, &pack);
    args.run(s.batch * planes * bands * pieces, &task);
}

impl Bytes<'_> {
    /// Packs a strip, counted through all groups. The kernel is [tap, channel of x, channel of y].
    unsafe fn pack(&self, at: usize) {
        let (sizes, [inner, outer]) = (&self.sizes, self.sizes.cut.per);
        let (group, col) = (at / sizes.strips, at % sizes.strips * STRIP);
        let columns = Columns {
            from: self.args.b.wrapping_add(group * outer + col),
            rs: self.args.s.c_out as isize,
            cs: 1,
            runs: sizes.runs,
            len: sizes.run * inner,
            cols: STRIP.min(outer - col),
        };
        // SAFETY: the columns lie inside w; strips are disjoint in the scratch memory.
        unsafe { (self.kernel.pack)(&columns, self.packed.wrapping_add(at * sizes.strip)) }
    }

    unsafe fn task(&self, worker: usize, task: usize) {
        let (sizes, args) = (&self.sizes, self.args);
        let (cut, axes) = (&sizes.cut, &sizes.cut.axes);
        let part = cut.task(task);
        let own = self.workers.wrapping_add(worker * sizes.worker.iter().sum::<usize>());
        let box_at = own.wrapping_add(sizes.worker[0]);
        let src = axes.map(|a| a.src);
        let reach = part.reach(axes);
        let (start, size) = (reach.map(|r| r.0), reach.map(|r| r.1));
        let source = args.a.wrapping_add(part.image * volume(src) * cut.all[0]);
        // SAFETY: the image lies inside x; the box and the list fit `worker`.
        let (region, runs) = unsafe {
            let region = Region::copied(source.cast::<u8>(), src, cut.all[0], start, size, box_at);
            (self.kernel.flip)(box_at, box_at, volume(size) * cut.all[0]);
            (region, self.runs(&region, own.cast()))
        };
        let own_tile = box_at.wrapping_add(sizes.worker[1]).cast();
        let to = args.rows_at(part.first, own_tile);
        let panel = self.kernel.columns(part.cols(), cut.per[1]);
        let [inner, outer] = cut.per;
        for (group, col) in (0..args.s.groups).flat_map(|g| (0..outer).step_by(panel).map(move |c| (g, c))) {
            for y in part.rows[0]..part.rows[1] {
                let at = [axes[0].base(part.plane).0, axes[1].base(y).0, axes[2].base(part.x[0]).0];
                let line = (y - part.rows[0]) * axes[2].out * cut.all[1] + group * outer + col;
                let tile = ByteTile {
                    runs,
                    count: sizes.runs,
                    groups: (sizes.run * inner).div_ceil(4),
                    a: region.at(at).wrapping_add(group * inner),
                    a_rs: axes[2].mul * cut.all[0],
                    b: self.packed.wrapping_add(group * sizes.strips * sizes.strip),
                    strip: sizes.strip,
                    col,
                    cols: panel.min(outer - col),
                    c: to.wrapping_add(line).cast(),
                    c_ld: cut.all[1],
                };
                // SAFETY: `reach` covers what the taps of these results read, `SLACK` what lies behind.
                unsafe { self.kernel.run(tile, part.cols()) };
            }
        }
        args.finish(part.first, part.pixels(axes[2].out), to);
    }

    /// Where the runs of taps start in the box.
    unsafe fn runs(&self, region: &Region<u8>, list: *mut u32) -> *const u32 {
        let (axes, run, steps) = (&self.sizes.cut.axes, self.sizes.run, region.steps());
        let [_, ny, nx] = axes.map(|a| a.taps);
        for i in 0..self.sizes.runs {
            let tap = i * run;
            let taps = [tap / (nx * ny), tap / nx % ny, tap % nx];
            let offset: usize = (0..3).map(|d| axes[d].tap(taps[d]).0 as usize * steps[d]).sum();
            // SAFETY: the list has room for all runs.
            unsafe { *list.add(i) = offset as u32 };
        }
        list
    }
}
