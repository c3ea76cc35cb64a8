//! Training steps of small networks: gradients, updates in place, and the loop that repeats them.

mod common {
    pub mod models;
}

use common::models::{
    Model, batch, conv_net, dense_net, gated_net, mixed_conv_net, param, recurrent_net, softmax,
};
use rhyton_cpu::CpuBackend;
use rhyton_cpu::isa::Isa;
use rhyton_graph::testing::{Runner, assert_close, random_args};
use rhyton_graph::{Function, compile, interpret};
use rhyton_tensor::{DType, Tensor};

fn load(m: &Model, backend: &CpuBackend) -> Runner {
    let plan = compile(&m.step, m.state, &m.updates, backend).unwrap();
    Runner::new(backend, plan).unwrap()
}

/// State and batch for `n` samples, labels within the classes.
fn data(m: &Model, n: usize, seed: u64) -> (Vec<Tensor>, Vec<Tensor>) {
    let mut args = random_args(&m.step, n, seed);
    for t in args.iter_mut().filter(|t| t.dtype() == DType::I32) {
        *t = Tensor::from_fn(t.shape(), |i| (i * 7 % 3) as i32);
    }
    let batch = args.split_off(m.state);
    let small = |t: &Tensor| Tensor::from_fn(t.shape(), |i| t.data().get_f64(i) as f32 * 0.3);
    (args.iter().map(small).collect(), batch)
}

/// The last but one is smaller, as at the end of an epoch.
const SIZES: [usize; 4] = [6, 6, 1, 6];

/// All steps by the interpreter.
fn expected(m: &Model, state: &[Tensor], batches: &[Vec<Tensor>]) -> (Vec<Tensor>, Vec<Tensor>) {
    let mut state = state.to_vec();
    let mut losses = vec![];
    for batch in batches {
        let args: Vec<Tensor> = state.iter().chain(batch).cloned().collect();
        let results = interpret(&m.step, &args).unwrap();
        for (r, p) in &m.updates {
            state[*p] = results[*r].clone();
        }
        losses.push(results[0].clone());
    }
    (state, losses)
}

fn train(m: &Model, sizes: [usize; 4]) {
    train_within(m, sizes, 1e-4);
}

/// Loss and state stay near the interpreter's, up to `tolerance` and twice that.
fn train_within(m: &Model, sizes: [usize; 4], tolerance: f64) {
    let batches: Vec<_> = (1..).zip(sizes).map(|(seed, n)| data(m, n, seed).1).collect();
    let (state, _) = data(m, sizes[0], 1);
    let (want, losses) = expected(m, &state, &batches);
    for isa in Isa::available() {
        let mut first: Option<Vec<Tensor>> = None;
        for threads in [1, 2, 3] {
            let mut program = load(m, &CpuBackend::with(threads, isa));
            let mut now = state.clone();
            let mut results = vec![];
            for (batch, loss) in batches.iter().zip(&losses) {
                program.run(&mut now, batch, &mut results).unwrap();
                assert_close(&results[..1], std::slice::from_ref(loss), tolerance, &m.step.name);
            }
            assert_close(&now, &want, 2.0 * tolerance, &m.step.name);
            let first = first.get_or_insert_with(|| now.clone());
            let same = first.iter().zip(&now).all(|(a, b)| a.same_bits(b));
            assert!(same, "{} on {isa:?}: other bits with {threads} threads", m.step.name);
        }
        // The caller's tensors were shared, so they were copied before they were written.
        assert!(state.iter().zip(data(m, sizes[0], 1).0).all(|(a, b)| a.same_bits(&b)));
    }
}

#[test]
fn dense_softmax_crossentropy() {
    train(&dense_net(), SIZES);
}

#[test]
fn convolution_and_pooling() {
    train(&conv_net(), SIZES);
}

#[test]
fn convolution_and_pooling_in_bfloat16() {
    train_within(&mixed_conv_net(), SIZES, 1e-2);
}

#[test]
fn recurrent_over_time() {
    train(&recurrent_net(), SIZES);
}

