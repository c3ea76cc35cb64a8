//! bfloat16 by twos: lanes of 32 bits that hold two neighbours along the summed axis. Where neighbours lie side by
//! side they are pairs already; elsewhere two lines are interleaved into one.

use crate::Shared;
use crate::isa::{Isa, Loops};
use crate::pool::Pool;
use crate::simd::Simd;
use crate::tile::space::locate;

/// Pairs of a task.
const TASK: usize = 1 << 14;

/// Lines to be interleaved: for each of `planes`, pair line `i` of `count` holds source lines `i * step - before` and
/// `distance` further on; lines that do not exist are zeros. Lines have `len` numbers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Interleave {
    /// Numbers of planes along their axes.
    pub planes: Vec<usize>,
    /// Distances between them.
    pub plane: Vec<isize>,
    /// Source lines of a plane.
    pub lines: usize,
    /// Distance between them.
    pub line: isize,
    /// Numbers of a line.
    pub len: usize,
    /// Distance between them.
    pub number: isize,
    /// Pair lines of a plane.
    pub count: usize,
    /// Source lines from one pair line to the next.
    pub step: usize,
    /// Zero lines before the source.
    pub before: usize,
    /// Source lines between the two of a pair.
    pub distance: usize,
}

impl Interleave {
    /// Lines 2i and 2i + 1 of planes without gaps.
    pub fn neighbours(planes: usize, lines: usize, len: usize) -> Interleave {
        let (planes, plane, line) = (vec![planes], vec![(lines * len) as isize], len as isize);
        let count = lines.div_ceil(2);
        Interleave { planes, plane, lines, line, len, number: 1, count, step: 2, before: 0, distance: 1 }
    }

    /// Pairs in all.
    pub fn pairs(&self) -> usize {
        self.planes.iter().product::<usize>() * self.count * self.len
    }

    /// Interleaves what is at `from`; the pair lines of all planes follow one another.
    ///
    /// # Safety
    /// The source must be valid for reading, `to` for [`Interleave::pairs`] numbers.
    pub unsafe fn run(&self, isa: Isa, pool: &Pool, from: *const u16, to: *mut f32) {
        let planes = self.planes.iter().product::<usize>();
        // Lines that follow one another on both sides are long ones.
        let dense = self.step == 1 && self.number == 1 && self.line == self.len as isize;
        let edges = self.edges();
        let all = planes * if dense { 1 } else { self.count };
        let each = (TASK * all / self.pairs().max(1)).max(1);
        let (from, to) = (Shared(from.cast_mut()), Shared(to.cast::<u32>()));
        let task = |_: usize, task: usize| {
            for item in task * each..all.min((task + 1) * each) {
                // SAFETY: the lines are inside the source, or zeros; tasks have disjoint pair lines.
                unsafe {
                    let plane = if dense { item } else { item / self.count };
                    let from = from.get().cast_const().offset(locate(&self.planes, &self.plane, plane));
                    let to = to.get().add(plane * self.count * self.len);
                    if dense {
                        for run in edges.windows(2).filter(|run| run[0] < run[1]) {
                            self.some(isa, from, to, [run[0], run[1]]);
                        }
                    } else {
                        let line = item % self.count;
                        self.some(isa, from, to, [line, line + 1]);
                    }
                }
            }
        };
        let tasks = all.div_ceil(each);
        pool.run_if(tasks > 2, tasks, &task);
    }
}

impl Interleave {
    /// The source line `at`, counted with the zeros before, when it exists.
    fn source(&self, at: usize) -> Option<usize> {
        at.checked_sub(self.before).filter(|at| *at < self.lines)
    }

    /// Where runs of pair lines begin and end whose two source lines both exist or not.
    fn edges(&self) -> [usize; 6] {
        let [first, last] = [self.before, self.before + self.lines];
        let sooner = |at: usize| at.saturating_sub(self.distance);
        let mut edges =
            [0, sooner(first), first, sooner(last), last, self.count].map(|at| at.min(self.count));
        edges.sort_unstable();
        edges
    }

    /// Pair lines `lines[0]..lines[1]` of a plane.
    unsafe fn some(&self, isa: Isa, from: *const u16, to: *mut u32, lines: [usize; 2]) {
        let at = lines[0] * self.step;
        let line = |at: usize| self.source(at).map(|at| from.wrapping_offset(at as isize * self.line));
        let both = [line(at), line(at + self.distance)];
        let len = (lines[1] - lines[0]) * self.len;
        isa.run(Line { both, number: self.number, len, to: to.wrapping_add(lines[0] * self.len) });
    }
}

/// One pair line, or several that follow one another.
struct Line {
    both: [Option<*const u16>; 2],
    number: isize,
    len: usize,
    to: *mut u32,
}

impl Loops for Line {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let [first, second] = self.both;
        // SAFETY: the caller of `Interleave::run` vouches for source and target.
        unsafe {
            let to = std::slice::from_raw_parts_mut(self.to, self.len);
            if let (1, Some(first), Some(second)) = (self.number, first, second) {
                let first = std::slice::from_raw_parts(first, self.len);
                let second = std::slice::from_raw_parts(second, self.len);
                for ((to, a), b) in to.iter_mut().zip(first).zip(second) {
                    *to = u32::from(*a) | u32::from(*b) << 16;
                }
                return;
            }
            let get = |p: Option<*const u16>, i: usize| p.map_or(0, |p| *p.offset(i as isize * self.number));
            for (i, to) in to.iter_mut().enumerate() {
                *to = u32::from(get(first, i)) | u32::from(get(second, i)) << 16;
            }
        }
    }
}

