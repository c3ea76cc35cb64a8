//! Several backends: by value, by name, by the environment.

use rhyton::model::backend::{backend, named, set_backend};
use rhyton::prelude::*;
use std::process::Command;

/// The losses of two epochs, and what the model then predicts.
fn train() -> (Vec<f64>, Tensor) {
    let model =
        Sequential::new([4]).add(Dense::new(8).activation("relu")).add(Dense::new(1)).build().unwrap();
    let mut model = model.compile(Compile::new(Adam::new(0.01), "mse")).unwrap();
    let x = Tensor::from_fn([24, 4], |i| ((i * 7) % 13) as f32 / 13.0);
    let y = Tensor::from_fn([24, 1], |i| (i % 5) as f32 / 5.0);
    let history = model.fit((&x, &y), Fit::epochs(2).batch_size(10).verbose(0)).unwrap();
    (history.get("loss").to_vec(), model.predict(&x).unwrap())
}

#[test]
fn two_backends_train_in_one_process() {
    assert!(backend().unwrap().name().starts_with("cpu"));
    let on_cpu = train();
    set_backend(named("reference").unwrap());
    let on_reference = train();
    set_backend(named("cpu").unwrap());
    let close = |a: f64, b: f64| (a - b).abs() < 1e-4 * (1.0 + b.abs());
    assert!(on_cpu.0.iter().zip(&on_reference.0).all(|(a, b)| close(*a, *b)), "{on_cpu:?} {on_reference:?}");
    let (a, b) = (on_cpu.1, on_reference.1);
    assert!((0..a.len()).all(|i| close(a.data().get_f64(i), b.data().get_f64(i))));
    assert!(!a.same_bits(&b), "the reference computes in double precision");
    let e = named("gpu").err().unwrap().to_string();
    assert!(e.contains("no backend 'gpu'") && e.contains("cpu, reference"), "{e}");
}

/// Says the backend in force, for the test below, which runs it in a process of its own.
#[test]
#[ignore = "a part of `the_environment_chooses`"]
fn say() {
    println!("{}", backend().map_or_else(|e| e.to_string(), |b| b.name()));
}

#[test]
fn the_environment_chooses() {
    let said = |value: &str| {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["say", "--exact", "--ignored", "--nocapture"]).env("RHYTON_BACKEND", value);
        String::from_utf8(child.output().unwrap().stdout).unwrap()
    };
    assert!(said("").contains("cpu ("));
    assert!(said(" reference ").contains("reference"));
    let e = said("tpu");
    assert!(e.contains("RHYTON_BACKEND") && e.contains("'tpu'") && e.contains("cpu, reference"), "{e}");
    assert!(e.contains("leave it out"), "{e}");
}
