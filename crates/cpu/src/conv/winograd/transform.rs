//! The transforms between squares of pixels and their 36 points, a vector of channels at a time.

use super::{Grid, POINTS, SIDE, TAPS};
use crate::isa::Loops;
use crate::simd::Simd;

/// A transform of `A` numbers to `B` along one axis.
pub(super) trait Line<const A: usize, const B: usize>: Copy {
    unsafe fn line<S: Simd>(self, d: [S::F; A]) -> [S::F; B];
}

/// Pixels of the source, `B'`.
#[derive(Clone, Copy)]
pub(super) struct Source;
/// Points of the result, `A'`.
#[derive(Clone, Copy)]
struct Result;
/// Taps of the kernel, `G`.
#[derive(Clone, Copy)]
struct Taps;
/// Cotangents of the result, `A`.
#[derive(Clone, Copy)]
pub(super) struct Cotangent;
/// Points of the kernel's gradient, `G'`.
#[derive(Clone, Copy)]
struct TapsGrad;

impl Line<6, 6> for Source {
    #[inline(always)]
    unsafe fn line<S: Simd>(self, d: [S::F; 6]) -> [S::F; 6] {
        // SAFETY: the caller promises the instruction set.
        unsafe {
            let k = |x: f32| S::splat(x);
            let (even, odd) = (S::fma(k(-4.0), d[2], d[4]), S::fma(k(-4.0), d[1], d[3]));
            let (even2, odd2) = (S::sub(d[4], d[2]), S::sub(d[3], d[1]));
            [
                S::fma(k(4.0), d[0], S::fma(k(-5.0), d[2], d[4])),
                S::add(even, odd),
                S::sub(even, odd),
                S::fma(k(2.0), odd2, even2),
                S::fma(k(-2.0), odd2, even2),
                S::fma(k(4.0), d[1], S::fma(k(-5.0), d[3], d[5])),
            ]
        }
    }
}

impl Line<6, 4> for Result {
    #[inline(always)]
    unsafe fn line<S: Simd>(self, m: [S::F; 6]) -> [S::F; 4] {
        // SAFETY: the caller promises the instruction set.
        unsafe {
            let (sum, difference) = (S::add(m[1], m[2]), S::sub(m[1], m[2]));
            let (sum2, difference2) = (S::add(m[3], m[4]), S::sub(m[3], m[4]));
            [
                S::add(S::add(m[0], sum), sum2),
                S::fma(S::splat(2.0), difference2, difference),
                S::fma(S::splat(4.0), sum2, sum),
                S::add(S::fma(S::splat(8.0), difference2, difference), m[5]),
            ]
        }
    }
}

impl Line<3, 6> for Taps {
    #[inline(always)]
    unsafe fn line<S: Simd>(self, g: [S::F; 3]) -> [S::F; 6] {
        // SAFETY: the caller promises the instruction set.
        unsafe {
            let k = |x: f32, v: S::F| S::mul(S::splat(x), v);
            let (outer, inner) = (k(-1.0 / 6.0, S::add(g[0], g[2])), k(1.0 / 6.0, g[1]));
            let far = S::fma(S::splat(1.0 / 24.0), g[0], k(1.0 / 6.0, g[2]));
            let inner2 = k(1.0 / 12.0, g[1]);
            [
                k(0.25, g[0]),
                S::sub(outer, inner),
                S::add(outer, inner),
                S::add(far, inner2),
                S::sub(far, inner2),
                g[2],
            ]
        }
    }
}

impl Line<4, 6> for Cotangent {
    #[inline(always)]
    unsafe fn line<S: Simd>(self, d: [S::F; 4]) -> [S::F; 6] {
        // SAFETY: the caller promises the instruction set.
        unsafe {
            let (even, odd) = (S::add(d[0], d[2]), S::add(d[1], d[3]));
            let even2 = S::fma(S::splat(4.0), d[2], d[0]);
            let odd2 = S::mul(S::splat(2.0), S::fma(S::splat(4.0), d[3], d[1]));
            [d[0], S::add(even, odd), S::sub(even, odd), S::add(even2, odd2), S::sub(even2, odd2), d[3]]
        }
    }
}

