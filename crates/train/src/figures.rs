//! The figures that a compiled model keeps while it runs: losses, metrics, logs of a step of one's own.

use super::steps::StepKind;
use super::{Compiled, Logs};
use rhyton_nn::metrics::{Metric, mean_result, mean_start};
use rhyton_tensor::{Result, Tensor};
use std::sync::Arc;

/// A figure of a step. What it has counted so far lies in slots.
pub(crate) struct Figure {
    /// Its name in logs.
    pub(crate) name: String,
    pub(crate) what: What,
    pub(crate) slots: Vec<String>,
}

/// What a figure is of.
pub(crate) enum What {
    /// The whole loss, or what a step of the user's own logs.
    Loss,
    /// The loss of one output.
    OutputLoss(usize),
    /// A metric of one output, with or without sample weights.
    Metric { output: usize, metric: Arc<dyn Metric>, weighted: bool },
}

impl Compiled {
    pub(super) fn figures(&self, kind: StepKind) -> &[Figure] {
        &self.figures[kind as usize]
    }

    pub(super) fn set_figures(&mut self, kind: StepKind, figures: Vec<Figure>) {
        self.figures[kind as usize] = figures;
    }

    /// Sets all figures of a kind of step to their start: its logs begin.
    pub(crate) fn reset_figures(&mut self, kind: StepKind) -> Result<()> {
        self.counting = kind;
        if self.figures(kind).is_empty() {
            // Restored before any program said what figures there are: nothing of it is wanted.
            return self.model.values_mut().retain(|name| !name.starts_with(kind.prefix()));
        }
        let values = self.model.values_mut();
        for figure in &self.figures[kind as usize] {
            let start = match &figure.what {
                What::Metric { output, metric, .. } => metric.start(&self.outputs[*output])?,
                _ => mean_start()?,
            };
            figure.slots.iter().zip(&start).try_for_each(|(slot, start)| values.set(slot, start))?;
        }
        Ok(())
    }

    fn counted(&self, figure: &Figure) -> Vec<Tensor> {
        figure.slots.iter().filter_map(|slot| self.model.values().get(slot).ok()).collect()
    }

    /// The figures so far, in the order of `evaluate`'s results.
    pub(crate) fn logs(&self) -> Logs {
        let result = |f: &Figure| {
            let counted = self.counted(f);
            let value = match &f.what {
                What::Metric { metric, .. } => metric.result(&counted),
                _ => mean_result(&counted),
            };
            (f.name.clone(), value)
        };
        self.figures(self.counting).iter().map(result).collect()
    }

    /// Whether this figure is the loss of one output.
    pub(crate) fn is_output_loss(&self, name: &str) -> bool {
        let mut figures = self.figures(self.counting).iter();
        figures.any(|f| f.name == name && matches!(f.what, What::OutputLoss(_)))
    }

    /// Whether the total of every loss so far is finite; it is not as soon as one was not.
    pub(crate) fn losses_are_finite(&self) -> bool {
        let totals = self.figures(self.counting).iter().filter(|f| matches!(f.what, What::Loss));
        let total = |f: &Figure| self.model.values().get(f.slots.first()?).ok();
        totals.filter_map(total).all(|t| t.data().get_f64(0).is_finite())
    }

    /// Whether larger values of this figure are better, where that is known.
    pub fn larger_is_better(&self, name: &str) -> Option<bool> {
        let name = name.strip_prefix("val_").unwrap_or(name);
        let figure = self.figures.iter().flatten().find(|f| f.name == name)?;
        match &figure.what {
            What::Metric { metric, .. } => metric.larger_is_better(),
            _ => Some(false),
        }
    }
}
