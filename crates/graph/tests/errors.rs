//! Error texts, as users read them.

use rhyton_graph::reference::{ReferenceBackend, eval_on};
use rhyton_graph::{Expr, Function, Type, compile, grad, in_path, text};
use rhyton_tensor::{DType, Error, Tensor};

fn compiled(f: &Function, state: usize, updates: &[(usize, usize)]) -> Error {
    compile(f, state, updates, &ReferenceBackend::default()).unwrap_err()
}

/// The text without file positions, which move.
fn words(e: &Error) -> String {
    let keep = |l: &&str| !l.trim_start().starts_with("at:");
    e.to_string().lines().filter(keep).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_diagnostic_is_reported_at_once_with_layer_and_line() {
    let f = Function::trace("f", &[Type::f32([2, 3]), Type::f32([4])], |p| {
        let a = in_path("model/dense", || p[0].matmul(&p[0]));
        let b = in_path("model/add", || &p[0] + &p[1]);
        vec![a.exp(), b]
    });
    let e = compiled(&f, 0, &[]);
    assert!(e.to_string().contains("at:       crates/graph/tests/errors.rs:"), "{e}");
    assert_eq!(
        words(&e),
        "a product of [2, 3] and [2, 3]: axis 1 of the first has size 3, axis 0 of the second 2\n  \
         in:       model/dense\n  \
         expected: equal sizes along the summed axes\n\
         add of shapes [2, 3] and [4] is not defined\n  \
         in:       model/add\n  \
         expected: equal sizes, or size 1, counted from the last axis"
    );
}

#[test]
fn reading_a_value_from_outside() {
    let stray = Expr::param("stray", Type::f32([2]));
    let f = Function::trace("loss", &[Type::f32([2])], |p| vec![&p[0] + &stray]);
    assert_eq!(
        words(&compiled(&f, 0, &[])),
        "'stray' is read but is no parameter of loss\n  in:       loss\n  \
         fix:      pass it in: what a function or loop body reads must come through its parameters"
    );
}

#[test]
fn updates_that_do_not_fit() {
    let f = Function::trace("step", &[Type::f32([2]), Type::f32([3])], |p| vec![&p[0] * 2.0, p[1].exp()]);
    assert_eq!(
        words(&compiled(&f, 1, &[(0, 1)])),
        "update of parameter 1 by result 0: no such state or result\n  in:       step"
    );
    assert_eq!(
        words(&compiled(&f, 2, &[(0, 1)])),
        "the update of 'step.1' is float32[2]\n  in:       step\n  expected: float32[3]"
    );
    assert_eq!(
        words(&compiled(&f, 2, &[(0, 0), (1, 1), (0, 0)])),
        "'step.0' is updated twice, or by a result that updates another\n  in:       step"
    );
    assert_eq!(words(&compiled(&f, 5, &[])), "step has 2 parameters, not 5");
}

#[test]
fn gradients_of_what_is_no_scalar() {
    let f = Function::trace("f", &[Type::f32([2])], |p| grad(&p[0], p));
    assert_eq!(
        words(&compiled(&f, 0, &[])),
        "a gradient needs a scalar loss, got float32[2]\n  fix:      reduce the loss first, for example with mean"
    );
}

#[test]
fn running_with_wrong_arguments() {
    let backend = ReferenceBackend::default();
    let run = |args: &[Tensor]| {
        let f = Function::trace("f", &[Type::f32(vec!["batch".into(), rhyton_tensor::Dim::fixed(3)])], |p| {
            vec![p[0].exp()]
        });
        let plan = compile(&f, 0, &[], &backend).unwrap();
        let mut results = vec![];
        let mut program = rhyton_graph::testing::Runner::new(&backend, plan).unwrap();
        program.run(&mut [], args, &mut results).unwrap_err()
    };
    assert_eq!(
        words(&run(&[Tensor::zeros(DType::F32, [2, 4])])),
        "'f.0' has the shape [2, 4]\n  expected: [batch, 3]"
    );
    assert_eq!(words(&run(&[])), "f got 0 values of state and 0 of the batch\n  expected: 0 and 1");
    assert_eq!(
        words(&run(&[Tensor::zeros(DType::I32, [2, 3])])),
        "parameter 0 of f is int32\n  expected: float32[batch, 3]"
    );
}

#[test]
fn evaluating_on_a_backend() {
    let y =
        eval_on(&ReferenceBackend::default(), |p| vec![p[0].sum_all()], &[Tensor::vector(vec![1.0f32, 2.0])]);
    assert_eq!(y.unwrap()[0].to_vec::<f32>(), [3.0]);
}

#[test]
fn texts_that_cannot_be_read() {
    let fails = |t: &str| words(&text::parse(t).unwrap_err());
    assert_eq!(fails(""), "the text holds no function\n  expected: fn @0 ..");
    assert_eq!(fails("hello"), "found 'hello'\n  in:       line 1\n  expected: 'fn'");
    assert_eq!(
        fails("fn @0 \"f\" null\n  %0 = param \"x\" : float32[2]"),
        "the text of the function ends early\n  expected: return"
    );
    assert_eq!(
        fails("fn @0 \"f\" null\n  %0 = elementwise {\"unary\":\"exp\"} (%1) : float32[2]\n  return %0"),
        "there is no value %1.0 yet\n  in:       line 2"
    );
    assert_eq!(
        fails(
            "fn @0 \"f\" null\n  %0 = param \"x\" : float32[2]\n  %1 = elementwise {\"unary\":\"exp\"} (%0) : int32[2]"
        ),
        "the type does not follow from the operation\n  in:       line 3\n  expected: float32[2]"
    );
    let unknown = "fn @0 \"f\" null\n  %0 = param \"x\" : float99[2]";
    assert_eq!(
        fails(unknown),
        "'float99' is no type\n  in:       line 2\n  expected: float32, int32 or bool"
    );
    for text in [
        "fn @0",
        "fn @0 \"f\" null\n %0 = call @7 () : float32[]",
        "fn @0 \"f\" {",
        "fn @0 \"f\" null\n return %0",
    ] {
        assert!(text::parse(text).is_err(), "{text}");
    }
}

#[test]
fn an_array_of_too_many_axes_is_refused_where_it_is_made() {
    let f = Function::trace("f", &[Type::f32(vec![1; 64])], |p| vec![p[0].reshape(vec![1; 65])]);
    assert_eq!(
        words(&compiled(&f, 0, &[])),
        "an array would have 65 axes\n  expected: at most 64\n  \
         fix:      check the sizes that the layer was given"
    );
}
