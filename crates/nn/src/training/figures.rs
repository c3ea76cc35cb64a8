//! The figures that a compiled model keeps while it runs.

use super::objective::{Figure, What};
use super::{Compiled, Logs};
use crate::metrics::{mean_result, mean_start};
use rhyton_tensor::{Result, Tensor};

impl Compiled {
    /// The figures' tensors.
    pub(crate) fn figure_state(&self) -> &[Tensor] {
        &self.model.state()[self.figures_at()]
    }

    /// Replaces the figures' tensors, whatever there was: how training resumes within an epoch.
    pub(crate) fn set_figure_state(&mut self, tensors: Vec<Tensor>) {
        let at = self.figures_at();
        self.figure_tensors = tensors.len();
        self.model.state_mut().splice(at, tensors);
    }

    /// Sets all figures to their start.
    pub(crate) fn reset_figures(&mut self) -> Result<()> {
        let starts = self.figure_starts()?;
        let at = self.figures_at();
        if starts.len() == self.figure_tensors {
            for (slot, start) in self.model.state_mut()[at].iter_mut().zip(starts) {
                *slot = start;
            }
        } else {
            // Restored before any program said what figures there are: nothing of it is wanted.
            self.set_figure_state(vec![]);
        }
        Ok(())
    }

    pub(super) fn figure_starts(&self) -> Result<Vec<Tensor>> {
        let start = |f: &Figure| match &f.what {
            What::Metric { output, metric, .. } => metric.start(&self.outputs[*output]),
            _ => mean_start(),
        };
        Ok(self.figures.iter().map(start).collect::<Result<Vec<_>>>()?.concat())
    }

    /// The figures so far, in the order of `evaluate`'s results.
    pub(crate) fn logs(&self) -> Logs {
        let mut at = 0;
        let state = self.figure_state();
        let result = |f: &Figure| {
            let own = state.get(at..at + f.tensors).unwrap_or_default();
            at += f.tensors;
            let value = match &f.what {
                What::Metric { metric, .. } => metric.result(own),
                _ => mean_result(own),
            };
            (f.name.clone(), value)
        };
        self.figures.iter().map(result).collect()
    }

    /// Whether this figure is the loss of one output.
    pub(crate) fn is_output_loss(&self, name: &str) -> bool {
        self.figures.iter().any(|f| f.name == name && matches!(f.what, What::OutputLoss(_)))
    }

    /// The total of all losses so far: NaN or infinite as soon as one was.
    pub(crate) fn loss_total(&self) -> f64 {
        self.figure_state().first().filter(|t| !t.is_empty()).map_or(0.0, |t| t.data().get_f64(0))
    }

    /// Whether larger values of this figure are better, where that is known.
    pub fn larger_is_better(&self, name: &str) -> Option<bool> {
        let name = name.strip_prefix("val_").unwrap_or(name);
        let figure = self.figures.iter().find(|f| f.name == name)?;
        match &figure.what {
            What::Metric { metric, .. } => metric.larger_is_better(),
            _ => Some(false),
        }
    }
}
