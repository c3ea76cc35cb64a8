//! Whether probabilities are what they say, and how to make them so.

use crate::smoothing::largest;
use rhyton_tensor::{Error, Result, Tensor};

/// How confidence and accuracy go together: the numbers of a reliability diagram.
#[derive(Clone, Debug)]
pub struct Reliability {
    /// Equal pieces of [0, 1].
    pub bins: Vec<Bin>,
    /// The expected calibration error: the mean distance of confidence and accuracy over samples, bin by bin.
    pub ece: f64,
    /// The Brier score: the mean squared distance of probabilities to the truth.
    pub brier: f64,
}

/// The samples whose confidence lies in a piece of [0, 1].
#[derive(Clone, Copy, Debug, Default)]
pub struct Bin {
    /// How many.
    pub count: usize,
    /// Their mean confidence.
    pub confidence: f64,
    /// The share that is right.
    pub accuracy: f64,
}

/// The rows of `[samples, classes]` with their labels.
fn rows<'a>(scores: &Tensor, labels: &'a Tensor, into: &'a mut Vec<f32>) -> Result<Vec<(&'a [f32], usize)>> {
    let [n, classes] = scores.shape() else {
        return Err(
            Error::new(format!("scores have the shape {:?}", scores.shape())).expected("[samples, classes]")
        );
    };
    let numbers = rhyton_model::program::class_labels(labels, *n, *classes)?.to_vec::<i32>();
    *into = scores.to_vec::<f32>();
    Ok(into.chunks((*classes).max(1)).zip(numbers).map(|(row, label)| (row, label as usize)).collect())
}

/// Measures probabilities `[samples, classes]` against labels, in `bins` pieces (Guo et al. 2017).
///
/// # Errors
/// When shapes do not fit or a label is none of the classes.
pub fn reliability(probabilities: &Tensor, labels: &Tensor, bins: usize) -> Result<Reliability> {
    let mut values = vec![];
    let rows = rows(probabilities, labels, &mut values)?;
    let mut found = vec![Bin::default(); bins.max(1)];
    let mut brier = 0.0;
    for (row, label) in &rows {
        let class = largest(row);
        let confidence = f64::from(row[class]);
        // Pieces hold their upper end.
        let at = ((confidence * found.len() as f64).ceil() as usize).clamp(1, found.len()) - 1;
        let bin = &mut found[at];
        bin.count += 1;
        bin.confidence += confidence;
        bin.accuracy += f64::from(u8::from(class == *label));
        brier += row
            .iter()
            .enumerate()
            .map(|(k, p)| (f64::from(*p) - f64::from(u8::from(k == *label))).powi(2))
            .sum::<f64>();
    }
    let n = rows.len().max(1) as f64;
    let ece = found.iter().map(|b| (b.confidence - b.accuracy).abs()).sum::<f64>() / n;
    for bin in &mut found {
        let count = bin.count.max(1) as f64;
        (bin.confidence, bin.accuracy) = (bin.confidence / count, bin.accuracy / count);
    }
    Ok(Reliability { bins: found, ece, brier: brier / n })
}

fn softmax(row: impl Iterator<Item = f64> + Clone) -> Vec<f64> {
    let most = row.clone().fold(f64::NEG_INFINITY, f64::max);
    let e: Vec<f64> = row.map(|z| (z - most).exp()).collect();
    let sum: f64 = e.iter().sum();
    e.into_iter().map(|x| x / sum).collect()
}

/// What turns logits into probabilities that are what they say. Fitted on samples that training has not seen.
#[derive(Clone, Debug)]
pub enum Calibration {
    /// `softmax(z / t)` (Guo et al. 2017).
    Temperature(f64),
    /// `softmax(w z + b)`, class by class.
    Vector {
        /// Factors of the logits.
        w: Vec<f64>,
        /// What is added.
        b: Vec<f64>,
    },
    /// A rising step function of each class's probability, over their sum (Zadrozny, Elkan 2002).
    Isotonic(Vec<Steps>),
}

/// A rising step function.
#[derive(Clone, Debug, Default)]
pub struct Steps {
    /// Where steps begin, rising.
    pub at: Vec<f64>,
    /// Values from there on.
    pub value: Vec<f64>,
}

impl Steps {
    /// The rising function that is nearest to these pairs, by pooling neighbours that fall.
    fn fit(mut pairs: Vec<(f64, f64)>) -> Steps {
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        // (first place, sum, count) of each pool.
        let mut pools: Vec<(f64, f64, f64)> = vec![];
        for (x, y) in pairs {
            match pools.last_mut() {
                Some(last) if last.0 == x => (last.1, last.2) = (last.1 + y, last.2 + 1.0),
                _ => pools.push((x, y, 1.0)),
            }
        }
        let mut risen: Vec<(f64, f64, f64)> = vec![];
        for pool in pools {
            risen.push(pool);
            while let [.., a, b] = risen[..]
                && a.1 / a.2 >= b.1 / b.2
            {
                risen.truncate(risen.len() - 2);
                risen.push((a.0, a.1 + b.1, a.2 + b.2));
            }
        }
        Steps { at: risen.iter().map(|p| p.0).collect(), value: risen.iter().map(|p| p.1 / p.2).collect() }
    }

