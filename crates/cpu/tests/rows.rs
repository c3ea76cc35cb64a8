//! Kernels over rows against the interpreter, with the same bits at any number of threads.

use rhyton_cpu::CpuBackend;
use rhyton_cpu::isa::Isa;
use rhyton_graph::plan::Kernel;
use rhyton_graph::testing::{Runner, assert_close};
use rhyton_graph::{Expr, Function, Type, compile, grad, interpret};
use rhyton_tensor::{DType, Dim, Tensor};

/// Runs `f` over `[batch, ..]` on every instruction set; each must be one kernel of several stages.
#[track_caller]
fn check(name: &str, batch: usize, rest: &[usize], f: impl Fn(&Expr) -> Vec<Expr>) {
    let shape =
        |first: Dim| [first].into_iter().chain(rest.iter().map(|n| Dim::fixed(*n))).collect::<Vec<_>>();
    let function = Function::trace(name, &[Type::f32(shape(Dim::symbol("batch")))], |p| f(&p[0]));
    let sizes: Vec<usize> = [batch].iter().chain(rest).copied().collect();
    let value = |i: usize| match i % 1777 {
        100 => f32::NAN,
        200 => f32::NEG_INFINITY,
        300 => 80.0,
        _ => ((i * 37 % 101) as f32) / 9.0 - 5.0,
    };
    let x = Tensor::from_fn(sizes, value);
    let want = interpret(&function, std::slice::from_ref(&x)).unwrap();
    for isa in Isa::available() {
        let mut first: Vec<Tensor> = vec![];
        for threads in [1, 2, 3] {
            let backend = CpuBackend::with(threads, isa);
            let plan = compile(&function, 0, &[], &backend).unwrap();
            let one = matches!(&plan.launches[..], [l] if matches!(l.kernel, Kernel::Rows { .. }));
            assert!(one, "{name}: {}", rhyton_graph::text::print_plan(&plan));
            let mut program = Runner::new(&backend, plan).unwrap();
            let mut have = vec![];
            // The second run finds what the first one left in scratch memory.
            for _ in 0..2 {
                program.run(&mut [], std::slice::from_ref(&x), &mut have).unwrap();
            }
            assert_close(
                &have,
                &want,
                2e-5,
                &format!("{name} of {batch} x {rest:?} on {isa:?}, {threads} threads"),
            );
            if first.is_empty() {
                first = have;
            } else {
                assert!(
                    first.iter().zip(&have).all(|(a, b)| a.same_bits(b)),
                    "{name}: bits at {threads} threads"
                );
            }
        }
    }
}

fn last(x: &Expr) -> [usize; 1] {
    [x.rank() - 1]
}

fn softmax(x: &Expr) -> Expr {
    let e = (x - x.max(&last(x)).expand_dims(&last(x))).exp();
    let scale = 1.0 / e.sum(&last(x)).expand_dims(&last(x));
    e * scale
}

fn norm(x: &Expr, axes: &[usize]) -> Expr {
    let mean = x.mean(axes).expand_dims(axes);
    let square = (x * x).mean(axes).expand_dims(axes);
    (x - &mean) * ((square - &mean * &mean).maximum(&Expr::scalar(0.0f32)) + 1e-3).rsqrt()
}

/// Rows shorter and longer than a vector, a tile and a block; few and many.
const SIZES: &[(usize, &[usize])] = &[
    (1, &[1]),
    (3, &[7]),
    (70, &[10]),
    (5, &[3, 64]),
    (1000, &[3]),
    (67, &[257]),
    (9, &[5000]),
    (2, &[40_000]),
];

#[test]
fn softmax_and_its_logarithm() {
    for (batch, rest) in SIZES {
        check("softmax", *batch, rest, |x| vec![softmax(x)]);
        check("log_softmax", *batch, rest, |x| {
            let d = x - x.max(&last(x)).expand_dims(&last(x));
            vec![&d - d.exp().sum(&last(x)).expand_dims(&last(x)).log()]
        });
    }
}

#[test]
fn what_follows_softmax_joins_it() {
    for (batch, rest) in SIZES {
        check("loss", *batch, rest, |x| {
            let y = softmax(x);
            vec![(&y * (&y + 1e-7).log()).sum(&last(x)), y.argmax(x.rank() - 1), y]
        });
    }
}

#[test]
fn norms_over_one_axis_and_over_several() {
    for (batch, rest) in SIZES {
        check("norm", *batch, rest, |x| vec![norm(x, &last(x))]);
    }
    for (batch, rest) in [(5, &[4, 6, 3][..]), (33, &[8, 8, 16]), (2, &[64, 32, 16])] {
        check("norm", batch, rest, |x| vec![norm(x, &[1, 2, 3])]);
        check("norm of groups", batch, rest, |x| {
            let b = Dim::symbol("batch");
            let groups = x.reshape(vec![b, rest[0].into(), (rest[1] * rest[2]).into()]);
            vec![norm(&groups, &[2])]
        });
    }
}

#[test]
fn gradients() {
    for (batch, rest) in SIZES {
        check("gradient", *batch, rest, |x| {
            let weights = Expr::iota(x.shape().clone(), x.rank() - 1).cast(DType::F32) * 0.01;
            grad(&(softmax(x) * weights).sum_all(), std::slice::from_ref(x))
        });
    }
}

#[test]
fn bytes_and_numbers_in_bfloat16() {
    for (batch, rest) in SIZES {
        check("quantize", *batch, rest, |x| {
            let scale = 127.0 / (x.abs().max(&last(x)).expand_dims(&last(x)) + 1e-7);
            vec![(x * &scale * 0.9).cast(DType::I32).cast(DType::I8), scale]
        });
        check("bfloat16", *batch, rest, |x| {
            let y = x.exp().cast(DType::BF16).cast(DType::F32);
            let sum = y.sum(&last(x)).expand_dims(&last(x));
            vec![(y / sum).cast(DType::F32)]
        });
    }
}