impl Line<6, 3> for TapsGrad {
    #[inline(always)]
    unsafe fn line<S: Simd>(self, u: [S::F; 6]) -> [S::F; 3] {
        // SAFETY: the caller promises the instruction set.
        unsafe {
            let k = |x: f32, v: S::F| S::mul(S::splat(x), v);
            let near = k(-1.0 / 6.0, S::add(u[1], u[2]));
            let far = S::add(u[3], u[4]);
            [
                S::fma(S::splat(0.25), u[0], S::fma(S::splat(1.0 / 24.0), far, near)),
                S::fma(S::splat(1.0 / 6.0), S::sub(u[2], u[1]), k(1.0 / 12.0, S::sub(u[3], u[4]))),
                S::add(S::fma(S::splat(1.0 / 6.0), far, near), u[5]),
            ]
        }
    }
}

/// The transform of a square along both axes.
#[inline(always)]
unsafe fn square<S: Simd, L: Line<A, B>, const A: usize, const B: usize>(
    l: L,
    d: &[[S::F; A]; A],
) -> [[S::F; B]; B] {
    // SAFETY: the caller promises the instruction set.
    unsafe {
        let zero = S::splat(0.0);
        let (mut half, mut out) = ([[zero; A]; B], [[zero; B]; B]);
        for j in 0..A {
            let mut column = [zero; A];
            for i in 0..A {
                column[i] = d[i][j];
            }
            let column = l.line::<S>(column);
            for i in 0..B {
                half[i][j] = column[i];
            }
        }
        for i in 0..B {
            out[i] = l.line::<S>(half[i]);
        }
        out
    }
}

/// Up to a vector of `n` numbers.
#[inline(always)]
unsafe fn load<S: Simd>(p: *const f32, n: usize) -> S::F {
    // SAFETY: the caller promises `n` numbers.
    unsafe { if n >= S::LANES { S::load(p) } else { S::load_part(p, S::part(n)) } }
}

#[inline(always)]
unsafe fn store<S: Simd>(p: *mut f32, v: S::F, n: usize) {
    // SAFETY: the caller promises room for `n` numbers.
    unsafe { if n >= S::LANES { S::store(p, v) } else { S::store_part(p, v, S::part(n)) } }
}

/// The points of some squares: number `channel` of a square's point is at
/// `at + point * step + (channel / panel * squares + square) * panel + channel % panel`.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub at: *mut f32,
    pub step: usize,
    pub panel: usize,
    pub squares: usize,
}

impl Place {
    fn of(&self, square: usize, channel: usize) -> *mut f32 {
        let panel = channel / self.panel * self.squares + square;
        self.at.wrapping_add(panel * self.panel + channel % self.panel)
    }
}

/// Images side by side, channels last.
#[derive(Clone, Copy)]
pub(super) struct Image {
    pub at: *const f32,
    pub size: [usize; 2],
    pub channels: usize,
}

static ZEROS: [f32; 16] = [0.0; 16];

/// Squares of `A x A` pixels to points; zero beyond the image.
pub(super) struct Spread<'a, L, const A: usize> {
    pub grid: &'a Grid,
    pub image: Image,
    pub pad: [usize; 2],
    pub lines: [usize; 2],
    pub to: Place,
    pub line: L,
}

impl<L: Line<A, 6>, const A: usize> Spread<'_, L, A> {
    /// Pixels of the square, and masks of the channel for those that are not beyond the image.
    #[inline(always)]
    fn pixels(&self, line: usize, column: usize) -> [[(*const f32, usize); A]; A] {
        let Image { at, size, channels } = self.image;
        let (image, row) = (line / self.grid.squares[0], line % self.grid.squares[0]);
        let mut out = [[(ZEROS.as_ptr(), 0); A]; A];
        for (i, pixels) in out.iter_mut().enumerate() {
            let y = (row * SIDE + i).wrapping_sub(self.pad[0]);
            for (j, pixel) in pixels.iter_mut().enumerate() {
                let x = (column * SIDE + j).wrapping_sub(self.pad[1]);
                if y < size[0] && x < size[1] {
                    *pixel = (at.wrapping_add(((image * size[0] + y) * size[1] + x) * channels), !0);
                }
            }
        }
        out
    }
}

