//! Scores of classes, sample by sample: what explanations and attacks are about.

use rhyton_graph::Expr;
use rhyton_graph::named::{self, Named};
use rhyton_graph::ops::{Control, Op};
use rhyton_tensor::{Error, Result, Tensor};

/// What the last activation is applied to, where that turns scores into probabilities: softmax, sigmoid and their
/// logarithms. Another output is its own score.
pub fn logits(output: &Expr) -> Expr {
    let turns: [&Named; 4] = [&named::SOFTMAX, &named::LOG_SOFTMAX, &named::SIGMOID, &named::LOG_SIGMOID];
    match (output.op(), output.inputs()) {
        (Op::Control(Control::Call(f)), [x]) if f.named.is_some_and(|n| turns.contains(&n)) => x.clone(),
        _ => output.clone(),
    }
}

/// All axes but the first, which is that of the samples.
pub fn sample_axes(e: &Expr) -> Vec<usize> {
    (1..e.rank()).collect()
}

/// A number for each sample, `[batch]`, as a factor of values like `e`: `[batch, 1, ..]`.
pub fn per_sample(number: &Expr, e: &Expr) -> Expr {
    number.expand_dims(&sample_axes(e))
}

/// Labels as class numbers, int32 `[samples]`, from numbers or one-hot vectors.
///
/// # Errors
/// When their number does not fit or one is none of the classes.
pub fn class_labels(labels: &Tensor, samples: usize, classes: usize) -> Result<Tensor> {
    let misfit = || {
        Error::new(format!("labels of shape {:?} for {samples} samples of {classes} classes", labels.shape()))
            .expected(format!("[{samples}] class numbers, or [{samples}, {classes}] one-hot vectors"))
    };
    if labels.shape().first() != Some(&samples) {
        return Err(misfit());
    }
    let values = labels.to_vec::<f64>();
    let largest = |row: &[f64]| (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap_or(0) as f64;
    let numbers: Vec<f64> = match labels.len() / samples.max(1) {
        1 => values,
        n if n == classes && labels.rank() == 2 => values.chunks(classes).map(largest).collect(),
        _ => return Err(misfit()),
    };
    let fits = |x: &f64| x.fract() == 0.0 && (0.0..classes as f64).contains(x);
    match numbers.iter().position(|x| !fits(x)) {
        Some(i) => {
            Err(Error::new(format!("the label {} of sample {i} is none of the model's classes", numbers[i]))
                .expected(format!("whole numbers from 0 to {}", classes - 1)))
        }
        None => Ok(Tensor::vector(numbers.into_iter().map(|x| x as i32).collect::<Vec<i32>>())),
    }
}
