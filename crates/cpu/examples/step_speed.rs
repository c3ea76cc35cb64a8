//! Time of a whole training step on the processor: the workloads `mlp`, `cnn` and `lstm` of the benchmarks, built
//! from primitives, with Adam and accuracy. `cargo run --release -p rhyton-cpu --example step_speed`.

use rhyton_cpu::CpuBackend;
use rhyton_cpu::isa::Isa;
use rhyton_graph::function::scan;
use rhyton_graph::named::SOFTMAX;
use rhyton_graph::ops::{ConvKind, PoolKind};
use rhyton_graph::testing::Runner;
use rhyton_graph::{Expr, Function, Type, compile, grad};
use rhyton_tensor::{DType, Dim, Tensor};
use std::time::Instant;

fn param(name: &str, sizes: &[usize]) -> Expr {
    Expr::param(name, Type::f32(sizes.iter().map(|n| Dim::fixed(*n)).collect::<Vec<_>>()))
}

fn input(name: &str, dtype: DType, sizes: &[usize]) -> Expr {
    let mut shape = vec![Dim::symbol("batch")];
    shape.extend(sizes.iter().map(|n| Dim::fixed(*n)));
    Expr::param(name, Type::new(dtype, shape))
}

fn softmax(x: &Expr) -> Expr {
    SOFTMAX.apply(serde_json::json!({"axis": -1}), std::slice::from_ref(x), |p| {
        let last = [p[0].rank() - 1];
        let e = (&p[0] - p[0].max(&last).expand_dims(&last)).exp();
        &e / e.sum(&last).expand_dims(&last)
    })
}

fn relu(x: Expr) -> Expr {
    x.maximum(&Expr::scalar(0.0f32))
}

/// Loss and accuracy of class probabilities.
fn classify(p: &Expr, labels: &Expr) -> (Expr, Expr) {
    let loss = -(labels.one_hot(10) * (p + 1e-7).log()).sum(&[1]).mean_all();
    (loss, p.argmax(1).equal(labels).cast(DType::F32).mean_all())
}

/// Adam on every weight; state is weights, first moments, second moments, step count.
fn adam(name: &str, weights: &[Expr], batch: &[Expr], loss: &Expr, metric: Expr) -> (Function, usize) {
    let like = |tag: &str| -> Vec<Expr> {
        let zero = |(i, w): (usize, &Expr)| Expr::param(&format!("{tag}{i}"), w.ty().clone());
        weights.iter().enumerate().map(zero).collect()
    };
    let (m, v, t) = (like("m"), like("v"), param("t", &[]));
    let g = grad(loss, weights);
    let next = &t + 1.0;
    let decay = |b: f32| 1.0 - (&next * b.ln()).exp();
    let rate = decay(0.999).sqrt() / decay(0.9) * 1e-3;
    let m1: Vec<Expr> = m.iter().zip(&g).map(|(m, g)| m * 0.9 + g * 0.1).collect();
    let v1: Vec<Expr> = v.iter().zip(&g).map(|(v, g)| v * 0.999 + g * g * 0.001).collect();
    let w1 = weights.iter().zip(m1.iter().zip(&v1)).map(|(w, (m, v))| w - &rate * m / (v.sqrt() + 1e-7));
    let mut results: Vec<Expr> = w1.collect();
    results.extend(m1);
    results.extend(v1);
    results.extend([next, loss.clone(), metric]);
    let params: Vec<Expr> = weights.iter().chain(&m).chain(&v).chain([&t]).chain(batch).cloned().collect();
    let state = params.len() - batch.len();
    (Function::new(name, params, results), state)
}

fn mlp() -> (Function, usize) {
    let (x, y) = (input("x", DType::F32, &[100]), input("y", DType::I32, &[]));
    let w: Vec<Expr> = [&[100, 64][..], &[64], &[64, 64], &[64], &[64, 10], &[10]]
        .iter()
        .enumerate()
        .map(|(i, s)| param(&format!("w{i}"), s))
        .collect();
    let h = relu(x.matmul(&w[0]) + &w[1]);
    let h = relu(h.matmul(&w[2]) + &w[3]);
    let (loss, metric) = classify(&softmax(&(h.matmul(&w[4]) + &w[5])), &y);
    adam("mlp", &w, &[x, y], &loss, metric)
}

