//! One spatial dim of a convolution or of its transpose, and pieces of images with zeros around them.

use super::ConvShape;
use rhyton_graph::ops::ConvKind;

/// How positions of a result meet positions of the source along one dim. With `t = o * mul + add`, result `o` reads
/// the source at `t div `**div**` + offset(tap)` for the taps whose phase is `t mod `**div**: a convolution has div 1
/// and steps through the source by its stride; its transpose has mul 1 and one phase per step of the stride.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    /// Size of the result.
    pub out: usize,
    /// Size of the source.
    pub src: usize,
    /// Source steps per result step within a phase.
    pub mul: usize,
    add: isize,
    /// Number of phases.
    pub div: usize,
    /// Window size.
    pub taps: usize,
    dilation: usize,
    transposed: bool,
}

impl Axis {
    /// The three dims of an input gradient (result x, source y), or of any other kind (result y, source x).
    pub fn all(s: &ConvShape) -> [Axis; 3] {
        let transposed = s.kind == ConvKind::InputGrad;
        std::array::from_fn(|d| {
            let (pad, stride) = (s.pad_lo[d] as isize, s.stride[d].max(1));
            let (out, src) = if transposed { (s.x[d], s.y[d]) } else { (s.y[d], s.x[d]) };
            let (mul, add, div) = if transposed { (1, pad, stride) } else { (stride, -pad, 1) };
            Axis { out, src, mul, add, div, taps: s.k[d], dilation: s.dilation[d], transposed }
        })
    }

    /// (source position, phase) of result `o`.
    pub fn base(&self, o: usize) -> (isize, usize) {
        let (t, div) = ((o * self.mul) as isize + self.add, self.div as isize);
        (t.div_euclid(div), t.rem_euclid(div) as usize)
    }

    /// (source offset, phase) of a tap. Taps of a transpose are counted from the last, so that offsets rise.
    pub fn tap(&self, tap: usize) -> (isize, usize) {
        if self.transposed {
            let at = (self.taps - 1 - tap) * self.dilation;
            (-((at / self.div) as isize), at % self.div)
        } else {
            ((tap * self.dilation) as isize, 0)
        }
    }

    /// Smallest offset of a tap.
    pub fn first_offset(&self) -> isize {
        if self.taps == 0 { 0 } else { self.tap(0).0 }
    }

    /// Distance between the smallest and the largest offset.
    fn spread(&self) -> usize {
        let last = if self.taps == 0 { 0 } else { self.tap(self.taps - 1).0 };
        (last - self.first_offset()) as usize
    }

    /// Source positions (start, length) that results `from..to` read; they may lie outside the source.
    pub fn reach(&self, from: usize, to: usize) -> (isize, usize) {
        let (first, last) = (self.base(from).0, self.base(to - 1).0);
        (first + self.first_offset(), (last - first) as usize + self.spread() + 1)
    }

    /// Largest length of [`Axis::reach`] for `count` results.
    pub fn most_reach(&self, count: usize) -> usize {
        (count.saturating_sub(1) * self.mul).div_ceil(self.div) + self.spread() + 1
    }

    /// Results of phase `phase` in `from..to`: the first and their number; neighbours are `div` apart.
    pub fn of_phase(&self, phase: usize, from: usize, to: usize) -> (usize, usize) {
        // `mul` is 1 wherever there is more than one phase.
        let first = from + (phase + self.div - self.base(from).1) % self.div;
        (first, to.saturating_sub(first).div_ceil(self.div))
    }
}

/// Which results read which source positions through one tap: results `first`, `first + div`, .. read `source`,
/// `source + mul`, ..; all of them are inside.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pairs {
    pub first: usize,
    pub source: usize,
    pub count: usize,
}

impl Axis {
    /// The source position that result `o` reads through a tap.
    pub fn source(&self, o: usize, tap: usize) -> Option<usize> {
        let ((base, phase), (offset, wanted)) = (self.base(o), self.tap(tap));
        usize::try_from(base + offset).ok().filter(|i| *i < self.src && phase == wanted)
    }