#[test]
fn rows_of_a_loop_side_by_side() {
    let m = gated_net();
    train(&m, [33, 40, 17, 33]);
    let (mut state, batch) = data(&m, 33, 1);
    let mut program = load(&m, &CpuBackend::with(2, Isa::detect()));
    program.session.profile(true);
    program.run(&mut state, &batch, &mut vec![]).unwrap();
    let profile = program.session.take_profile();
    let scans: Vec<_> = profile.iter().filter(|l| l.kernel == "scan of 100").collect();
    assert!(scans.len() == 2 && scans.iter().all(|l| l.threads == 2), "{scans:?}");
    let halves = profile.iter().filter(|l| l.depth == 1).all(|l| l.kernel.contains(" 16 x "));
    assert!(halves, "{profile:?}");
}

#[test]
fn softmax_is_taken_whole_and_agrees_with_its_body() {
    use rhyton_graph::plan::Kernel;
    for named in [&rhyton_graph::named::SOFTMAX, &rhyton_graph::named::LOG_SOFTMAX] {
        let name = named.name;
        for n in [1, 3, 10, 16, 33, 1000] {
            let x = param("x", vec![batch(), n.into()]);
            let y = softmax(named, &x);
            let f = Function::new(name, vec![x], vec![y]);
            let backend = CpuBackend::with(2, Isa::detect());
            let plan = compile(&f, 0, &[], &backend).unwrap();
            assert!(
                plan.launches.iter().any(|l| matches!(l.kernel, Kernel::Named { .. })),
                "{name} is inlined"
            );
            for isa in Isa::available() {
                let backend = CpuBackend::with(2, isa);
                let mut program = Runner::new(&backend, compile(&f, 0, &[], &backend).unwrap()).unwrap();
                let special = |i: usize| match i % 577 {
                    100 => f32::NAN,
                    200 => f32::NEG_INFINITY,
                    300 => 80.0,
                    _ => ((i * 37 % 101) as f32) / 9.0 - 5.0,
                };
                let x = Tensor::from_fn([64, n], special);
                let mut results = vec![];
                program.run(&mut [], std::slice::from_ref(&x), &mut results).unwrap();
                assert_close(
                    &results,
                    &interpret(&f, &[x]).unwrap(),
                    1e-6,
                    &format!("{name} of {n} on {isa:?}"),
                );
            }
        }
    }
}

#[test]
fn a_profile_tells_each_launch() {
    let m = recurrent_net();
    let (mut state, batch) = data(&m, 6, 1);
    let mut program = load(&m, &CpuBackend::with(1, Isa::detect()));
    let mut run = |program: &mut Runner| program.run(&mut state, &batch, &mut vec![]).unwrap();
    run(&mut program);
    assert!(program.session.take_profile().is_empty(), "nothing is measured before it is asked for");
    program.session.profile(true);
    (0..3).for_each(|_| run(&mut program));
    let profile = program.session.take_profile();
    let scan = profile.iter().position(|l| l.kernel == "scan of 7").unwrap();
    assert_eq!((profile[scan].depth, profile[scan].calls, profile[scan].flops), (0, 3, 0.0));
    let body: Vec<_> = profile[scan + 1..].iter().take_while(|l| l.depth == 1).collect();
    assert!(body.iter().all(|l| l.calls == 21), "{body:?}");
    assert!(body.iter().map(|l| l.seconds).sum::<f64>() <= profile[scan].seconds);
    // 6 x 6 results of 6 products and sums, and what follows each.
    let dot = body.iter().find(|l| l.kernel == "dot 6 x 6, sums of 6").unwrap();
    assert!(dot.flops >= 432.0 && dot.bytes >= 4.0 * 3.0 * 36.0, "{dot:?}");
    assert!(program.session.take_profile().iter().all(|l| l.calls == 0 && l.seconds == 0.0));
    program.session.profile(false);
    run(&mut program);
    assert!(program.session.take_profile().is_empty());
}
