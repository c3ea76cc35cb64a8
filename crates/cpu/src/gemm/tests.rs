use super::*;
use crate::pool::Pool;
use rhyton_tensor::rng::Stream;
use std::sync::Mutex;

fn values(seed: u64, n: usize) -> Vec<f32> {
    let mut s = Stream::new(seed, 0, 0);
    (0..n).map(|_| s.uniform() * 2.0 - 1.0).collect()
}

/// How the elements of a `rows x cols` operand lie in memory.
#[derive(Clone, Copy, Debug)]
enum Layout {
    Row,
    Column,
    /// Neither unit stride.
    Sparse,
}

fn view(data: &[f32], layout: Layout, rows: usize, cols: usize) -> MatView {
    let (rs, cs) = match layout {
        Layout::Row => (cols, 1),
        Layout::Column => (1, rows),
        Layout::Sparse => (cols * 2, 2),
    };
    MatView {
        ptr: data.as_ptr(),
        rs: rs as isize,
        cs: cs as isize,
        batch: Steps::every((rows * cols * 2) as isize),
    }
}

fn at(data: &[f32], v: MatView, q: usize, i: usize, j: usize) -> f64 {
    f64::from(data[v.batch.at(q) as usize + i * v.rs as usize + j * v.cs as usize])
}

/// Collects finished blocks and counts visits.
struct Collect<'a> {
    m: usize,
    n: usize,
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
            let cell = &mut out[(batch * self.m + row + i) * self.n + col + j];
            // SAFETY: the kernel gives `rows` rows of `cols`.
            *cell = (unsafe { *tile.add(i * ld + j) }, cell.1 + 1);
        }
    }
}

fn run(
    isa: Isa,
    threads: usize,
    (batch, m, n, k): (usize, usize, usize, usize),
    a: MatView,
    b: MatView,
    stored: bool,
) -> Vec<f32> {
    let pool = Pool::new(threads);
    let len = scratch_len(batch, m, n, k, threads);
    // A fence behind the scratch memory.
    let mut scratch = vec![f32::NAN; len];
    scratch.resize(len + 64, 77.0);
    let mut c = vec![f32::NAN; batch * m * n];
    let seen = Mutex::new(vec![(0.0, 0); batch * m * n]);
    let epilogue = Collect { m, n, out: &seen };
    let target = stored.then_some((c.as_mut_ptr(), n, Steps::every((m * n) as isize)));
    let args = GemmArgs {
        isa,
        pairs: false,
        pool: &pool,
        batch,
        m,
        n,
        k,
        a,
        b,
        c: target,
        epilogue: Some(&epilogue),
        scratch: &mut scratch[..len],
    };
    // SAFETY: the vectors have the sizes of the views.
    unsafe { gemm(args) };
    assert!(scratch[len..].iter().all(|x| *x == 77.0), "wrote past the scratch memory");
    let seen = seen.into_inner().unwrap();
    assert!(seen.iter().all(|(_, visits)| *visits == 1), "each element belongs to one block");
    let seen: Vec<f32> = seen.into_iter().map(|(x, _)| x).collect();
    assert!(!stored || bits(&seen) == bits(&c));
    seen
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

const SHAPES: [(usize, usize, usize, usize); 25] = [
    (1, 1, 1, 1),
    (1, 1, 300, 200),
    (1, 2, 129, 65),
    (1, 5, 33, 40),
    (1, 32, 64, 100),
    (1, 100, 64, 32),
    (1, 14, 32, 7),
    (1, 15, 31, 13),
    (1, 64, 10, 32),
    (1, 97, 1, 50),
    (1, 1, 1, 700),
    (2, 300, 1, 130),
    (1, 33, 17, 2053),
    (1, 64, 30, 2048),
    (3, 1, 77, 1),
    (1, 8, 1, 15),
    (3, 17, 19, 23),
    (5, 31, 64, 16),
    (1, 200, 300, 800),
    (1, 61, 130, 390),
    (2, 60, 70, 500),
    (1, 4, 5, 0),
    (1, 0, 5, 3),
    (1, 5, 0, 3),
    (0, 5, 5, 3),
];

#[test]
fn agrees_with_the_sum_at_any_thread_count() {
    let layouts = [Layout::Row, Layout::Column, Layout::Sparse];
    for (s, shape) in SHAPES.into_iter().enumerate() {
        let (batch, m, n, k) = shape;
        let (a, b) = (values(1, 2 * batch * m * k), values(2, 2 * batch * k * n));
        for (la, lb) in layouts.into_iter().flat_map(|l| layouts.map(|r| (l, r))) {
            let (va, vb) = (view(&a, la, m, k), view(&b, lb, k, n));
            for isa in Isa::available() {
                let got = run(isa, 1, shape, va, vb, s % 2 == 0);
                for threads in [2, 3] {
                    assert_eq!(bits(&got), bits(&run(isa, threads, shape, va, vb, s % 2 == 1)));
                }
                for (o, x) in got.iter().enumerate() {
                    let (q, i, j) = (o / (m * n), o / n % m, o % n);
                    let want: f64 = (0..k).map(|p| at(&a, va, q, i, p) * at(&b, vb, q, p, j)).sum();
                    let error = (f64::from(*x) - want).abs();
                    assert!(
                        error <= 1e-6 * (k as f64 + 4.0),
                        "{shape:?} {la:?} {lb:?} {isa:?}: {x} is not {want}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_shared_right_side_and_repeated_elements() {
    let shape = (4, 50, 40, 30);
    let (a, b) = (values(3, 4 * 50 * 30), values(4, 40 * 30));
    let va = MatView { ptr: a.as_ptr(), rs: 30, cs: 1, batch: Steps::every(1500) };
    for vb in [
        MatView { ptr: b.as_ptr(), rs: 40, cs: 1, batch: Steps::NONE },
        MatView { ptr: b.as_ptr(), rs: 1, cs: 30, batch: Steps::NONE },
        MatView { ptr: b.as_ptr(), rs: 0, cs: 0, batch: Steps::every(1) },
        MatView { ptr: b[1199..].as_ptr(), rs: -1, cs: -30, batch: Steps::NONE },
    ] {
        let element = |q: usize, p: usize, j: usize| {
            let at = vb.batch.at(q) + p as isize * vb.rs + j as isize * vb.cs;
            f64::from(b[(at + if vb.rs < 0 { 1199 } else { 0 }) as usize])
        };
        for isa in Isa::available() {
            for (o, x) in run(isa, 2, shape, va, vb, true).iter().enumerate() {
                let (q, i, j) = (o / 2000, o / 40 % 50, o % 40);
                let want: f64 = (0..30).map(|p| at(&a, va, q, i, p) * element(q, p, j)).sum();
                assert!((f64::from(*x) - want).abs() < 1e-5);
            }
        }
    }
}

#[test]
fn nan_and_infinity_go_where_they_belong() {
    let (m, n, k) = (30, 45, 20);
    let (mut a, mut b) = (values(5, m * k), values(6, k * n));
    a[7 * k + 3] = f32::NAN;
    b[11 * n + 44] = f32::INFINITY;
    let (va, vb) = (view(&a, Layout::Row, m, k), view(&b, Layout::Row, k, n));
    for isa in Isa::available() {
        for (o, x) in run(isa, 2, (1, m, n, k), va, vb, true).iter().enumerate() {
            match (o / n, o % n) {
                (7, _) => assert!(x.is_nan()),
                (_, 44) => assert!(x.is_infinite()),
                _ => assert!(x.is_finite()),
            }
        }
    }
}