    /// All results that read the source through a tap.
    pub fn pairs(&self, tap: usize) -> Pairs {
        let (offset, phase) = self.tap(tap);
        let (first, count) = self.of_phase(phase, 0, self.out);
        let start = self.base(first).0 + offset;
        let skip = (start.min(0).unsigned_abs()).div_ceil(self.mul).min(count);
        let end = ((self.src as isize - start).max(0) as usize).div_ceil(self.mul).min(count);
        let source = (start + (skip * self.mul) as isize).max(0) as usize;
        Pairs { first: first + skip * self.div, source, count: end.saturating_sub(skip) }
    }
}

/// A box of an image with channels last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Region<T = f32> {
    /// Position `start`.
    pub ptr: *const T,
    /// First position per dim.
    pub start: [isize; 3],
    /// Sizes in memory per dim.
    pub size: [usize; 3],
    /// Channels.
    pub channels: usize,
}

impl<T: Copy + Default> Region<T> {
    /// Positions `start..start + size` of the image of `shape` at `ptr`; zeros outside of it. Uses the image itself
    /// if the box is inside, and copies to `to` if not.
    ///
    /// # Safety
    /// `ptr` must be valid for the image, `to` for the box.
    pub unsafe fn new(
        ptr: *const T,
        shape: [usize; 3],
        channels: usize,
        start: [isize; 3],
        size: [usize; 3],
        to: *mut T,
    ) -> Region<T> {
        let inside = |d: usize| start[d] >= 0 && start[d] as usize + size[d] <= shape[d];
        if inside(0) && inside(1) && inside(2) {
            return Region { ptr, start: [0; 3], size: shape, channels };
        }
        // SAFETY: the frame's contract, 2 and 6.
        unsafe { Region::copied(ptr, shape, channels, start, size, to) }
    }

    /// The same, always as a copy.
    ///
    /// # Safety
    /// As for [`Region::new`].
    pub unsafe fn copied(
        ptr: *const T,
        shape: [usize; 3],
        channels: usize,
        start: [isize; 3],
        size: [usize; 3],
        to: *mut T,
    ) -> Region<T> {
        let row = size[2] * channels;
        // Columns of the box before, inside and after the image.
        let before = start[2].min(0).unsigned_abs().min(size[2]);
        let from = start[2].max(0) as usize;
        let count = (size[2] - before).min(shape[2].saturating_sub(from));
        for (z, y) in (0..size[0]).flat_map(|z| (0..size[1]).map(move |y| (z, y))) {
            let at = [start[0] + z as isize, start[1] + y as isize];
            // SAFETY: rows of the box are in `to`; what is read has been cut to the image.
            unsafe {
                let line = std::slice::from_raw_parts_mut(to.add((z * size[1] + y) * row), row);
                if (0..2).any(|d| at[d] < 0 || at[d] as usize >= shape[d]) || count == 0 {
                    line.fill(T::default());
                    continue;
                }
                let first = ((at[0] as usize * shape[1] + at[1] as usize) * shape[2] + from) * channels;
                line[..before * channels].fill(T::default());
                let source = std::slice::from_raw_parts(ptr.add(first), count * channels);
                line[before * channels..(before + count) * channels].copy_from_slice(source);
                line[(before + count) * channels..].fill(T::default());
            }
        }
        Region { ptr: to, start, size, channels }
    }

    /// Distance in memory of a step along each dim.
    pub fn steps(&self) -> [usize; 3] {
        [self.size[1] * self.size[2] * self.channels, self.size[2] * self.channels, self.channels]
    }

    /// The first channel of a position inside the box.
    pub fn at(&self, position: [isize; 3]) -> *const T {
        let steps = self.steps();
        let offset: isize = (0..3).map(|d| (position[d] - self.start[d]) * steps[d] as isize).sum();
        self.ptr.wrapping_offset(offset)
    }
}
