//! Every activation, loss and regularizer against finite differences in double precision, and gradients of
//! gradients of those with a rule of their own.

use rhyton_graph::interp::{Value, run_function};
use rhyton_graph::{Expr, Function, Type, grad};
use rhyton_nn::activations::{Activate, Activation};
use rhyton_nn::losses::{self, Loss, LossRef, loss_value};
use rhyton_nn::regularizers::Regularize;
use rhyton_nn::{Handle, Kind};
use rhyton_tensor::{Bindings, DType, Tensor};

fn scalar_of(f: &Function, x: &Value) -> f64 {
    run_function(f, std::slice::from_ref(x), &Bindings::new()).unwrap()[0].data[0]
}

/// The gradient of `body` at `x`, by the graph and by differences.
fn check(what: &str, shape: &[usize], x: &[f64], body: impl Fn(&Expr) -> Expr) {
    let x = Value { dtype: DType::F32, shape: shape.to_vec(), data: x.to_vec() };
    let p = Expr::param("x", Type::f32(shape));
    let y = body(&p);
    assert!(!y.is_poisoned(), "{what}: {:?}", y.error());
    let f = Function::new("f", vec![p.clone()], vec![y.clone()]);
    let g = Function::new("g", vec![p.clone()], grad(&y, &[p]));
    let got = run_function(&g, std::slice::from_ref(&x), &Bindings::new()).unwrap();
    for i in 0..x.data.len() {
        let h = 1e-5;
        let moved = |by: f64| {
            let mut x = x.clone();
            x.data[i] += by;
            scalar_of(&f, &x)
        };
        let wanted = (moved(h) - moved(-h)) / (2.0 * h);
        let got = got[0].data[i];
        assert!(
            (got - wanted).abs() < 1e-5 * (1.0 + wanted.abs()),
            "{what}: element {i} has {got}, not {wanted}"
        );
    }
}

/// Different weights of elements, so that sums do not hide what softmax does.
fn weighted(y: &Expr) -> Expr {
    let n = y.shape().as_fixed().unwrap().iter().product::<usize>();
    let w = Tensor::from_fn(y.shape().as_fixed().unwrap(), |i| 0.3 + (i * 7 % n) as f32 * 0.41);
    (y * Expr::constant(&w)).sum_all()
}

const POINTS: [f64; 12] = [-6.7, -3.2, -1.3, -0.8, -0.45, -0.2, 0.15, 0.4, 0.7, 1.4, 3.3, 7.1];

#[test]
fn activations_have_their_gradients() {
    for row in <dyn Activate>::rows() {
        check(row.class_name, &[3, 4], &POINTS, |x| weighted(&Activation::from(row.class_name).apply(x)));
    }
}

#[test]
fn second_gradients_go_through_rules() {
    for name in ["sigmoid", "tanh", "softmax", "log_softmax", "softplus", "log_sigmoid", "gelu"] {
        check(name, &[3, 4], &POINTS.map(|x| x / 3.0), |x| {
            let y = weighted(&Activation::from(name).apply(x));
            let g = &grad(&y, std::slice::from_ref(x))[0];
            weighted(&(g * g))
        });
    }
}

const ONE_HOT: [f32; 12] = [0., 1., 0., 0., 0., 0., 0., 1., 1., 0., 0., 0.];
const SHARES: [f64; 12] = [0.12, 0.43, 0.22, 0.31, 0.25, 0.13, 0.55, 0.17, 0.61, 0.09, 0.24, 0.16];

fn loss_gradient(what: &str, loss: &dyn Loss, x: &[f64; 12]) {
    let sparse = what.contains("Sparse") || what.contains("Generalized");
    // Percentages of 0 are too large for differences.
    let shift = if what.contains("Percentage") { 0.5 } else { 0.0 };
    let one_hot = Tensor::new([3, 4], ONE_HOT.map(|x| x + shift).to_vec()).unwrap();
    let labels = Tensor::vector(vec![1i32, 3, 0]);
    let t = Expr::constant(if sparse { &labels } else { &one_hot });
    let w = Expr::constant(&Tensor::vector(vec![0.5f32, 2.0, 1.25]));
    check(what, &[3, 4], x, |p| loss_value(loss, &t, p, None, Some(&w)));
}

#[test]
fn losses_have_their_gradients() {
    for row in <dyn Loss>::rows() {
        let named = LossRef::named(row.class_name).unwrap();
        for loss in (row.examples)().into_iter().map(|e| e.object).chain([named]) {
            loss_gradient(row.class_name, &**loss.get().unwrap(), &SHARES);
        }
    }
}

#[test]
fn losses_of_logits_have_their_gradients() {
    let all: [(&str, LossRef); 5] = [
        ("Binary", losses::BinaryCrossentropy::new().from_logits(true).label_smoothing(0.1).into()),
        ("Categorical", losses::CategoricalCrossentropy::new().from_logits(true).label_smoothing(0.1).into()),
        ("Sparse", losses::SparseCategoricalCrossentropy::new().from_logits(true).ignore_class(3i64).into()),
        ("BinaryFocal", losses::BinaryFocalCrossentropy::new().from_logits(true).gamma(1.5).into()),
        ("CategoricalFocal", losses::CategoricalFocalCrossentropy::new().from_logits(true).into()),
    ];
    for (what, loss) in all {
        loss_gradient(what, &**loss.get().unwrap(), &POINTS);
    }
}

#[test]
fn softmax_and_crossentropy_together() {
    let t = Expr::constant(&Tensor::vector(vec![1i32, 3, 0]));
    let loss = losses::SparseCategoricalCrossentropy::new();
    check("sparse", &[3, 4], &POINTS.map(|x| x / 2.0), |x| {
        loss_value(&loss, &t, &Activation::from("softmax").apply(x), None, None)
    });
}

#[test]
fn regularizers_have_their_gradients() {
    for row in <dyn Regularize>::rows() {
        let named = Handle::<dyn Regularize>::named(row.class_name).unwrap();
        for regularizer in (row.examples)().into_iter().map(|e| e.object).chain([named]) {
            let penalty = |x: &Expr| regularizer.get().unwrap().penalty(x);
            check(row.class_name, &[3, 4], &POINTS, penalty);
        }
    }
}
