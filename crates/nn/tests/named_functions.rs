//! What is not linear in a layer, a loss or an activation is a function of the table [`rhyton_graph::named`], so that
//! rules and exporters know it by its identity; and each call has the inputs and settings that its row says. Both are
//! found by walking the examples of the registries.
//!
//! Allowed as they are: products of two values, where a rule sees both factors; metrics, through which no rule goes;
//! regularizers, which bend weights; and Keras's tensor operations (`keras.ops.exp(x)`), where the primitive itself
//! is what the user wrote.

mod support;

use rhyton_graph::expr::topological;
use rhyton_graph::named::{self, Named};
use rhyton_graph::ops::{Binary, Control, Elementwise, Fold, Op, PoolKind, Reduce, Unary};
use rhyton_graph::transform::{Forward, Image, Occurrence, Walked, forward};
use rhyton_graph::{Expr, Function, Type};
use rhyton_model::{Applicable, Model};
use rhyton_nn::activations::{Activate, Activation};
use rhyton_nn::layers::Masking;
use rhyton_nn::losses::{Loss, loss_value};
use rhyton_nn::metrics::Metric;
use rhyton_nn::quantizers::Quantization;
use rhyton_nn::{Kind, Layer, LayerRef};
use rhyton_tensor::{DType, Result};
use std::cell::RefCell;
use std::collections::BTreeSet;
use support::{indices, inputs, normal};

/// What an example of a registry computes.
struct Case {
    what: String,
    results: Vec<Expr>,
    /// The values that the results are a function of.
    from: Vec<Expr>,
}

/// A value that depends on the input. It is carried along as it is.
#[derive(Clone)]
struct Dependent(Expr);

impl Image for Dependent {
    fn parts(&self) -> Vec<Expr> {
        vec![self.0.clone()]
    }
    fn from_parts(parts: &[Expr]) -> Dependent {
        Dependent(parts[0].clone())
    }
}

/// Collects what bends values outside of the table's functions.
#[derive(Default)]
struct Search(RefCell<Vec<String>>);

/// Whether an operation is not linear in those of its inputs that depend on the network's input.
fn bends(at: &Occurrence, depends: &[bool]) -> bool {
    match at.op() {
        Op::Elementwise(Elementwise::Unary(u)) => {
            !matches!(u, Unary::Neg | Unary::Not | Unary::StopGradient | Unary::Copy)
        }
        Op::Elementwise(Elementwise::Binary(b)) => match b {
            Binary::Add | Binary::Sub | Binary::Mul | Binary::And | Binary::Or => false,
            Binary::Div => depends[1],
            _ => true,
        },
        Op::Elementwise(Elementwise::Select) => depends[0],
        Op::Elementwise(Elementwise::Cast(to)) => at.inputs[0].dtype().is_float() && !to.is_float(),
        Op::Reduce(Reduce::Fold { kind, .. }) => *kind != Fold::Sum,
        Op::Reduce(Reduce::ArgMax { .. }) | Op::Sort(_) => true,
        Op::Index(_) => depends[1..].contains(&true),
        Op::Window(w) => !matches!(w.kind, PoolKind::Sum | PoolKind::SumSpread),
        Op::Cumulative(_) => true,
        Op::Movement(_) | Op::Contract(_) | Op::Random(_) | Op::Control(_) => false,
    }
}

impl Forward for Search {
    type Image = Dependent;

    fn lift(&self, value: &Expr) -> Dependent {
        Dependent(value.clone())
    }

