//! Denormal numbers, those below 1.18e-38, count as zero in programs, on every instruction set and every thread, and
//! the code around a program computes with them as before.

mod common {
    pub mod models;
}

use common::models::{conv_net, dense_net, gated_net, mixed_conv_net, recurrent_net, softmax};
use rhyton_cpu::CpuBackend;
use rhyton_cpu::isa::Isa;
use rhyton_graph::ops::ConvKind;
use rhyton_graph::testing::{Runner, random_args};
use rhyton_graph::{Expr, Function, Type, compile};
use rhyton_tensor::{DType, Dim, Tensor};
use std::hint::black_box;

const TINY: f32 = 1e-40;
const LEAST: f32 = f32::MIN_POSITIVE;

fn load(f: &Function, state: usize, updates: &[(usize, usize)], backend: &CpuBackend) -> Runner {
    Runner::new(backend, compile(f, state, updates, backend).unwrap()).unwrap()
}

fn run(f: &Function, args: &[Tensor], isa: Isa, threads: usize) -> Vec<Tensor> {
    let mut results = vec![];
    load(f, 0, &[], &CpuBackend::with(threads, isa)).run(&mut [], args, &mut results).unwrap();
    results
}

fn numbers(t: &Tensor) -> Vec<f32> {
    (0..t.len()).map(|i| t.data().get_f64(i) as f32).collect()
}

/// Multiplies what is there so that all magnitudes occur: ordinary, the least normal ones, denormal, zero.
fn thinned(t: &Tensor) -> Tensor {
    let by = [1.0, 1e-20, 1.0, 1e-38, 1e-39, 1e-30, 1e-44, 0.0, 1.0, 3e-38, 1e-42];
    Tensor::from_fn(t.shape(), |i| t.data().get_f64(i) as f32 * by[i % by.len()]).cast(t.dtype())
}

fn vector(n: usize) -> Type {
    Type::f32([n])
}

/// Checks on every instruction set that `f(x)` is `want` for each number of `x`.
fn check(what: &str, x: &[f32], want: &[f32], f: impl Fn(&Expr) -> Expr) {
    let function = Function::trace("f", &[vector(x.len())], |p| vec![f(&p[0])]);
    for isa in Isa::available() {
        let have = numbers(&run(&function, &[Tensor::vector(x.to_vec())], isa, 1)[0]);
        assert_eq!(have, want, "{what} on {isa:?}");
    }
}

#[test]
fn a_denormal_operand_counts_as_zero() {
    const INF: f32 = f32::INFINITY;
    let one = Expr::scalar(1.0f32);
    let zero = Expr::scalar(0.0f32);
    let (both, plus) = ([TINY, -TINY], [TINY, 1e-45]);
    check("1 / x", &both, &[INF, -INF], |x| &one / x);
    check("x * 1e30", &both, &[0.0, 0.0], |x| x * 1e30);
    check("x / 1e-30", &both, &[0.0, 0.0], |x| x / 1e-30);
    check("x + x", &both, &[0.0, 0.0], |x| x + x);
    check("sum", &plus, &[0.0, 0.0], |x| x.sum(&[0]).expand_dims(&[0]).broadcast_to([2]) * 1e30);
    check("x == 0", &both, &[1.0, 1.0], |x| x.equal(&zero).cast(DType::F32));
    check("0 < x", &both, &[0.0, 0.0], |x| zero.less(x).cast(DType::F32));
    check("x <= 0", &both, &[1.0, 1.0], |x| x.less_equal(&zero).cast(DType::F32));
    check("bool", &both, &[0.0, 0.0], |x| x.cast(DType::Bool).cast(DType::F32));
    check("int", &both, &[0.0, 0.0], |x| x.cast(DType::I32).cast(DType::F32));
    check("floor", &both, &[0.0, 0.0], |x| x.floor());
    check("round", &both, &[0.0, 0.0], |x| x.round());
    check("log", &plus, &[-INF, -INF], |x| x.log());
    check("sqrt", &plus, &[0.0, 0.0], |x| x.sqrt());
    check("rsqrt", &plus, &[INF, INF], |x| x.rsqrt());
    check("tanh", &both, &[0.0, 0.0], |x| x.tanh());
    check("x^-1", &plus, &[INF, INF], |x| x.pow(&Expr::scalar(-1.0f32)));
    check("x^-1.3", &plus, &[INF, INF], |x| x.pow(&Expr::scalar(-1.3f32)));
    check("product", &both, &[0.0, 0.0], |x| {
        x.reshape([2, 1]).matmul(&Expr::full([1, 1], 1e30)).reshape([2])
    });
}

