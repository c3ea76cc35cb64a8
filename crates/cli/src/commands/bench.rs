//! `rhyton bench`: the workloads of the comparison through the public API, a line each.

use crate::output::say;
use crate::workloads::{WORKLOADS, Workload};
use rhyton::graph::plan::LaunchTime;
use rhyton::graph::{Expr, Type};
use rhyton::nn::backend::Program;
use rhyton::nn::training::{Compiled, Verbose};
use rhyton::prelude::*;
use serde_json::json;
use std::time::Instant;

#[derive(clap::Args)]
pub struct Arguments {
    /// The workloads, all when left out: mlp, cnn, lstm, gru, resnet20, gpt, vgg
    names: Vec<String>,
    /// Print one JSON object a workload
    #[arg(long)]
    json: bool,
    /// Print where the time of a step goes, launch by launch
    #[arg(long)]
    profile: bool,
    /// In which type layers compute: float32 or mixed_bfloat16
    #[arg(long, default_value = "float32")]
    dtype: String,
    /// Epochs timed; the median counts
    #[arg(long, default_value_t = 7)]
    repeats: usize,
}

pub fn run(a: &Arguments) -> Result<()> {
    rhyton::mixed_precision::set_global_policy(&a.dtype)?;
    if let Some(unknown) = a.names.iter().find(|n| WORKLOADS.iter().all(|w| w.name != **n)) {
        let known: Vec<&str> = WORKLOADS.iter().map(|w| w.name).collect();
        return Err(Error::new(format!("there is no workload '{unknown}'")).expected(known.join(", ")));
    }
    let peak = peak()?;
    if !a.json {
        say(&format!("peak of this machine, a product of 1024 x 1024 matrices: {peak:.0} GFLOP/s"))?;
    }
    let chosen = WORKLOADS.iter().filter(|w| a.names.is_empty() || a.names.iter().any(|n| n == w.name));
    chosen.into_iter().try_for_each(|w| measure(w, a, peak))
}

fn measure(w: &Workload, a: &Arguments, peak: f64) -> Result<()> {
    let (loss, metric) = w.loss();
    let mut model = (w.model)()?.compile(Compile::new(Adam::new(1e-3), loss).metrics([metric]))?;
    let (x, y) = w.data(w.batch * w.steps);
    let mut epoch = |model: &mut Compiled| -> Result<f64> {
        let start = Instant::now();
        model.fit((&x, &y), Fit::epochs(1).batch_size(w.batch).verbose(Verbose::Silent))?;
        Ok(start.elapsed().as_secs_f64() * 1e3 / w.steps as f64)
    };
    epoch(&mut model)?;
    epoch(&mut model)?;
    let mut times = (0..a.repeats.max(1)).map(|_| epoch(&mut model)).collect::<Result<Vec<f64>>>()?;
    let (step, least) = (median(&mut times), times[0]);
    let launches = profile(&mut model, &mut epoch)?;
    let gflop: f64 = launches.iter().map(|l| l.flops * l.calls as f64).sum::<f64>() / w.steps as f64 / 1e9;
    let rate = gflop / (step / 1e3);
    let sample = x.slice_rows(0..1)?;
    let predict = predict_one(&model, &sample)?;
    let memory = resident_mebibytes();
    if a.json {
        let line = json!({
            "workload": w.name, "dtype": a.dtype, "ms_per_step": step, "min": least, "predict1_ms": predict,
            "gflops": rate, "fraction_of_peak": rate / peak, "resident_mib": memory,
        });
        return say(&line.to_string());
    }
    say(&format!(
        "{:<9} {step:>9.4} ms a step (least {least:.4}), {predict:.4} ms a prediction, {rate:.0} GFLOP/s ({:.0}% of peak), {memory:.0} MiB",
        w.name,
        100.0 * rate / peak
    ))?;
    if a.profile { print_profile(&launches, w.steps) } else { Ok(()) }
}

/// One epoch with every launch measured.
fn profile(
    model: &mut Compiled,
    epoch: &mut impl FnMut(&mut Compiled) -> Result<f64>,
) -> Result<Vec<LaunchTime>> {
    model.profile(true);
    epoch(model)?;
    let launches = model.take_profile();
    model.profile(false);
    Ok(launches)
}

fn print_profile(launches: &[LaunchTime], steps: usize) -> Result<()> {
    let total: f64 = launches.iter().filter(|l| l.depth == 0).map(|l| l.seconds).sum();
    say("      us  share  threads  GFLOP/s   GB/s  launch")?;
    for l in launches {
        let each = l.seconds / l.calls.max(1) as f64;
        let inside = "  ".repeat(l.depth);
        say(&format!(
            "{:>8.2} {:>5.1}% {:>8} {:>8.0} {:>6.1}  {inside}{}  {}",
            l.seconds * 1e6 / steps as f64,
            100.0 * l.seconds / total,
            l.threads,
            l.flops / each / 1e9,
            l.bytes / each / 1e9,
            l.kernel,
            l.label
        ))?;
    }
    Ok(())
}

/// Milliseconds of one prediction of one sample, the median of many.
fn predict_one(model: &Model, sample: &Tensor) -> Result<f64> {
    for _ in 0..5 {
        model.predict(sample)?;
    }
    let mut times = vec![];
    for _ in 0..50 {
        let start = Instant::now();
        model.predict(sample)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(median(&mut times))
}

/// GFLOP/s of a large product, the best of some.
fn peak() -> Result<f64> {
    const N: usize = 1024;
    let sides: Vec<Expr> = ["a", "b"].map(|n| Expr::param(n, Type::f32([N, N]))).into();
    let product = sides[0].matmul(&sides[1]);
    let mut program = Program::compile("peak", sides, 0, vec![product], &[])?;
    let batch = [Tensor::full([N, N], 1.0f32), Tensor::full([N, N], 1.0f32)];
    let (mut results, mut best) = (vec![], f64::INFINITY);
    for _ in 0..10 {
        let start = Instant::now();
        program.run(&mut [], &batch, &mut results)?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(2.0 * (N * N * N) as f64 / best / 1e9)
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Memory of the process in use, where the system tells (Linux); 0 elsewhere.
fn resident_mebibytes() -> f64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let resident = pages.and_then(|s| s.split(' ').nth(1).and_then(|n| n.parse::<f64>().ok()));
    resident.map_or(0.0, |pages| pages * 4096.0 / 1048576.0)
}
