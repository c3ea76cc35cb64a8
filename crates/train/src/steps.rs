//! The steps of a compiled model: traced and compiled when the first batch of its kind comes, then run.

use super::checks::targets_of;
use super::standard::{self, TrainStep};
use super::{Batch, Compiled};
use rhyton_graph::backend::LaunchTime;
use rhyton_graph::{Type, at_source};
use rhyton_model::program::Program;
use rhyton_tensor::{DType, Dim, Result, Tensor};

/// Which step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StepKind {
    /// Forward, backward, update.
    Train,
    /// Forward only.
    Test,
}

impl StepKind {
    /// How the names of its figures' slots begin.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            StepKind::Train => "train/",
            StepKind::Test => "test/",
        }
    }
}

/// Types of targets and sample weights; a program is compiled for each.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Signature {
    /// One for each output; `None` where no target is given.
    pub(crate) targets: Vec<Option<Type>>,
    /// None, one for all outputs, or one for each.
    pub(crate) weights: Vec<Type>,
}

/// A compiled step.
pub(super) struct Compilation {
    kind: StepKind,
    signature: Signature,
    program: Program,
    /// Whether the first result is a loss, and nothing changes where it is not finite.
    holds: bool,
}

/// The type of a target or weight beside an output: sizes that the model leaves open stay open.
pub(crate) fn beside(t: &Tensor, dtype: DType, output: Option<&Type>) -> Type {
    let open = |axis: usize| output.and_then(|o| o.shape.get(axis)).filter(|d| d.as_fixed().is_none());
    let sizes = t.shape().iter().enumerate().map(|(axis, n)| match open(axis) {
        Some(d) => d.clone(),
        None if axis == 0 => Dim::symbol("batch"),
        None => Dim::fixed(*n),
    });
    Type::new(dtype, sizes.collect::<Vec<Dim>>())
}

impl Signature {
    /// Whether a program for it takes this batch, judged by types and numbers of axes: the program itself checks sizes.
    fn fits(&self, batch: &Batch) -> bool {
        let like = |t: &Type, x: &Tensor| {
            let fits = |axis: usize, n: usize| t.shape[axis].as_fixed().is_none_or(|d| d == n);
            t.dtype == x.dtype()
                && t.shape.rank() == x.rank()
                && x.shape().iter().enumerate().all(|(axis, n)| fits(axis, *n))
        };
        let targets = self.targets.iter().flatten();
        let (y, w) = (batch.y(), batch.weights());
        targets.clone().count() == y.len()
            && self.weights.len() == w.len()
            && targets.zip(y).all(|(t, x)| like(t, x))
            && self.weights.iter().zip(w).all(|(t, x)| like(t, x))
    }
}

impl Compiled {
    /// Runs one step.
    pub(crate) fn step(&mut self, kind: StepKind, batch: &Batch) -> Result<()> {
        let at = match self.steps.iter().position(|s| s.kind == kind && s.signature.fits(batch)) {
            Some(at) => at,
            None => self.prepare(kind, batch)?,
        };
        let step = &self.steps[at];
        step.program.run(self.model.values_mut(), &batch.tensors, &mut self.results)?;
        let loss = self.results.first().filter(|_| step.holds);
        match loss.map(|t| t.data().get_f64(0)) {
            Some(loss) if !loss.is_finite() => self.go_on(loss, batch),
            _ => Ok(()),
        }
    }

    /// After a step that left all as it was, because its loss was not finite: finds out why, and does it again.
    fn go_on(&mut self, loss: f64, batch: &Batch) -> Result<()> {
        let value = if loss.is_nan() { "NaN" } else { "infinite" };
        self.finding = Some(format!("turned {value}, {}", self.first_not_finite(batch)?));
        self.hold(false);
        self.step(StepKind::Train, batch)
    }

    /// Whether training steps stop at a loss that is not finite, to find out why.
    pub(super) fn hold(&mut self, yes: bool) {
        if self.diverged == yes {
            self.diverged = !yes;
            self.steps.retain(|s| s.kind != StepKind::Train);
        }
    }

    /// Whether no step was done yet.
    pub(super) fn is_untried(&self) -> bool {
        self.steps.is_empty()
    }

    /// Compiles the program for batches like this one. What does not fit is blamed on the call of `compile`.
    pub(crate) fn prepare(&mut self, kind: StepKind, batch: &Batch) -> Result<usize> {
        if kind == StepKind::Train {
            self.check_trainable()?;
        }
        let source = self.arguments().source.clone();
        at_source(&source, || self.prepare_here(kind, batch))
    }

    fn prepare_here(&mut self, kind: StepKind, batch: &Batch) -> Result<usize> {
        let signature = self.signature(batch)?;
        let (build, figures) = self.traced(kind, &signature).end();
        build.fill(self.model.values_mut())?;
        let backend = self.model.backend()?;
        let holds = kind == StepKind::Train && !self.diverged && build.minimizes();
        let program = match kind {
            StepKind::Train => build.compile_step("train_step", holds, &backend),
            StepKind::Test => build.compile("test_step", &backend),
        };
        let program = program.map_err(|e| e.source(&self.arguments().source))?;
        if self.figures(kind).is_empty() {
            self.set_figures(kind, figures);
        }
        self.steps.push(Compilation { kind, signature, program, holds });
        Ok(self.steps.len() - 1)
    }

    /// The step as it is before it is compiled.
    pub(super) fn traced(&self, kind: StepKind, signature: &Signature) -> TrainStep<'_> {
        let mut step = TrainStep::new(self, kind, signature);
        match (kind, &self.arguments().train_step) {
            (StepKind::Train, Some(body)) => (body.0)(&mut step),
            (StepKind::Train, None) => standard::train(&mut step),
            (StepKind::Test, _) => standard::test(&mut step),
        }
        step
    }

    pub(super) fn signature(&self, batch: &Batch) -> Result<Signature> {
        let given = targets_of(batch.y().len(), &self.objective)?;
        let of = |(y, output): (&Option<usize>, &Type)| {
            y.and_then(|i| batch.y().get(i)).map(|t| beside(t, t.dtype(), Some(output)))
        };
        let targets = given.iter().zip(&self.outputs).map(of).collect();
        let weights = batch.weights().iter().enumerate();
        let weights = weights.map(|(i, w)| beside(w, DType::F32, self.outputs.get(i))).collect();
        Ok(Signature { targets, weights })
    }

    /// Starts (afresh) or stops measuring every launch of the training steps compiled so far.
    pub fn profile(&mut self, on: bool) {
        self.training_programs().for_each(|p| p.profile(on));
    }

    /// The measurements of the training steps since the last call, in the order of the launches.
    pub fn take_profile(&mut self) -> Vec<LaunchTime> {
        self.training_programs().flat_map(Program::take_profile).collect()
    }

    fn training_programs(&self) -> impl Iterator<Item = &Program> {
        self.steps.iter().filter(|s| s.kind == StepKind::Train).map(|s| &s.program)
    }
}