#[test]
fn a_denormal_result_is_zero() {
    check("halves", &[LEAST, -LEAST], &[0.0, 0.0], |x| x * 0.5);
    check("differences", &[1.5 * LEAST], &[0.0], |x| x - LEAST);
    check("exp", &[-87.4, -88.0, -104.0, -1e9, f32::NEG_INFINITY], &[0.0; 5], |x| x.exp());
    check("sigmoid", &[-88.0, -100.0, f32::NEG_INFINITY], &[0.0; 3], |x| x.sigmoid());
    check("2^x", &[-125.0, -126.5, -130.0, -1e9], &[2.0 * LEAST, 0.0, 0.0, 0.0], |x| {
        Expr::full([4], 2.0).pow(x)
    });
    check("x^4", &[1e-10, 1e-20], &[0.0, 0.0], |x| x.pow(&Expr::scalar(4.0f32)));
    check("softmax", &[0.0, -87.5, -100.0, -1e9], &[1.0, 0.0, 0.0, 0.0], |x| {
        softmax(&rhyton_graph::named::SOFTMAX, x)
    });
}

/// Every operation on every magnitude: instruction sets differ by rounding, and by the least normal number where one
/// of them rounds a step more.
#[test]
fn instruction_sets_agree() {
    let x: Vec<f32> = (0..600).map(|i| ((i * 37 % 200) as f32 - 99.5) * 0.03).collect();
    let (x, y) =
        (thinned(&Tensor::vector(x.clone())), thinned(&Tensor::vector(x.into_iter().rev().collect())));
    let f = Function::trace("f", &[vector(600), vector(600)], |p| {
        let (x, y) = (&p[0], &p[1]);
        let grid = |e: &Expr| e.reshape([20, 30]);
        vec![
            x.exp(),
            x.abs().log(),
            x.abs().log1p(),
            x.expm1(),
            x.tanh(),
            x.sigmoid(),
            x.erf(),
            x.sin(),
            x.abs().sqrt(),
            x.sign(),
            x.floor(),
            x + y,
            x * y,
            x / y,
            x.maximum(y),
            x.less(y),
            x.equal(y),
            x.abs().pow(&y.abs()),
            x.cast(DType::BF16).cast(DType::F32) * y,
            softmax(&rhyton_graph::named::SOFTMAX, &grid(x)),
            grid(x).max(&[0]),
            grid(x).matmul(&y.reshape([30, 20])),
        ]
    });
    let args = [x, y];
    let want = run(&f, &args, Isa::Portable, 1);
    // Moved denormal numbers are zero, too.
    let value = |x: f32| if x.abs() < LEAST { 0.0 } else { x };
    for isa in Isa::available() {
        for (r, (have, want)) in run(&f, &args, isa, 1).iter().zip(&want).enumerate() {
            for (i, (have, want)) in numbers(have).into_iter().zip(numbers(want)).enumerate() {
                let (have, want) = (value(have), value(want));
                let near = (have - want).abs() <= want.abs() * 1e-5 + 2.0 * LEAST;
                let same = have == want || have.is_nan() && want.is_nan();
                assert!(near || same, "{isa:?}: element {i} of result {r} is {have:e}, not {want:e}");
            }
        }
    }
}

/// Results are large, so that threads share every launch.
fn shared_work() -> Function {
    let matrix = Type::f32([192, 256]);
    let image = Type::f32([4, 24, 24, 8]);
    Function::trace("f", &[matrix.clone(), matrix, image, Type::f32([3, 3, 8, 16])], |p| {
        let (x, y, sizes) = (&p[0], &p[1], [Dim::fixed(22), Dim::fixed(22)]);
        let ones = [1, 1];
        vec![
            x * y + x,
            x.exp() / y,
            x.sum(&[0]),
            (x * y).sum(&[1]),
            softmax(&rhyton_graph::named::SOFTMAX, x),
            x.matmul(&y.swap_axes(0, 1)),
            x.cast(DType::BF16).matmul(&y.cast(DType::BF16).swap_axes(0, 1)),
            p[2].conv(&p[3], ConvKind::Forward, &sizes, &ones, &ones, &[Dim::fixed(0), Dim::fixed(0)], 1),
        ]
    })
}