    fn rule(&self, at: &Occurrence, inputs: &[Walked<Dependent>]) -> Result<Option<Vec<Walked<Dependent>>>> {
        if at.named.is_none() && matches!(at.op(), Op::Control(Control::Call(_) | Control::Scan { .. })) {
            return Ok(None);
        }
        let depends: Vec<bool> = inputs.iter().map(|i| matches!(i, Walked::Image(_))).collect();
        if at.named.is_none() && bends(at, &depends) {
            self.0.borrow_mut().push(format!("{} at {:?}", at.op().name(), at.node.node().source));
        }
        let values = inputs.iter().map(|i| match i {
            Walked::Plain(e) | Walked::Image(Dependent(e)) => e.clone(),
        });
        // Numbers that choose, and masks, say which values count; they are no values.
        let is_value =
            |e: &Expr| at.named != Some(&named::CHOSEN) && !(at.named.is_some() && e.dtype() == DType::Bool);
        let results = at.node.with_inputs(values.collect()).into_iter();
        Ok(Some(
            results
                .map(|e| if is_value(&e) { Walked::Image(Dependent(e)) } else { Walked::Plain(e) })
                .collect(),
        ))
    }
}

/// What bends values in a case.
fn bare(case: &Case) -> Vec<String> {
    let search = Search::default();
    let given: Vec<(Expr, Dependent)> = case.from.iter().map(|e| (e.clone(), Dependent(e.clone()))).collect();
    forward(&search, &case.results, &given).unwrap();
    search.0.into_inner().into_iter().map(|found| format!("{}: {found}", case.what)).collect()
}

/// A layer on its own and behind a mask where it can be, in training and not.
fn of_layer(what: &str, layer: &LayerRef, sizes: &[&[usize]]) -> Vec<Case> {
    let of = |(i, sample): (usize, &&[usize])| {
        let shape = [&[3], *sample].concat();
        if what.contains("Embedding") { indices(&shape, &[0; 12]) } else { normal(&shape, i as u64) }
    };
    let x = inputs(&sizes.iter().enumerate().map(of).collect::<Vec<_>>());
    let sequences = sizes.iter().all(|s| s.len() == 2);
    let mut cases = vec![];
    for masked in [false, true].into_iter().filter(|masked| !masked || sequences) {
        let seen: Vec<_> =
            x.iter().map(|x| if masked { Masking::new().apply(x) } else { x.clone() }).collect();
        let model = Model::new(&x, &layer.clone().apply_all(seen.as_slice())).unwrap();
        for training in [false, true] {
            let traced = model.trace(training).unwrap();
            let results = traced.outputs.into_iter().map(|v| v.expr).collect();
            let what = format!("{what}, masked: {masked}, in training: {training}");
            cases.push(Case { what, results, from: traced.inputs });
        }
    }
    cases
}

fn layers() -> Vec<Case> {
    let mut cases = vec![];
    for row in <dyn Layer>::rows().into_iter().filter(|row| row.class_name != "InputLayer") {
        for example in (row.examples)() {
            cases.extend(of_layer(row.class_name, &example.object, example.inputs));
            if let Some(quantized) = example.object.get().unwrap().quantized(Quantization::Int8) {
                let what = format!("{} quantized", row.class_name);
                cases.extend(of_layer(&what, &LayerRef::new(quantized), example.inputs));
            }
        }
    }
    cases
}

fn activations() -> Vec<Case> {
    let x = Expr::param("x", Type::f32([3, 4]));
    let of = |name: &str| Case {
        what: name.into(),
        results: vec![Activation::from(name).apply(&x)],
        from: vec![x.clone()],
    };
    <dyn Activate>::rows().into_iter().map(|row| of(row.class_name)).collect()
}

/// Targets and predictions for a loss or a metric of this class. Labels are no values.
fn targets(class: &str) -> (Expr, Expr, Vec<Expr>) {
    let p = Expr::param("p", Type::f32([3, 4]));
    if class.contains("Sparse") || class.contains("Generalized") {
        return (Expr::param("t", Type::new(DType::I32, [3])), p.clone(), vec![p]);
    }
    let t = Expr::param("t", Type::f32([3, 4]));
    (t.clone(), p.clone(), vec![t, p])
}

