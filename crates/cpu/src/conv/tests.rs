use super::pairs::Paired;
use super::*;
use rhyton_tensor::bf16;
use rhyton_tensor::rng::Stream;
use std::sync::Mutex;

fn values(seed: u64, n: usize) -> Vec<f32> {
    let mut s = Stream::new(seed, 0, 0);
    (0..n).map(|_| s.uniform() * 2.0 - 1.0).collect()
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

fn grid(d: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
    (0..d[0]).flat_map(move |i| (0..d[1]).flat_map(move |j| (0..d[2]).map(move |k| [i, j, k])))
}

/// The definition, in double precision; also the sums of magnitudes, for the error that is allowed.
fn slow(s: &ConvShape, a: &[f32], b: &[f32]) -> Vec<(f64, f64)> {
    let (rows, cols) = s.result();
    let mut out = vec![(0.0, 0.0); rows * cols];
    let flat = |size: [usize; 3], at: [usize; 3]| (at[0] * size[1] + at[1]) * size[2] + at[2];
    let (per_in, per_out) = (s.per_in(), s.per_out());
    for n in 0..s.batch {
        for (o, k) in grid(s.y).flat_map(|o| grid(s.k).map(move |k| (o, k))) {
            let i = [0, 1, 2].map(|d| (o[d] * s.stride[d] + k[d] * s.dilation[d]).wrapping_sub(s.pad_lo[d]));
            if (0..3).any(|d| i[d] >= s.x[d]) {
                continue;
            }
            let (px, py) = (n * volume(s.x) + flat(s.x, i), n * volume(s.y) + flat(s.y, o));
            for (f, c) in (0..s.c_out).flat_map(|f| (0..per_in).map(move |c| (f, c))) {
                let x = px * s.c_in + f / per_out * per_in + c;
                let w = (flat(s.k, k) * per_in + c) * s.c_out + f;
                let y = py * s.c_out + f;
                let (to, product) = match s.kind {
                    ConvKind::Forward => (y, f64::from(a[x]) * f64::from(b[w])),
                    ConvKind::InputGrad => (x, f64::from(a[y]) * f64::from(b[w])),
                    ConvKind::KernelGrad => (w, f64::from(a[x]) * f64::from(b[y])),
                };
                out[to].0 += product;
                out[to].1 += product.abs();
            }
        }
    }
    out
}

struct Collect<'a> {
    cols: usize,
    out: &'a Mutex<Vec<(f32, u32)>>,
}

impl Epilogue for Collect<'_> {
    fn block(
        &self,
        batch: usize,
        row: usize,
        rows: usize,
        col: usize,
        cols: usize,
        tile: *mut f32,
        ld: usize,
    ) {
        let mut out = self.out.lock().unwrap();
        for (i, j) in (0..rows).flat_map(|i| (0..cols).map(move |j| (i, j))) {
            let cell = &mut out[(row + i) * self.cols + col + j];
            // SAFETY: the kernel gives `rows` rows of `cols`.
            *cell = (unsafe { *tile.add(i * ld + j) }, cell.1 + 1 + batch as u32);
        }
    }
}

fn run(isa: Isa, threads: usize, s: &ConvShape, a: &[f32], b: &[f32], stored: bool) -> Vec<f32> {
    let (rows, cols) = s.result();
    let pool = Pool::new(threads);
    let len = conv_scratch_len(false, s, threads);
    // A fence behind the scratch memory.
    let mut scratch = vec![f32::NAN; len];
    scratch.resize(len + 64, 77.0);
    let mut out = vec![f32::NAN; rows * cols];
    let seen = Mutex::new(vec![(0.0, 0); rows * cols]);
    let epilogue = Collect { cols, out: &seen };
    let target = stored.then_some(out.as_mut_ptr());
    // SAFETY: the vectors have the sizes of the sides.
    unsafe {
        conv(ConvArgs {
            isa,
            pairs: false,
            pool: &pool,
            s,
            a: a.as_ptr(),
            b: b.as_ptr(),
            out: target,
            epilogue: Some(&epilogue),
            scratch: &mut scratch[..len],
        })
    };
    assert!(scratch[len..].iter().all(|x| *x == 77.0), "wrote past the scratch memory");
    let seen = seen.into_inner().unwrap();
    assert!(seen.iter().all(|(_, visits)| *visits == 1), "each element belongs to one block");
    let seen: Vec<f32> = seen.into_iter().map(|(x, _)| x).collect();
    assert!(!stored || bits(&seen) == bits(&out));
    seen
}