fn assert_same(first: &[Tensor], all: &[Tensor], what: &str) {
    assert_eq!(first.len(), all.len());
    let different = first.iter().zip(all).position(|(a, b)| !a.same_bits(b));
    assert_eq!(different, None, "{what}: other bits");
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let f = shared_work();
    let args: Vec<Tensor> = random_args(&f, 1, 5).iter().map(thinned).collect();
    for isa in Isa::available() {
        let first = run(&f, &args, isa, 1);
        for threads in [2, 3, 7] {
            // A thread that computes otherwise need not get a task in the first run.
            for _ in 0..5 {
                assert_same(&first, &run(&f, &args, isa, threads), &format!("{isa:?}, {threads} threads"));
            }
        }
    }
}

#[test]
fn training_on_denormal_numbers_has_the_same_bits_with_any_threads_and_after_a_break() {
    for m in [dense_net(), conv_net(), mixed_conv_net(), gated_net(), recurrent_net()] {
        let mut args = random_args(&m.step, 24, 3);
        for t in &mut args {
            *t = match t.dtype() {
                DType::I32 => Tensor::from_fn(t.shape(), |i| (i % 3) as i32),
                _ => thinned(t),
            };
        }
        let batch = args.split_off(m.state);
        let train = |isa, threads, breaks: bool| {
            let backend = CpuBackend::with(threads, isa);
            let mut program = load(&m.step, m.state, &m.updates, &backend);
            let (mut state, mut results) = (args.clone(), vec![]);
            for step in 0..6 {
                if breaks && step == 3 {
                    program = load(&m.step, m.state, &m.updates, &backend);
                }
                program.run(&mut state, &batch, &mut results).unwrap();
            }
            state.extend(results);
            state
        };
        for isa in Isa::available() {
            let first = train(isa, 1, false);
            for (threads, breaks) in [(1, true), (2, false), (3, true), (7, false)] {
                assert_same(&first, &train(isa, threads, breaks), &format!("{} on {isa:?}", m.step.name));
            }
        }
    }
}

/// Adam's first moment of a weight that gets no gradients: it used to stick at 6e-45.
#[test]
fn a_fading_moment_ends_at_zero() {
    let f = Function::trace("fade", &[vector(40)], |p| vec![&p[0] * 0.9]);
    for isa in Isa::available() {
        let mut program = load(&f, 1, &[(0, 0)], &CpuBackend::with(2, isa));
        let mut state = [Tensor::full([40], 1e-5f32)];
        for _ in 0..1000 {
            program.run(&mut state, &[], &mut vec![]).unwrap();
        }
        assert_eq!(numbers(&state[0]), [0.0; 40], "{isa:?}");
    }
}

/// Constants are folded before a program runs; the result is the one that the kernels would find.
#[test]
fn folded_constants_are_those_of_the_kernels() {
    let of = |x: &Expr| {
        let one = x.ones_like();
        vec![&one / x, x.equal(&x.zeros_like()), x * 1e30, x.abs().sqrt(), x * 0.5]
    };
    for number in [TINY, -TINY, LEAST, 0.0] {
        let folded = Function::trace("folded", &[], |_| of(&Expr::full([3], number)));
        let run_time = Function::trace("run_time", &[vector(3)], |p| of(&p[0]));
        let have = run(&folded, &[], Isa::detect(), 1);
        let want = run(&run_time, &[Tensor::full([3], number)], Isa::detect(), 1);
        for (r, (have, want)) in have.iter().zip(&want).enumerate() {
            assert_eq!(numbers(have), numbers(want), "result {r} of {number:e}");
        }
    }
}

/// Whether this thread computes with denormal numbers.
fn has_denormals() -> bool {
    (black_box(1e-30f32) * black_box(1e-10)).to_bits() == TINY.to_bits()
}

#[test]
fn the_callers_code_computes_as_before() {
    let f = Function::trace("f", &[vector(5000)], |p| vec![p[0].exp() * 1e-38]);
    let good = [Tensor::full([5000], -1.0f32)];
    for threads in [1, 3] {
        let mut program = load(&f, 0, &[], &CpuBackend::with(threads, Isa::detect()));
        let mut results = vec![];
        assert!(has_denormals());
        program.run(&mut [], &good, &mut results).unwrap();
        assert!(has_denormals(), "after a run");
        assert_eq!(numbers(&results[0]), [0.0; 5000]);
        program.run(&mut [], &[Tensor::zeros(DType::F32, [7])], &mut results).unwrap_err();
        assert!(has_denormals(), "after an error");
        program.run(&mut [], &good, &mut results).unwrap();
        assert_eq!(numbers(&results[0]), [0.0; 5000]);
    }
}
