//! A repeated run allocates nothing; programs that come and go leave no memory behind. One test in a process of its
//! own, because it counts every allocation of every thread.

mod common {
    pub mod models;
}

use common::models::{
    Model, batch, conv_net, dense_net, gated_net, mixed_conv_net, param, recurrent_net, softmax,
};
use rhyton_cpu::CpuBackend;
use rhyton_cpu::counting::{Counting, allocations, live_bytes};
use rhyton_cpu::isa::Isa;
use rhyton_graph::testing::{Runner, random_args};
use rhyton_graph::{Function, compile};
use rhyton_tensor::{DType, Tensor};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn data(m: &Model, n: usize) -> (Vec<Tensor>, Vec<Tensor>) {
    let mut args = random_args(&m.step, n, 3);
    for t in args.iter_mut().filter(|t| t.dtype() == DType::I32) {
        *t = Tensor::from_fn(t.shape(), |i| (i % 3) as i32);
    }
    let batch = args.split_off(m.state);
    (args, batch)
}

fn load(m: &Model, backend: &CpuBackend) -> Runner {
    let plan = compile(&m.step, m.state, &m.updates, backend).unwrap();
    Runner::new(backend, plan).unwrap()
}

fn a_repeated_run_allocates_nothing(m: &Model, threads: usize) {
    let mut program = load(m, &CpuBackend::with(threads, Isa::detect()));
    // Large enough to be split between threads.
    let ((mut state, full), (_, last)) = (data(m, 512), data(m, 3));
    let (mut results, mut small) = (vec![], vec![]);
    let mut step = |state: &mut [Tensor]| {
        program.run(state, &full, &mut results).unwrap();
        program.run(state, &last, &mut small).unwrap();
    };
    step(&mut state);
    let before = allocations();
    for _ in 0..20 {
        step(&mut state);
    }
    let calls = allocations() - before;
    assert_eq!(calls, 0, "{} at {threads} threads", m.step.name);
}

/// As with batches of whatever requests have come in.
fn sizes_seen_before_allocate_nothing() {
    let m = dense_net();
    let mut program = load(&m, &CpuBackend::with(2, Isa::detect()));
    let (mut state, _) = data(&m, 1);
    let batches: Vec<Vec<Tensor>> = (1..=40).map(|n| data(&m, n).1).collect();
    let mut results: Vec<Vec<Tensor>> = vec![vec![]; batches.len()];
    let mut all = |state: &mut [Tensor]| {
        for (batch, results) in batches.iter().zip(&mut results) {
            program.run(state, batch, results).unwrap();
        }
    };
    // The largest comes last: the arena has its size after two rounds.
    all(&mut state);
    all(&mut state);
    let before = allocations();
    all(&mut state);
    assert_eq!(allocations() - before, 0, "frames of 40 sizes are kept");
}

fn results_are_used_again() {
    let x = param("x", vec![batch(), 4.into()]);
    let f = Function::new("f", vec![x.clone()], vec![x.exp(), softmax(&rhyton_graph::named::SOFTMAX, &x)]);
    let backend = CpuBackend::with(1, Isa::detect());
    let mut program = Runner::new(&backend, compile(&f, 0, &[], &backend).unwrap()).unwrap();
    let x = Tensor::full([8, 4], 1.0f32);
    let mut results = vec![];
    program.run(&mut [], std::slice::from_ref(&x), &mut results).unwrap();
    let address = |t: &Tensor| t.as_slice::<f32>().unwrap().as_ptr();
    let first = results.iter().map(address).collect::<Vec<_>>();
    program.run(&mut [], &[x], &mut results).unwrap();
    assert_eq!(first, results.iter().map(address).collect::<Vec<_>>());
    // A result that somebody kept is not overwritten.
    let kept = results.clone();
    program.run(&mut [], &[Tensor::full([8, 4], 2.0f32)], &mut results).unwrap();
    assert!((kept[0].as_slice::<f32>().unwrap()[0] - 1f32.exp()).abs() < 1e-6);
    assert!((results[0].as_slice::<f32>().unwrap()[0] - 2f32.exp()).abs() < 1e-5);
}

fn programs_leave_no_memory_behind() {
    let backend = CpuBackend::with(2, Isa::detect());
    let build = |count: usize| {
        for i in 0..count {
            let m = if i % 2 == 0 { dense_net() } else { recurrent_net() };
            let (mut state, batch) = data(&m, 4);
            load(&m, &backend).run(&mut state, &batch, &mut vec![]).unwrap();
        }
        live_bytes()
    };
    let before = build(20);
    let after = build(500);
    assert!((after - before).abs() < 4096, "500 programs left {} bytes", after - before);
}

#[test]
fn memory() {
    for model in [dense_net(), conv_net(), mixed_conv_net(), recurrent_net(), gated_net()] {
        for threads in [1, 2] {
            a_repeated_run_allocates_nothing(&model, threads);
        }
    }
    sizes_seen_before_allocate_nothing();
    results_are_used_again();
    programs_leave_no_memory_behind();
}