    fn of(&self, x: f64) -> f64 {
        let after = self.at.partition_point(|a| *a <= x);
        self.value.get(after.saturating_sub(1)).copied().unwrap_or(0.0)
    }
}

impl Calibration {
    /// One temperature: the one that makes the labels likeliest.
    ///
    /// # Errors
    /// When shapes do not fit or a label is none of the classes.
    pub fn temperature(logits: &Tensor, labels: &Tensor) -> Result<Calibration> {
        let mut values = vec![];
        let rows = rows(logits, labels, &mut values)?;
        // The likelihood has one peak over 1/t, where mean logit of the labels and mean expected logit are equal.
        let slope = |inverse: f64| {
            let of = |(row, label): &(&[f32], usize)| {
                let p = softmax(row.iter().map(|z| f64::from(*z) * inverse));
                f64::from(row[*label]) - row.iter().zip(p).map(|(z, p)| f64::from(*z) * p).sum::<f64>()
            };
            rows.iter().map(of).sum::<f64>()
        };
        let (mut low, mut high) = (-10.0f64, 10.0f64);
        for _ in 0..100 {
            let middle = (low + high) / 2.0;
            if slope(middle.exp()) > 0.0 { low = middle } else { high = middle }
        }
        Ok(Calibration::Temperature((-low).exp()))
    }

    /// A factor and a summand for each class, by gradient ascent with Adam on the likelihood.
    ///
    /// # Errors
    /// When shapes do not fit or a label is none of the classes.
    pub fn vector(logits: &Tensor, labels: &Tensor) -> Result<Calibration> {
        let mut values = vec![];
        let rows = rows(logits, labels, &mut values)?;
        let k = rows.first().map_or(0, |r| r.0.len());
        let mut parameters: Vec<f64> = (0..2 * k).map(|i| if i < k { 1.0 } else { 0.0 }).collect();
        let (mut m, mut v) = (vec![0.0; 2 * k], vec![0.0; 2 * k]);
        for step in 1..=1500 {
            let mut g = vec![0.0; 2 * k];
            for (row, label) in &rows {
                let p = softmax((0..k).map(|i| parameters[i] * f64::from(row[i]) + parameters[k + i]));
                for (i, p) in p.into_iter().enumerate() {
                    let d = f64::from(u8::from(i == *label)) - p;
                    g[i] += d * f64::from(row[i]);
                    g[k + i] += d;
                }
            }
            let rate = 0.05 / (1.0 + f64::from(step) / 300.0);
            for (i, g) in g.into_iter().enumerate() {
                let g = g / rows.len() as f64;
                (m[i], v[i]) = (0.9 * m[i] + 0.1 * g, 0.999 * v[i] + 0.001 * g * g);
                let (m, v) = (m[i] / (1.0 - 0.9f64.powi(step)), v[i] / (1.0 - 0.999f64.powi(step)));
                parameters[i] += rate * m / (v.sqrt() + 1e-10);
            }
        }
        let b = parameters.split_off(k);
        Ok(Calibration::Vector { w: parameters, b })
    }

    /// A step function for each class.
    ///
    /// # Errors
    /// When shapes do not fit or a label is none of the classes.
    pub fn isotonic(logits: &Tensor, labels: &Tensor) -> Result<Calibration> {
        let mut values = vec![];
        let rows = rows(logits, labels, &mut values)?;
        let k = rows.first().map_or(0, |r| r.0.len());
        let p: Vec<Vec<f64>> =
            rows.iter().map(|(row, _)| softmax(row.iter().map(|z| f64::from(*z)))).collect();
        let of = |class: usize| {
            let pairs =
                p.iter().zip(&rows).map(|(p, (_, label))| (p[class], f64::from(u8::from(*label == class))));
            Steps::fit(pairs.collect())
        };
        Ok(Calibration::Isotonic((0..k).map(of).collect()))
    }

    /// Probabilities, `[samples, classes]`, of logits.
    ///
    /// # Errors
    /// When the logits have another number of classes.
    pub fn probabilities(&self, logits: &Tensor) -> Result<Tensor> {
        let k = logits.shape().get(1).copied().unwrap_or(0);
        let known = match self {
            Calibration::Temperature(_) => k,
            Calibration::Vector { w, .. } => w.len(),
            Calibration::Isotonic(steps) => steps.len(),
        };
        if logits.rank() != 2 || known != k {
            return Err(Error::new(format!("logits of shape {:?}", logits.shape()))
                .expected(format!("[samples, {known}]")));
        }
        let of = |row: &[f32]| -> Vec<f64> {
            let z = row.iter().map(|z| f64::from(*z));
            match self {
                Calibration::Temperature(t) => softmax(z.map(|z| z / t)),
                Calibration::Vector { w, b } => softmax(z.zip(w).zip(b).map(|((z, w), b)| w * z + b)),
                Calibration::Isotonic(steps) => {
                    let p: Vec<f64> = softmax(z).into_iter().zip(steps).map(|(p, s)| s.of(p)).collect();
                    let sum: f64 = p.iter().sum();
                    p.iter().map(|p| if sum > 0.0 { p / sum } else { 1.0 / k as f64 }).collect()
                }
            }
        };
        let all =
            logits.to_vec::<f32>().chunks(k.max(1)).flat_map(of).map(|p| p as f32).collect::<Vec<f32>>();
        Tensor::new(logits.shape().to_vec(), all)
    }
}
