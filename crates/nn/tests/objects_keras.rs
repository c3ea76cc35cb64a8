//! Activations, losses, metrics, optimizers, schedules, constraints and regularizers against what Keras 3.15.1
//! computed (`data/make_objects.py`), read from the records that Keras writes.

use rhyton_graph::{Expr, Function, Type, eval, interpret};
use rhyton_nn::activations::Activation;
use rhyton_nn::constraints::Constraint;
use rhyton_nn::initializers::Initializer;
use rhyton_nn::layer::{Variable, Weight};
use rhyton_nn::losses::{LossRef, loss_value};
use rhyton_nn::metrics::MetricRef;
use rhyton_nn::optimizers::schedules::ScheduleRef;
use rhyton_nn::optimizers::{OptimizerRef, Pipeline};
use rhyton_nn::regularizers::Regularizer;
use rhyton_tensor::{Dim, Source, Tensor};
use serde_json::Value;
use std::sync::LazyLock;

static CASES: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("data/objects.json")).unwrap());

fn cases(kind: &str) -> &'static [Value] {
    let cases = CASES[kind].as_array().unwrap();
    assert!(!cases.is_empty());
    cases
}

fn number(v: &Value) -> f64 {
    v.as_f64().unwrap_or_else(|| v.as_str().unwrap().parse().unwrap())
}

fn tensor(v: &Value) -> Tensor {
    let shape: Vec<usize> =
        v["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
    let data = v["data"].as_array().unwrap();
    if v["int"].as_bool().unwrap() {
        return Tensor::new(shape, data.iter().map(|x| x.as_i64().unwrap() as i32).collect::<Vec<_>>())
            .unwrap();
    }
    Tensor::new(shape, data.iter().map(|x| number(x) as f32).collect::<Vec<_>>()).unwrap()
}

fn optional(v: &Value) -> Option<Tensor> {
    v.is_object().then(|| tensor(v))
}

fn close(a: f64, b: f64, tolerance: f64) -> bool {
    a == b || (a - b).abs() <= tolerance * (1.0 + b.abs()) || a.is_nan() && b.is_nan()
}

fn assert_close(what: &str, got: &Tensor, wanted: &Tensor, tolerance: f64) {
    assert_eq!(got.shape(), wanted.shape(), "{what}");
    for i in 0..got.len() {
        let (g, w) = (got.data().get_f64(i), wanted.data().get_f64(i));
        assert!(close(g, w, tolerance), "{what}: element {i} is {g}, Keras has {w}");
    }
}

/// Our configuration holds what Keras's holds, plus at most what Keras forgets to write.
fn assert_config(ours: &Value, keras: &Value) {
    let forgotten = ["delta", "axis", "thresholds", "gain"];
    for (key, wanted) in keras["config"].as_object().unwrap() {
        let got = &ours["config"][key];
        let same = match (got.as_f64(), wanted.as_f64()) {
            (Some(a), Some(b)) => close(a, b, 1e-7),
            _ if wanted.get("class_name").is_some() => {
                assert_config(got, wanted);
                true
            }
            _ if wanted.is_array() && got.is_array() => {
                let (a, b) = (got.as_array().unwrap(), wanted.as_array().unwrap());
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.as_f64() == b.as_f64())
            }
            _ => got == wanted,
        };
        assert!(same, "{}: {key} is {got}, Keras has {wanted}", keras["class_name"]);
    }
    for key in ours["config"].as_object().unwrap().keys() {
        let known = keras["config"].get(key).is_some() || forgotten.contains(&key.as_str());
        assert!(known, "{}: Keras has no {key}", keras["class_name"]);
    }
    for key in ["module", "class_name", "registered_name"] {
        assert_eq!(ours[key], keras[key]);
    }
}

