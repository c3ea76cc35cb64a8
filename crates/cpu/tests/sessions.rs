//! One loaded program, many sessions: several threads at once, many sizes, stores that do not fit.

mod common {
    #[allow(dead_code)] // of several networks, this file takes one
    pub mod models;
}

use common::models::{batch, dense_net, param};
use rhyton_cpu::CpuBackend;
use rhyton_cpu::isa::Isa;
use rhyton_graph::backend::{Backend, Executable, Store};
use rhyton_graph::{Expr, Function, compile};
use rhyton_tensor::{Result, Tensor};
use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

/// Three dense layers on a batch.
fn network() -> (Function, usize) {
    let weights: Vec<Expr> = (0..3).map(|i| param(&format!("w{i}"), vec![64.into(), 64.into()])).collect();
    let x = param("x", vec![batch(), 64.into()]);
    let y = weights.iter().fold(x.clone(), |x, w| x.matmul(w).tanh());
    let params = weights.iter().cloned().chain([x]).collect();
    (Function::new("network", params, vec![y]), weights.len())
}

fn values(shape: &[usize], seed: usize) -> Tensor {
    Tensor::from_fn(shape, |i| ((i * 37 + seed * 11) % 101) as f32 / 200.0 - 0.25)
}

fn load(
    f: &Function,
    state: usize,
    updates: &[(usize, usize)],
    threads: usize,
) -> (Arc<dyn Executable>, CpuBackend) {
    let backend = CpuBackend::with(threads, Isa::detect());
    let plan = compile(f, state, updates, &backend).unwrap();
    (backend.load(plan.into()).unwrap(), backend)
}

/// Rows a second that `callers` threads predict together, each `runs` times on rows of its own; equal bits every time.
fn rows_a_second(
    callers: usize,
    runs: usize,
    program: &dyn Executable,
    store: &dyn Store,
    x: &[(Tensor, Tensor)],
) -> f64 {
    let start = Instant::now();
    std::thread::scope(|scope| {
        for caller in 0..callers {
            scope.spawn(move || {
                let (mut session, mut out) = (program.session(), vec![]);
                for run in 0..runs {
                    let (x, want) = &x[(caller + run) % x.len()];
                    session.infer(store, &[0, 1, 2], std::slice::from_ref(x), &mut out).unwrap();
                    assert!(out[0].same_bits(want), "caller {caller}, run {run}");
                }
            });
        }
    });
    (callers * runs) as f64 / start.elapsed().as_secs_f64()
}

#[test]
fn four_threads_share_a_program() {
    let (f, state) = network();
    for threads in [1, 2] {
        let (program, backend) = load(&f, state, &[], threads);
        let store = backend.store((0..3).map(|i| values(&[64, 64], i)).collect()).unwrap();
        let mut session = program.session();
        let cases: Vec<(Tensor, Tensor)> = (0..8)
            .map(|i| {
                let (x, mut out) = (values(&[32 + i, 64], i), vec![]);
                session.infer(&*store, &[0, 1, 2], std::slice::from_ref(&x), &mut out).unwrap();
                (x, out.remove(0))
            })
            .collect();
        let measure = |callers| rows_a_second(callers, 2000 / callers, &*program, &*store, &cases);
        let best = (0..5).map(|_| measure(4) / measure(1)).fold(0.0, f64::max);
        println!("four threads do {best:.2} times what one does, in a pool of {threads}");
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        assert!(cores < 2 || best >= 1.3, "{best} at {threads} threads");
    }
}

/// A store of some other backend.
struct Elsewhere;

