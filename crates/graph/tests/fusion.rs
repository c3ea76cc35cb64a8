//! What must happen in one kernel does.

use rhyton_graph::function::{named_with_vjp, scan};
use rhyton_graph::ops::{ConvKind, Op, PoolKind};
use rhyton_graph::plan::{Kernel, Plan};
use rhyton_graph::reference::ReferenceBackend;
use rhyton_graph::{Expr, Function, Type, compile, grad, text};
use rhyton_tensor::{DType, Dim};

fn relu(x: &Expr) -> Expr {
    let rule: rhyton_graph::function::VjpRule = |_, _, y, g| {
        vec![g[0].as_ref().map(|g| y[0].greater(&Expr::scalar(0.0f32)).select(g, &g.zeros_like()))]
    };
    named_with_vjp("relu", serde_json::Value::Null, std::slice::from_ref(x), rule, |p| {
        p[0].maximum(&Expr::scalar(0.0f32))
    })
}

fn batch(rest: &[usize]) -> Type {
    let mut shape = vec![Dim::symbol("batch")];
    shape.extend(rest.iter().map(|n| Dim::fixed(*n)));
    Type::f32(shape)
}

fn plan(types: &[Type], f: impl FnOnce(&[Expr]) -> Vec<Expr>) -> Plan {
    compile(&Function::trace("f", types, f), 0, &[], &ReferenceBackend::default()).unwrap()
}

/// Kinds of the launches, in order.
fn kinds(plan: &Plan) -> Vec<&'static str> {
    let kind = |k: &Kernel| match k {
        Kernel::Loop { .. } => "loop",
        Kernel::Reduce { .. } => "reduce",
        Kernel::Rows { .. } => "rows",
        Kernel::Dot { .. } => "dot",
        Kernel::Conv { .. } => "conv",
        Kernel::Pool { .. } => "pool",
        Kernel::Primitive { op: Op::Random(_), .. } => "random",
        Kernel::Primitive { .. } => "primitive",
        Kernel::Scan { .. } => "scan",
        Kernel::Named { .. } => "named",
    };
    plan.launches.iter().map(|l| kind(&l.kernel)).collect()
}

#[track_caller]
fn expect(plan: &Plan, want: &[&str]) {
    assert_eq!(kinds(plan), want, "{}", text::print_plan(plan));
}

#[test]
fn bias_and_activation_ride_on_the_product() {
    let p = plan(&[batch(&[8]), Type::f32([8, 4]), Type::f32([4])], |p| {
        vec![relu(&(p[0].matmul(&p[1]) + &p[2]))]
    });
    expect(&p, &["dot"]);
    assert_eq!((p.launches[0].reads.len(), p.launches[0].writes.len()), (3, 1));
}

#[test]
fn the_mask_of_an_activation_rides_on_the_gradient() {
    let types = [batch(&[8]), Type::f32([8, 4]), Type::f32([4, 2])];
    let p = plan(&types, |p| {
        let y = relu(&p[0].matmul(&p[1])).matmul(&p[2]);
        grad(&(&y * &y).sum_all(), &p[1..])
    });
    // Forward twice, gradient of the hidden layer under the mask, two weights.
    expect(&p, &["dot"; 5]);
}

#[test]
fn folds_take_in_what_comes_before() {
    let p = plan(&[batch(&[8])], |p| {
        let mean = p[0].sum(&[0]) / Expr::size(&Dim::symbol("batch"));
        let d = &p[0] - &mean;
        vec![(&d * &d).sum(&[0])]
    });
    expect(&p, &["reduce", "loop", "reduce"]);
}

#[test]
fn folds_of_the_same_elements_are_one_pass() {
    // Mean and variance by sums over distances from the first row, and their gradients.
    let p = plan(&[batch(&[8]), Type::f32([8])], |p| {
        let first = p[0].stop_gradient().slice(0, 0, 1);
        let d = &p[0] - &first;
        let (mean, square) = (d.mean(&[0]), (&d * &d).mean(&[0]));
        let scale = (square - &mean * &mean + 1e-3).rsqrt() * &p[1];
        let y = (&d * &scale - mean * &scale).tanh();
        grad(&(&y * &y).sum_all(), p)
    });
    expect(&p, &["reduce", "loop", "loop", "reduce", "loop", "loop"]);
    assert_eq!([0, 3].map(|i| p.launches[i].writes.len()), [2, 2], "{}", text::print_plan(&p));
}

#[test]
fn folds_that_wait_for_each_other_stay_apart() {
    let p = plan(&[batch(&[8])], |p| {
        let most = p[0].max(&[1]);
        vec![(&p[0] - most.expand_dims(&[1])).sum(&[1]), p[0].sum(&[1]), p[0].min(&[0])]
    });
    let writes =
        |l: &rhyton_graph::plan::Launch| l.stages().iter().map(|s| s.writes.len()).collect::<Vec<_>>();
    let writes: Vec<usize> = p.launches.iter().flat_map(writes).collect();
    assert_eq!(writes.iter().sum::<usize>(), 4, "{}", text::print_plan(&p));
    assert_eq!(writes.len(), 3, "{}", text::print_plan(&p));
}

