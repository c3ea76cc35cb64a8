//! Gradients and gradients of gradients of every primitive, of loops and of named functions, against finite
//! differences in double precision.

use rhyton_graph::function::{named, named_with_vjp, scan};
use rhyton_graph::ops::{ConvKind, Index, PoolKind, Running};
use rhyton_graph::testing::{assert_close, check_gradients};
use rhyton_graph::{Expr, eval, grad};
use rhyton_tensor::{DType, Dim, Tensor};

/// Smooth arguments away from kinks: between 0.4 and 1.6, all different.
fn args(shapes: &[&[usize]]) -> Vec<Tensor> {
    let value = |k: usize, i: usize| 1.0 + 0.6 * ((i * 7 + k * 3) as f32 * 0.61 + 0.3).sin();
    shapes.iter().enumerate().map(|(k, s)| Tensor::from_fn(s.to_vec(), |i| value(k, i))).collect()
}

/// First and second derivatives.
#[track_caller]
fn twice(f: impl Fn(&[Expr]) -> Vec<Expr> + Copy, args: &[Tensor]) {
    check_gradients(f, args, 2e-5).unwrap();
    let squares = |p: &[Expr]| {
        let mut loss = Expr::scalar(0.0f32);
        for y in f(p) {
            let y = y.cast(DType::F32);
            loss = loss + (&y * &y * &y).sum_all();
        }
        let floats: Vec<Expr> = p.iter().filter(|e| e.dtype() == DType::F32).cloned().collect();
        grad(&loss, &floats)
    };
    check_gradients(squares, args, 2e-4).unwrap();
}

#[track_caller]
fn unary(f: impl Fn(&Expr) -> Expr + Copy) {
    twice(|p| vec![f(&p[0])], &args(&[&[5]]));
}

#[test]
fn of_one_input() {
    unary(|x| -x);
    unary(|x| (x - 1.0).abs());
    unary(Expr::exp);
    unary(Expr::expm1);
    unary(Expr::log);
    unary(Expr::log1p);
    unary(Expr::sqrt);
    unary(Expr::rsqrt);
    unary(Expr::sin);
    unary(Expr::cos);
    unary(Expr::tanh);
    unary(Expr::sigmoid);
    unary(Expr::erf);
    unary(|x| x.sign() * x);
    unary(|x| (x * 3.3).floor() + x);
    unary(|x| (x * 3.3).round() + x);
    unary(|x| x.is_finite().select(x, &x.zeros_like()));
    let stopped = eval(|p| grad(&(p[0].stop_gradient() * &p[0]).sum_all(), &p[..1]), &args(&[&[3]])).unwrap();
    assert_close(&stopped, &args(&[&[3]]), 1e-6, "only one factor has a gradient");
}

/// 257 is no bfloat16: a gradient that adds up rounded comes to 256 or 258.
#[test]
fn of_rounded_weights_add_up_in_float32() {
    for assigned in [false, true] {
        let of_weight = |p: &[Expr]| {
            let w = if assigned { (&p[0] * 2.0).stop_gradient() } else { p[0].clone() };
            let y = p[1].cast(DType::BF16).matmul(&w.cast(DType::BF16));
            grad(&y.cast(DType::F32).sum_all(), &[w])
        };
        let ones = |shape: [usize; 2]| Tensor::full(shape, 1.0f32);
        let g = eval(of_weight, &[ones([1, 1]), ones([257, 1])]).unwrap();
        assert_eq!(g[0].to_vec::<f32>(), [257.0], "assigned: {assigned}");
    }
}

#[test]
fn of_two_inputs() {
    let both = args(&[&[2, 3], &[3]]);
    twice(|p| vec![&p[0] + &p[1]], &both);
    twice(|p| vec![&p[0] - &p[1]], &both);
    twice(|p| vec![&p[0] * &p[1]], &both);
    twice(|p| vec![&p[0] / &p[1]], &both);
    twice(|p| vec![p[0].maximum(&p[1])], &both);
    twice(|p| vec![p[0].minimum(&p[1])], &both);
    twice(|p| vec![p[0].pow(&p[1])], &both);
    twice(|p| vec![p[0].less(&p[1]).or(&p[0].equal(&p[1])).select(&p[0], &p[1])], &both);
    twice(|p| vec![p[0].less_equal(&p[1]).and(&p[0].less(&p[1])).not().cast(DType::F32) * &p[0]], &both);
}

