//! Loops and folds over the same rows are one kernel, and only those.

use rhyton_graph::backend::Limits;
use rhyton_graph::plan::{Kernel, Place, Plan};
use rhyton_graph::reference::ReferenceBackend;
use rhyton_graph::testing::{Runner, assert_close, bindings, random_args};
use rhyton_graph::verify::verify_plan;
use rhyton_graph::{Expr, Function, Type, bounds, compile, grad, interpret, text};
use rhyton_tensor::{Dim, Tensor};

fn batch(rest: &[usize]) -> Type {
    let mut shape = vec![Dim::symbol("batch")];
    shape.extend(rest.iter().map(|n| Dim::fixed(*n)));
    Type::f32(shape)
}

/// The plan, which means what the function does, whatever the batch.
fn plan(types: &[Type], f: impl FnOnce(&[Expr]) -> Vec<Expr>) -> Plan {
    let (f, backend) = (Function::trace("f", types, f), ReferenceBackend::default());
    let plan = compile(&f, 0, &[], &backend).unwrap();
    for batch in [1, 2, 5] {
        verify_plan(&plan, &bindings(batch)).unwrap();
        let args = random_args(&f, batch, 3);
        let mut have: Vec<Tensor> = vec![];
        Runner::new(&backend, plan.clone()).unwrap().run(&mut [], &args, &mut have).unwrap();
        assert_close(&have, &interpret(&f, &args).unwrap(), 1e-4, &text::print_plan(&plan));
    }
    plan
}

/// Of each launch, the number of its stages.
#[track_caller]
fn expect(plan: &Plan, want: &[usize]) {
    let have: Vec<usize> = plan.launches.iter().map(|l| l.stages().len()).collect();
    assert_eq!(have, want, "{}", text::print_plan(plan));
}

fn temporaries(plan: &Plan) -> usize {
    plan.buffers.iter().filter(|b| b.place == Place::Temp).count()
}

fn softmax(x: &Expr) -> Expr {
    let last = [x.rank() - 1];
    let e = (x - x.max(&last).expand_dims(&last)).exp();
    &e / e.sum(&last).expand_dims(&last)
}

/// Over all axes but the first `kept`.
fn norm(x: &Expr, kept: usize, scale: &Expr) -> Expr {
    let axes: Vec<usize> = (kept..x.rank()).collect();
    let mean = x.mean(&axes).expand_dims(&axes);
    let square = (x * x).mean(&axes).expand_dims(&axes);
    (x - &mean) * (square - &mean * &mean + 1e-3).rsqrt() * scale
}

#[test]
fn softmax_is_one_kernel_without_arrays_in_between() {
    let p = plan(&[batch(&[3, 8])], |p| vec![softmax(&p[0])]);
    expect(&p, &[4]);
    assert_eq!(temporaries(&p), 0, "{}", text::print_plan(&p));
    let Kernel::Rows { rows, .. } = &p.launches[0].kernel else { unreachable!() };
    assert_eq!(*rows, Dim::symbol("batch") * 3);
}

#[test]
fn a_norm_over_several_axes_is_one_kernel() {
    let p = plan(&[batch(&[4, 3, 2]), Type::f32([4, 3, 2])], |p| vec![norm(&p[0], 1, &p[1])]);
    expect(&p, &[4]);
    assert_eq!(temporaries(&p), 0, "{}", text::print_plan(&p));
}

#[test]
fn the_gradient_of_a_norm_folds_rows_once_and_columns_once() {
    let p = plan(&[batch(&[5, 8]), Type::f32([8]), batch(&[5, 8])], |p| {
        grad(&(norm(&p[0], 2, &p[1]) * &p[2]).sum_all(), &p[..2])
    });
    let rows: Vec<usize> = p.launches.iter().map(|l| l.stages().len()).filter(|n| *n > 1).collect();
    assert_eq!((rows.len(), p.launches.len()), (1, 2), "{}", text::print_plan(&p));
}

#[test]
fn crossentropy_and_its_gradient_stay_in_the_rows() {
    let types = [batch(&[10]), batch(&[10])];
    let p = plan(&types, |p| {
        let loss = -(&p[1] * (softmax(&p[0]) + 1e-7).log()).sum(&[1]);
        grad(&loss.sum_all(), &p[..1])
    });
    assert_eq!(p.launches.len(), 1, "{}", text::print_plan(&p));
}