#[test]
fn views_cost_nothing() {
    let p = plan(&[batch(&[4, 6])], |p| {
        let heads =
            p[0].reshape(vec![Dim::symbol("batch"), 4.into(), 2.into(), 3.into()]).transpose(&[0, 2, 1, 3]);
        vec![heads.dot_general(&heads, &[0, 1], &[0, 1], &[3], &[3])]
    });
    expect(&p, &["dot"]);
}

#[test]
fn attention_writes_its_heads_where_they_belong() {
    let p = plan(&[batch(&[2, 4, 3]), batch(&[2, 4, 4]), Type::f32([6, 5])], |p| {
        let y = p[1].dot_general(&p[0], &[0, 1], &[0, 1], &[3], &[2]);
        let y = y.transpose(&[0, 2, 1, 3]).reshape(vec![Dim::symbol("batch"), 4.into(), 6.into()]);
        vec![y.matmul(&p[2])]
    });
    expect(&p, &["dot", "dot"]);
}

#[test]
fn parts_are_written_into_the_joined_buffer() {
    let p = plan(&[batch(&[4]), Type::f32([4, 3])], |p| {
        let y = p[0].matmul(&p[1]);
        vec![Expr::concat(&[y.tanh(), y.sigmoid(), p[0].exp()], 1)]
    });
    expect(&p, &["dot", "loop"]);
}

#[test]
fn a_recurrent_step_is_one_product_and_one_loop() {
    let n = 4;
    let p = plan(&[batch(&[5, 3]), Type::f32([3, 4 * n]), Type::f32([n, 4 * n])], |p| {
        let xs = p[0].matmul(&p[1]).transpose(&[1, 0, 2]);
        let zero = Expr::full(vec![Dim::symbol("batch"), Dim::fixed(n)], 0.0);
        let (s, _) = scan("lstm", &[zero.clone(), zero], &[xs], &[p[2].clone()], false, |s, x, k| {
            let z = &x[0] + s[0].matmul(&k[0]);
            let gate = |i: usize| z.slice(1, i * n, n);
            let c = gate(1).sigmoid() * &s[1] + gate(0).sigmoid() * gate(2).tanh();
            let h = gate(3).sigmoid() * c.tanh();
            (vec![h.clone(), c], vec![h])
        });
        grad(&(&s[0] * &s[0]).sum_all(), &p[1..])
    });
    let bodies: Vec<Vec<&str>> = p
        .launches
        .iter()
        .filter_map(|l| if let Kernel::Scan { body, .. } = &l.kernel { Some(kinds(body)) } else { None })
        .collect();
    assert_eq!(bodies, [vec!["dot", "loop"], vec!["loop", "dot"]], "{}", text::print_plan(&p));
}

#[test]
fn convolution_bias_norm_and_pooling() {
    let types = [batch(&[6, 6, 2]), Type::f32([3, 3, 2, 4]), Type::f32([4])];
    let p = plan(&types, |p| {
        let f = |n: usize| vec![Dim::fixed(n); 2];
        let c = relu(&(p[0].conv(&p[1], ConvKind::Forward, &f(4), &[1, 1], &[1, 1], &f(0), 1) + &p[2]));
        let y = c.pool(PoolKind::Max, &f(2), &[2, 2], &[2, 2], &f(0));
        let mut results = grad(&(&y * &y).sum_all(), &p[1..]);
        results.push(y);
        results
    });
    let mut have = kinds(&p);
    have.sort_unstable();
    // The mask meets the spread gradient on its way to memory.
    assert_eq!(have, ["conv", "conv", "pool", "pool", "reduce"], "{}", text::print_plan(&p));
}

#[test]
fn what_random_numbers_decide_is_not_stored_twice() {
    let key = Type::new(DType::I32, [2]);
    let p = plan(&[batch(&[8]), key], |p| {
        let kind = rhyton_graph::ops::Distribution::Uniform;
        let u = Expr::random(&p[1], kind, 1, p[0].shape().clone());
        let kept = u.less(&Expr::scalar(0.5f32));
        let y = kept.select(&(&p[0] * 2.0), &p[0].zeros_like());
        let mut results = grad(&(&y * &y).sum_all(), &p[..1]);
        results.push(y);
        results
    });
    expect(&p, &["random", "loop"]);
}

#[test]
fn what_is_computed_in_bfloat16_is_stored_so() {
    // Read several times as float32: by folds, and element by element.
    let p = plan(&[batch(&[8]), Type::f32([8, 4])], |p| {
        let y = p[0].cast(DType::BF16).matmul(&p[1].cast(DType::BF16)).cast(DType::F32);
        let centred = &y - y.mean(&[0]);
        vec![(&centred * &centred).mean(&[0]), centred.tanh()]
    });
    let wide = |b: &rhyton_graph::plan::Buffer| b.dtype == DType::F32 && b.shape.rank() == 2;
    let temps = p.buffers.iter().filter(|b| b.place == rhyton_graph::plan::Place::Temp);
    assert_eq!(temps.filter(|b| wide(b)).count(), 0, "{}", text::print_plan(&p));
}