#[test]
fn powers_at_the_edges() {
    let x = [Tensor::vector(vec![0.0f32, -2.0, 3.0])];
    let g = eval(|p| grad(&p[0].pow(&Expr::scalar(2.0f32)).sum_all(), &p[..1]), &x).unwrap();
    assert_eq!(g[0].to_vec::<f32>(), [0.0, -4.0, 6.0]);
}

#[test]
fn of_folds() {
    let x = args(&[&[2, 3, 2]]);
    twice(|p| vec![p[0].sum(&[0, 2])], &x);
    twice(|p| vec![p[0].max(&[1])], &x);
    twice(|p| vec![p[0].min(&[0, 1])], &x);
    twice(|p| vec![p[0].mean(&[2]) * p[0].argmax(1).cast(DType::F32).sum_all()], &x);
}

#[test]
fn equal_extremes_share_the_gradient() {
    let x = [Tensor::new([2, 3], vec![1.0f32, 5.0, 5.0, 2.0, 2.0, 2.0]).unwrap()];
    let g = eval(|p| grad(&p[0].max(&[1]).sum_all(), &p[..1]), &x).unwrap();
    let third = 1.0 / 3.0;
    let want = Tensor::new([2, 3], vec![0.0f32, 0.5, 0.5, third, third, third]).unwrap();
    assert_close(&g, &[want], 1e-6, "shares");
    let g = eval(|p| grad(&p[0].maximum(&Expr::scalar(2.0f32)).sum_all(), &p[..1]), &x).unwrap();
    assert_eq!(g[0].to_vec::<f32>(), [0.0, 1.0, 1.0, 0.5, 0.5, 0.5]);
}

#[test]
fn of_movements() {
    let x = args(&[&[2, 3, 4]]);
    twice(|p| vec![p[0].reshape([6, 4]), p[0].transpose(&[2, 0, 1]), p[0].flip(1)], &x);
    twice(|p| vec![p[0].expand_dims(&[1]).broadcast_to([2, 5, 3, 4])], &x);
    twice(|p| vec![p[0].slice(1, 1, 2), p[0].slice_step(2, 1.into(), 2.into(), 2), p[0].entry(0, 1)], &x);
    twice(|p| vec![p[0].pad(1, 1, 2, 1, 0.5)], &x);
    twice(|p| vec![Expr::concat(&[p[0].clone(), p[0].slice(1, 0, 1) * 2.0], 1)], &x);
}

#[test]
fn of_gathers() {
    let mut a = args(&[&[2, 3, 2], &[2, 2, 2, 2]]);
    a.push(Tensor::new([2, 2], vec![0i32, -1, 2, 0]).unwrap());
    twice(|p| vec![p[0].gather(1, &p[2])], &a[..]);
    let op = || Index::ScatterAdd { axis: 1, batch: 0, shape: [2, 3, 2].into() };
    twice(|p| vec![Expr::apply(op(), vec![p[1].clone(), p[2].clone()])], &a);
    twice(|p| vec![p[0].gather_within(1, 1, &p[2]), p[0].swap_axes(1, 2).gather_within(1, 2, &p[2])], &a[..]);
    twice(|p| vec![p[0].take_along_axis(1, &p[2].expand_dims(&[2]))], &a[..]);
    let far = [Tensor::vector(vec![1.0f32, 2.0]), Tensor::vector(vec![0i32, 5, -3])];
    let y = eval(|p| vec![p[0].gather(0, &p[1])], &far).unwrap()[0].to_vec::<f32>();
    assert!(y[0] == 1.0 && y[1].is_nan() && y[2].is_nan());
}

#[test]
fn of_running_folds() {
    let x = args(&[&[2, 5, 3]]);
    for (exclusive, reverse) in [(false, false), (true, false), (false, true), (true, true)] {
        twice(|p| vec![p[0].cumulative(Running::Sum, 1, exclusive, reverse)], &x);
        twice(|p| vec![p[0].cumulative(Running::Product, 1, exclusive, reverse)], &x);
    }
    for (axis, reverse) in [(0, false), (1, false), (2, true)] {
        twice(|p| vec![p[0].cumulative(Running::Max, axis, false, reverse)], &x);
        twice(|p| vec![p[0].cumulative(Running::Min, axis, false, reverse)], &x);
    }
    twice(|p| vec![p[0].linear_recurrence(&p[1], 1)], &args(&[&[2, 4], &[2, 4]]));
    // A quotient by the factor would be NaN at zeros.
    twice(|p| vec![p[0].cumprod(0)], &[Tensor::vector(vec![0.5f32, 0.0, 2.0, 0.0, 3.0])]);
    let ties = [Tensor::vector(vec![1.0f32, 1.0, 3.0, 2.0])];
    let g = eval(|p| grad(&p[0].cumulative(Running::Max, 0, false, false).sum_all(), p), &ties).unwrap();
    assert_eq!(g[0].to_vec::<f32>(), [2.0, 0.0, 2.0, 0.0]);
}