#[test]
fn what_a_product_needs_in_between_stays_an_array() {
    let p = plan(&[batch(&[8]), Type::f32([8, 8])], |p| {
        let y = softmax(&p[0]);
        vec![softmax(&y.matmul(&p[1])) + y]
    });
    expect(&p, &[4, 1, 4]);
    assert_eq!(temporaries(&p), 2, "{}", text::print_plan(&p));
}

#[test]
fn rows_that_meet_stay_apart() {
    let whole = plan(&[batch(&[8])], |p| vec![&p[0] - p[0].sum(&[1]).sum(&[0])]);
    assert!(whole.launches.iter().all(|l| l.stages().len() == 1), "{}", text::print_plan(&whole));
    let other = plan(&[batch(&[4, 4])], |p| {
        let sum = p[0].sum(&[2]);
        vec![&p[0] * &sum.flip(1).expand_dims(&[2]), sum]
    });
    expect(&other, &[1, 1]);
    let columns = plan(&[batch(&[4, 4])], |p| {
        let turned = p[0].transpose(&[0, 2, 1]);
        vec![&turned - turned.max(&[2]).expand_dims(&[2])]
    });
    expect(&columns, &[1, 1]);
}

#[test]
fn state_is_replaced_row_by_row() {
    let f = Function::trace("project", &[Type::f32([6, 4])], |p| {
        let norm = (&p[0] * &p[0]).sum(&[1]).expand_dims(&[1]);
        vec![&p[0] * (norm + 1e-3).rsqrt()]
    });
    let backend = ReferenceBackend::default();
    let p = compile(&f, 1, &[(0, 0)], &backend).unwrap();
    verify_plan(&p, &bindings(1)).unwrap();
    assert!(p.launches.len() == 1 && p.inputs == p.outputs, "{}", text::print_plan(&p));
    let mut state = random_args(&f, 1, 3);
    let want = interpret(&f, &state).unwrap();
    Runner::new(&backend, p).unwrap().run(&mut state, &[], &mut vec![]).unwrap();
    assert_close(&state, &want, 1e-6, "project");
}

#[test]
fn a_backend_says_how_much_it_takes() {
    let x = |n: usize| batch(&[n]);
    let limits = Limits::default();
    for (n, want) in [(limits.row, &[4][..]), (limits.row + 1, &[1; 4])] {
        let f = Function::trace("f", &[x(n)], |p| vec![softmax(&p[0])]);
        expect(&compile(&f, 0, &[], &ReferenceBackend::default()).unwrap(), want);
    }
    let long = plan(&[x(3)], |p| vec![(0..9).fold(p[0].clone(), |x, _| softmax(&x))]);
    let stages: Vec<usize> = long.launches.iter().map(|l| l.stages().len()).collect();
    assert!(stages.iter().all(|n| *n <= limits.stages) && stages.len() < 6, "{stages:?}");
}

#[test]
fn rows_that_are_not_kept_apart_are_refused() {
    let p = plan(&[batch(&[8])], |p| vec![softmax(&p[0])]);
    let at = bindings(4);
    let changed = |change: fn(&mut Plan)| {
        let mut p = p.clone();
        change(&mut p);
        bounds::check(&p, &at).unwrap_err().to_string()
    };
    bounds::check(&p, &at).unwrap();
    // The second stage reads what the first one wrote: of the first row, and of the next one.
    let first = |p: &mut Plan| p.launches[0].reads[2].strides[0] = Dim::fixed(0);
    assert!(changed(first).contains("sees more of what another one writes than its row"));
    let next = |p: &mut Plan| p.launches[0].reads[2].offset = Dim::fixed(1);
    assert!(changed(next).contains("its row"));
    let other = |p: &mut Plan| {
        let Kernel::Rows { rows, .. } = &mut p.launches[0].kernel else { unreachable!() };
        *rows = Dim::fixed(3);
    };
    assert!(changed(other).contains("does not go over the rows"));
    let used_twice = |p: &mut Plan| {
        let mut again = p.launches[0].stages()[0].clone();
        again.writes = vec![p.launches[0].writes[0].clone()];
        p.launches.push(again);
    };
    assert!(changed(used_twice).contains("used elsewhere"));
    let result = |p: &mut Plan| p.outputs[0] = p.launches[0].writes[0].buffer;
    assert!(changed(result).contains("lives in a kernel's rows"));
}
