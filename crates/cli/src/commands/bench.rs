//! `rhyton bench`: the workloads of the comparison through the public API, a line each.

mod curve;

use crate::output::say;
use crate::workloads::{WORKLOADS, Workload};
use rhyton::counting::allocations;
use rhyton::graph::Type;
use rhyton::graph::backend::LaunchTime;
use rhyton::model::backend::backend;
use rhyton::model::program::{Build, Values};
use rhyton::prelude::*;
use rhyton::train::callbacks::LambdaCallback;
use rhyton::train::{Compiled, Verbose};
use serde_json::json;
use std::cell::OnceCell;
use std::path::PathBuf;
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
    /// Instead, draw the cost of a step over time, batch size and model size: a picture here, its numbers beside it
    #[arg(long, value_name = "PICTURE", conflicts_with_all = ["names", "json", "profile"])]
    curve: Option<PathBuf>,
}

pub fn run(a: &Arguments) -> Result<()> {
    rhyton::mixed_precision::set_global_policy(&a.dtype)?;
    a.names.iter().try_for_each(|n| Workload::named(n).map(drop))?;
    if let Some(picture) = &a.curve {
        return curve::draw(picture);
    }
    let peak = OnceCell::new();
    let chosen = WORKLOADS.iter().filter(|w| a.names.is_empty() || a.names.iter().any(|n| n == w.name));
    chosen.into_iter().try_for_each(|w| measure(w, a, &peak))?;
    match peak.get() {
        Some(peak) if !a.json => {
            say(&format!("peak of this machine, a product of 1024 x 1024 matrices: {peak:.0} GFLOP/s"))
        }
        _ => Ok(()),
    }
}

/// The peak is measured after the first workload, whose memory would else be that of the peak's matrices.
fn measure(w: &Workload, a: &Arguments, peak: &OnceCell<f64>) -> Result<()> {
    let mut model = w.compile((w.model)()?)?;
    let data = w.data(w.batch * w.steps);
    let mut epoch = |model: &mut Compiled| time_epoch(model, &data, w.batch);
    epoch(&mut model)?;
    epoch(&mut model)?;
    let mut times = (0..a.repeats.max(1)).map(|_| epoch(&mut model)).collect::<Result<Vec<f64>>>()?;
    let (step, least) = (median(&mut times), times[0]);
    let predict = predict_one(&model, &data.0.slice_rows(0..1)?)?;
    let (memory, most) = (resident_mebibytes(), peak_mebibytes());
    let allocations = allocations_a_step(&mut model, w, (&data.0, &data.1))?;
    let launches = profile(&mut model, &mut epoch)?;
    let gflop: f64 = launches.iter().map(|l| l.flops * l.calls as f64).sum::<f64>() / w.steps as f64 / 1e9;
    let rate = gflop / (step / 1e3);
    if peak.get().is_none() {
        peak.set(machine_peak()?).ok();
    }
    let share = rate / peak.get().copied().unwrap_or(f64::INFINITY);
    if a.json {
        let line = json!({
            "workload": w.name, "dtype": a.dtype, "ms_per_step": step, "min": least, "predict1_ms": predict,
            "gflops": rate, "fraction_of_peak": share, "resident_mib": memory, "peak_mib": most,
            "allocations_per_step": allocations,
        });
        return say(&line.to_string());
    }
    say(&format!(
        "{:<9} {step:>9.4} ms a step (least {least:.4}), {predict:.4} ms a prediction, {rate:.0} GFLOP/s ({:.0}% of peak), {most:.0} MiB, {allocations} allocations a step",
        w.name,
        100.0 * share
    ))?;
    if a.profile { print_profile(&launches, w.steps) } else { Ok(()) }
}

/// Milliseconds of a step, over one epoch.
fn time_epoch(model: &mut Compiled, data: &(Tensor, Tensor), batch: usize) -> Result<f64> {
    let steps = data.0.shape()[0] / batch;
    let start = Instant::now();
    model.fit((&data.0, &data.1), Fit::epochs(1).batch_size(batch).verbose(Verbose::Silent))?;
    Ok(start.elapsed().as_secs_f64() * 1e3 / steps as f64)
}

/// Allocations between the ends of two steps in the quietest of some epochs: threads that start up allocate too.
fn allocations_a_step(model: &mut Compiled, w: &Workload, data: (&Tensor, &Tensor)) -> Result<f64> {
    const EPOCHS: usize = 5;
    let mut counts = Vec::with_capacity(EPOCHS * w.steps);
    let count = LambdaCallback::new().on_train_batch_end(|_, _| {
        counts.push(allocations());
        Ok(())
    });
    let fit = Fit::epochs(EPOCHS).batch_size(w.batch).verbose(Verbose::Silent).callback(count);
    model.fit(data, fit)?;
    let epochs = counts.chunks_exact(w.steps);
    let least = epochs.map(|ends| ends[w.steps - 1] - ends[0]).min().unwrap_or(0);
    Ok(least as f64 / (w.steps - 1) as f64)
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
fn machine_peak() -> Result<f64> {
    const N: usize = 1024;
    let mut b = Build::new(&[], false);
    let sides = ["a", "b"].map(|name| b.typed_input(name, Type::f32([N, N])));
    b.output("product", &sides[0].matmul(&sides[1]));
    let program = b.compile("peak", &backend()?)?;
    let batch = [Tensor::full([N, N], 1.0f32), Tensor::full([N, N], 1.0f32)];
    let (mut results, mut best) = (vec![], f64::INFINITY);
    for _ in 0..10 {
        let start = Instant::now();
        program.infer(&Values::default(), &batch, &mut results)?;
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

/// Most memory the process has had, where the system tells (Linux); 0 elsewhere.
fn peak_mebibytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|l| l.split_whitespace().next()?.parse::<f64>().ok());
    kibibytes.unwrap_or(0.0) / 1024.0
}
