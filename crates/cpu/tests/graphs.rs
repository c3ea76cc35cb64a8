//! Compiled random functions on the processor against the interpreter.

use rhyton_cpu::CpuBackend;
use rhyton_cpu::isa::Isa;
use rhyton_graph::testing::{Runner, assert_close, random_args, random_function, with_gradients};
use rhyton_graph::{Function, Type, compile, interpret};
use rhyton_tensor::{DType, Dim, Tensor};

fn load(f: &Function, backend: &CpuBackend) -> Runner {
    Runner::new(backend, compile(f, 0, &[], backend).unwrap()).unwrap()
}

fn run(program: &mut Runner, args: &[Tensor]) -> Vec<Tensor> {
    let mut results = vec![];
    program.run(&mut [], args, &mut results).unwrap();
    results
}

/// Every instruction set at several thread counts: near the interpreter, the same bits at any thread count.
fn check(f: &Function, batches: &[usize], seed: u64, what: &str) {
    let cases: Vec<(Vec<Tensor>, Vec<Tensor>)> = batches
        .iter()
        .map(|b| {
            let args = random_args(f, *b, seed);
            let want = interpret(f, &args).unwrap();
            (args, want)
        })
        .collect();
    for isa in Isa::available() {
        let mut first: Option<Vec<Vec<Tensor>>> = None;
        for threads in [1, 2, 3] {
            let mut program = load(f, &CpuBackend::with(threads, isa));
            // Twice over, so that sizes alternate in one program.
            let all: Vec<Vec<Tensor>> =
                cases.iter().chain(&cases).map(|(args, _)| run(&mut program, args)).collect();
            for (have, (_, want)) in all.iter().zip(cases.iter().chain(&cases)) {
                assert_close(have, want, 2e-5, &format!("{what} on {isa:?}"));
            }
            let bits = |a: &[Vec<Tensor>], b: &[Vec<Tensor>]| {
                a.iter().flatten().zip(b.iter().flatten()).all(|(x, y)| x.same_bits(y))
            };
            let first = first.get_or_insert_with(|| all.clone());
            assert!(bits(first, &all), "{what} on {isa:?}: other bits with {threads} threads");
        }
    }
}

#[test]
fn random_functions() {
    for seed in 0..150 {
        let f = random_function(seed, 12);
        check(&f, &[5, 2, 1], seed, &format!("function {seed}"));
    }
}

#[test]
fn random_functions_with_gradients() {
    for seed in 1000..1060 {
        let f = with_gradients(&random_function(seed, 8));
        check(&f, &[3, 6], seed, &format!("gradients of function {seed}"));
    }
}

/// As a training step with so many metrics: each adds the mean of an elementwise figure of the same arrays to a total.
fn figures(n: usize) -> Function {
    let mut types = vec![Type::f32([0usize; 0]); 2 * n];
    types
        .extend([Type::f32([Dim::symbol("batch"), 10.into()]), Type::f32([Dim::symbol("batch"), 10.into()])]);
    Function::trace("figures", &types, |p| {
        let (totals, rest) = p.split_at(2 * n);
        let (t, y) = (&rest[0], &rest[1]);
        let figure = |i: usize| {
            let right = t.equal(&(y + i as f32)).cast(DType::F32);
            ((t - y) * i as f32 + 1.0 / (i + 1) as f32).maximum(&right).mean(&[1])
        };
        let new = |i: usize| {
            let count = &totals[2 * i + 1] + figure(i).sum_all();
            [&totals[2 * i] + count.clone() / (i + 2) as f32, count]
        };
        (0..n).flat_map(new).collect()
    })
}

#[test]
fn many_figures_fit_one_program() {
    for n in [90, 200] {
        check(&figures(n), &[3], 7, &format!("{n} figures"));
    }
}
