//! [`Objective`]: what `compile` asked for, output by output.

use super::Compile;
use super::figures::What;
use rhyton_nn::choice::Choice;
use rhyton_nn::losses::{
    BinaryCrossentropy, CategoricalCrossentropy, Loss, LossRef, SparseCategoricalCrossentropy,
};
use rhyton_nn::metrics::{self, Metric, MetricRef};

use rhyton_graph::Type;
use rhyton_tensor::{Error, Problem, Result, limits};
use std::collections::HashMap;
use std::sync::Arc;

/// What is wanted of one output.
pub(crate) struct Goal {
    /// Name of the output.
    pub(crate) name: String,
    /// Its loss.
    pub(crate) loss: Option<GoalLoss>,
    /// The loss's factor in the sum, where one was given.
    pub(crate) weight: Option<f64>,
    metrics: Vec<Choice<dyn Metric>>,
    weighted: Vec<Choice<dyn Metric>>,
}

/// A loss, or the crossentropy that fits the shapes.
pub(crate) enum GoalLoss {
    Known(Arc<dyn Loss>),
    Crossentropy,
}

/// The goals of all outputs.
pub(crate) struct Objective {
    pub(crate) goals: Vec<Goal>,
}

fn keep<T>(problems: &mut Vec<Problem>, result: Result<T>) -> Option<T> {
    result.map_err(|e| problems.extend(e.problems)).ok()
}

impl Objective {
    /// The goals of these outputs; everything that is wrong goes to `problems`.
    pub(crate) fn new(compile: &Compile, outputs: &[String], problems: &mut Vec<Problem>) -> Objective {
        let losses = keep(problems, compile.loss.spread("loss", outputs)).unwrap_or_default();
        let weights =
            keep(problems, compile.loss_weights.spread("loss_weights", outputs)).unwrap_or_default();
        let metrics = keep(problems, compile.metrics.spread("metrics", outputs)).unwrap_or_default();
        let weighted = keep(problems, compile.weighted_metrics.spread("weighted_metrics", outputs));
        let weighted = weighted.unwrap_or_default();
        let asked: usize = metrics.iter().chain(&weighted).map(Vec::len).sum();
        let few = || format!("{asked} metrics are asked for");
        keep(problems, limits::METRICS.check(asked as u64, few).map_err(|e| e.place("compile")));
        if compile.train_step.is_none() && losses.iter().all(Vec::is_empty) && problems.is_empty() {
            problems.extend(
                Error::new("the model has no loss to train with")
                    .place("compile")
                    .fix("give a loss, for example \"mse\" or \"sparse_categorical_crossentropy\"")
                    .problems,
            );
        }
        let of = |list: &[Vec<&Choice<dyn Metric>>], i: usize| -> Vec<Choice<dyn Metric>> {
            list.get(i).map(|v| v.iter().map(|c| (*c).clone()).collect()).unwrap_or_default()
        };
        let goal = |(i, name): (usize, &String)| {
            let wanted = losses.get(i).map_or(&[][..], Vec::as_slice);
            if wanted.len() > 1 {
                let e = Error::new(format!("the output '{name}' got {} losses", wanted.len()));
                problems.extend(e.place("compile").expected("one loss for each output").problems);
            }
            let loss = wanted.first().and_then(|c| keep(problems, goal_loss(c)));
            let (metrics, weighted) = (of(&metrics, i), of(&weighted, i));
            for m in metrics.iter().chain(&weighted) {
                keep(problems, known(m));
            }
            let weight = weights.get(i).and_then(|w| w.first().map(|w| **w));
            Goal { name: name.clone(), loss, weight, metrics, weighted }
        };
        Objective { goals: outputs.iter().enumerate().map(goal).collect() }
    }

    /// Whether an output needs targets.
    pub(crate) fn needs_target(&self, output: usize) -> bool {
        self.goals
            .get(output)
            .is_some_and(|g| g.loss.is_some() || !g.metrics.is_empty() || !g.weighted.is_empty())
    }

