//! What a user reads when inputs do not fit. Nothing is written then.

use rhyton_cpu::CpuBackend;
use rhyton_cpu::isa::Isa;
use rhyton_graph::testing::Runner;
use rhyton_graph::{Expr, Function, Type, compile};
use rhyton_tensor::{DType, Dim, Tensor};

/// `counter += sum(x)`, result `x * counter`.
fn program() -> Runner {
    let counter = Expr::param("counter", Type::f32([3]));
    let x = Expr::param("x", Type::f32(vec![Dim::symbol("batch"), Dim::fixed(3)]));
    let labels = Expr::param("labels", Type::new(DType::I32, vec![Dim::symbol("batch")]));
    let next = &counter + x.sum(&[0]);
    let y = &x * &counter + labels.cast(DType::F32).expand_dims(&[1]);
    let f = Function::new("train_step", vec![counter, x, labels], vec![next, y]);
    let backend = CpuBackend::with(1, Isa::detect());
    Runner::new(&backend, compile(&f, 1, &[(0, 0)], &backend).unwrap()).unwrap()
}

fn check(state: &[Tensor], batch: &[Tensor], text: &str) {
    let mut program = program();
    let mut now = state.to_vec();
    let good = [Tensor::zeros(DType::F32, [2, 3]), Tensor::zeros(DType::I32, [2])];
    let mut results = vec![];
    // Before any run, and after a good one.
    for _ in 0..2 {
        let before = now.clone();
        let e = program.run(&mut now, batch, &mut results).unwrap_err();
        assert_eq!(e.to_string(), text);
        assert!(now.iter().zip(&before).all(|(a, b)| a.same_bits(b)), "the state was written");
        program.run(&mut [Tensor::zeros(DType::F32, [3])], &good, &mut results).unwrap();
    }
}

fn state() -> Vec<Tensor> {
    vec![Tensor::full([3], 1.0f32)]
}

fn labels(n: usize) -> Tensor {
    Tensor::zeros(DType::I32, [n])
}

#[test]
fn wrong_shape() {
    check(
        &state(),
        &[Tensor::zeros(DType::F32, [2, 4]), labels(2)],
        "'x' has the shape [2, 4]\n  in:       train_step\n  expected: [batch, 3]",
    );
}

#[test]
fn wrong_rank() {
    check(
        &state(),
        &[Tensor::zeros(DType::F32, [6]), labels(2)],
        "'x' has the shape [6]\n  in:       train_step\n  expected: [batch, 3]",
    );
}

#[test]
fn sizes_that_contradict_each_other() {
    check(
        &state(),
        &[Tensor::zeros(DType::F32, [2, 3]), labels(5)],
        "'labels' has the shape [5]\n  in:       train_step\n  expected: [batch] with batch = 2",
    );
}

#[test]
fn wrong_type() {
    check(
        &state(),
        &[Tensor::zeros(DType::F64, [2, 3]), labels(2)],
        "'x' is float64\n  in:       train_step\n  expected: float32\n  fix:      convert it with `.cast(DType::F32)`",
    );
}

#[test]
fn wrong_number() {
    check(
        &state(),
        &[Tensor::zeros(DType::F32, [2, 3])],
        "1 state and 1 batch values were given\n  in:       train_step\n  expected: 1 state (counter) and 2 batch values (x, labels)",
    );
    check(
        &[],
        &[Tensor::zeros(DType::F32, [2, 3]), labels(2)],
        "0 state and 2 batch values were given\n  in:       train_step\n  expected: 1 state (counter) and 2 batch values (x, labels)",
    );
}

#[test]
fn wrong_state() {
    check(
        &[Tensor::zeros(DType::F32, [4])],
        &[Tensor::zeros(DType::F32, [2, 3]), labels(2)],
        "'counter' has the shape [4]\n  in:       train_step\n  expected: [3]",
    );
}

#[test]
fn empty_batches_run() {
    let mut program = program();
    let (mut now, mut results) = (state(), vec![]);
    program.run(&mut now, &[Tensor::zeros(DType::F32, [0, 3]), labels(0)], &mut results).unwrap();
    assert_eq!(now[0].as_slice::<f32>(), Some(&[1.0, 1.0, 1.0][..]));
    assert_eq!(results[0].shape(), [0, 3]);
}

#[test]
fn the_first_entry_of_an_empty_batch_is_an_error() {
    let x = Expr::param("x", Type::f32(vec![Dim::symbol("batch"), Dim::fixed(3)]));
    let f = Function::new("first", vec![x.clone()], vec![x.slice(0, 0, 1).exp()]);
    let backend = CpuBackend::with(1, Isa::detect());
    let mut program = Runner::new(&backend, compile(&f, 0, &[], &backend).unwrap()).unwrap();
    let mut results = vec![];
    program.run(&mut [], &[Tensor::zeros(DType::F32, [1, 3])], &mut results).unwrap();
    let e = program.run(&mut [], &[Tensor::zeros(DType::F32, [0, 3])], &mut results).unwrap_err();
    assert!(e.to_string().contains("give at least one sample"), "{e}");
}
