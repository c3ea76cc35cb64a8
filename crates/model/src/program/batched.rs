//! A program over any number of samples: slice, run, join.

use super::{Program, Values};
use rhyton_tensor::{Error, Result, Tensor, memory};
use std::ops::Range;

impl Program {
    /// Every output for all samples of `inputs`, computed `batch_size` at a time. Outputs are joined along their
    /// first axis.
    ///
    /// # Errors
    /// When `batch_size` is 0, inputs have different numbers of samples, or the program cannot run on them; also when
    /// it changes values.
    pub fn over(&self, values: &Values, inputs: &[&Tensor], batch_size: usize) -> Result<Vec<Tensor>> {
        if batch_size == 0 {
            return Err(Error::new("batch_size=0").expected("at least 1"));
        }
        let samples = samples(inputs)?;
        self.over_samples(values, inputs.iter().map(|t| (*t).clone()).collect(), samples, batch_size)
    }

    /// The same for inputs that have `samples` samples each.
    pub fn over_samples(
        &self,
        values: &Values,
        inputs: Vec<Tensor>,
        samples: usize,
        batch_size: usize,
    ) -> Result<Vec<Tensor>> {
        if samples <= batch_size {
            return self.over_batch(values, &inputs);
        }
        let mut parts: Vec<Vec<Tensor>> = vec![];
        for start in (0..samples).step_by(batch_size) {
            let out = self.over_rows(values, &inputs, start..samples.min(start + batch_size))?;
            if parts.is_empty() {
                fits_all(&out, samples)?;
            }
            parts.push(out);
        }
        joined(&parts)
    }

    /// The same for these samples only, in one run.
    pub fn over_rows(&self, values: &Values, inputs: &[Tensor], rows: Range<usize>) -> Result<Vec<Tensor>> {
        let batch = inputs.iter().map(|t| t.slice_rows(rows.clone())).collect::<Result<Vec<_>>>()?;
        self.over_batch(values, &batch)
    }

    fn over_batch(&self, values: &Values, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let mut out = vec![];
        self.infer(values, inputs, &mut out)?;
        Ok(out)
    }
}

fn samples(inputs: &[&Tensor]) -> Result<usize> {
    let of = |t: &Tensor| t.shape().first().copied().unwrap_or(1);
    let first = inputs.first().map_or(1, |t| of(t));
    match inputs.iter().find(|t| of(t) != first) {
        Some(other) => Err(Error::new(format!("{} samples, but the first input has {first}", of(other)))),
        None => Ok(first),
    }
}

/// The outputs of one batch after the other, as those of all samples.
///
/// # Errors
/// When they do not fit each other or into memory.
pub fn joined(parts: &[Vec<Tensor>]) -> Result<Vec<Tensor>> {
    let outputs = parts.first().map_or(0, Vec::len);
    let of = |o: usize| Tensor::concat_rows(&parts.iter().map(|p| p[o].clone()).collect::<Vec<_>>());
    (0..outputs).map(of).collect()
}

/// Whether there is memory for the outputs of all `n` samples, in parts and joined, when those of a batch are these.
fn fits_all(batch: &[Tensor], n: usize) -> Result<()> {
    let all = |t: &Tensor| {
        let rows = t.shape().first().copied().unwrap_or(1).max(1);
        t.data().bytes().div_ceil(rows).saturating_mul(n)
    };
    let bytes = batch.iter().fold(0usize, |sum, t| sum.saturating_add(all(t)));
    memory::fits(bytes.saturating_mul(2)).map_err(|e| {
        e.place(format!("the outputs of {n} samples"))
            .fix("predict fewer samples at once, or allow more memory")
    })
}
