//! Compiles training steps of the sizes people use and prints how long that took and what became of them;
//! `cargo run -p rhyton-graph --example plans lstm` prints that plan in full.

use rhyton_graph::function::{named_with_vjp, scan};
use rhyton_graph::memory;
use rhyton_graph::ops::*;
use rhyton_graph::reference::ReferenceBackend;
use rhyton_graph::*;
use rhyton_tensor::*;

fn relu(x: &Expr) -> Expr {
    named_with_vjp(
        "relu",
        serde_json::Value::Null,
        std::slice::from_ref(x),
        |_, _, y, g| {
            vec![g[0].as_ref().map(|g| y[0].greater(&Expr::scalar(0.0f32)).select(g, &g.zeros_like()))]
        },
        |p| p[0].maximum(&Expr::scalar(0.0f32)),
    )
}
fn cross_entropy(logits: &Expr, labels: &Expr) -> Expr {
    let m = logits.max(&[1]).stop_gradient().expand_dims(&[1]);
    let z = logits - &m;
    let lse = z.exp().sum(&[1]).log();
    let picked = (&z * &labels.one_hot(10)).sum(&[1]);
    (lse - picked).mean_all()
}
fn adam(w: &Expr, m: &Expr, v: &Expr, g: &Expr) -> Vec<Expr> {
    let m2 = m * 0.9 + g * 0.1;
    let v2 = v * 0.999 + g * g * 0.001;
    let w2 = w - &m2 * 0.001 / (v2.sqrt() + 1e-7);
    vec![w2, m2, v2]
}
fn train(name: &str, weights: &[Vec<usize>], batch: &[Type], f: impl FnOnce(&[Expr], &[Expr]) -> Expr) {
    let n = weights.len();
    let mut types: Vec<Type> = vec![];
    for w in weights {
        for _ in 0..3 {
            types.push(Type::f32(w.clone()));
        }
    }
    types.extend_from_slice(batch);
    let f = Function::trace(name, &types, |p| {
        let w: Vec<Expr> = (0..n).map(|i| p[3 * i].clone()).collect();
        let loss = f(&w, &p[3 * n..]);
        let g = grad(&loss, &w);
        let mut r = vec![loss];
        for i in 0..n {
            r.extend(adam(&p[3 * i], &p[3 * i + 1], &p[3 * i + 2], &g[i]));
        }
        r
    });
    let updates: Vec<(usize, usize)> = (0..3 * n).map(|i| (i + 1, i)).collect();
    let t = std::time::Instant::now();
    let plan = compile(&f, 3 * n, &updates, &ReferenceBackend::default()).unwrap();
    println!(
        "=== {name}: {} nodes, {} launches, compiled in {:?}",
        f.nodes().len(),
        plan.launches.len(),
        t.elapsed()
    );
    if std::env::args().nth(1).as_deref() == Some(name) {
        println!("{}", text::print_plan(&plan));
    }
    for l in &plan.launches {
        println!("   {} r{} w{}", l.label, l.reads.len(), l.writes.len());
    }
    let layout = memory::layout(&plan, &rhyton_graph::testing::bindings(32)).unwrap();
    println!("   arena {} peak {}", layout.total, layout.peak);
}
fn main() {
    let b = Dim::symbol("batch");
    let x = Type::f32(vec![b.clone(), 64.into()]);
    let labels = Type::new(DType::I32, vec![b.clone()]);
    train("mlp", &[vec![64, 100], vec![100], vec![100, 10], vec![10]], &[x, labels.clone()], |w, p| {
        let h = relu(&(p[0].matmul(&w[0]) + &w[1]));
        cross_entropy(&(h.matmul(&w[2]) + &w[3]), &p[1])
    });
    let x = Type::f32(vec![b.clone(), 28.into(), 28.into(), 1.into()]);
    train(
        "cnn",
        &[vec![3, 3, 1, 32], vec![32], vec![32], vec![32], vec![13 * 13 * 32, 10], vec![10]],
        &[x, labels.clone()],
        |w, p| {
            let f = |n: usize| vec![Dim::fixed(n); 2];
            let c = p[0].conv(&w[0], ConvKind::Forward, &f(26), &[1, 1], &[1, 1], &f(0), 1) + &w[1];
            let mean = c.mean(&[0, 1, 2]);
            let d = &c - &mean;
            let var = (&d * &d).mean(&[0, 1, 2]);
            let c = &d * (&var + 1e-3).rsqrt() * &w[2] + &w[3];
            let h = relu(&c).pool(PoolKind::Max, &f(13), &[2, 2], &[2, 2], &f(0));
            let h = h.reshape(vec![Dim::symbol("batch"), Dim::fixed(13 * 13 * 32)]);
            cross_entropy(&(h.matmul(&w[4]) + &w[5]), &p[1])
        },
    );
    let x = Type::f32(vec![b.clone(), 10.into(), 8.into()]);
    train("lstm", &[vec![8, 64], vec![16, 64], vec![64], vec![16, 10], vec![10]], &[x, labels], |w, p| {
        let xs = (p[0].matmul(&w[0]) + &w[2]).transpose(&[1, 0, 2]);
        let zero = Expr::full(vec![Dim::symbol("batch"), Dim::fixed(16)], 0.0);
        let (s, _) = scan("lstm", &[zero.clone(), zero], &[xs], &[w[1].clone()], false, |s, x, k| {
            let z = &x[0] + s[0].matmul(&k[0]);
            let gate = |i: usize| z.slice(1, i * 16, 16usize);
            let c = gate(1).sigmoid() * &s[1] + gate(0).sigmoid() * gate(2).tanh();
            let h = gate(3).sigmoid() * c.tanh();
            (vec![h.clone(), c], vec![h])
        });
        cross_entropy(&(s[0].matmul(&w[3]) + &w[4]), &p[1])
    });
    // As large as ResNet-50: 53 convolutions with batch normalisation.
    let x = Type::f32(vec![b.clone(), 16.into(), 16.into(), 64.into()]);
    let labels = Type::new(DType::I32, vec![b]);
    let mut weights = vec![];
    for _ in 0..53 {
        weights.extend([vec![3, 3, 64, 64], vec![64], vec![64], vec![64]]);
    }
    weights.extend([vec![64, 10], vec![10]]);
    train("resnet", &weights, &[x, labels], |w, p| {
        let f = |n: usize| vec![Dim::fixed(n); 2];
        let (mut h, mut kept) = (p[0].clone(), p[0].clone());
        for i in 0..53 {
            let w = &w[4 * i..];
            let c = h.conv(&w[0], ConvKind::Forward, &f(16), &[1, 1], &[1, 1], &f(1), 1) + &w[1];
            let mean = c.mean(&[0, 1, 2]);
            let d = &c - &mean;
            let var = (&d * &d).mean(&[0, 1, 2]);
            h = &d * (&var + 1e-3).rsqrt() * &w[2] + &w[3];
            if i % 3 == 2 {
                h = &h + &kept;
                kept = h.clone();
            }
            h = relu(&h);
        }
        cross_entropy(&(h.mean(&[1, 2]).matmul(&w[212]) + &w[213]), &p[1])
    });
}