/// Bytes at random, as floats and as int8.
fn bytes(seed: u64, n: usize) -> (Vec<f32>, Vec<i8>) {
    let mut s = Stream::new(seed, 0, 0);
    (0..n).map(|_| s.below(256) as u8 as i8).map(|x| (f32::from(x), x)).unzip()
}

/// Sums of products of int8 are those of the definition.
fn check_bytes(s: &ConvShape) {
    let [x, w, _] = sizes(s);
    let ((x, xb), (w, wb)) = (bytes(3, x), bytes(4, w));
    let want: Vec<i32> = slow(s, &x, &w).iter().map(|(sum, _)| *sum as i32).collect();
    for (isa, threads) in Isa::available().into_iter().flat_map(|i| [1, 2, 3].map(|t| (i, t))) {
        let pool = Pool::new(threads);
        let len = conv_bytes_scratch_len(s, threads);
        let mut scratch = vec![f32::NAN; len];
        scratch.resize(len + 64, 77.0);
        let mut y = vec![7i32; want.len()];
        // SAFETY: the vectors have the sizes of the sides.
        unsafe {
            conv_bytes(ConvArgs {
                isa,
                pairs: false,
                pool: &pool,
                s,
                a: xb.as_ptr(),
                b: wb.as_ptr(),
                out: Some(y.as_mut_ptr().cast()),
                epilogue: None,
                scratch: &mut scratch[..len],
            })
        };
        assert!(scratch[len..].iter().all(|x| *x == 77.0), "wrote past the scratch memory");
        assert_eq!(y, want, "{isa:?} {s:?} {threads} threads");
    }
}

/// The convolution and its two transposes.
fn kinds(s: &ConvShape) -> [ConvShape; 3] {
    [ConvKind::InputGrad, ConvKind::KernelGrad, ConvKind::Forward].map(|kind| ConvShape { kind, ..*s })
}

/// Numbers of x, w and y.
fn sizes(s: &ConvShape) -> [usize; 3] {
    kinds(s).map(|s| s.result().0 * s.result().1)
}

fn check(s: &ConvShape) {
    check_bytes(s);
    let [x, w, y] = [0, 1, 2].map(|i| values(i as u64, sizes(s)[i]));
    for s in &kinds(s) {
        let [a, b, _] = s.kind.sides([&x, &w, &y]);
        let mut want = slow(s, a, b);
        if winograd::fits(s) {
            // Results of a square share their rounding, so a small one has as much of it as a large one.
            let most = want.iter().fold(0.0f64, |most, w| most.max(w.1));
            want.iter_mut().for_each(|w| w.1 = most / 2.0);
        }
        for isa in Isa::available() {
            let got = run(isa, 1, s, a, b, true);
            for (threads, stored) in [(2, false), (3, true)] {
                assert_eq!(bits(&got), bits(&run(isa, threads, s, a, b, stored)), "{s:?}");
            }
            for (i, (got, (want, size))) in got.iter().zip(&want).enumerate() {
                let error = (f64::from(*got) - want).abs();
                assert!(error <= 2e-6 * (size + 1.0), "{isa:?} {s:?} at {i}: {got} is not {want}");
            }
        }
    }
}

fn shape2(batch: usize, size: [usize; 2], k: [usize; 2], channels: [usize; 2]) -> ConvShape {
    ConvShape {
        kind: ConvKind::Forward,
        batch,
        x: [1, size[0], size[1]],
        k: [1, k[0], k[1]],
        y: [1, size[0] + 1 - k[0], size[1] + 1 - k[1]],
        stride: [1; 3],
        dilation: [1; 3],
        pad_lo: [0; 3],
        groups: 1,
        c_in: channels[0],
        c_out: channels[1],
    }
}