impl Store for Elsewhere {
    fn len(&self) -> usize {
        3
    }
    fn read(&self, _: usize) -> Result<Tensor> {
        Ok(Tensor::scalar(0.0f32))
    }
    fn write(&mut self, _: usize, _: Tensor) -> Result<()> {
        Ok(())
    }
    fn push(&mut self, _: Tensor) -> Result<()> {
        Ok(())
    }
    fn truncate(&mut self, _: usize) {}
    fn share(&self) -> Box<dyn Store> {
        Box::new(Elsewhere)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

#[test]
fn what_does_not_fit_is_said_and_nothing_is_written() {
    let (a, b) = (param("a", vec![2.into()]), param("b", vec![2.into()]));
    let f = Function::new("add", vec![a.clone(), b.clone()], vec![a + b]);
    let (program, backend) = load(&f, 2, &[(0, 0)], 1);
    let vector = |x: f32| Tensor::vector(vec![x, x]);
    let mut store = backend.store(vec![vector(1.0), vector(2.0), Tensor::scalar(0.0f32)]).unwrap();
    let mut session = program.session();
    let mut error = |store: &mut dyn Store, slots: &[usize]| {
        session.run(store, slots, &[], &mut vec![]).unwrap_err().to_string()
    };
    let e = error(&mut Elsewhere, &[0, 1]);
    assert!(e.contains("in the store of another backend") && e.contains("Backend::store"), "{e}");
    let e = error(&mut *store, &[1, 1]);
    assert!(e.contains("the state parameters 0 and 1 share the slot 1, which the program writes"), "{e}");
    let e = error(&mut *store, &[0, 3]);
    assert!(e.contains("no slot 3") && e.contains("below 3"), "{e}");
    let e = error(&mut *store, &[0, 2]);
    assert!(e.contains("'b' has the shape []"), "{e}");
    let e = session.infer(&*store, &[0, 1], &[], &mut vec![]).unwrap_err().to_string();
    assert!(e.contains("updates what it keeps") && e.contains("Session::run"), "{e}");
    assert!(store.read(0).unwrap().same_bits(&vector(1.0)));
    // Any order of slots, and a smaller store with the same slots.
    let before = store.share();
    session.run(&mut *store, &[1, 0], &[], &mut vec![]).unwrap();
    assert!(
        store.read(1).unwrap().same_bits(&vector(3.0)) && before.read(1).unwrap().same_bits(&vector(2.0))
    );
    store.truncate(1);
    let e = session.run(&mut *store, &[1, 0], &[], &mut vec![]).unwrap_err().to_string();
    assert!(e.contains("no slot 1"), "{e}");
}

#[test]
fn one_slot_serves_two_parameters_that_are_only_read() {
    let (a, b) = (param("a", vec![2.into()]), param("b", vec![2.into()]));
    let f = Function::new("add", vec![a.clone(), b.clone()], vec![a + b]);
    let (program, backend) = load(&f, 2, &[], 1);
    let (store, mut out) = (backend.store(vec![Tensor::vector(vec![1.0f32, 2.0])]).unwrap(), vec![]);
    program.session().infer(&*store, &[0, 0], &[], &mut out).unwrap();
    assert!(out[0].same_bits(&Tensor::vector(vec![2.0f32, 4.0])));
}

#[test]
fn two_threads_train_two_stores_with_one_program() {
    let m = dense_net();
    let (program, backend) = load(&m.step, m.state, &m.updates, 2);
    let mut args = rhyton_graph::testing::random_args(&m.step, 64, 3);
    let batch = args.split_off(m.state);
    let slots: Vec<usize> = (0..m.state).collect();
    let train = || {
        let (mut store, mut out) = (backend.store(args.clone()).unwrap(), vec![]);
        let mut session = program.session();
        (0..50).for_each(|_| session.run(&mut *store, &slots, &batch, &mut out).unwrap());
        slots.iter().map(|s| store.read(*s).unwrap()).collect::<Vec<_>>()
    };
    let alone = train();
    std::thread::scope(|scope| {
        let both = [scope.spawn(train), scope.spawn(train)];
        for trained in both {
            assert!(trained.join().unwrap().iter().zip(&alone).all(|(a, b)| a.same_bits(b)));
        }
    });
}
