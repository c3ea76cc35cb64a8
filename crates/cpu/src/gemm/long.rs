//! Small products of long sums: the sum is cut in parts that run side by side, and the parts are added in order.

use super::drive::{cache_line, run, run_scratch_len};
use super::{Epilogue, GemmArgs, MatView, Steps};
use crate::Shared;

/// Parts of a long sum: few enough that adding them is cheap.
const PARTS: usize = 8;
/// Numbers of a task that adds parts.
const ADD: usize = 1 << 12;

/// Whether a product is cut; depends on the shape alone.
pub(super) fn is_long(batch: usize, m: usize, n: usize, k: usize) -> bool {
    batch == 1 && m > 1 && m * n <= 1 << 13 && k >= 1 << 11 && m * n * k >= 1 << 20
}

/// Numbers of scratch memory beyond those of the parts.
fn sums_len(m: usize, n: usize) -> usize {
    16 + ((PARTS + 1) * m * n).next_multiple_of(16)
}

pub(super) fn scratch_len(m: usize, n: usize, k: usize, threads: usize) -> usize {
    let rest = run_scratch_len(1, m, n, k % PARTS, threads);
    sums_len(m, n) + run_scratch_len(PARTS, m, n, k / PARTS, threads).max(rest)
}

/// Computes a long product.
///
/// # Safety
/// As for [`super::gemm`].
pub(super) unsafe fn long(args: GemmArgs) {
    let GemmArgs { isa, pairs, pool, m, n, k, a, b, c, epilogue, scratch, .. } = args;
    let sums = Shared(cache_line(scratch));
    let scratch = &mut scratch[sums_len(m, n)..];
    let (part, rest) = (k / PARTS, k % PARTS);
    let from = |v: MatView, at: usize, step: isize, batch: usize| MatView {
        ptr: v.ptr.wrapping_offset(at as isize * step),
        batch: Steps::every(batch as isize * step),
        ..v
    };
    let mut some = |first: usize, batch: usize, k: usize, to: usize| {
        let (a, b) = (from(a, first, a.cs, k), from(b, first, b.rs, k));
        let c = Some((sums.get().wrapping_add(to * m * n), n, Steps::every((m * n) as isize)));
        // SAFETY: the parts lie inside the operands; the sums are apart from each other and from what is read.
        unsafe {
            let scratch = &mut *scratch;
            run(GemmArgs { isa, pairs, pool, batch, m, n, k, a, b, c, epilogue: None, scratch })
        };
    };
    some(0, PARTS, part, 0);
    if rest > 0 {
        some(PARTS * part, 1, rest, PARTS);
    }
    let parts = PARTS + usize::from(rest > 0);
    let target = c.map(|(c, ld, _)| (Shared(c), ld));
    let rows = (ADD / n).max(1);
    pool.run(m.div_ceil(rows), &|task| {
        let (r0, r1) = (task * rows, m.min((task + 1) * rows));
        // SAFETY: rows of the sums and of the result; tasks have disjoint rows.
        unsafe { add(sums.get(), [m, n], parts, target.as_ref(), [r0, r1], epilogue) };
    });
}

/// Adds the parts of some rows, in order, and finishes them.
unsafe fn add(
    sums: *mut f32,
    [m, n]: [usize; 2],
    parts: usize,
    target: Option<&(Shared<f32>, usize)>,
    [r0, r1]: [usize; 2],
    epilogue: Option<&dyn Epilogue>,
) {
    let (to, ld) = match target {
        Some((c, ld)) => (c.get().wrapping_add(r0 * ld), *ld),
        None => (sums.wrapping_add(r0 * n), n),
    };
    for row in r0..r1 {
        let first = sums.wrapping_add(row * n);
        let line = to.wrapping_add((row - r0) * ld);
        // SAFETY: the frame's contract, 2 and 6; without a target the first sum is the result.
        unsafe {
            if line != first {
                std::ptr::copy_nonoverlapping(first, line, n);
            }
            let line = std::slice::from_raw_parts_mut(line, n);
            for part in 1..parts {
                let sum = std::slice::from_raw_parts(first.add(part * m * n), n);
                line.iter_mut().zip(sum).for_each(|(total, x)| *total += x);
            }
        }
    }
    if let Some(e) = epilogue {
        e.block(0, r0, r1 - r0, 0, n, to, ld);
    }
}