#[test]
fn of_sorting() {
    let x = args(&[&[3, 5, 2]]);
    for (axis, descending) in [(0, false), (1, true), (2, false)] {
        twice(|p| vec![p[0].sorted(axis, descending).0], &x);
        twice(|p| vec![p[0].take_along_axis(axis, &p[0].argsort(axis, descending)) * &p[0]], &x);
    }
    twice(|p| vec![p[0].swap_axes(1, 2).top_k(3).0], &x);
}

#[test]
fn of_products() {
    twice(|p| vec![p[0].matmul(&p[1])], &args(&[&[2, 3], &[3, 4]]));
    twice(|p| vec![p[0].dot(&p[1], &[0], &[1])], &args(&[&[3, 2], &[4, 3]]));
    twice(|p| vec![p[0].dot(&p[1], &[2, 0], &[0, 2])], &args(&[&[2, 2, 3], &[3, 4, 2]]));
    twice(|p| vec![p[0].matmul(&p[1])], &args(&[&[2, 3, 2], &[2, 2, 2]]));
    twice(|p| vec![p[0].dot_general(&p[1], &[1], &[0], &[0], &[2])], &args(&[&[3, 2, 2], &[2, 2, 3]]));
    twice(|p| vec![p[0].dot(&p[1], &[], &[])], &args(&[&[2], &[3]]));
}

#[test]
fn of_convolutions() {
    let fixed = |n: &[usize]| n.iter().map(|n| Dim::fixed(*n)).collect::<Vec<_>>();
    let plain = |p: &[Expr]| {
        vec![p[0].conv(&p[1], ConvKind::Forward, &fixed(&[3, 2]), &[1, 2], &[1, 1], &fixed(&[1, 0]), 1)]
    };
    twice(plain, &args(&[&[2, 3, 4, 2], &[3, 2, 2, 2]]));
    let grouped =
        |p: &[Expr]| vec![p[0].conv(&p[1], ConvKind::Forward, &fixed(&[3]), &[1], &[2], &fixed(&[1]), 2)];
    twice(grouped, &args(&[&[1, 5, 4], &[2, 2, 4]]));
    let transposed =
        |p: &[Expr]| vec![p[0].conv(&p[1], ConvKind::InputGrad, &fixed(&[6]), &[2], &[1], &fixed(&[1]), 1)];
    twice(transposed, &args(&[&[2, 3, 2], &[3, 3, 2]]));
}

#[test]
fn of_pooling() {
    let fixed = |n: &[usize]| n.iter().map(|n| Dim::fixed(*n)).collect::<Vec<_>>();
    let pool = |p: &[Expr], kind| vec![p[0].pool(kind, &fixed(&[2, 2]), &[2, 3], &[2, 2], &fixed(&[1, 0]))];
    let x = args(&[&[2, 3, 5, 2]]);
    twice(|p| pool(p, PoolKind::Max), &x);
    twice(|p| pool(p, PoolKind::Sum), &x);
}

/// A recurrent cell with two states, two weights and a mask; final states and collected outputs.
fn cell(p: &[Expr], reverse: bool) -> Vec<Expr> {
    let (h, c, x, w, u, scale) = (&p[0], &p[1], &p[2], &p[3], &p[4], &p[5]);
    let body = |s: &[Expr], x: &[Expr], k: &[Expr]| {
        let z = x[0].matmul(&k[0]) + s[0].matmul(&k[1]);
        let c = &s[1] * &z.sigmoid() + (&z * &k[2]).tanh();
        let h = c.tanh() * &z;
        (vec![h.clone(), c.clone()], vec![h, &c * &s[1]])
    };
    let (states, ys) = scan(
        "cell",
        &[h.clone(), c.clone()],
        std::slice::from_ref(x),
        &[w.clone(), u.clone(), scale.clone()],
        reverse,
        body,
    );
    states.into_iter().chain(ys).collect()
}