#[test]
fn activations() {
    let x = tensor(&CASES["x"]);
    let known = CASES["activations"].as_object().unwrap();
    assert_eq!(known.len(), <dyn rhyton_nn::activations::Activate as rhyton_nn::Kind>::rows().len());
    for (name, wanted) in known {
        let y =
            eval(|x| vec![Activation::from(name.as_str()).apply(&x[0])], std::slice::from_ref(&x)).unwrap();
        assert_close(name, &y[0], &tensor(wanted), 1e-5);
    }
}

/// Tensors as parameters, the present ones only, with a symbolic batch.
struct Inputs {
    params: Vec<Expr>,
    tensors: Vec<Tensor>,
}

impl Inputs {
    fn new() -> Inputs {
        Inputs { params: vec![], tensors: vec![] }
    }
    fn add(&mut self, t: Tensor) -> Expr {
        let mut shape: Vec<Dim> = t.shape().iter().map(|n| Dim::fixed(*n)).collect();
        if let Some(first) = shape.first_mut() {
            *first = Dim::symbol("B");
        }
        let p = Expr::param("p", Type::new(t.dtype(), shape));
        self.params.push(p.clone());
        self.tensors.push(t);
        p
    }
    fn run(self, results: Vec<Expr>) -> Vec<Tensor> {
        interpret(&Function::new("case", self.params, results), &self.tensors).unwrap()
    }
}

#[test]
fn losses() {
    for case in cases("losses") {
        let loss = LossRef::from_json(&case["loss"]).unwrap();
        assert_config(&loss.to_json(), &case["loss"]);
        let mut inputs = Inputs::new();
        let (t, p) = (inputs.add(tensor(&case["t"])), inputs.add(tensor(&case["p"])));
        let mask = optional(&case["mask"]).map(|m| inputs.add(m.cast(rhyton_tensor::DType::Bool)));
        let w = optional(&case["w"]).map(|w| inputs.add(w));
        let value = loss_value(&**loss.get().unwrap(), &t, &p, mask.as_ref(), w.as_ref());
        let got = inputs.run(vec![value]);
        assert_close(&format!("{} {:?}", case["loss"], case["w"]), &got[0], &tensor(&case["value"]), 2e-5);
    }
}

#[test]
fn metrics() {
    for case in cases("metrics") {
        let metric = MetricRef::from_json(&case["metric"]).unwrap();
        assert_config(&metric.to_json(), &case["metric"]);
        let metric = metric.get().unwrap();
        let (t, p, w) = (tensor(&case["t"]), tensor(&case["p"]), optional(&case["w"]));
        let half = case["half"].as_u64().unwrap() as usize;
        let mut state = metric.start(&Type::new(p.dtype(), p.shape())).unwrap();
        for rows in [0..half, half..t.shape()[0]] {
            let mut inputs = Inputs::new();
            let now: Vec<Expr> = state
                .iter()
                .map(|s| {
                    let e = Expr::param("s", Type::new(s.dtype(), s.shape()));
                    inputs.params.push(e.clone());
                    inputs.tensors.push(s.clone());
                    e
                })
                .collect();
            let batch = [&t, &p].map(|x| inputs.add(x.slice_rows(rows.clone()).unwrap()));
            let w = w.as_ref().map(|w| inputs.add(w.slice_rows(rows.clone()).unwrap()));
            let next = metric.update(&now, &batch[0], &batch[1], w.as_ref());
            state = inputs.run(next);
        }
        let (got, wanted) = (metric.result(&state), number(&case["value"]));
        let what = format!("{} weighted: {}", case["metric"], w.is_some());
        assert!(close(got, wanted, 2e-5), "{what}: {got}, Keras has {wanted}");
    }
}

fn variable(name: &str, t: &Tensor) -> Variable {
    let mut weight = Weight::new(name, t.shape(), &"zeros".into());
    if name == "bias" {
        weight.constraint = Some("non_neg".into());
    }
    let source = Source::here();
    let path = format!("m/d/{name}");
    Variable { weight, path, location: "layers/d".into(), trainable: true, source, initial: None }
}