fn losses() -> Vec<Case> {
    let mut cases = vec![];
    for row in <dyn Loss>::rows() {
        for example in (row.examples)() {
            let (t, p, from) = targets(row.class_name);
            let results = vec![loss_value(&**example.object.get().unwrap(), &t, &p, None, None)];
            cases.push(Case { what: row.class_name.into(), results, from });
        }
    }
    cases
}

fn metrics() -> Vec<Case> {
    let mut cases = vec![];
    for row in <dyn Metric>::rows() {
        for example in (row.examples)() {
            let (t, p, from) = targets(row.class_name);
            let metric = example.object.get().unwrap();
            let state: Vec<Expr> = metric.start(p.ty()).unwrap().iter().map(Expr::constant).collect();
            cases.push(Case {
                what: row.class_name.into(),
                results: metric.update(&state, &t, &p, None),
                from,
            });
        }
    }
    cases
}

#[test]
fn layers_activations_and_losses_bend_values_by_named_functions_alone() {
    let found: Vec<String> = [layers(), activations(), losses()].iter().flatten().flat_map(bare).collect();
    assert!(found.is_empty(), "not linear, and no function of graph::named:\n{}", found.join("\n"));
}

#[test]
fn what_bends_values_is_found() {
    let x = Expr::param("x", Type::f32([3, 4]));
    let sum = |e: &Expr| e.sum(&[1]).expand_dims(&[1]);
    let bent = [x.exp(), x.maximum(&sum(&x)), 1.0 / &x, x.max(&[1]), x.cast(DType::I32), x.pow(&sum(&x))];
    let straight = [-&x * 2.0 + 1.0, &x * &x, &x / 3.0, x.matmul(&x.transpose(&[1, 0])), sum(&x)];
    let of = |e: &Expr| Case { what: String::new(), results: vec![e.clone()], from: vec![x.clone()] };
    assert!(bent.iter().all(|e| bare(&of(e)).len() == 1));
    assert!(straight.iter().all(|e| bare(&of(e)).is_empty()));
}

/// Every call of a function of the table, with the number of its inputs, those inside of calls and loops too.
fn calls(results: &[Expr], see: &mut impl FnMut(&'static Named, &Function)) {
    for e in topological(results) {
        match e.op() {
            Op::Control(Control::Call(f)) => {
                if let Some(named) = f.named {
                    see(named, f);
                }
                calls(&f.results, see);
            }
            Op::Control(Control::Scan { body, .. }) => calls(&body.results, see),
            _ => {}
        }
    }
}

/// Whether so many values have these names, of which those with a question mark may be missing.
fn fits(names: &[&str], n: usize) -> bool {
    let needed = names.iter().filter(|name| !name.ends_with('?')).count();
    (needed..=names.len()).contains(&n)
}

#[test]
fn calls_have_the_inputs_and_settings_that_their_rows_say() {
    let mut seen = BTreeSet::new();
    let mut wrong = BTreeSet::new();
    for case in [layers(), activations(), losses(), metrics()].into_iter().flatten() {
        calls(&case.results, &mut |named, f| {
            let [inputs, settings, results] = named.names();
            let attrs: BTreeSet<&str> =
                f.attrs.as_object().into_iter().flatten().map(|(k, _)| k.as_str()).collect();
            let same =
                attrs == settings.iter().copied().collect() && f.attrs.is_null() == settings.is_empty();
            if !same || !fits(&inputs, f.params.len()) || !fits(&results, f.results.len()) {
                let (takes, gives) = (f.params.len(), f.results.len());
                wrong.insert(format!(
                    "{}({}): {takes} inputs, {attrs:?}, {gives} results",
                    named.name, named.signature
                ));
            }
            seen.insert(named.name);
        });
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let never: Vec<&str> = named::ALL.iter().map(|n| n.name).filter(|n| !seen.contains(n)).collect();
    assert!(never.is_empty(), "no example of a registry uses {never:?}");
}