#[test]
fn of_loops() {
    let a = args(&[&[2, 3], &[2, 3], &[4, 2, 2], &[2, 3], &[3, 3], &[3]]);
    twice(|p| cell(p, false), &a);
    twice(|p| cell(p, true), &a);
    // Only some of the results are used.
    twice(|p| vec![cell(p, false).remove(1)], &a);
    twice(|p| vec![cell(p, true).remove(3)], &a);
}

#[test]
fn of_loops_in_loops() {
    let a = args(&[&[2], &[3, 2, 2], &[2, 2], &[2]]);
    let nested = |p: &[Expr]| {
        let outer = |s: &[Expr], x: &[Expr], k: &[Expr]| {
            let inner = |s: &[Expr], x: &[Expr], k: &[Expr]| {
                let h = (x[0].expand_dims(&[0]).matmul(&k[0]).reshape([2]) * &s[0] + &k[1]).tanh();
                (vec![h.clone()], vec![&h * &h])
            };
            let (h, ys) =
                scan("inner", &[s[0].clone()], &[x[0].clone()], &[k[0].clone(), s[0].clone()], true, inner);
            (h, vec![ys[0].sum(&[0]) * &k[1]])
        };
        let (h, ys) =
            scan("outer", &[p[0].clone()], &[p[1].clone()], &[p[2].clone(), p[3].clone()], false, outer);
        vec![h[0].clone(), ys[0].clone()]
    };
    twice(nested, &a);
}

#[test]
fn of_integer_states_and_masks() {
    // A counter rides along; steps where the mask is false keep the state.
    let mut a = args(&[&[2], &[4, 2]]);
    a.push(Tensor::new([4, 2], vec![true, true, false, true, true, false, true, true]).unwrap());
    let masked = |p: &[Expr]| {
        let body = |s: &[Expr], x: &[Expr], _: &[Expr]| {
            let count = &s[1] + &Expr::scalar(1i32);
            let h = x[1].select(&(&s[0] * &x[0] + count.cast(DType::F32)), &s[0]);
            (vec![h.clone(), count], vec![h])
        };
        let init = [p[0].clone(), Expr::scalar(0i32)];
        let (states, ys) = scan("masked", &init, &[p[1].clone(), p[2].clone()], &[], false, body);
        vec![states[0].clone(), ys[0].clone()]
    };
    twice(masked, &a);
}

#[test]
fn of_named_functions() {
    let swish = |x: &Expr| {
        named("swish", serde_json::Value::Null, std::slice::from_ref(x), |p| &p[0] * p[0].sigmoid())
    };
    twice(|p| vec![swish(&p[0])], &args(&[&[4]]));
    let nested = |x: &Expr| {
        named("outer", serde_json::Value::Null, std::slice::from_ref(x), |p| swish(&swish(&p[0]).exp()))
    };
    twice(|p| vec![nested(&p[0])], &args(&[&[3]]));
    // A softplus whose rule uses the closed form of its derivative.
    let softplus = |x: &Expr| {
        let rule: rhyton_graph::function::VjpRule =
            |_, x, _, g| vec![g[0].as_ref().map(|g| g * &x[0].sigmoid())];
        named_with_vjp("softplus", serde_json::Value::Null, std::slice::from_ref(x), rule, |p| {
            p[0].exp().log1p()
        })
    };
    twice(|p| vec![softplus(&p[0])], &args(&[&[4]]));
}

#[test]
fn deep_calls_do_not_overflow_the_stack() {
    let x = args(&[&[2]]);
    let deep = |p: &[Expr]| {
        let mut y = p[0].clone();
        for _ in 0..2000 {
            y = named("step", serde_json::Value::Null, &[y], |p| (&p[0] * 0.5).sin() + 0.5);
        }
        grad(&y.sum_all(), p)
    };
    assert!(eval(deep, &x).unwrap()[0].to_vec::<f32>().iter().all(|g| g.is_finite()));
}

#[test]
fn integer_means_are_floats() {
    let y = eval(|p| vec![p[0].mean(&[0])], &[Tensor::vector(vec![1i32, 2])]).unwrap();
    assert_eq!(y[0].to_vec::<f32>(), [1.5]);
}
