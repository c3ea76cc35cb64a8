//! [`Runner`]: a program over a scene, for any number of samples.

use crate::features::at_least_one;
use rhyton_model::program::{Program, Values, class_labels};
use rhyton_model::{Model, Tensors};
use rhyton_tensor::{Error, Result, Tensor};

/// A program that takes a model's inputs, labels where they choose the score, and arrays with a row for each sample.
pub(crate) struct Runner<'m> {
    pub model: &'m Model,
    pub program: Program,
    pub labelled: bool,
    pub classes: usize,
    pub batch_size: usize,
    pub per_sample: Vec<(String, Tensor)>,
}

impl Runner<'_> {
    /// The results for all samples, joined along their first axis.
    ///
    /// # Errors
    /// When the inputs do not fit the model, labels are missing, or one is none of the classes.
    pub fn run(&self, x: Tensors<'_>, labels: Option<&Tensor>) -> Result<Vec<Tensor>> {
        self.run_with(self.model.values(), x, labels)
    }

    /// The same with other weights.
    pub fn run_with(&self, values: &Values, x: Tensors<'_>, labels: Option<&Tensor>) -> Result<Vec<Tensor>> {
        at_least_one("batch_size", self.batch_size)?;
        let mut inputs = self.model.check_inputs(x)?;
        let samples = inputs[0].shape()[0];
        if self.labelled {
            let labels = labels.ok_or_else(|| {
                Error::new("the class of each sample is to be explained, and no labels are given")
            })?;
            inputs.push(class_labels(labels, samples, self.classes)?);
        }
        for (name, array) in &self.per_sample {
            if array.shape()[0] != samples {
                return Err(Error::new(format!("the array '{name}' holds {} samples", array.shape()[0]))
                    .expected(format!("1, or {samples} like the data")));
            }
            inputs.push(array.clone());
        }
        self.program.over_samples(values, inputs, samples, self.batch_size)
    }
}
