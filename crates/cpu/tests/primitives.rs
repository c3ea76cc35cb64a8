//! Primitives with a kernel of their own against the interpreter, at sizes that kernels split and at any number of
//! threads.

use rhyton_cpu::CpuBackend;
use rhyton_cpu::isa::Isa;
use rhyton_graph::ops::Running;
use rhyton_graph::reference::eval_on;
use rhyton_graph::testing::assert_close;
use rhyton_graph::{Expr, eval};
use rhyton_tensor::Tensor;

#[track_caller]
fn check(f: impl Fn(&[Expr]) -> Vec<Expr> + Copy, args: &[Tensor], what: &str) {
    let want = eval(f, args).unwrap();
    let first = eval_on(&CpuBackend::with(1, Isa::Portable), f, args).unwrap();
    assert_close(&first, &want, 2e-5, what);
    for isa in Isa::available() {
        for threads in [1, 2, 3] {
            let have = eval_on(&CpuBackend::with(threads, isa), f, args).unwrap();
            assert!(
                have.iter().zip(&first).all(|(a, b)| a.same_bits(b)),
                "{what}: {isa:?}, {threads} threads"
            );
        }
    }
}

fn numbers(shape: &[usize]) -> Tensor {
    Tensor::from_fn(shape.to_vec(), |i| ((i * 7919 + 13) % 1009) as f32 / 1009.0 * 2.4 - 1.2)
}

const SHAPES: [&[usize]; 8] =
    [&[7], &[0], &[3, 0, 2], &[2, 5, 3], &[1, 20_000], &[300, 40], &[3, 9, 1300], &[70, 3, 40]];

#[test]
fn running_folds() {
    for shape in SHAPES {
        let (x, k) = (numbers(shape), numbers(shape).cast(rhyton_tensor::DType::I32));
        for axis in 0..shape.len() {
            for kind in [Running::Sum, Running::Product, Running::Max, Running::Min] {
                for reverse in [false, true] {
                    let f = |p: &[Expr]| p.iter().map(|x| x.cumulative(kind, axis, false, reverse)).collect();
                    check(f, &[x.clone(), k.clone()], &format!("{kind:?} {shape:?} axis {axis}"));
                }
            }
            let f = |p: &[Expr]| vec![p[0].linear_recurrence(&(&p[0] * 0.7), axis)];
            check(f, std::slice::from_ref(&x), &format!("linear {shape:?} axis {axis}"));
        }
    }
}

#[test]
fn running_folds_of_special_numbers() {
    let x = Tensor::vector(vec![1.0f32, f32::NAN, 3.0, f32::INFINITY, -2.0]);
    let all = |p: &[Expr]| {
        [Running::Sum, Running::Product, Running::Max, Running::Min]
            .map(|k| p[0].cumulative(k, 0, false, true))
            .to_vec()
    };
    check(all, &[x], "NaN and infinity");
    // int32 wraps around; booleans are counted; bfloat16 adds up in float32.
    let k = Tensor::vector(vec![i32::MAX, 2, 1 << 20, 1 << 20, -7]);
    check(|p| vec![p[0].cumsum(0), p[0].cumprod(0)], &[k], "overflow");
    let truth = Tensor::vector(vec![true, false, true]);
    let y = eval_on(&CpuBackend::with(1, Isa::detect()), |p| vec![p[0].cumsum(0)], &[truth]).unwrap();
    assert_eq!(y[0].to_vec::<i32>(), [1, 1, 2]);
    let narrow = |p: &[Expr]| vec![p[0].cast(rhyton_tensor::DType::BF16).cumsum(0)];
    check(narrow, &[Tensor::from_fn([40], |i| (i % 7) as f32 * 0.25)], "bfloat16");
}

#[test]
fn sorting() {
    for shape in SHAPES {
        // Many ties, so that the order of equal ones shows.
        let (x, k) = (numbers(shape), Tensor::from_fn(shape.to_vec(), |i| (i * 7919 % 31) as i32 - 15));
        for axis in 0..shape.len() {
            for descending in [false, true] {
                let f = |p: &[Expr]| {
                    let pair = |x: &Expr| {
                        let (v, i) = x.sorted(axis, descending);
                        [v, i]
                    };
                    p.iter().flat_map(pair).collect()
                };
                check(f, &[x.clone(), k.clone()], &format!("{shape:?} axis {axis} descending {descending}"));
            }
            let f = |p: &[Expr]| vec![p[0].take_along_axis(axis, &p[0].argsort(axis, false))];
            check(f, &[k.clone()], &format!("{shape:?} axis {axis} taken"));
        }
    }
}

#[test]
fn sorting_special_numbers() {
    let x = vec![2.0f32, f32::NAN, -0.0, f32::INFINITY, 0.0, -f32::NAN, 1e-40, f32::NEG_INFINITY, -1e-40];
    for threads in [1, 2] {
        let f = |p: &[Expr]| vec![p[0].argsort(0, false), p[0].argsort(0, true), p[0].top_k(3).1];
        let x = [Tensor::vector(x.clone())];
        let y = eval_on(&CpuBackend::with(threads, Isa::detect()), f, &x).unwrap();
        assert_eq!(y[0].to_vec::<i32>(), [7, 8, 2, 4, 6, 0, 3, 1, 5]);
        assert_eq!(y[1].to_vec::<i32>(), [1, 5, 3, 0, 6, 2, 4, 8, 7]);
        assert_eq!(y[2].to_vec::<i32>(), [1, 5, 3]);
        assert_eq!(eval(f, &x).unwrap(), y);
    }
}