fn cnn() -> (Function, usize) {
    let (x, y) = (input("x", DType::F32, &[28, 28, 1]), input("y", DType::I32, &[]));
    let w: Vec<Expr> = [&[3, 3, 1, 32][..], &[32], &[5408, 64], &[64], &[64, 10], &[10]]
        .iter()
        .enumerate()
        .map(|(i, s)| param(&format!("w{i}"), s))
        .collect();
    let two = |n: usize| [Dim::fixed(n), Dim::fixed(n)];
    let c = relu(x.conv(&w[0], ConvKind::Forward, &two(26), &[1, 1], &[1, 1], &two(0), 1) + &w[1]);
    let p = c.pool(PoolKind::Max, &two(13), &[2, 2], &[2, 2], &two(0));
    let h = relu(p.reshape(vec![Dim::symbol("batch"), Dim::fixed(5408)]).matmul(&w[2]) + &w[3]);
    let (loss, metric) = classify(&softmax(&(h.matmul(&w[4]) + &w[5])), &y);
    adam("cnn", &w, &[x, y], &loss, metric)
}

/// Time-major in and out; weights are kernel, recurrent kernel, bias.
fn lstm_layer(x: &Expr, w: &[Expr], units: usize) -> (Expr, Expr) {
    let zero = Expr::scalar(0.0f32).broadcast_to(vec![Dim::symbol("batch"), Dim::fixed(units)]);
    let inputs = x.matmul(&w[0]) + &w[2];
    let (state, ys) = scan("lstm", &[zero.clone(), zero], &[inputs], &w[1..2], false, |s, x, k| {
        let z = &x[0] + s[0].matmul(&k[0]);
        let gate = |i: usize| z.slice(1, i * units, units);
        let c = gate(1).sigmoid() * &s[1] + gate(0).sigmoid() * gate(2).tanh();
        let h = gate(3).sigmoid() * c.tanh();
        (vec![h.clone(), c], vec![h])
    });
    (ys[0].clone(), state[0].clone())
}

fn lstm() -> (Function, usize) {
    let (x, y) = (input("x", DType::F32, &[50, 16]), input("y", DType::F32, &[1]));
    let w: Vec<Expr> = [&[16, 256][..], &[64, 256], &[256], &[64, 256], &[64, 256], &[256], &[64, 1], &[1]]
        .iter()
        .enumerate()
        .map(|(i, s)| param(&format!("w{i}"), s))
        .collect();
    let (h, _) = lstm_layer(&x.swap_axes(0, 1), &w[..3], 64);
    let (_, last) = lstm_layer(&h, &w[3..6], 64);
    let error = last.matmul(&w[6]) + &w[7] - &y;
    let loss = (&error * &error).mean_all();
    adam("lstm", &w, &[x, y], &loss, error.abs().mean_all())
}

fn measure((f, state): (Function, usize), threads: usize, show: bool) {
    let backend = CpuBackend::with(threads, Isa::detect());
    let updates: Vec<(usize, usize)> = (0..state).map(|i| (i, i)).collect();
    let plan = compile(&f, state, &updates, &backend).unwrap();
    if show {
        println!("{}", rhyton_graph::text::print_plan(&plan));
    }
    let launches = plan.launches.len();
    let mut program = Runner::new(&backend, plan).unwrap();
    let mut args = rhyton_graph::testing::random_args(&f, 32, 1);
    let mut batch = args.split_off(state);
    let small = |t: &Tensor| Tensor::from_fn(t.shape(), |i| t.data().get_f64(i).abs() as f32 * 0.05);
    let mut now: Vec<Tensor> = args.iter().map(small).collect();
    for t in batch.iter_mut().filter(|t| t.dtype() == DType::I32) {
        *t = Tensor::from_fn(t.shape(), |i| (i % 10) as i32);
    }
    let mut results = vec![];
    let mut times = vec![];
    let start = Instant::now();
    while times.len() < 20 || start.elapsed().as_secs_f64() < 1.0 {
        let t = Instant::now();
        program.run(&mut now, &batch, &mut results).unwrap();
        times.push(t.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    println!(
        "{:6} {threads} threads {launches:4} launches: median {:.4} ms, least {:.4} ms",
        f.name,
        times[times.len() / 2],
        times[0]
    );
}

fn main() {
    let show = std::env::args().any(|a| a == "--plan");
    for model in [mlp, cnn, lstm] {
        measure(model(), 1, show);
        measure(model(), 2, false);
    }
}
