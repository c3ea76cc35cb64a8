//! What both peers share: the sizes of the workloads, their data, the clock and the line printed.

use std::time::Instant;

/// One workload as the other engines run it.
pub struct Workload {
    /// Its name.
    pub name: &'static str,
    /// Sizes of a sample; channels before height and width, as both peers want them.
    pub sample: &'static [usize],
    /// Classes of the targets, or numbers.
    pub classes: Option<u32>,
    /// Samples a step.
    pub batch: usize,
    /// Steps timed at once.
    pub steps: usize,
}

/// The workloads, smallest first.
pub const WORKLOADS: &[Workload] = &[
    Workload { name: "mlp", sample: &[100], classes: Some(10), batch: 32, steps: 100 },
    Workload { name: "cnn", sample: &[1, 28, 28], classes: Some(10), batch: 32, steps: 40 },
    Workload { name: "lstm", sample: &[50, 16], classes: None, batch: 32, steps: 20 },
    Workload { name: "gru", sample: &[50, 16], classes: None, batch: 32, steps: 20 },
    Workload { name: "resnet20", sample: &[3, 32, 32], classes: Some(10), batch: 64, steps: 4 },
    Workload { name: "gpt", sample: &[64], classes: Some(65), batch: 12, steps: 10 },
    Workload { name: "vgg", sample: &[3, 32, 32], classes: Some(10), batch: 32, steps: 3 },
];

/// Numbers made alike on every machine.
pub struct Random(u64);

impl Random {
    /// The seed is fixed: only the time matters.
    pub fn new() -> Random {
        Random(0x9e37_79b9_7f4a_7c15)
    }

    /// A number from 0 up to 1.
    pub fn uniform(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / (1u64 << 24) as f32
    }

    /// `count` numbers about zero with variance one.
    pub fn numbers(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| (self.uniform() - 0.5) * 12f32.sqrt()).collect()
    }

    /// `count` classes below `classes`.
    pub fn classes(&mut self, count: usize, classes: u32) -> Vec<i64> {
        (0..count).map(|_| (self.uniform() * classes as f32) as i64).collect()
    }
}

impl Default for Random {
    fn default() -> Self {
        Random::new()
    }
}

/// A network in training.
pub trait Trainer {
    /// One epoch: forward, loss, backward, update and metric of every batch.
    fn epoch(&mut self);
    /// Goes over to predicting.
    fn freeze(&mut self) {}
    /// Predicts one sample.
    fn predict(&mut self);
}

/// Times a network and prints its line.
pub fn measure(peer: &str, w: &Workload, repeats: usize, mut network: Box<dyn Trainer>) {
    (0..2).for_each(|_| network.epoch());
    let (step, least) = times(repeats, || network.epoch());
    network.freeze();
    (0..20).for_each(|_| network.predict());
    let (predict, _) = times(50, || network.predict());
    let line = serde_json::json!({
        "peer": peer, "workload": w.name, "ms_per_step": step / w.steps as f64, "min": least / w.steps as f64,
        "predict1_ms": predict, "peak_mib": peak_mebibytes(),
    });
    println!("{line}");
}

/// Median and least of the milliseconds of some runs.
fn times(count: usize, mut run: impl FnMut()) -> (f64, f64) {
    let mut times: Vec<f64> = (0..count)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    (times[count / 2], times[0])
}

fn peak_mebibytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
}

/// Workload and repeats of the command line: `NAME [REPEATS]`.
pub fn chosen() -> (&'static Workload, usize) {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let workload = words.first().and_then(|n| WORKLOADS.iter().find(|w| w.name == *n));
    let Some(workload) = workload else {
        eprintln!("usage: NAME [REPEATS], with NAME one of mlp, cnn, lstm, gru, resnet20, gpt, vgg");
        std::process::exit(2);
    };
    (workload, words.get(1).and_then(|n| n.parse().ok()).unwrap_or(7))
}
