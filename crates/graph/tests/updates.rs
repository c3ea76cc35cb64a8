//! Results that replace state in place: every order of reading and writing gives the result of the old values.

use rhyton_graph::ops::Scalar;
use rhyton_graph::plan::{Kernel, Plan};
use rhyton_graph::reference::ReferenceBackend;
use rhyton_graph::testing::Runner;
use rhyton_graph::verify::verify_plan;
use rhyton_graph::{Expr, Function, Type, compile, interpret};
use rhyton_tensor::{Bindings, DType, Tensor};

/// Compiles and runs `f` and compares state and results with the interpreter; returns the plan.
fn check(
    types: &[Type],
    state: usize,
    updates: &[(usize, usize)],
    f: impl FnOnce(&[Expr]) -> Vec<Expr>,
) -> Plan {
    let f = Function::trace("step", types, f);
    let backend = ReferenceBackend::default();
    let plan = compile(&f, state, updates, &backend).unwrap();
    verify_plan(&plan, &Bindings::new()).unwrap();
    let args: Vec<Tensor> = types
        .iter()
        .enumerate()
        .map(|(k, t)| {
            let sizes = t.shape.as_fixed().unwrap();
            Tensor::from_fn(sizes, |i| (i as f32 * 0.7 + k as f32 * 1.3).sin()).cast(t.dtype)
        })
        .collect();
    let want = interpret(&f, &args).unwrap();
    let (mut now, batch) = (args[..state].to_vec(), &args[state..]);
    let mut results = vec![];
    Runner::new(&backend, plan.clone()).unwrap().run(&mut now, batch, &mut results).unwrap();
    let mut kept = results.into_iter();
    for (i, w) in want.iter().enumerate() {
        let have = match updates.iter().find(|(r, _)| *r == i) {
            Some((_, p)) => now[*p].clone(),
            None => kept.next().unwrap(),
        };
        rhyton_graph::testing::assert_close(&[have], std::slice::from_ref(w), 1e-6, &format!("result {i}"));
    }
    for p in (0..state).filter(|p| !updates.iter().any(|(_, q)| q == p)) {
        assert_eq!(now[p], args[p], "state {p} is not updated");
    }
    plan
}

fn vectors(n: usize) -> Vec<Type> {
    vec![Type::f32([4]); n]
}

fn temps(plan: &Plan) -> usize {
    plan.buffers.iter().filter(|b| b.place == rhyton_graph::plan::Place::Temp).count()
}

#[test]
fn an_optimizer_step_is_one_loop_in_place() {
    let plan = check(&vectors(4), 3, &[(0, 0), (1, 1), (2, 2)], |p| {
        let (w, m, v, g) = (&p[0], &p[1], &p[2], &p[3]);
        let m2 = m * 0.9 + g * 0.1;
        let v2 = v * 0.99 + g * g * 0.01;
        let w2 = w - &m2 * 0.001 / (v2.abs().sqrt() + 1e-7);
        vec![w2, m2, v2]
    });
    assert_eq!((plan.launches.len(), temps(&plan)), (1, 0));
    assert_eq!((plan.launches[0].reads.len(), plan.launches[0].writes.len()), (4, 3));
}

#[test]
fn swapped_states_go_through_a_copy() {
    check(&vectors(2), 2, &[(0, 0), (1, 1)], |p| vec![p[1].clone(), p[0].clone()]);
    check(&vectors(3), 3, &[(0, 0), (1, 1), (2, 2)], |p| vec![p[1].clone(), p[2].clone(), p[0].clone()]);
    check(&vectors(2), 2, &[(0, 0), (1, 1)], |p| vec![&p[1] + 1.0, &p[0] * 2.0]);
}

#[test]
fn a_chain_of_states_shifts_without_losing_one() {
    let plan =
        check(&vectors(4), 3, &[(0, 0), (1, 1), (2, 2)], |p| vec![p[1].clone(), p[2].clone(), p[3].clone()]);
    assert_eq!(temps(&plan), 0, "each is read before it is written");
}

#[test]
fn an_update_may_be_a_result_too() {
    check(&vectors(2), 1, &[(0, 0)], |p| {
        let new = &p[0] + &p[1];
        vec![new.clone(), new.clone(), new.exp()]
    });
}

#[test]
fn old_and_new_values_are_told_apart() {
    // The old state is read by a fold that also feeds the new one, and is a result itself.
    check(&vectors(2), 1, &[(1, 0)], |p| {
        let new = &p[0] * 0.5 + (&p[0] * &p[1]).sum_all();
        vec![p[0].clone(), new.clone(), (&new - &p[0]).abs(), p[0].sum_all()]
    });
}

