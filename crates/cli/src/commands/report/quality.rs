//! How good a model is.

use super::page::{figures, paragraph, picture, table};
use crate::data::Data;
use crate::pictures::{MOST_IMAGES, are_images};
use rhyton::model::Model;
use rhyton::model::program::class_labels;
use rhyton::plot::{Chart, Heatmap, image_picture};
use rhyton::robust::calibration::reliability;
use rhyton::{Error, Result, Tensor};

/// What a model said of the data.
pub enum Judged {
    /// Of classes.
    Classes(Classes),
    /// Numbers: what was said and what is so.
    Numbers(Vec<f64>, Vec<f64>),
}

/// Probabilities and labels.
pub struct Classes {
    /// `[samples, classes]`.
    pub probabilities: Tensor,
    pub labels: Vec<usize>,
    pub said: Vec<usize>,
    names: Vec<String>,
}

impl Judged {
    /// What the model's first output says of the data.
    pub fn new(model: &Model, data: &Data, names: Option<&[String]>) -> Result<Judged> {
        let outputs = model.predict_all(&data.inputs, 64)?;
        let (y, target) = match (outputs.first(), data.targets.first()) {
            (Some(y), Some(target)) => (y, target),
            _ => return Err(Error::new("the model has no output, or the data no target y0")),
        };
        let classes = match y.shape() {
            [_, n]
                if *n > 1 && *n <= 100_000 && target.len() == y.shape()[0]
                    || y.shape() == target.shape() && one_hot(target) =>
            {
                *n
            }
            _ if y.len() == target.len() => return Ok(Judged::Numbers(y.to_vec(), target.to_vec())),
            shape => {
                return Err(Error::new(format!(
                    "the first output has the shape {shape:?}, the targets {:?}",
                    target.shape()
                ))
                .expected(
                    "[samples, classes] scores and a class for each sample, or as many numbers of both",
                ));
            }
        };
        let labels: Vec<usize> = class_labels(target, y.shape()[0], classes)?
            .to_vec::<i32>()
            .into_iter()
            .map(|l| l as usize)
            .collect();
        let probabilities = probabilities(y, classes)?;
        let values = probabilities.to_vec::<f32>();
        let said = values.chunks(classes).map(largest).collect();
        let name = |k: usize| names.and_then(|n| n.get(k)).cloned().unwrap_or_else(|| k.to_string());
        let names = (0..classes).map(name).collect();
        Ok(Judged::Classes(Classes { probabilities, labels, said, names }))
    }

    /// What was said of classes.
    pub fn classes(&self) -> Option<&Classes> {
        match self {
            Judged::Classes(c) => Some(c),
            Judged::Numbers(..) => None,
        }
    }

    /// The figures that sum it up.
    pub fn quality(&self) -> Result<String> {
        match self {
            Judged::Classes(c) => c.quality(),
            Judged::Numbers(said, so) => {
                let n = said.len().max(1) as f64;
                let off: Vec<f64> = said.iter().zip(so).map(|(a, b)| a - b).collect();
                let mean = so.iter().sum::<f64>() / n;
                let squared = off.iter().map(|d| d * d).sum::<f64>();
                let spread = so.iter().map(|y| (y - mean).powi(2)).sum::<f64>();
                let all = [
                    ("samples", so.len().to_string()),
                    ("mean absolute error", short(off.iter().map(|d| d.abs()).sum::<f64>() / n)),
                    ("root mean squared error", short((squared / n).sqrt())),
                    ("explained variance (R2)", short(1.0 - squared / spread.max(f64::MIN_POSITIVE))),
                ];
                let chart =
                    Chart::new("What it said against what is so").x_label("true").y_label("predicted");
                let chart = chart.scatter("", so, said).picture()?;
                Ok(figures(&all) + &picture(&chart, "predicted against true numbers")?)
            }
        }
    }
}

fn one_hot(t: &Tensor) -> bool {
    let values = t.to_vec::<f32>();
    let width = t.shape().last().copied().unwrap_or(1).max(1);
    values
        .chunks(width)
        .all(|row| row.iter().all(|v| *v == 0.0 || *v == 1.0) && row.iter().sum::<f32>() == 1.0)
}