#[test]
fn optimizers() {
    let weights = [tensor(&CASES["kernel"]), tensor(&CASES["bias"])];
    let variables = [variable("kernel", &weights[0]), variable("bias", &weights[1])];
    for case in cases("optimizers") {
        let optimizer = OptimizerRef::from_json(&case["optimizer"]).unwrap();
        assert_config(&optimizer.to_json(), &case["optimizer"]);
        let pipeline = Pipeline::new(&optimizer, &variables).unwrap();
        let mut state = pipeline.start(&weights).unwrap();
        let what = case["optimizer"].to_string();
        let same = |state: &[Tensor], wanted: &Value| {
            let wanted = wanted.as_array().unwrap();
            assert_eq!(state.len(), wanted.len(), "{what}");
            for (s, w) in state.iter().zip(wanted) {
                assert_close(&what, s, &tensor(w), 2e-5);
            }
        };
        same(&state, &case["start"]);
        let mut now = weights.to_vec();
        for (gradients, wanted) in cases("gradients").iter().zip(case["weights"].as_array().unwrap()) {
            let types = pipeline.types();
            let params =
                |types: &[Type]| -> Vec<Expr> { types.iter().map(|t| Expr::param("p", t.clone())).collect() };
            let of: Vec<Type> = now.iter().map(|w| Type::f32(w.shape())).collect();
            let (s, w, g) = (params(&types), params(&of), params(&of));
            let step = pipeline.apply(&s, &w, &g);
            let results = step.state.into_iter().chain(step.weights).collect();
            let f = Function::new("step", s.into_iter().chain(w).chain(g).collect(), results);
            let mut args = state.clone();
            args.extend(now.iter().cloned());
            args.extend(gradients.as_array().unwrap().iter().enumerate().map(|(i, g)| {
                let g = tensor(g);
                assert_eq!(g.shape(), now[i].shape());
                g
            }));
            let mut results = interpret(&f, &args).unwrap();
            now = results.split_off(state.len());
            state = results;
            for (w, k) in now.iter().zip(wanted.as_array().unwrap()) {
                assert_close(&what, w, &tensor(k), 2e-5);
            }
        }
        same(&state, &case["end"]);
    }
}

#[test]
fn schedules() {
    for case in cases("schedules") {
        let schedule = ScheduleRef::from_json(&case["schedule"]).unwrap();
        assert_config(&schedule.to_json(), &case["schedule"]);
        schedule.get().unwrap().check().unwrap();
        for (step, wanted) in case["values"].as_array().unwrap().iter().enumerate() {
            let rate = |_: &[Expr]| vec![schedule.get().unwrap().rate(&Expr::scalar(step as f32))];
            let got = eval(rate, &[]).unwrap()[0].data().get_f64(0);
            assert!(
                close(got, number(wanted), 1e-6),
                "{} at {step}: {got}, Keras has {wanted}",
                case["schedule"]
            );
        }
    }
}

#[test]
fn constraints_and_regularizers() {
    let kernel = tensor(&CASES["kernel"]);
    for case in cases("constraints") {
        let c = Constraint::from_json(&case["constraint"]).unwrap();
        assert_config(&c.to_json(), &case["constraint"]);
        let got = eval(|w| vec![c.get().unwrap().project(&w[0])], std::slice::from_ref(&kernel)).unwrap();
        assert_close(&case["constraint"].to_string(), &got[0], &tensor(&case["value"]), 1e-6);
    }
    for case in cases("regularizers") {
        let r = Regularizer::from_json(&case["regularizer"]).unwrap();
        assert_config(&r.to_json(), &case["regularizer"]);
        let got = eval(|w| vec![r.get().unwrap().penalty(&w[0])], std::slice::from_ref(&kernel)).unwrap();
        let (got, wanted) = (got[0].data().get_f64(0), number(&case["value"]));
        assert!(close(got, wanted, 1e-6), "{}: {got}, Keras has {wanted}", case["regularizer"]);
    }
}

#[test]
fn initializers_read_and_write_keras_records() {
    for record in cases("initializers") {
        let i = Initializer::from_json(record).unwrap();
        assert_config(&i.to_json(), record);
    }
}
