//! Prediction with progress and callbacks.

use super::evaluate::{BATCH_SIZE, Evaluate};
use super::progress::Progress;
use super::{Compiled, Logs};
use rhyton_model::Tensors;
use rhyton_model::program::joined;
use rhyton_tensor::{Error, Result, Tensor};

impl Compiled {
    /// Every output for all samples of `x`, with progress and callbacks. [`Model::predict`](rhyton_model::Model::predict)
    /// does the same in silence.
    ///
    /// # Errors
    /// When the inputs do not fit the model or hold NaN, or a callback fails.
    pub fn predict_with<'a, 'f>(
        &'f mut self,
        x: impl Into<Tensors<'a>>,
        how: Evaluate<'f>,
    ) -> Result<Vec<Tensor>> {
        how.check("predict")?;
        let x = self.check_inputs(x.into())?;
        let (n, size) = (x[0].shape()[0], how.batch_size.unwrap_or(BATCH_SIZE));
        let steps = n.div_ceil(size).min(how.steps.unwrap_or(usize::MAX));
        let mut run = how.run(self);
        let mut progress = Progress::begin(Some(steps), &mut run.cx.console);
        run.each(|c, cx| c.on_predict_begin(cx))?;
        let mut parts: Vec<Vec<Tensor>> = vec![];
        for step in 0..steps {
            run.each(|c, cx| c.on_predict_batch_begin(step, cx))?;
            let rows = step * size..n.min((step + 1) * size);
            // Checked above, all at once.
            let model = &*run.cx.model;
            parts.push(model.predictor()?.over_rows(model.values(), &x, rows)?);
            run.each(|c, cx| c.on_predict_batch_end(step, cx))?;
            progress.step(step + 1, &run.cx.console, Logs::default);
            run.go_on("prediction")?;
        }
        progress.finish(steps, &mut run.cx.console, &Logs::default());
        run.each(|c, cx| c.on_predict_end(cx))?;
        joined(&parts)
    }
}

impl Evaluate<'_> {
    /// Arguments that make no sense.
    pub(super) fn check(&self, place: &str) -> Result<()> {
        let counts = [("batch_size", self.batch_size), ("steps", self.steps)];
        match counts.iter().find(|(_, n)| *n == Some(0)) {
            Some((name, _)) => Err(Error::new(format!("{name}=0")).place(place).expected("at least 1")),
            None => Ok(()),
        }
    }
}
