use super::*;
use crate::pool::Pool;
use rhyton_tensor::rng::Stream;

/// Every int8, the largest ones often.
fn values(seed: u64, n: usize) -> Vec<i8> {
    let mut s = Stream::new(seed, 0, 0);
    (0..n)
        .map(|_| match s.below(4) {
            0 => [-128, 127, -127][s.below(3) as usize],
            _ => s.below(256) as u8 as i8,
        })
        .collect()
}

/// Distances between rows, columns and matrices of `rows x cols`: along rows, along columns, along neither.
fn layouts(rows: usize, cols: usize) -> [[isize; 3]; 3] {
    let step = 2 * rows * cols;
    [[cols, 1, step], [1, rows, step], [cols * 2, 2, step]].map(|l| l.map(|n| n as isize))
}

fn view(data: &[i8], [rs, cs, batch]: [isize; 3]) -> MatView<i8> {
    MatView { ptr: data.as_ptr(), rs, cs, batch: Steps::every(batch) }
}

fn at(data: &[i8], [rs, cs, batch]: [isize; 3], q: usize, i: usize, j: usize) -> i32 {
    i32::from(data[(q as isize * batch + i as isize * rs + j as isize * cs) as usize])
}

/// Multiplies; the result has gaps between rows, which stay as they are.
fn run(isa: Isa, threads: usize, shape: [usize; 4], a: MatView<i8>, b: MatView<i8>) -> Vec<i32> {
    let [batch, m, n, k] = shape;
    let pool = Pool::new(threads);
    let len = scratch_len_bytes(batch, m, n, k, threads);
    let mut scratch = vec![f32::NAN; len];
    scratch.resize(len + 64, 77.0);
    let ld = n + 3;
    let mut c = vec![7i32; batch * m * ld];
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
        c: Some((c.as_mut_ptr().cast(), ld, Steps::every((m * ld) as isize))),
        epilogue: None,
        scratch: &mut scratch[..len],
    };
    // SAFETY: the vectors have the sizes of the views.
    unsafe { gemm_bytes(args) };
    assert!(scratch[len..].iter().all(|x| *x == 77.0), "wrote past the scratch memory");
    assert!(c.chunks(ld).all(|row| row[n..] == [7; 3]), "wrote between the rows");
    c.chunks(ld).flat_map(|row| row[..n].to_vec()).collect()
}

const SHAPES: [[usize; 4]; 18] = [
    [1, 1, 1, 1],
    [1, 1, 300, 200],
    [1, 2, 129, 65],
    [1, 5, 33, 40],
    [1, 32, 64, 101],
    [1, 100, 64, 32],
    [1, 14, 16, 7],
    [1, 15, 31, 13],
    [1, 64, 10, 786],
    [2, 97, 1, 50],
    [3, 17, 19, 23],
    [1, 200, 300, 400],
    [2, 61, 130, 390],
    [1, 3, 70, 5000],
    [1, 4, 5, 0],
    [1, 0, 5, 3],
    [1, 5, 0, 3],
    [0, 5, 5, 3],
];

#[test]
fn sums_of_bytes_are_exact_on_every_set_at_any_thread_count() {
    for shape @ [batch, m, n, k] in SHAPES {
        let (a, b) = (values(1, 2 * batch * m * k), values(2, 2 * batch * k * n));
        for (la, lb) in layouts(m, k).into_iter().flat_map(|l| layouts(k, n).map(|r| (l, r))) {
            let want: Vec<i32> = (0..batch * m * n)
                .map(|o| (o / (m * n), o / n % m, o % n))
                .map(|(q, i, j)| (0..k).map(|p| at(&a, la, q, i, p) * at(&b, lb, q, p, j)).sum())
                .collect();
            for (isa, threads) in Isa::available().into_iter().flat_map(|i| [1, 2, 3].map(|t| (i, t))) {
                let got = run(isa, threads, shape, view(&a, la), view(&b, lb));
                assert_eq!(got, want, "{shape:?} {la:?} {lb:?} {isa:?} {threads} threads");
            }
        }
    }
}

#[test]
fn the_longest_sums_that_surely_fit() {
    let k = 131_071;
    let (a, b) = (vec![-128i8; k], vec![-128i8; k]);
    for isa in Isa::available() {
        let got = run(isa, 1, [1, 1, 1, k], view(&a, [0, 1, 0]), view(&b, [1, 1, 0]));
        assert_eq!(got, [16384 * k as i32]);
    }
}
