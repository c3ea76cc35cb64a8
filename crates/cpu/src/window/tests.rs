//! Pooling against its definition.

use super::*;
use rhyton_tensor::rng::Stream;
use std::sync::Mutex;

fn grid(d: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
    (0..d[0]).flat_map(move |i| (0..d[1]).flat_map(move |j| (0..d[2]).map(move |k| [i, j, k])))
}

/// What an epilogue is shown, each element once.
struct Seen(Mutex<Vec<Option<f32>>>);

impl Epilogue for Seen {
    fn block(&self, _: usize, row: usize, rows: usize, _: usize, cols: usize, tile: *mut f32, ld: usize) {
        let mut seen = self.0.lock().unwrap();
        for (r, c) in (0..rows).flat_map(|r| (0..cols).map(move |c| (r, c))) {
            // SAFETY: the block has so many rows and columns.
            let x = unsafe { *tile.add(r * ld + c) };
            assert!(seen[(row + r) * cols + c].replace(x).is_none(), "shown twice");
        }
    }
}

/// The definition, as in `ops/window.rs`.
fn slow(s: &PoolShape, a: &[f32], b: &[f32]) -> Vec<f32> {
    let size = if s.kind.result_full() { s.full } else { s.pooled };
    let flat = |size: [usize; 3], at: [usize; 3]| (at[0] * size[1] + at[1]) * size[2] + at[2];
    let mut out = vec![0.0; s.batch * volume(size) * s.channels];
    for (n, o) in (0..s.batch).flat_map(|n| grid(s.pooled).map(move |o| (n, o))) {
        for c in 0..s.channels {
            let p = (n * volume(s.pooled) + flat(s.pooled, o)) * s.channels + c;
            let positions = grid(s.window).filter_map(|k| {
                let i = [0, 1, 2].map(|d| (o[d] * s.stride[d] + k[d]).wrapping_sub(s.pad_lo[d]));
                let inside = (0..3).all(|d| i[d] < s.full[d]);
                inside.then(|| (n * volume(s.full) + flat(s.full, i)) * s.channels + c)
            });
            let positions: Vec<usize> = positions.collect();
            let better = |i: usize, best: usize| a[i] > a[best] || (a[i].is_nan() && !a[best].is_nan());
            let largest =
                || positions.iter().copied().reduce(|best, i| if better(i, best) { i } else { best });
            match s.kind {
                PoolKind::Max => out[p] = largest().map_or(f32::NEG_INFINITY, |i| a[i]),
                PoolKind::MaxSpread => largest().into_iter().for_each(|i| out[i] += b[p]),
                PoolKind::MaxTake => out[p] = largest().map_or(0.0, |i| b[i]),
                PoolKind::Sum => out[p] = positions.iter().map(|i| a[*i]).fold(0.0, |sum, x| sum + x),
                PoolKind::SumSpread => positions.iter().for_each(|i| out[*i] += a[p]),
            }
        }
    }
    out
}

/// Small whole numbers, so that ties are common, with some NaN and infinities if wanted.
fn values(r: &mut Stream, n: usize, special: bool) -> Vec<f32> {
    let mut one = || match r.below(24) {
        0 if special => f32::NAN,
        1 if special => f32::NEG_INFINITY,
        _ => r.below(7) as f32 - 3.0,
    };
    (0..n).map(|_| one()).collect()
}

fn check(s: &PoolShape, r: &mut Stream) {
    let (full, pooled) = (s.batch * volume(s.full) * s.channels, s.batch * volume(s.pooled) * s.channels);
    for kind in [PoolKind::Max, PoolKind::MaxSpread, PoolKind::MaxTake, PoolKind::Sum, PoolKind::SumSpread] {
        let s = &PoolShape { kind, ..*s };
        let first = if kind == PoolKind::SumSpread { pooled } else { full };
        let a = values(r, first, matches!(kind, PoolKind::Max | PoolKind::MaxSpread | PoolKind::MaxTake));
        let b = values(r, if kind == PoolKind::MaxTake { full } else { pooled }, false);
        let want = slow(s, &a, &b);
        for (isa, threads) in Isa::available().into_iter().flat_map(|isa| [1, 2, 3].map(|t| (isa, t))) {
            let (sides, threads) = ([a.as_ptr(), b.as_ptr()], Pool::new(threads));
            let same = |(x, y): (&f32, &f32)| x == y || (x.is_nan() && y.is_nan());
            let mut out = vec![9.0; want.len()];
            // SAFETY: the vectors have the sizes of the sides.
            unsafe { pool(isa, &threads, s, sides, Target::Memory(out.as_mut_ptr())) };
            assert!(out.iter().zip(&want).all(same), "{isa:?} {s:?}");
            let seen = Seen(Mutex::new(vec![None; want.len()]));
            let mut blocks = vec![9.0; pool_scratch_len(s, threads.threads())];
            // SAFETY: as above.
            unsafe { pool(isa, &threads, s, sides, Target::Epilogue(&seen, blocks.as_mut_ptr())) };
            let seen = seen.0.into_inner().unwrap();
            let shown = seen.iter().zip(&want).all(|(x, y)| x.is_some_and(|x| same((&x, y))));
            assert!(shown, "{isa:?} {s:?} in blocks");
        }
    }
}

#[test]
fn agrees_with_the_definition() {
    let mut r = Stream::new(3, 0, 0);
    let common = PoolShape {
        kind: PoolKind::Max,
        batch: 3,
        channels: 32,
        full: [1, 26, 26],
        pooled: [1, 13, 13],
        window: [1, 2, 2],
        stride: [1, 2, 2],
        pad_lo: [0; 3],
    };
    check(&common, &mut r);
    check(&PoolShape { batch: 0, ..common }, &mut r);
    check(&PoolShape { channels: 0, ..common }, &mut r);
    check(&PoolShape { window: [1, 26, 26], pooled: [1, 1, 1], ..common }, &mut r);
    check(&PoolShape { pad_lo: [0, 4, 4], batch: 1, channels: 70, ..common }, &mut r);
    for _ in 0..60 {
        let mut pick = |from: u32, to: u32| (from + r.below(to - from + 1)) as usize;
        let mut s = PoolShape { batch: pick(1, 3), channels: pick(1, 80), ..common };
        for d in 0..3 {
            (s.full[d], s.window[d]) = (pick(1, 6), pick(1, 3));
            (s.stride[d], s.pad_lo[d], s.pooled[d]) = (pick(1, 3), pick(0, 2), pick(1, 4));
        }
        check(&s, &mut r);
    }
}