#[test]
fn common_networks() {
    check(&shape2(3, [28, 28], [3, 3], [1, 32]));
    check(&ConvShape { y: [1, 16, 16], pad_lo: [0, 1, 1], ..shape2(5, [16, 16], [3, 3], [16, 24]) });
    check(&ConvShape { y: [1, 8, 8], pad_lo: [0, 1, 1], ..shape2(4, [8, 8], [3, 3], [40, 130]) });
    check(&ConvShape {
        y: [1, 8, 8],
        stride: [1, 2, 2],
        pad_lo: [0, 0, 0],
        ..shape2(2, [16, 16], [3, 3], [8, 20])
    });
    check(&ConvShape { y: [1, 8, 8], stride: [1, 2, 2], ..shape2(2, [16, 16], [1, 1], [8, 20]) });
    check(&shape2(2, [5, 7], [1, 1], [8, 10]));
    check(&ConvShape { y: [1, 11, 11], pad_lo: [0, 1, 1], ..shape2(2, [11, 11], [3, 3], [19, 3]) });
    check(&ConvShape { y: [1, 5, 5], stride: [1, 2, 2], ..shape2(2, [11, 11], [3, 3], [2, 33]) });
    check(&ConvShape {
        x: [1, 1, 600],
        y: [1, 1, 300],
        stride: [1, 1, 2],
        pad_lo: [0, 0, 2],
        ..shape2(1, [1, 5], [1, 5], [3, 64])
    });
}

#[test]
fn windows_of_three_with_many_channels() {
    // Full squares; none full; images of 3 dims; long rows; any padding; one band; several turns of the gradient.
    let same = |batch, [h, w]: [usize; 2], channels| ConvShape {
        y: [1, h, w],
        pad_lo: [0, 1, 1],
        ..shape2(batch, [h, w], [3, 3], channels)
    };
    for s in [
        same(5, [16, 16], [16, 24]),
        same(6, [15, 13], [17, 70]),
        ConvShape { x: [3, 12, 11], y: [3, 12, 11], ..same(2, [12, 11], [33, 16]) },
        same(1, [6, 270], [16, 19]),
        shape2(3, [19, 18], [3, 3], [20, 35]),
        ConvShape { y: [1, 22, 17], pad_lo: [0, 3, 0], ..shape2(3, [20, 17], [3, 3], [18, 16]) },
        same(26, [24, 24], [16, 16]),
        ConvShape { y: [1, 13, 10], pad_lo: [0, 1, 2], ..shape2(7, [13, 9], [3, 3], [35, 33]) },
        shape2(3, [34, 19], [3, 3], [40, 130]),
    ] {
        kinds(&s).iter().for_each(|s| assert!(winograd::fits(s), "{s:?}"));
        check(&s);
    }
}

/// Numbers as bfloat16, and what they are.
fn halves(seed: u64, n: usize) -> (Vec<u16>, Vec<f32>) {
    values(seed, n).into_iter().map(bf16::from_f32).map(|x| (x.to_bits(), x.to_f32())).unzip()
}

fn run_paired(isa: Isa, threads: usize, s: &ConvShape, a: &[u16], b: &[u16]) -> Vec<f32> {
    let (rows, cols) = s.result();
    let (pool, paired) = (Pool::new(threads), Paired::new(s, [true; 2]));
    let len = paired.scratch_len(threads);
    let mut scratch = vec![f32::NAN; len];
    scratch.resize(len + 64, 77.0);
    let mut out = vec![f32::NAN; rows * cols];
    let (a, b, target) = (a.as_ptr(), b.as_ptr(), Some(out.as_mut_ptr()));
    let (pool, room) = (&pool, &mut scratch[..len]);
    // SAFETY: the vectors have the sizes of the sides.
    unsafe {
        let epilogue = None;
        paired.run(ConvArgs { isa, pairs: false, pool, s, a, b, out: target, epilogue, scratch: room })
    };
    assert!(scratch[len..].iter().all(|x| *x == 77.0), "wrote past the scratch memory");
    out
}