pub fn largest(row: &[f32]) -> usize {
    (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap_or(0)
}

/// Rows that add up to 1: as they are, or the softmax of what they are.
fn probabilities(y: &Tensor, classes: usize) -> Result<Tensor> {
    let values = y.to_vec::<f32>();
    let fits = |row: &[f32]| row.iter().all(|v| *v >= 0.0) && (row.iter().sum::<f32>() - 1.0).abs() < 1e-3;
    if values.chunks(classes).all(fits) {
        return Ok(y.clone());
    }
    let softmax = |row: &[f32]| {
        let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let e: Vec<f32> = row.iter().map(|z| (z - most).exp()).collect();
        let sum: f32 = e.iter().sum();
        e.into_iter().map(move |e| e / sum).collect::<Vec<f32>>()
    };
    Tensor::new(y.shape().to_vec(), values.chunks(classes).flat_map(softmax).collect::<Vec<f32>>())
}

pub fn short(x: f64) -> String {
    format!("{x:.4}")
}

pub fn percent(share: f64) -> String {
    format!("{:.1}%", 100.0 * share)
}

impl Classes {
    fn right(&self) -> usize {
        self.labels.iter().zip(&self.said).filter(|(a, b)| a == b).count()
    }

    fn quality(&self) -> Result<String> {
        let n = self.labels.len().max(1);
        let k = self.names.len();
        let values = self.probabilities.to_vec::<f32>();
        let loss = |(i, label): (usize, &usize)| -f64::from(values[i * k + label].max(1e-7)).ln();
        let loss = self.labels.iter().enumerate().map(loss).sum::<f64>() / n as f64;
        Ok(figures(&[
            ("samples", n.to_string()),
            ("classes", k.to_string()),
            ("are right", percent(self.right() as f64 / n as f64)),
            ("cross-entropy", short(loss)),
        ]))
    }

    /// The confusion matrix, and what is found and missed of each class.
    pub fn confusion(&self) -> Result<String> {
        let k = self.names.len();
        let mut counts = vec![0i32; k * k];
        self.labels.iter().zip(&self.said).for_each(|(label, said)| counts[label * k + said] += 1);
        let row = |c: usize| -> Vec<String> {
            let of = (0..k).map(|j| counts[c * k + j]).sum::<i32>();
            let said = (0..k).map(|j| counts[j * k + c]).sum::<i32>();
            let hit = counts[c * k + c];
            let share = |of: i32| if of == 0 { "-".into() } else { percent(f64::from(hit) / f64::from(of)) };
            vec![self.names[c].clone(), of.to_string(), share(of), share(said)]
        };
        let drawn = if k <= 64 {
            let matrix = Heatmap::new("Confusion matrix", &Tensor::new([k, k], counts.clone())?);
            let matrix = matrix.rows("true class", &self.names).columns("predicted class", &self.names);
            picture(&matrix.picture()?, "the confusion matrix")?
        } else {
            paragraph(&format!("{k} classes are too many for a matrix."))
        };
        let rows: Vec<Vec<String>> = (0..k.min(200)).map(row).collect();
        Ok(drawn
            + &table(&["class", "samples", "found of them (recall)", "right when said (precision)"], &rows))
    }

    /// The mistakes, the surest first.
    pub fn worst(&self) -> Vec<usize> {
        let k = self.names.len();
        let values = self.probabilities.to_vec::<f32>();
        let mut wrong: Vec<usize> =
            (0..self.labels.len()).filter(|i| self.labels[*i] != self.said[*i]).collect();
        let sure = |i: &usize| values[i * k + self.said[*i]];
        wrong.sort_by(|a, b| sure(b).total_cmp(&sure(a)));
        wrong
    }

    /// The mistakes it was surest of.
    pub fn mistakes(&self, x: &Tensor) -> Result<String> {
        let worst: Vec<usize> = self.worst().into_iter().take(MOST_IMAGES).collect();
        if worst.is_empty() {
            return Ok(paragraph("It makes none on these samples."));
        }
        let k = self.names.len();
        let values = self.probabilities.to_vec::<f32>();
        let row = |i: &usize| {
            let of = |class: usize| percent(f64::from(values[i * k + class]));
            let (said, label) = (self.said[*i], self.labels[*i]);
            vec![i.to_string(), self.names[label].clone(), of(label), self.names[said].clone(), of(said)]
        };
        let rows: Vec<Vec<String>> = worst.iter().map(row).collect();
        let head = ["sample", "is", "how sure of that", "was taken for", "how sure of that"];
        let drawn = if are_images(&x.shape()[1..]) {
            picture(&image_picture(&x.rows(&worst)?, worst.len())?, "the images that were mistaken")?
        } else {
            String::new()
        };
        Ok(table(&head, &rows) + &drawn)
    }

    /// Confidence against accuracy.
    pub fn calibration(&self) -> Result<String> {
        let labels: Vec<i32> = self.labels.iter().map(|l| *l as i32).collect();
        let found = reliability(&self.probabilities, &Tensor::vector(labels), 10)?;
        let held: Vec<_> = found.bins.iter().filter(|b| b.count > 0).collect();
        let (sure, right): (Vec<f64>, Vec<f64>) = held.iter().map(|b| (b.confidence, b.accuracy)).unzip();
        let chart =
            Chart::new("Confidence and accuracy").x_label("mean confidence").y_label("share that is right");
        let chart =
            chart.line("as it should be", &[0.0, 1.0], &[0.0, 1.0]).scatter("this model", &sure, &right);
        let text = "Of samples it is 90% sure of, nine of ten should be right. The expected calibration error is the mean \
                    distance from that.";
        let all = [("expected calibration error", short(found.ece)), ("Brier score", short(found.brier))];
        Ok(figures(&all) + &paragraph(text) + &picture(&chart.picture()?, "a reliability diagram")?)
    }
}
