//! How an image is cut in squares of 4 by 4 results.

use crate::conv::ConvShape;
use rhyton_graph::ops::ConvKind;

/// Side of a square of results, and of the source that it reads.
pub(super) const OUT: usize = 4;
pub(super) const IN: usize = 6;

/// Images, results and their squares. A *band* is a row of squares, or a part of one if it is long.
#[derive(Clone, Copy)]
pub(super) struct Tiles {
    pub images: usize,
    /// Rows and columns of the source and of the result.
    pub src: [usize; 2],
    pub out: [usize; 2],
    /// Zeros before the source.
    pad: [isize; 2],
    /// Rows and columns of squares.
    grid: [usize; 2],
    /// Bands of a row.
    parts: usize,
}

/// Most squares of a band.
const LONG: usize = 32;

impl Tiles {
    pub fn new(s: &ConvShape) -> Tiles {
        let (x, y) = ([s.x[1], s.x[2]], [s.y[1], s.y[2]]);
        let pad = [s.pad_lo[1] as isize, s.pad_lo[2] as isize];
        let (src, out, pad) = match s.kind {
            ConvKind::InputGrad => (y, x, pad.map(|p| 2 - p)),
            _ => (x, y, pad),
        };
        let grid = out.map(|n| n.div_ceil(OUT));
        Tiles { images: s.batch * s.x[0], src, out, pad, grid, parts: grid[1].div_ceil(LONG).max(1) }
    }

    pub fn bands(&self) -> usize {
        self.images * self.grid[0] * self.parts
    }

    /// Squares before a band.
    pub fn before(&self, band: usize) -> usize {
        band / self.parts * self.grid[1] + band % self.parts * self.grid[1] / self.parts
    }

    /// Pairs of squares before a band; each lies in one band.
    pub fn pairs_before(&self, band: usize) -> usize {
        let of = |end: usize| -> usize {
            (0..end).map(|band| (self.before(band + 1) - self.before(band)).div_ceil(2)).sum()
        };
        band / self.parts * of(self.parts) + of(band % self.parts)
    }

    pub fn count(&self) -> usize {
        self.before(self.bands())
    }

    /// Most squares of so many bands.
    pub fn most(&self, bands: usize) -> usize {
        bands * self.grid[1].div_ceil(self.parts)
    }

    /// Image, and first row and column of the results of a band.
    pub fn place(&self, band: usize) -> (usize, [usize; 2]) {
        let row = band / self.parts;
        let col = band % self.parts * self.grid[1] / self.parts;
        (row / self.grid[0], [row % self.grid[0] * OUT, col * OUT])
    }

    /// The first position of the source that a result reads.
    pub fn source(&self, at: [usize; 2]) -> [isize; 2] {
        [at[0] as isize - self.pad[0], at[1] as isize - self.pad[1]]
    }

    /// Most results of a band.
    pub fn band_results(&self) -> usize {
        OUT * self.out[1].min(OUT * self.most(1))
    }
}

/// An image with channels last and zeros around it.
#[derive(Clone, Copy)]
pub(super) struct Image<T> {
    pub ptr: *const T,
    pub size: [usize; 2],
    pub channels: usize,
    /// As many zeros as there are channels.
    pub zeros: *const T,
}

impl<T> Image<T> {
    /// The pixels of each square of a band, the first of which begins at `at`.
    #[inline(always)]
    pub fn squares<const N: usize>(&self, at: [isize; 2]) -> impl Fn(usize) -> [[*const T; N]; N] {
        move |i| self.patch([at[0], at[1] + (i * OUT) as isize])
    }

    /// The pixels of a square.
    #[inline(always)]
    fn patch<const N: usize>(&self, at: [isize; 2]) -> [[*const T; N]; N] {
        std::array::from_fn(|i| {
            let y = (at[0] + i as isize) as usize;
            let row = self.ptr.wrapping_add(y.wrapping_mul(self.size[1]).wrapping_mul(self.channels));
            std::array::from_fn(|j| {
                let x = (at[1] + j as isize) as usize;
                if y < self.size[0] && x < self.size[1] {
                    row.wrapping_add(x * self.channels)
                } else {
                    self.zeros
                }
            })
        })
    }
}
