//! [`Feed`]: batches epoch by epoch, as Keras deals them out.

use super::Batches;
use super::Compiled;
use super::checks::check_samples;
use super::data::{SampleBatches, Samples, Source};
use super::objective::Objective;
use super::steps::StepKind;
use rhyton_tensor::{DType, Error, Result, Tensor, memory};
use std::ops::Range;

/// Batches with the place where the last epoch ended: when an epoch has fewer steps than the data, the next one goes
/// on where it stopped.
pub(crate) struct Feed<'d> {
    pub(crate) batches: Box<dyn Batches + 'd>,
    /// Batches come from the user and are checked one by one.
    pub(crate) foreign: bool,
    /// Steps of an epoch, where they are not the length of the data.
    pub(crate) steps: Option<usize>,
    /// The pass over the data.
    pub(crate) pass: usize,
    /// Batches of this pass that were dealt out.
    pub(crate) seen: usize,
    begun: bool,
}

impl<'d> Feed<'d> {
    pub(crate) fn new(batches: Box<dyn Batches + 'd>, foreign: bool, steps: Option<usize>) -> Feed<'d> {
        Feed { batches, foreign, steps, pass: 0, seen: 0, begun: false }
    }

    /// Over samples in memory or whatever the user gave, in order.
    pub(crate) fn in_order(
        source: Source<'d>,
        model: &Compiled,
        batch_size: usize,
        steps: Option<usize>,
    ) -> Result<Feed<'d>> {
        match source {
            Source::Batches(b) => Ok(Feed::new(b, true, steps)),
            Source::Samples(s) => {
                let checked = check_samples(&s, model, &model.objective, model.output_types())?;
                let all = 0..checked.len();
                Feed::over(&checked, model, all, batch_size, None)
                    .map(|b| Feed::new(Box::new(b), false, steps))
            }
        }
    }

    /// Batches of checked samples.
    pub(crate) fn over(
        samples: &Samples,
        model: &Compiled,
        rows: Range<usize>,
        batch_size: usize,
        shuffle: Option<u64>,
    ) -> Result<SampleBatches> {
        let types: Vec<DType> = model.definition().input_types.iter().map(|t| t.dtype).collect();
        SampleBatches::new(samples, &types, rows, batch_size, shuffle)
    }

    /// Steps of an epoch, where known.
    pub(crate) fn steps(&self) -> Option<usize> {
        self.steps.or(self.batches.len())
    }

    /// Before an epoch.
    pub(crate) fn begin_epoch(&mut self) -> Result<()> {
        if !self.begun {
            self.batches.start(self.pass)?;
            (self.seen, self.begun) = (0, true);
        }
        Ok(())
    }

    /// Whether the epoch has a step number `step`, from 0, as far as is known.
    pub(crate) fn has_step(&self, step: usize) -> bool {
        let over = self.batches.len().is_some_and(|n| self.seen >= n);
        !over && self.steps().is_none_or(|n| step < n)
    }

    /// After an epoch, of which nothing came when the data `ended`.
    pub(crate) fn end_epoch(&mut self, ended: bool) {
        let over = ended || self.batches.len().is_some_and(|n| self.seen >= n);
        if over || self.steps.is_none() {
            self.pass += 1;
            self.begun = false;
        }
    }

    /// The pass, and the batches of it that were dealt out.
    pub(crate) fn place(&self) -> (usize, usize) {
        if self.begun { (self.pass, self.seen) } else { (self.pass, 0) }
    }

    /// Goes to a place that an earlier run reached. The first batch of the pass tells the model which figures to keep:
    /// there may be no step left in this epoch that would.
    pub(crate) fn go_to(&mut self, pass: usize, seen: usize, model: &mut Compiled) -> Result<()> {
        self.pass = pass;
        self.batches.start(pass)?;
        let Some(batch) = self.batches.next()? else { return Err(empty("fit")) };
        let conformed = if self.foreign { model.conform(batch)? } else { None };
        model.prepare(StepKind::Train, conformed.as_ref().unwrap_or(batch))?;
        if seen > 0 {
            self.batches.start(pass)?;
            self.batches.skip(seen)?;
            (self.seen, self.begun) = (seen, true);
        }
        Ok(())
    }
}

/// The error of data without a single batch.
pub(crate) fn empty(what: &str) -> Error {
    Error::new("the data has no batches").place(what).fix("pass at least one sample")
}

/// Sample weights from class weights, by the classes of single-output targets.
///
/// # Errors
/// When the model has several outputs, sample weights are there as well, or targets have several axes.
pub(crate) fn weigh_classes(
    samples: &mut Samples,
    weights: &[(i64, f64)],
    objective: &Objective,
) -> Result<()> {
    let wrong = |what: &str| Err(Error::new(what.to_string()).place("class_weight"));
    if objective.goals.len() > 1 {
        return wrong("class weights need a model with a single output")
            .map_err(|e: Error| e.expected("one output").fix("give sample weights for each output instead"));
    }
    if !samples.weights.is_empty() {
        return wrong("class weights and sample weights cannot both be given").map_err(|e: Error| {
            e.expected("one of them").fix("multiply the sample weights by the weights of the classes")
        });
    }
    if let Some((class, w)) = weights.iter().find(|(_, w)| !(w.is_finite() && *w >= 0.0)) {
        return wrong(&format!("the class {class} has the weight {w}")).map_err(|e| e.expected("at least 0"));
    }
    let Some(y) = samples.y.first() else { return Ok(()) };
    if y.rank() > 2 {
        return wrong(&format!("class weights do not fit targets of shape {:?}", y.shape()))
            .map_err(|e| e.expected("one label or one-hot vector for each sample"));
    }
    let weight = |c: i64| weights.iter().find(|(k, _)| *k == c).map_or(1.0, |(_, w)| *w as f32);
    let mut w = memory::room(y.shape().first().copied().unwrap_or(0))?;
    w.extend(classes_of(y).map(weight));
    samples.weights = vec![Tensor::vector(w)];
    Ok(())
}

/// The class of each sample, by its label or its largest score.
pub(crate) fn classes_of(y: &Tensor) -> impl Iterator<Item = i64> {
    let width = y.shape().iter().skip(1).product::<usize>().max(1);
    let class = move |row: usize| {
        let score = |i: usize| y.data().get_f64(row * width + i);
        let best = (0..width).map(score).fold(f64::NEG_INFINITY, f64::max);
        match width {
            1 => score(0).round() as i64,
            _ => (0..width).position(|i| score(i) == best).unwrap_or(0) as i64,
        }
    };
    (0..y.len() / width).map(class)
}
