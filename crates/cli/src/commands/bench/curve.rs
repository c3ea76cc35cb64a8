//! `rhyton bench --curve`: what a step costs over ten thousand steps, over batch sizes and over model sizes.

use super::{median, time_epoch};
use crate::output::say;
use crate::workloads::Workload;
use rhyton::io::files;
use rhyton::plot::{Chart, save_panels};
use rhyton::prelude::*;
use rhyton::train::Compiled;
use serde_json::{Value as Json, json};
use std::path::Path;

/// Points of one curve, with what they were predicted to be.
struct Curve {
    title: &'static str,
    over: &'static str,
    xs: Vec<f64>,
    ys: Vec<f64>,
    line: Line,
}

/// Measures, writes the picture and the numbers beside it.
pub fn draw(picture: &Path) -> Result<()> {
    let beside = picture.with_extension("json");
    [picture, &beside].into_iter().try_for_each(|path| files::try_target(path, 0))?;
    let curves = [over_time()?, over_batch_size()?, over_model_size()?];
    let charts: Vec<Chart> = curves.iter().map(Curve::chart).collect();
    save_panels(&charts, picture)?;
    let numbers = Json::from(curves.iter().map(Curve::json).collect::<Vec<_>>());
    files::write_atomically(&beside, |out| {
        writeln!(out, "{numbers:#}").map_err(|e| files::write_failed(&e))
    })?;
    curves.iter().try_for_each(|c| say(&c.verdict()))
}

impl Curve {
    fn new(title: &'static str, over: &'static str, xs: Vec<f64>, ys: Vec<f64>) -> Curve {
        let line = Line::through(&xs, &ys);
        Curve { title, over, xs, ys, line }
    }

    fn chart(&self) -> Chart {
        let ends = [0.0, self.xs.iter().copied().fold(0.0, f64::max)];
        Chart::new(self.title)
            .x_label(self.over)
            .y_label("time of a step (ms)")
            .line("a straight line", &ends, &ends.map(|x| self.line.at(x)))
            // The axis begins at 0, lest a slow moment of the machine look like a trend.
            .line("", &ends, &[0.0, 0.0])
            .scatter("measured", &self.xs, &self.ys)
    }

    fn json(&self) -> Json {
        json!({
            "title": self.title, "over": self.over, "x": self.xs, "ms_per_step": self.ys,
            "line": {"at_zero": self.line.at_zero, "slope": self.line.slope},
            "largest_relative_distance_from_line": self.distance(),
        })
    }

    /// How far the points lie from the line, as a part of its height there.
    fn distance(&self) -> f64 {
        let points = self.xs.iter().zip(&self.ys);
        points.map(|(x, y)| (y / self.line.at(*x) - 1.0).abs()).fold(0.0, f64::max)
    }

    fn verdict(&self) -> String {
        let last = self.xs.last().copied().unwrap_or(0.0);
        format!(
            "{}: {:.4} ms at {} {last:.0}, line from {:.4} ms at 0, points within {:.0}% of it",
            self.title,
            self.ys.last().copied().unwrap_or(0.0),
            self.over,
            self.line.at_zero,
            100.0 * self.distance()
        )
    }
}

/// A straight line.
struct Line {
    at_zero: f64,
    slope: f64,
}

impl Line {
    /// The line with the least squares of relative distances: small sizes count as much as large ones.
    fn through(xs: &[f64], ys: &[f64]) -> Line {
        let (mut w, mut wx, mut wy, mut wxx, mut wxy) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for (x, y) in xs.iter().zip(ys) {
            let weight = 1.0 / (y * y).max(f64::MIN_POSITIVE);
            w += weight;
            wx += weight * x;
            wy += weight * y;
            wxx += weight * x * x;
            wxy += weight * x * y;
        }
        let slope = (w * wxy - wx * wy) / (w * wxx - wx * wx);
        Line { at_zero: (wy - slope * wx) / w, slope }
    }

    fn at(&self, x: f64) -> f64 {
        self.at_zero + self.slope * x
    }
}

/// A point for every 100 of 10,000 steps of the convolutional network.
fn over_time() -> Result<Curve> {
    const STEPS: usize = 100;
    let w = Workload::named("cnn")?;
    let (mut model, data) = (w.compile((w.model)()?)?, w.data(w.batch * STEPS));
    time_epoch(&mut model, &data, w.batch)?;
    let ys = (0..100).map(|_| time_epoch(&mut model, &data, w.batch)).collect::<Result<Vec<_>>>()?;
    let xs = (1..=100).map(|i| (i * STEPS) as f64).collect();
    Ok(Curve::new("Over 10,000 steps (cnn)", "steps", xs, ys))
}

/// The convolutional network with batches of 8 to 256.
fn over_batch_size() -> Result<Curve> {
    let w = Workload::named("cnn")?;
    let sizes = [8, 16, 32, 64, 96, 128, 160, 192, 224, 256];
    let subjects = sizes.map(|batch| Ok((w.compile((w.model)()?)?, w.data(batch * 10), batch)));
    let ys = alternately(subjects.into_iter().collect::<Result<_>>()?)?;
    Ok(Curve::new("Over batch size (cnn)", "samples in a batch", sizes.map(|n| n as f64).into(), ys))
}

/// Dense networks of 1 to 16 layers, each 256 wide.
fn over_model_size() -> Result<Curve> {
    let w = Workload::named("mlp")?;
    let deep = |layers: usize| {
        let first = Sequential::new([100]).add(Dense::new(256).relu());
        let body = (1..layers).fold(first, |model, _| model.add(Dense::new(256).relu()));
        body.add(Dense::new(10).softmax()).build()
    };
    let models = [1, 2, 4, 6, 8, 10, 12, 14, 16].map(deep).into_iter().collect::<Result<Vec<_>>>()?;
    let xs = models.iter().map(|m| m.count_params().0 as f64 / 1e3).collect();
    let subjects = models.into_iter().map(|m| Ok((w.compile(m)?, w.data(w.batch * 20), w.batch)));
    let ys = alternately(subjects.collect::<Result<_>>()?)?;
    Ok(Curve::new("Over model size (dense, 256 wide)", "thousands of weights", xs, ys))
}

/// The median time of each subject, all measured in turn: what slows the machine down for a while slows all.
fn alternately(mut subjects: Vec<(Compiled, (Tensor, Tensor), usize)>) -> Result<Vec<f64>> {
    let mut times = vec![vec![]; subjects.len()];
    for round in 0..17 {
        for ((model, data, batch), times) in subjects.iter_mut().zip(&mut times) {
            let time = time_epoch(model, data, *batch)?;
            if round > 1 {
                times.push(time);
            }
        }
    }
    Ok(times.iter_mut().map(|t| median(t)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_the_one_the_points_lie_on() {
        let xs = vec![1.0, 2.0, 4.0, 8.0];
        let curve = Curve::new("t", "x", xs.clone(), xs.iter().map(|x| 0.5 + 0.25 * x).collect());
        assert!((curve.line.at_zero - 0.5).abs() < 1e-12 && (curve.line.slope - 0.25).abs() < 1e-12);
        assert!(curve.distance() < 1e-12);
        let bent = Curve::new("t", "x", xs.clone(), xs.iter().map(|x| x * x).collect());
        assert!(bent.distance() > 0.3, "{}", bent.distance());
    }
}