    /// The figures to count, for targets and predictions of these types, in the order of `evaluate`'s results.
    pub(crate) fn figures(&self, targets: &[Option<Type>], outputs: &[Type]) -> Result<Vec<(String, What)>> {
        let mut figures = vec![("loss".to_string(), What::Loss)];
        let several = self.goals.len() > 1;
        if self.goals.iter().filter(|g| g.loss.is_some()).count() > 1 {
            for (i, g) in self.goals.iter().enumerate().filter(|(_, g)| g.loss.is_some()) {
                figures.push((format!("{}_loss", g.name), What::OutputLoss(i)));
            }
        }
        let losses = figures.iter().skip(1).map(|(name, _)| (name.clone(), 0));
        let mut names = Names(losses.collect());
        for weighted in [false, true] {
            for (output, g) in self.goals.iter().enumerate() {
                let (Some(Some(y)), Some(p)) = (targets.get(output), outputs.get(output)) else { continue };
                for choice in if weighted { &g.weighted } else { &g.metrics } {
                    let metric = resolve(choice, y, p)?;
                    let prefix = if several { format!("{}_", g.name) } else { String::new() };
                    let name = names.unique(&prefix, &metric.name(), weighted);
                    figures.push((name, What::Metric { output, metric, weighted }));
                }
            }
        }
        Ok(figures)
    }
}

/// The names of figures that are taken; for each, the number of the last copy made of it.
struct Names(HashMap<String, usize>);

impl Names {
    /// Keras's way out of equal names: `mae`, then `weighted_mae` for a weighted one, then `mae_1`.
    fn unique(&mut self, prefix: &str, name: &str, weighted: bool) -> String {
        let mut full = format!("{prefix}{name}");
        if weighted && self.0.contains_key(&full) {
            full = format!("{prefix}weighted_{name}");
        }
        let mut n = self.0.get(&full).copied().unwrap_or(0);
        let mut candidate = full.clone();
        while self.0.contains_key(&candidate) {
            n += 1;
            candidate = format!("{full}_{n}");
        }
        self.0.insert(full, n);
        self.0.entry(candidate.clone()).or_insert(0);
        candidate
    }
}

fn is_crossentropy(name: &str) -> bool {
    matches!(name.to_lowercase().as_str(), "crossentropy" | "ce")
}

fn goal_loss(choice: &Choice<dyn Loss>) -> Result<GoalLoss> {
    match choice {
        Choice::Named(name) if is_crossentropy(name) => Ok(GoalLoss::Crossentropy),
        Choice::Named(name) => Ok(GoalLoss::Known(LossRef::named(name)?.get()?.clone())),
        Choice::Object(loss) => Ok(GoalLoss::Known(loss.get()?.clone())),
    }
}

impl GoalLoss {
    /// The loss for targets and predictions of these types.
    pub(crate) fn get(&self, y: &Type, p: &Type) -> Arc<dyn Loss> {
        let single = |t: &Type| t.shape.last().is_some_and(|d| d.is(1));
        match self {
            GoalLoss::Known(loss) => loss.clone(),
            GoalLoss::Crossentropy if single(p) => Arc::new(BinaryCrossentropy::new()),
            GoalLoss::Crossentropy if y.shape.rank() < p.shape.rank() || single(y) => {
                Arc::new(SparseCategoricalCrossentropy::new())
            }
            GoalLoss::Crossentropy => Arc::new(CategoricalCrossentropy::new()),
        }
    }
}

/// An error when no metric has this name, whatever the types.
fn known(choice: &Choice<dyn Metric>) -> Result<()> {
    let any = Type::f32([1]);
    resolve(choice, &any, &any).map(|_| ())
}

fn resolve(choice: &Choice<dyn Metric>, y: &Type, p: &Type) -> Result<Arc<dyn Metric>> {
    let handle: MetricRef = match choice {
        Choice::Named(name) => metrics::resolve(name, y, p)?,
        Choice::Object(o) => o.clone(),
    };
    handle.get().cloned()
}
