//! How sure a model is: samples with dropout, and ensembles.

use rhyton_model::program::{Build, Values, joined};
use rhyton_model::{Model, Tensors};
use rhyton_tensor::{Error, Result, Tensor};

/// The mean of several predictions, and how far they are apart.
#[derive(Clone, Debug)]
pub struct Spread {
    /// The mean, like one prediction.
    pub mean: Tensor,
    /// The standard deviation of each number.
    pub deviation: Tensor,
}

/// The mean and spread of predictions of equal shape: a deep ensemble's (Lakshminarayanan, Pritzel, Blundell 2017).
///
/// # Errors
/// When there are none, or their shapes differ.
pub fn spread(predictions: &[Tensor]) -> Result<Spread> {
    let shape = predictions.first().ok_or_else(|| Error::new("there are no predictions"))?.shape().to_vec();
    if let Some(other) = predictions.iter().find(|p| p.shape() != shape) {
        return Err(Error::new(format!("a prediction of shape {:?}", other.shape()))
            .expected(format!("{shape:?}, as the first")));
    }
    let (mut sums, mut squares) = (vec![0f64; predictions[0].len()], vec![0f64; predictions[0].len()]);
    for p in predictions {
        for ((sum, square), x) in sums.iter_mut().zip(&mut squares).zip(p.to_vec::<f64>()) {
            *sum += x;
            *square += x * x;
        }
    }
    let n = predictions.len() as f64;
    let mean: Vec<f32> = sums.iter().map(|s| (s / n) as f32).collect();
    let deviation =
        sums.iter().zip(&squares).map(|(s, q)| (q / n - (s / n) * (s / n)).max(0.0).sqrt() as f32);
    Ok(Spread {
        deviation: Tensor::new(shape.clone(), deviation.collect::<Vec<f32>>())?,
        mean: Tensor::new(shape, mean)?,
    })
}

/// The first outputs of an ensemble's models.
///
/// # Errors
/// When there are no models, or the inputs do not fit one.
pub fn ensemble(models: &[&Model], x: &Tensor) -> Result<Spread> {
    let each = models.iter().map(|m| Ok(m.predict_all(x, 128)?.swap_remove(0)));
    spread(&each.collect::<Result<Vec<Tensor>>>()?)
}

/// `times` predictions of the first output with layers as in training, so that dropout drops (Gal, Ghahramani 2016). The
/// model does not change.
///
/// # Errors
/// When the inputs do not fit the model.
pub fn monte_carlo_dropout<'a>(
    model: &Model,
    x: impl Into<Tensors<'a>>,
    times: usize,
    seed: u32,
) -> Result<Spread> {
    let inputs = model.check_inputs(x.into())?;
    let mut build = Build::new(&[model], true);
    let given = build.inputs_of(0);
    build.trust(&given);
    let output = build.call(0, &given).swap_remove(0);
    build.output("output", &output);
    build.check()?;
    let backend = model.backend()?;
    let mut values: Values = model.values().clone();
    build.fill(&mut values)?;
    values.set("key", &Tensor::vector(vec![seed as i32, 0]))?;
    let program = build.compile("dropout", &backend)?;
    let samples = inputs[0].shape()[0];
    let mut predictions = vec![];
    for _ in 0..times {
        let mut parts = vec![];
        for first in (0..samples).step_by(128) {
            let rows = first..samples.min(first + 128);
            let batch = inputs.iter().map(|t| t.slice_rows(rows.clone())).collect::<Result<Vec<_>>>()?;
            let mut results = vec![];
            program.run(&mut values, &batch, &mut results)?;
            parts.push(results);
        }
        predictions.push(joined(&parts)?.swap_remove(0));
    }
    spread(&predictions)
}

/// The entropy of each row of probabilities, in nats.
pub fn entropy(probabilities: &Tensor) -> Vec<f64> {
    let k = probabilities.shape().last().copied().unwrap_or(1).max(1);
    let of = |row: &[f64]| -row.iter().filter(|p| **p > 0.0).map(|p| p * p.ln()).sum::<f64>();
    probabilities.to_vec::<f64>().chunks(k).map(of).collect()
}
