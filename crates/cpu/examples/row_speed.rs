//! Prints the speed of kernels over rows - softmax, layer normalization, cross-entropy and their gradients - for rows
//! of several lengths, at 1 and 2 threads: `cargo run --release -p rhyton-cpu --example row_speed [filter]`.

use rhyton_cpu::CpuBackend;
use rhyton_cpu::isa::Isa;
use rhyton_graph::testing::Runner;
use rhyton_graph::{Expr, Function, Type, compile, grad};
use rhyton_tensor::{Dim, Tensor};
use std::time::Instant;

/// Nanoseconds an element of the best run: others may use the machine meanwhile.
fn time(mut run: impl FnMut(), elements: usize) -> f64 {
    run();
    let started = Instant::now();
    run();
    let repeats = (1e-3 / started.elapsed().as_secs_f64().max(1e-9)).clamp(1.0, 1000.0) as usize;
    let round = |_| {
        let started = Instant::now();
        (0..repeats).for_each(|_| run());
        started.elapsed().as_secs_f64() / repeats as f64
    };
    (0..41).map(round).fold(f64::INFINITY, f64::min) * 1e9 / elements as f64
}

fn named_softmax(x: &Expr) -> Expr {
    rhyton_graph::named::SOFTMAX
        .apply(serde_json::json!({"axis": -1}), std::slice::from_ref(x), |p| softmax(&p[0]))
}

fn named_log_softmax(x: &Expr) -> Expr {
    rhyton_graph::named::LOG_SOFTMAX
        .apply(serde_json::json!({"axis": -1}), std::slice::from_ref(x), |p| log_softmax(&p[0]))
}

fn softmax(x: &Expr) -> Expr {
    let e = (x - x.max(&[1]).expand_dims(&[1])).exp();
    let scale = 1.0 / e.sum(&[1]).expand_dims(&[1]);
    e * scale
}

fn log_softmax(x: &Expr) -> Expr {
    let d = x - x.max(&[1]).expand_dims(&[1]);
    &d - d.exp().sum(&[1]).expand_dims(&[1]).log()
}

fn layer_norm(x: &Expr) -> Expr {
    let mean = x.mean(&[1]).expand_dims(&[1]);
    let square = (x * x).mean(&[1]).expand_dims(&[1]);
    (x - &mean) * (square - &mean * &mean + 1e-5).rsqrt()
}

fn gradient(f: impl Fn(&Expr) -> Expr, x: &Expr) -> Expr {
    let y = f(x);
    let weights = Expr::iota(x.shape().clone(), 1).cast(rhyton_tensor::DType::F32);
    grad(&(y * weights).sum_all(), std::slice::from_ref(x)).remove(0)
}

fn quantized(x: &Expr) -> Expr {
    let scale = 127.0 / (x.abs().max(&[1]).expand_dims(&[1]) + 1e-7);
    let (low, high) = (Expr::scalar(-127.0f32), Expr::scalar(127.0f32));
    (x * &scale).round().maximum(&low).minimum(&high).cast(rhyton_tensor::DType::I8)
}

fn named_quantized(x: &Expr) -> Expr {
    rhyton_graph::named::ABS_MAX_QUANTIZE.apply_all(
        serde_json::json!({"axes": [1]}),
        std::slice::from_ref(x),
        |p| {
            let scale = 127.0 / (p[0].abs().max(&[1]).expand_dims(&[1]) + 1e-7);
            let (low, high) = (Expr::scalar(-127.0f32), Expr::scalar(127.0f32));
            [(&p[0] * &scale).round().maximum(&low).minimum(&high).cast(rhyton_tensor::DType::I8), scale]
        },
    )[0]
    .clone()
}

type Kernel = fn(&Expr) -> Expr;
const KERNELS: &[(&str, Kernel)] = &[
    ("named_softmax", named_softmax),
    ("softmax", softmax),
    ("named_log_softmax", named_log_softmax),
    ("log_softmax", log_softmax),
    ("named_quantized", named_quantized),
    ("quantized", quantized),
    ("softmax_gradient", |x| gradient(softmax, x)),
    ("layer_norm", layer_norm),
    ("layer_norm_gradient", |x| gradient(layer_norm, x)),
];

fn main() {
    let filter = std::env::args().nth(1).unwrap_or_default();
    for (name, kernel) in KERNELS {
        for n in [10, 64, 128, 256, 1024, 32000] {
            if !format!(" {name} {n} ").contains(&filter) {
                continue;
            }
            let elements = 3072 * 64;
            let f = Function::trace(name, &[Type::f32([Dim::symbol("batch"), n.into()])], |p| {
                vec![kernel(&p[0])]
            });
            let x = Tensor::from_fn([elements / n, n], |i| ((i * 37 % 101) as f32) / 9.0 - 5.0);
            print!("{name:20} rows of {n:6}");
            for threads in [1, 2] {
                let backend = CpuBackend::with(threads, Isa::detect());
                let mut program = Runner::new(&backend, compile(&f, 0, &[], &backend).unwrap()).unwrap();
                let mut results = vec![];
                let run = || program.run(&mut [], std::slice::from_ref(&x), &mut results).unwrap();
                print!("{:9.3} ns an element", time(run, elements));
            }
            println!();
        }
    }
}