impl<L: Line<A, 6>, const A: usize> Loops for Spread<'_, L, A> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let (columns, channels) = (self.grid.squares[1], self.image.channels);
        for line in self.lines[0]..self.lines[1] {
            for column in 0..columns {
                let pixels = self.pixels(line, column);
                let number = (line - self.lines[0]) * columns + column;
                for c in (0..channels).step_by(S::LANES) {
                    let n = channels - c;
                    // SAFETY: pixels are inside the image or zeros; the place has room for all squares and channels.
                    unsafe {
                        let mut d = [[S::splat(0.0); A]; A];
                        for i in 0..A {
                            for j in 0..A {
                                let (p, keep) = pixels[i][j];
                                d[i][j] = load::<S>(p.add(c & keep), n);
                            }
                        }
                        let points = square::<S, L, A, 6>(self.line, &d);
                        let to = self.to.of(number, c);
                        for i in 0..POINTS {
                            store::<S>(to.add(i * self.to.step), points[i / 6][i % 6], n);
                        }
                    }
                }
            }
        }
    }
}

/// Points to squares of the result, cut off at its edges.
pub(super) struct Collect<'a> {
    pub grid: &'a Grid,
    pub lines: [usize; 2],
    pub from: Place,
    /// The first pixel of the first line.
    pub to: *mut f32,
    pub channels: usize,
}

impl Loops for Collect<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Grid { size, squares, .. } = *self.grid;
        let first = self.grid.pixel(self.lines[0]);
        for line in self.lines[0]..self.lines[1] {
            let rows = SIDE.min(size[0] - line % squares[0] * SIDE);
            for column in 0..squares[1] {
                let columns = SIDE.min(size[1] - column * SIDE);
                let pixel = self.grid.pixel(line) - first + column * SIDE;
                let number = (line - self.lines[0]) * squares[1] + column;
                for c in (0..self.channels).step_by(S::LANES) {
                    let n = self.channels - c;
                    // SAFETY: the place holds all squares; pixels are inside the lines' part of the result.
                    unsafe {
                        let d = points::<S>(self.from.of(number, c), self.from.step, n);
                        let y = square::<S, Result, 6, 4>(Result, &d);
                        for (i, line) in y.iter().enumerate().take(rows) {
                            for (j, v) in line.iter().enumerate().take(columns) {
                                let at = (pixel + i * size[1] + j) * self.channels + c;
                                store::<S>(self.to.add(at), *v, n);
                            }
                        }
                    }
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn points<S: Simd>(from: *const f32, step: usize, n: usize) -> [[S::F; 6]; 6] {
    // SAFETY: the caller promises all points.
    unsafe {
        let mut d = [[S::splat(0.0); 6]; 6];
        for i in 0..POINTS {
            d[i / 6][i % 6] = load::<S>(from.add(i * step), n);
        }
        d
    }
}

/// Taps of the kernel to points, `len` numbers of each.
pub(super) struct Expand {
    pub taps: *const f32,
    pub points: *mut f32,
    pub step: usize,
    pub len: usize,
}

impl Loops for Expand {
    #[inline(always)]
    fn run<S: Simd>(self) {
        for at in (0..self.len).step_by(S::LANES) {
            let n = self.len - at;
            // SAFETY: the caller promises `len` numbers of each tap and point.
            unsafe {
                let mut g = [[S::splat(0.0); 3]; 3];
                for i in 0..TAPS {
                    g[i / 3][i % 3] = load::<S>(self.taps.add(i * self.step + at), n);
                }
                let u = square::<S, Taps, 3, 6>(Taps, &g);
                for i in 0..POINTS {
                    store::<S>(self.points.add(i * self.step + at), u[i / 6][i % 6], n);
                }
            }
        }
    }
}

/// Points to the gradient of the taps, `len` numbers of each.
pub(super) struct Contract {
    pub points: *const f32,
    pub step: usize,
    pub taps: [*mut f32; TAPS],
    pub len: usize,
}

impl Loops for Contract {
    #[inline(always)]
    fn run<S: Simd>(self) {
        for at in (0..self.len).step_by(S::LANES) {
            let n = self.len - at;
            // SAFETY: the caller promises `len` numbers of each point and tap.
            unsafe {
                let d = points::<S>(self.points.add(at), self.step, n);
                let g = square::<S, TapsGrad, 6, 3>(TapsGrad, &d);
                for i in 0..TAPS {
                    store::<S>(self.taps[i].add(at), g[i / 3][i % 3], n);
                }
            }
        }
    }
}
