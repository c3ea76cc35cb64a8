//! Random numbers: any element is a function of the key, the stream and its position.

use super::{Primitive, Sides};
use crate::exec::resolve::Lane;
use crate::exec::task::Context;
use crate::isa::{Isa, Loops};
use crate::pool::Pool;
use crate::simd::Simd;
use rhyton_graph::ops::{self, Distribution};
use rhyton_tensor::{Error, Result, rng};

/// Elements of a task; a multiple of the four numbers of a block.
const CHUNK: usize = 1 << 12;

/// Random numbers of a stream.
struct RandomTask {
    distribution: Distribution,
    stream: u32,
    first: usize,
    elements: usize,
    key: Lane,
    write: Lane,
}

/// Prepares random numbers.
pub(crate) fn prepare(op: &ops::Random, sides: &Sides) -> Result<Box<dyn Primitive>> {
    let (key, write) = (sides.input(0)?, sides.output(0)?);
    let (first, elements) = (sides.setting.size(&op.first)?, write.shape.iter().product::<usize>());
    if first.checked_add(elements).is_none() {
        return Err(Error::new(format!("{elements} random numbers from number {first} on reach too far")));
    }
    Ok(Box::new(RandomTask {
        distribution: op.distribution,
        stream: op.stream,
        first,
        elements,
        key: key.lane.clone(),
        write: write.lane.clone(),
    }))
}

impl Primitive for RandomTask {
    unsafe fn run(&self, cx: Context) {
        // SAFETY: the frame's contract, 2 and 6; the key has two entries.
        unsafe {
            let key: *mut [u32; 2] = cx.at(&self.key);
            let numbers = [self.first, self.elements];
            random(cx.pool, self.distribution, *key, self.stream, numbers, cx.at(&self.write));
        }
    }
}

/// Fills `out` with numbers of a stream, from number `first` on: number `i` takes lane `i % 4` of Philox block `i / 4` of `stream` under
/// `key` (seed, step).
///
/// # Safety
/// `out` must be valid for writing `elements` numbers.
pub unsafe fn random(
    pool: &Pool,
    distribution: Distribution,
    key: [u32; 2],
    stream: u32,
    [first, elements]: [usize; 2],
    out: *mut f32,
) {
    let out = crate::Shared(out);
    pool.run(elements.div_ceil(CHUNK), &|task| {
        let start = task * CHUNK;
        let count = CHUNK.min(elements - start);
        // SAFETY: the caller vouches for `elements` numbers; tasks have disjoint ranges.
        let part = unsafe { std::slice::from_raw_parts_mut(out.get().add(start), count) };
        // All instruction sets give the same bits: there is nothing to fuse.
        Isa::detect().run(Fill { distribution, key, stream, first: first + start, part });
    });
}

struct Fill<'a> {
    distribution: Distribution,
    key: [u32; 2],
    stream: u32,
    /// The number of the first.
    first: usize,
    part: &'a mut [f32],
}

impl Loops for Fill<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let block = |i: usize| rng::block(self.key[0], self.key[1], self.stream, i as u64);
        // The rest of a block that begins before the first number.
        let before = self.first % 4;
        let head = ((4 - before) % 4).min(self.part.len());
        let (head, part) = self.part.split_at_mut(head);
        if before > 0 {
            let four = self.distribution.four(block(self.first / 4));
            head.copy_from_slice(&four[before..before + head.len()]);
        }
        let start = self.first.div_ceil(4);
        let words = |i: usize| block(start + i);
        let (whole, rest) = part.as_chunks_mut::<4>();
        let count = whole.len();
        match self.distribution {
            // A loop of its own, which compilers turn into vectors.
            Distribution::Uniform => {
                whole.iter_mut().enumerate().for_each(|(i, to)| *to = words(i).map(rng::unit_f32));
            }
            Distribution::Normal => {
                whole.iter_mut().enumerate().for_each(|(i, to)| *to = self.distribution.four(words(i)));
            }
        }
        let last = self.distribution.four(words(count));
        rest.copy_from_slice(&last[..rest.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_definition_at_any_thread_count() {
        for distribution in [Distribution::Uniform, Distribution::Normal] {
            for n in [0, 1, 3, 4, 4095, 4096, 10_001] {
                for (threads, first) in [(1, 0), (2, 0), (3, 0), (2, 1), (1, 3), (2, 4094)] {
                    let mut out = vec![9.0; n];
                    // SAFETY: `out` has `n` elements.
                    unsafe {
                        random(&Pool::new(threads), distribution, [5, 6], 7, [first, n], out.as_mut_ptr())
                    };
                    for (i, x) in out.iter().enumerate().map(|(i, x)| (first + i, x)) {
                        let want = distribution.four(rng::block(5, 6, 7, (i / 4) as u64))[i % 4];
                        assert_eq!(x.to_bits(), want.to_bits(), "element {i} of {n}");
                    }
                }
            }
        }
    }
}
