//! Passes and lowering keep the meaning of functions: random ones on the reference backend against the
//! interpreter.

use rhyton_graph::backend::Backend;
use rhyton_graph::passes::{self, Context, PASSES, apply};
use rhyton_graph::plan::Plan;
use rhyton_graph::reference::{NullBackend, ReferenceBackend};
use rhyton_graph::testing::{Runner, assert_close, bindings, random_args, random_function, with_gradients};
use rhyton_graph::verify::{verify, verify_plan};
use rhyton_graph::{Function, compile, interpret, text};
use rhyton_tensor::Tensor;

fn run(backend: &dyn Backend, plan: Plan, batch: &[Tensor]) -> Vec<Tensor> {
    let mut results = vec![];
    Runner::new(backend, plan).unwrap().run(&mut [], batch, &mut results).unwrap();
    results
}

fn agrees(f: &Function, backend: &ReferenceBackend, tolerance: f64) {
    let plan = compile(f, 0, &[], backend).unwrap();
    for batch in [1, 3, 4] {
        verify_plan(&plan, &bindings(batch)).unwrap();
        let args = random_args(f, batch, 5);
        let want = interpret(f, &args).unwrap();
        let have = run(backend, plan.clone(), &args);
        assert_close(&have, &want, tolerance, &format!("{} batch {batch}", f.name));
    }
}

#[test]
fn random_functions_keep_their_meaning() {
    for seed in 0..400 {
        agrees(&random_function(seed, 4 + seed as usize % 40), &ReferenceBackend::default(), 1e-5);
    }
}

#[test]
fn random_gradients_keep_their_meaning() {
    for seed in 1000..1150 {
        let f = with_gradients(&random_function(seed, 3 + seed as usize % 12));
        agrees(&f, &ReferenceBackend::default(), 2e-4);
    }
}

#[test]
fn functions_that_the_backend_takes_stay_whole() {
    let backend = ReferenceBackend { whole: vec!["twist".into(), "twist.vjp".into()] };
    let mut named = 0;
    for seed in 2000..2080 {
        let f = with_gradients(&random_function(seed, 12));
        let plan = compile(&f, 0, &[], &backend).unwrap();
        let is_named =
            |k: &rhyton_graph::plan::Launch| matches!(k.kernel, rhyton_graph::plan::Kernel::Named { .. });
        named += plan.launches.iter().filter(|l| is_named(l)).count();
        agrees(&f, &backend, 2e-4);
    }
    assert!(named > 20, "{named}");
}

#[test]
fn every_pass_keeps_the_meaning() {
    let backend = ReferenceBackend::default();
    let cx = Context { backend: &backend, updates: &[], stop_after: None };
    for seed in 3000..3080 {
        let mut f = with_gradients(&random_function(seed, 10));
        let args = random_args(&f, 3, 1);
        let want = interpret(&f, &args).unwrap();
        for (name, pass) in PASSES {
            f = apply(*pass, &f, &cx);
            verify(&f).unwrap();
            assert_close(&interpret(&f, &args).unwrap(), &want, 2e-4, &format!("{name} of seed {seed}"));
        }
    }
}

#[test]
fn stopping_after_a_pass_keeps_the_meaning() {
    let backend = ReferenceBackend::default();
    for seed in 3100..3130 {
        let f = with_gradients(&random_function(seed, 10));
        let args = random_args(&f, 3, 1);
        let want = interpret(&f, &args).unwrap();
        for (name, _) in PASSES {
            let cx = Context { backend: &backend, updates: &[], stop_after: Some(name) };
            let stopped = passes::run(&f, &cx).unwrap();
            assert_close(&interpret(&stopped, &args).unwrap(), &want, 2e-4, &format!("up to {name}"));
            let have = run(&backend, compile(&stopped, 0, &[], &backend).unwrap(), &args);
            assert_close(&have, &want, 2e-4, &format!("up to {name} of seed {seed}"));
        }
    }
    let cx = Context { backend: &backend, updates: &[], stop_after: Some("fuse") };
    let e = passes::run(&random_function(0, 3), &cx).unwrap_err().to_string();
    assert!(e.contains("no pass 'fuse'") && e.contains("inline, canonicalize, deduplicate"), "{e}");
}

#[test]
fn text_reads_back() {
    for seed in 4000..4100 {
        let f = with_gradients(&random_function(seed, 10));
        let written = text::print(&f);
        let read = text::parse(&written).unwrap();
        assert_eq!(text::print(&read), written);
        let args = random_args(&f, 2, 1);
        assert_eq!(interpret(&read, &args).unwrap(), interpret(&f, &args).unwrap(), "seed {seed}");
        text::parse(&text::print_with_sources(&f)).unwrap();
    }
}

#[test]
fn compiling_twice_gives_the_same_plan() {
    for seed in 5000..5030 {
        let f = with_gradients(&random_function(seed, 15));
        let plan = || text::print_plan(&compile(&f, 0, &[], &ReferenceBackend::default()).unwrap());
        assert_eq!(plan(), plan());
    }
}

#[test]
fn null_backend_returns_zeros_of_the_right_shapes() {
    let f = random_function(1, 20);
    let args = random_args(&f, 3, 1);
    let want = interpret(&f, &args).unwrap();
    let have = run(&NullBackend, compile(&f, 0, &[], &NullBackend).unwrap(), &args);
    for (h, w) in have.iter().zip(&want) {
        assert_eq!((h.shape(), h.dtype()), (w.shape(), w.dtype()));
        assert!((0..h.len()).all(|i| h.data().get_f64(i) == 0.0));
    }
}

#[test]
fn a_part_of_an_array_is_drawn_with_the_bits_of_the_whole() {
    use rhyton_graph::ops::Distribution;
    use rhyton_graph::{Expr, Type};
    use rhyton_tensor::{DType, Dim};
    for distribution in [Distribution::Uniform, Distribution::Normal] {
        let (first, key) = (Dim::symbol("rows") * 5, Type::new(DType::I32, [2]));
        let f = Function::trace("parts", &[key, Type::f32([Dim::symbol("rows")])], |p| {
            let whole = Expr::random(&p[0], distribution, 3, [Dim::symbol("rows") * 2, 5.into()]);
            let part = Expr::random_part(&p[0], distribution, 3, first, [Dim::symbol("rows"), 5.into()]);
            vec![whole.slice(0, Dim::symbol("rows"), Dim::symbol("rows")), part]
        });
        for rows in 1..6 {
            let args = [Tensor::vector(vec![4i32, 2]), Tensor::full([rows], 0.0f32)];
            let have = rhyton_graph::interpret(&f, &args).unwrap();
            assert!(have[0].same_bits(&have[1]), "{distribution:?}, {rows} rows");
        }
        let again = text::parse(&text::print(&f)).unwrap();
        assert_eq!(text::print(&again), text::print(&f));
    }
}