/// Errors stay within a percent or so of the results, as the module says.
#[test]
fn windows_of_three_over_bfloat16() {
    let shape = |batch, [h, w]: [usize; 2], channels| ConvShape {
        y: [1, h, w],
        pad_lo: [0, 1, 1],
        ..shape2(batch, [h, w], [3, 3], channels)
    };
    for s in [
        shape(5, [16, 16], [16, 24]),
        shape(6, [15, 9], [17, 70]),
        shape(1, [6, 270], [33, 19]),
        shape(40, [16, 16], [16, 16]),
        shape(4, [24, 20], [40, 130]),
        shape(9, [20, 12], [64, 64]),
    ] {
        let [x, w, y] = [0, 1, 2].map(|i| halves(i as u64, sizes(&s)[i]));
        for s in &kinds(&s) {
            let [a, b, _] = s.kind.sides([&x, &w, &y]);
            assert!(winograd::fits(s), "{s:?}");
            let want = slow(s, &a.1, &b.1);
            let squares = want.iter().map(|w| w.0 * w.0).sum::<f64>();
            for isa in Isa::available() {
                let got = run_paired(isa, 1, s, &a.0, &b.0);
                let errors = got.iter().zip(&want).map(|(got, (want, _))| (f64::from(*got) - want).powi(2));
                let (sum, most) = errors.fold((0.0, 0.0f64), |(sum, most), e| (sum + e, most.max(e)));
                let (mean, most) = ((sum / squares).sqrt(), (most * want.len() as f64 / squares).sqrt());
                assert!(mean < 0.014 && most < 0.09, "{isa:?} {s:?}: {mean}, at most {most}");
                for threads in [2, 3] {
                    let other = run_paired(isa, threads, s, &a.0, &b.0);
                    assert_eq!(bits(&got), bits(&other), "{s:?}");
                }
            }
        }
    }
}

#[test]
fn odd_and_empty_sizes() {
    check(&shape2(0, [5, 5], [3, 3], [2, 3]));
    check(&shape2(2, [5, 5], [3, 3], [0, 3]));
    check(&shape2(2, [5, 5], [3, 3], [2, 0]));
    check(&ConvShape { y: [1, 0, 3], ..shape2(2, [2, 5], [3, 3], [2, 3]) });
    check(&ConvShape { y: [1, 9, 9], pad_lo: [0, 4, 4], ..shape2(1, [2, 2], [3, 3], [2, 3]) });
    check(&ConvShape { groups: 3, ..shape2(2, [6, 5], [2, 3], [6, 9]) });
    check(&ConvShape { groups: 4, y: [1, 6, 5], pad_lo: [0, 1, 1], ..shape2(2, [6, 5], [3, 3], [4, 4]) });
    check(&ConvShape { groups: 4, stride: [1, 2, 3], y: [1, 3, 2], ..shape2(2, [6, 5], [2, 2], [4, 12]) });
}

#[test]
fn random_shapes() {
    let mut r = Stream::new(11, 0, 0);
    for _ in 0..60 {
        let mut pick = |from: u32, to: u32| (from + r.below(to - from + 1)) as usize;
        let dims = pick(1, 3);
        let groups = pick(1, 3);
        let mut s = ConvShape {
            batch: pick(1, 3),
            groups,
            c_in: groups * pick(1, 7),
            c_out: groups * pick(1, 20),
            ..shape2(1, [1, 1], [1, 1], [1, 1])
        };
        for d in 3 - dims..3 {
            (s.x[d], s.k[d]) = (pick(1, 11), pick(1, 4));
            (s.stride[d], s.dilation[d], s.pad_lo[d]) = (pick(1, 3), pick(1, 3), pick(0, 3));
            let reach = (s.k[d] - 1) * s.dilation[d];
            s.y[d] = (s.x[d] + s.pad_lo[d] + pick(0, 3)).saturating_sub(reach).div_ceil(s.stride[d]);
        }
        check(&s);
    }
}

#[test]
fn nan_stays_where_its_window_is() {
    let s = ConvShape { y: [1, 6, 6], pad_lo: [0, 1, 1], ..shape2(1, [6, 6], [3, 3], [2, 5]) };
    let (mut x, w) = (values(1, 72), values(2, 90));
    x[(2 * 6 + 3) * 2] = f32::NAN;
    for isa in Isa::available() {
        let y = run(isa, 2, &s, &x, &w, true);
        for (i, v) in y.iter().enumerate() {
            let (row, col) = (i / 30, i / 5 % 6);
            assert_eq!(v.is_nan(), row.abs_diff(2) <= 1 && col.abs_diff(3) <= 1, "at {row}, {col}");
        }
    }
}
