//! Small networks as training steps.

use rhyton_graph::function::scan;
use rhyton_graph::named::{self, Named};
use rhyton_graph::ops::{ConvKind, PoolKind};
use rhyton_graph::{Expr, Function, Type, grad};
use rhyton_tensor::{DType, Dim};

/// A training step: parameters are state followed by the batch; the first result is the loss.
pub struct Model {
    pub step: Function,
    pub state: usize,
    pub updates: Vec<(usize, usize)>,
}

pub fn batch() -> Dim {
    Dim::symbol("batch")
}

pub fn param(name: &str, shape: Vec<Dim>) -> Expr {
    Expr::param(name, Type::f32(shape))
}

fn fixed(sizes: &[usize]) -> Vec<Dim> {
    sizes.iter().map(|n| Dim::fixed(*n)).collect()
}

/// Softmax or its logarithm over the last axis, as a named function.
pub fn softmax(named: &'static Named, x: &Expr) -> Expr {
    named.apply(serde_json::json!({"axis": -1}), std::slice::from_ref(x), |p| {
        let last = [p[0].rank() - 1];
        let d = &p[0] - p[0].max(&last).expand_dims(&last);
        let total = d.exp().sum(&last).expand_dims(&last);
        if *named == named::SOFTMAX { d.exp() / total } else { d - total.log() }
    })
}

/// Mean of -log p(label).
fn crossentropy(logits: &Expr, labels: &Expr, classes: usize) -> Expr {
    let p = softmax(&named::SOFTMAX, logits);
    -(labels.one_hot(classes) * (p + 1e-7).log()).sum(&[1]).mean_all()
}

/// Momentum descent on every weight: state is weights followed by velocities.
fn descend(name: &str, weights: Vec<Expr>, batch: Vec<Expr>, loss: Expr) -> Model {
    let velocities: Vec<Expr> =
        weights.iter().enumerate().map(|(i, w)| param(&format!("v{i}"), w.shape().0.clone())).collect();
    let mut results = vec![loss.clone()];
    let gradients = grad(&loss, &weights);
    let next: Vec<Expr> = velocities.iter().zip(&gradients).map(|(v, g)| v * 0.9 - g * 0.1).collect();
    results.extend(weights.iter().zip(&next).map(|(w, v)| w + v));
    results.extend(next);
    let state = weights.len() * 2;
    let updates = (0..state).map(|i| (i + 1, i)).collect();
    let params = weights.into_iter().chain(velocities).chain(batch).collect();
    Model { step: Function::new(name, params, results), state, updates }
}

/// Two dense layers.
pub fn dense_net() -> Model {
    let x = param("x", vec![batch(), Dim::fixed(20)]);
    let labels = Expr::param("y", Type::new(DType::I32, vec![batch()]));
    let w: Vec<Expr> = [&[20, 33][..], &[33], &[33, 3], &[3]]
        .iter()
        .enumerate()
        .map(|(i, s)| param(&format!("w{i}"), fixed(s)))
        .collect();
    let h = (x.matmul(&w[0]) + &w[1]).tanh();
    let logits = h.matmul(&w[2]) + &w[3];
    let loss = crossentropy(&logits, &labels, 3);
    descend("dense_net", w, vec![x, labels], loss)
}

/// Convolution, pooling, dense.
pub fn conv_net() -> Model {
    conv_net_in("conv_net", DType::F32)
}

/// The same computed in bfloat16, with weights of float32.
pub fn mixed_conv_net() -> Model {
    conv_net_in("mixed_conv_net", DType::BF16)
}

fn conv_net_in(name: &str, dtype: DType) -> Model {
    let x = param("x", vec![batch(), Dim::fixed(9), Dim::fixed(9), Dim::fixed(2)]);
    let labels = Expr::param("y", Type::new(DType::I32, vec![batch()]));
    let w: Vec<Expr> = [&[3, 3, 2, 5][..], &[5], &[45, 3], &[3]]
        .iter()
        .enumerate()
        .map(|(i, s)| param(&format!("w{i}"), fixed(s)))
        .collect();
    let (seven, none) = (fixed(&[7, 7]), fixed(&[0, 0]));
    let used: Vec<Expr> = w.iter().map(|e| e.cast(dtype)).collect();
    let y = x.cast(dtype).conv(&used[0], ConvKind::Forward, &seven, &[1, 1], &[1, 1], &none, 1);
    let h = (y + &used[1]).maximum(&Expr::scalar(0.0f32));
    let p = h.pool(PoolKind::Max, &fixed(&[3, 3]), &[2, 2], &[2, 2], &none);
    let logits = p.reshape(vec![batch(), Dim::fixed(45)]).matmul(&used[2]) + &used[3];
    let loss = crossentropy(&logits.cast(DType::F32), &labels, 3);
    descend(name, w, vec![x, labels], loss)
}

/// A gated recurrent layer over 100 steps, whose batches of 16 and more are split by rows; the last state and the
/// mean of all outputs.
pub fn gated_net() -> Model {
    let x = param("x", vec![batch(), Dim::fixed(100), Dim::fixed(3)]);
    let target = param("y", vec![batch(), Dim::fixed(16)]);
    let w: Vec<Expr> = [&[3, 64][..], &[16, 64], &[64]]
        .iter()
        .enumerate()
        .map(|(i, s)| param(&format!("w{i}"), fixed(s)))
        .collect();
    let zero = Expr::scalar(0.0f32).broadcast_to(vec![batch(), Dim::fixed(16)]);
    let inputs = (x.matmul(&w[0]) + &w[2]).swap_axes(0, 1);
    let (last, all) = scan("gated", &[zero.clone(), zero], &[inputs], &w[1..2], false, |s, x, k| {
        let z = &x[0] + s[0].matmul(&k[0]);
        let gate = |i: usize| z.slice(1, i * 16, 16);
        let c = gate(1).sigmoid() * &s[1] + gate(0).sigmoid() * gate(2).tanh();
        let h = gate(3).sigmoid() * c.tanh();
        (vec![h.clone(), c], vec![h])
    });
    let error = &last[0] + all[0].mean(&[0]) - &target;
    let loss = (&error * &error).mean_all();
    descend("gated_net", w, vec![x, target], loss)
}

/// A simple recurrent layer over 7 steps, then a regression.
pub fn recurrent_net() -> Model {
    let x = param("x", vec![batch(), Dim::fixed(7), Dim::fixed(4)]);
    let target = param("y", vec![batch(), Dim::fixed(1)]);
    let w: Vec<Expr> = [&[4, 6][..], &[6, 6], &[6], &[6, 1]]
        .iter()
        .enumerate()
        .map(|(i, s)| param(&format!("w{i}"), fixed(s)))
        .collect();
    let h0 = Expr::scalar(0.0f32).broadcast_to(vec![batch(), Dim::fixed(6)]);
    let inputs = (x.matmul(&w[0]) + &w[2]).swap_axes(0, 1);
    let (h, _) = scan("rnn", &[h0], &[inputs], &w[1..2], false, |h, x, k| {
        (vec![(h[0].matmul(&k[0]) + &x[0]).tanh()], vec![])
    });
    let error = h[0].matmul(&w[3]) - &target;
    let loss = (&error * &error).mean_all();
    descend("recurrent_net", w, vec![x, target], loss)
}
