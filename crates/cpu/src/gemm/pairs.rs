//! bfloat16 by twos: lanes of 32 bits that hold two neighbours along the summed axis. Where neighbours lie side by
//! side they are pairs already; elsewhere two lines are woven into one.

use crate::Shared;
use crate::isa::{Isa, Loops};
use crate::pool::Pool;
use crate::simd::Simd;
use crate::tile::space::locate;

/// Pairs of a task.
const TASK: usize = 1 << 14;

/// Lines to be woven: for each of `planes`, pair line `i` of `count` holds source lines `i * step - before` and
/// `distance` further on; lines that do not exist are zeros. Lines have `len` numbers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Weave {
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

impl Weave {
    /// Lines 2i and 2i + 1 of planes without gaps.
    pub fn neighbours(planes: usize, lines: usize, len: usize) -> Weave {
        let (planes, plane, line) = (vec![planes], vec![(lines * len) as isize], len as isize);
        let count = lines.div_ceil(2);
        Weave { planes, plane, lines, line, len, number: 1, count, step: 2, before: 0, distance: 1 }
    }

    /// Pairs in all.
    pub fn pairs(&self) -> usize {
        self.planes.iter().product::<usize>() * self.count * self.len
    }

    /// Weaves what is at `from`; the pair lines of all planes follow one another.
    ///
    /// # Safety
    /// The source must be valid for reading, `to` for [`Weave::pairs`] numbers.
    pub unsafe fn run(&self, isa: Isa, pool: &Pool, from: *const u16, to: *mut f32) {
        let all = self.planes.iter().product::<usize>() * self.count;
        let each = (TASK / self.len.max(1)).max(1);
        let (from, to) = (Shared(from.cast_mut()), Shared(to.cast::<u32>()));
        let task = |task: usize| {
            for line in task * each..all.min((task + 1) * each) {
                // SAFETY: the lines are inside the source, or zeros; tasks have disjoint pair lines.
                unsafe {
                    let source = |at: usize| {
                        let at = at.checked_sub(self.before).filter(|at| *at < self.lines)?;
                        let plane = locate(&self.planes, &self.plane, line / self.count);
                        Some(from.get().cast_const().offset(plane + at as isize * self.line))
                    };
                    let at = line % self.count * self.step;
                    let both = [source(at), source(at + self.distance)];
                    let to = to.get().add(line * self.len);
                    isa.run(Line { both, number: self.number, len: self.len, to });
                }
            }
        };
        let tasks = all.div_ceil(each);
        if tasks > 2 { pool.run(tasks, &task) } else { (0..tasks).for_each(task) }
    }
}

/// One pair line.
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
        // SAFETY: the caller of `Weave::run` vouches for source and target.
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
    let task = |task: usize| {
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
    if tasks > 2 { pool.run(tasks, &task) } else { (0..tasks).for_each(task) }
}
