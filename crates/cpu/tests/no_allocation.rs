//! A kernel allocates nothing: all its memory is given.

use rhyton_cpu::conv::{ConvArgs, ConvShape, conv, conv_scratch_len};
use rhyton_cpu::counting::{self, Counting};
use rhyton_cpu::gemm::{GemmArgs, MatView, Steps, gemm, scratch_len};
use rhyton_cpu::isa::Isa;
use rhyton_cpu::pool::Pool;
use rhyton_cpu::window::{PoolShape, Target, pool};
use rhyton_graph::ops::{ConvKind, PoolKind};

#[global_allocator]
static COUNTING: Counting = Counting;

/// Fewest allocations of a few runs: the test runner and starting threads allocate too, but not every time.
fn allocations(mut f: impl FnMut()) -> usize {
    let mut run = |_| {
        let before = counting::allocations();
        f();
        counting::allocations() - before
    };
    (0..5).map(&mut run).min().unwrap_or(0)
}

#[test]
fn kernels_allocate_nothing() {
    let (threads, isa) = (Pool::new(2), Isa::detect());
    let (a, mut c) = (vec![1.0f32; 1 << 20], vec![0.0f32; 1 << 20]);
    let out = c.as_mut_ptr();
    for (m, n, k) in [(32, 64, 100), (200, 300, 400), (32, 64, 4000), (200, 1, 300)] {
        let mut scratch = vec![0.0; scratch_len(1, m, n, k, 2)];
        let a = MatView { ptr: a.as_ptr(), rs: k as isize, cs: 1, batch: Steps::NONE };
        let b = MatView { rs: 1, cs: k as isize, ..a };
        let count = allocations(|| {
            let scratch = &mut scratch;
            let c = Some((out, n, Steps::NONE));
            let args = GemmArgs {
                isa,
                pairs: false,
                pool: &threads,
                batch: 1,
                m,
                n,
                k,
                a,
                b,
                c,
                epilogue: None,
                scratch,
            };
            // SAFETY: all operands have at most 2^20 numbers.
            unsafe { gemm(args) };
        });
        assert_eq!(count, 0, "product {m} {n} {k}");
    }
    let (k, y, one) = ([1, 3, 3], [1, 14, 14], [1; 3]);
    let (batch, x, groups, c_in, c_out) = (8, [1, 16, 16], 1, 16, 32);
    let kind = ConvKind::Forward;
    let s =
        ConvShape { kind, batch, x, k, y, stride: one, dilation: one, pad_lo: [0; 3], groups, c_in, c_out };
    for kind in [ConvKind::Forward, ConvKind::InputGrad, ConvKind::KernelGrad] {
        let s = ConvShape { kind, ..s };
        let mut scratch = vec![0.0; conv_scratch_len(false, &s, 2)];
        let (pool, s, a, b) = (&threads, &s, a.as_ptr(), a.as_ptr());
        let run = || {
            let (out, scratch) = (Some(out), &mut scratch[..]);
            // SAFETY: all sides have at most 2^20 numbers.
            unsafe { conv(ConvArgs { isa, pairs: false, pool, s, a, b, out, epilogue: None, scratch }) };
        };
        assert_eq!(allocations(run), 0, "{kind:?}");
    }
    let (full, pooled, two) = ([1, 16, 16], [1, 8, 8], [1, 2, 2]);
    for kind in [PoolKind::Max, PoolKind::MaxSpread, PoolKind::MaxTake, PoolKind::Sum, PoolKind::SumSpread] {
        let (batch, channels, stride) = (8, 32, two);
        let s = PoolShape { kind, batch, channels, full, pooled, window: two, stride, pad_lo: [0; 3] };
        // SAFETY: all sides have at most 2^20 numbers.
        let run = || unsafe { pool(isa, &threads, &s, [a.as_ptr(); 2], Target::Memory(out)) };
        assert_eq!(allocations(run), 0, "{kind:?}");
    }
}