/// Copies `lines` of `len` numbers that follow one another, a zero behind each where `len` is odd.
///
/// # Safety
/// The source must be valid for reading, `to` for `lines * len.div_ceil(2)` numbers.
pub(crate) unsafe fn pad_lines(pool: &Pool, from: *const u16, lines: usize, len: usize, to: *mut f32) {
    let (each, padded) = ((2 * TASK / len.max(1)).max(1), len.next_multiple_of(2));
    let (from, to) = (Shared(from.cast_mut()), Shared(to.cast::<u16>()));
    let task = |_: usize, task: usize| {
        for line in task * each..lines.min((task + 1) * each) {
            // SAFETY: lines are inside both sides; tasks have disjoint lines.
            unsafe {
                let to = to.get().add(line * padded);
                std::ptr::copy_nonoverlapping(from.get().add(line * len), to, len);
                if len < padded {
                    to.add(len).write(0);
                }
            }
        }
    };
    let tasks = lines.div_ceil(each);
    pool.run_if(tasks > 2, tasks, &task);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gemm::tile::{MicroKernel, Tile};
    use rhyton_tensor::bf16;
    use rhyton_tensor::rng::Stream;

    fn numbers(seed: u64, n: usize) -> Vec<bf16> {
        let mut s = Stream::new(seed, 0, 0);
        (0..n).map(|_| bf16::from_f32(s.uniform() - 0.5)).collect()
    }

    fn bits(x: &[bf16]) -> *const u16 {
        x.as_ptr().cast()
    }

    fn interleaved(w: &Interleave, x: &[bf16], isa: Isa, threads: usize) -> Vec<u32> {
        let mut to = vec![f32::NAN; w.pairs() + 1];
        // SAFETY: the sides have the sizes that they say.
        unsafe { w.run(isa, &Pool::new(threads), bits(x), to.as_mut_ptr()) };
        assert!(to[w.pairs()].is_nan(), "wrote past the end");
        to[..w.pairs()].iter().map(|x| x.to_bits()).collect()
    }

    #[test]
    fn pairs_are_what_their_definition_says() {
        let mut r = Stream::new(4, 0, 0);
        let mut pick = |from: u32, to: u32| (from + r.below(to - from + 1)) as usize;
        for round in 0..200 {
            let mut w = Interleave::neighbours(pick(0, 4), pick(0, 9), pick(0, 40));
            if round % 2 == 0 {
                (w.step, w.before, w.distance) = (pick(1, 2), pick(0, 3), pick(1, 3));
                w.count = (w.lines + w.before).div_ceil(w.step);
            }
            let x = numbers(round, w.planes[0] * w.lines * w.len);
            let at = |plane: usize, line: usize, i: usize| {
                let line = line.checked_sub(w.before).filter(|l| *l < w.lines);
                line.map_or(0, |l| u32::from(x[(plane * w.lines + l) * w.len + i].to_bits()))
            };
            let lines = (0..w.planes[0]).flat_map(|p| (0..w.count).map(move |l| (p, l)));
            let pair = |p, l: usize, i| at(p, l * w.step, i) | at(p, l * w.step + w.distance, i) << 16;
            let want: Vec<u32> = lines.flat_map(|(p, l)| (0..w.len).map(move |i| pair(p, l, i))).collect();
            for (isa, threads) in Isa::available().into_iter().flat_map(|isa| [(isa, 1), (isa, 3)]) {
                assert_eq!(interleaved(&w, &x, isa, threads), want, "{w:?}");
            }
        }
    }

    /// Every kernel, the one for machines without the instruction too.
    #[test]
    fn tiles_multiply_pairs() {
        let (rows, cols, k) = (17, 75, 24);
        let (a, b) = (numbers(1, rows * k), numbers(2, k * cols));
        let right = Interleave::neighbours(1, k, cols);
        for isa in Isa::available() {
            let mut pairs = vec![0.0; right.pairs()];
            // SAFETY: the sides have the sizes that they say.
            unsafe { right.run(isa, &Pool::new(1), bits(&b), pairs.as_mut_ptr()) };
            for native in [false, true].into_iter().filter(|native| !native || isa.multiplies_pairs()) {
                let kernel = MicroKernel::of_pairs(isa, native);
                let mut c = vec![f32::NAN; rows * cols];
                let tile = Tile {
                    seg: &[0, 0],
                    segs: 1,
                    len: k / 2,
                    a: a.as_ptr().cast(),
                    a_rs: (k / 2) as isize,
                    a_cs: 1,
                    b: pairs.as_ptr(),
                    b_ks: cols as isize,
                    c: c.as_mut_ptr(),
                    c_ld: cols,
                    cols,
                    accumulate: false,
                };
                // SAFETY: the tile covers the three matrices.
                unsafe { kernel.run(tile, rows, kernel.width(rows, cols)) };
                for (at, have) in c.iter().enumerate() {
                    let product = |p: usize| a[at / cols * k + p].to_f64() * b[p * cols + at % cols].to_f64();
                    let want: f64 = (0..k).map(product).sum();
                    assert!(
                        (f64::from(*have) - want).abs() < 1e-5,
                        "{isa:?} {native} at {at}: {have}, {want}"
                    );
                }
            }
        }
    }
}
