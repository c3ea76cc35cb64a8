//! Samples a second of explanations and attacks, a JSON line for each: `cargo run --release --example trust_speed`.
//! The networks are those that peers are timed on (`benches/trust.py`), with random weights, in batches of 128.

use rhyton::explain::{Explainer, Method, methods::*};
use rhyton::prelude::*;
use rhyton::robust::{AttackRef, Attacker};
use rhyton::tensor::rng::Stream;
use std::time::Instant;

const SAMPLES: usize = 128;

fn uniform(shape: &[usize], seed: u64) -> Tensor {
    let mut rng = Stream::new(seed, 0, 0);
    Tensor::from_fn(shape, |_| rng.uniform())
}

fn labels(classes: u32, samples: usize) -> Tensor {
    let mut rng = Stream::new(7, 0, 0);
    Tensor::from_fn([samples], |_| rng.below(classes) as i32)
}

/// The median of so many timed runs, after one that is not.
fn time(name: &str, samples: usize, runs: usize, mut f: impl FnMut() -> Result<()>) -> Result<()> {
    f()?;
    let mut seconds = vec![];
    for _ in 0..runs {
        let start = Instant::now();
        f()?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    let rate = samples as f64 / seconds[runs / 2];
    println!("{{\"peer\": \"rhyton\", \"method\": \"{name}\", \"samples_per_s\": {rate:.1}}}");
    Ok(())
}

fn settings(json: &str) -> serde_json::Map<String, serde_json::Value> {
    serde_json::from_str(json).unwrap_or_default()
}

fn main() -> Result<()> {
    let only: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |name: &str| only.is_empty() || only.iter().any(|o| o == name);
    let cnn = Sequential::new([28, 28, 1])
        .add(Conv2D::new(32, 3).relu())
        .add(MaxPooling2D::new(2))
        .add(Flatten::new())
        .add(Dense::new(64).relu())
        .add(Dense::new(10))
        .build()?;
    let lstm = Sequential::new([50, 16])
        .add(LSTM::new(64).return_sequences(true))
        .add(LSTM::new(64))
        .add(Dense::new(3))
        .build()?;
    let (x, y) = (uniform(&[SAMPLES, 28, 28, 1], 1), labels(10, SAMPLES));
    let (xs, ys) = (uniform(&[SAMPLES, 50, 16], 2), labels(3, SAMPLES));
    let attributions: [(&str, &Model, Method); 9] = [
        ("saliency", &cnn, Saliency::default().into()),
        ("integrated_gradients_64", &cnn, IntegratedGradients::default().steps(64).into()),
        ("deep_lift", &cnn, DeepLift::default().into()),
        ("guided_backprop", &cnn, GuidedBackprop::default().into()),
        ("smooth_grad_50", &cnn, SmoothGrad::default().samples(50).stdev(0.1).into()),
        ("grad_cam", &cnn, GradCam::default().layer("conv2d").into()),
        ("occlusion_4x4", &cnn, Occlusion::default().window(vec![4, 4, 1]).into()),
        (
            "shapley_sampling_16_groups_25",
            &cnn,
            ShapleySampling::default().samples(25).patch([7, 7, 1]).into(),
        ),
        ("lstm_integrated_gradients_64", &lstm, IntegratedGradients::default().steps(64).into()),
    ];
    for (name, model, method) in attributions {
        if !wanted(name) {
            continue;
        }
        let (x, y) = if name.starts_with("lstm") { (&xs, &ys) } else { (&x, &y) };
        let explainer = Explainer::new(model).target(rhyton::explain::Target::Label).batch_size(SAMPLES);
        let compiled = explainer.compile(method)?;
        time(name, SAMPLES, 5, || compiled.explain(x, Some(y)).map(drop))?;
    }
    let attacks = [
        ("fgsm", "fgsm", r#"{"eps": 0.1}"#, SAMPLES),
        (
            "pgd_40",
            "pgd_linf",
            r#"{"eps": 0.3, "step_size": 0.01, "steps": 40, "random_start": false}"#,
            SAMPLES,
        ),
        ("deepfool", "deepfool", r#"{"steps": 50}"#, 32),
        ("cw_100", "cw", r#"{"steps": 100}"#, SAMPLES),
        ("apgd_ce_100", "apgd_ce", r#"{"eps": 0.3, "steps": 100}"#, SAMPLES),
        ("square_500", "square", r#"{"eps": 0.3, "n_queries": 500}"#, SAMPLES),
    ];
    for (name, attack, json, samples) in attacks.into_iter().filter(|a| wanted(a.0)) {
        let (x, y) = (x.slice_rows(0..samples)?, y.slice_rows(0..samples)?);
        let attack = AttackRef::with_settings(attack, &settings(json))?;
        let attack = Attacker::new(&cnn).batch_size(SAMPLES).compile(attack)?;
        let runs = if ["fgsm", "pgd_40"].contains(&name) { 5 } else { 2 };
        time(name, samples, runs, || attack.attack(&x, &y).map(drop))?;
    }
    Ok(())
}