#[test]
fn state_read_at_other_places_is_not_overwritten_early() {
    let plan = check(&vectors(1), 1, &[(0, 0)], |p| vec![p[0].flip(0) + 1.0]);
    assert_eq!(temps(&plan), 1);
    check(&[Type::f32([3, 3])], 1, &[(0, 0)], |p| vec![p[0].transpose(&[1, 0]) + &p[0]]);
    check(&[Type::f32([3, 3])], 1, &[(0, 0)], |p| vec![p[0].matmul(&p[0])]);
    check(&[Type::f32([4])], 1, &[(0, 0)], |p| {
        vec![Expr::concat(&[p[0].slice(0, 2, 2), p[0].slice(0, 0, 2)], 0)]
    });
}

#[test]
fn unchanged_and_constant_states() {
    let plan = check(&vectors(2), 2, &[(0, 0), (1, 1)], |p| vec![p[0].clone(), p[1].zeros_like()]);
    assert_eq!(plan.launches.len(), 1);
    check(&vectors(1), 1, &[(0, 0)], |p| vec![p[0].clone(), p[0].clone()]);
    check(&vectors(1), 1, &[], |p| vec![p[0].clone(), p[0].clone(), p[0].reshape([2, 2])]);
    check(&[Type::new(DType::I32, [2])], 1, &[(0, 0)], |p| {
        vec![&p[0] + &Expr::scalar(Scalar::I32(1)), p[0].cast(DType::F32)]
    });
}

#[test]
fn a_weight_is_updated_on_the_way_from_its_gradient() {
    let types = [Type::f32([3, 2]), Type::f32([5, 3]), Type::f32([5, 2])];
    let plan = check(&types, 1, &[(0, 0)], |p| {
        let y = p[1].matmul(&p[0]);
        let loss = ((&y - &p[2]) * (&y - &p[2])).mean_all();
        let g = rhyton_graph::grad(&loss, &p[..1]).remove(0);
        vec![&p[0] - g * 0.1, loss]
    });
    let update = plan.launches.iter().find(|l| l.writes.iter().any(|w| w.buffer == plan.inputs[0])).unwrap();
    assert!(matches!(update.kernel, Kernel::Dot { .. }), "{}", rhyton_graph::text::print_plan(&plan));
}

#[test]
fn random_updates() {
    let mut rng = rhyton_tensor::rng::Stream::new(4, 0, 0);
    for _ in 0..300 {
        let n = 2 + rng.below(3) as usize;
        let updates: Vec<(usize, usize)> = (0..n).map(|i| (i, i)).collect();
        check(&vec![Type::f32([3]); n], n, &updates, |p| {
            let mut pool = p.to_vec();
            for _ in 0..rng.below(6) {
                let mut pick = || pool[rng.below(pool.len() as u32) as usize].clone();
                let (a, b) = (pick(), pick());
                pool.push(match rng.below(5) {
                    0 => (a + b).tanh(),
                    1 => a * 0.5 - b,
                    2 => a.flip(0) + b,
                    3 => a.sum_all() + b,
                    _ => Expr::concat(&[a.slice(0, 1, 2), b.slice(0, 0, 1)], 0),
                });
            }
            let mut results: Vec<Expr> =
                (0..n).map(|_| pool[rng.below(pool.len() as u32) as usize].clone()).collect();
            results.push(pool[rng.below(pool.len() as u32) as usize].clone());
            results
        });
    }
}

#[test]
fn updates_wait_for_a_result_that_is_finite() {
    use rhyton_graph::compile::{Watch, compile_watched};
    // The weight would be updated before anything else, were it not for the loss.
    let f = Function::trace("step", &[Type::f32([4]), Type::f32([4])], |p| {
        let loss = (&p[1] / &p[0]).sum_all();
        vec![&p[0] - 1.0, loss]
    });
    let backend = ReferenceBackend::default();
    let watch = Watch { result: 1, held: &[0] };
    let plan = compile_watched(&f, 1, &[(0, 0)], Some(&watch), &backend).unwrap();
    let stop = plan.stop.unwrap();
    assert!(stop.result == 1 && stop.after < plan.launches.len(), "{stop:?}");
    let mut program = Runner::new(&backend, plan).unwrap();
    let run = |program: &mut Runner, weight: f32| {
        let mut state = [Tensor::vector(vec![2.0f32, 4.0, weight, 1.0])];
        let mut results = vec![];
        program.run(&mut state, &[Tensor::vector(vec![1.0f32; 4])], &mut results).unwrap();
        (state[0].to_vec::<f32>(), results[0].to_vec::<f32>()[0])
    };
    assert_eq!(run(&mut program, 8.0), (vec![1.0, 3.0, 7.0, 0.0], 1.875));
    assert_eq!(run(&mut program, 0.0), (vec![2.0, 4.0, 0.0, 1.0], f32::INFINITY));
    // A result that needs the new value cannot be waited for.
    let f = Function::trace("step", &[Type::f32([4])], |p| {
        let new = p[0].sin().exp().tanh().sigmoid();
        vec![new.clone(), (&new * &new).sum_all() + new.exp().sum_all()]
    });
    let plan = compile_watched(&f, 1, &[(0, 0)], Some(&watch), &backend).unwrap();
    assert!(plan.stop.is_none(), "{:?}", plan.stop);
}
