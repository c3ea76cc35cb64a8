//! Precision, recall and the counts they are made of.

use super::confusion::{Count, Decisions, numbers, ratio};
use super::{Metric, metric, zeros};
use crate::object::Setting;
use rhyton_graph::{Expr, Type};
use rhyton_tensor::{Error, Result, Tensor};
use serde::{Deserialize, Serialize};

/// A threshold in a configuration: nothing, a number or a list of one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Thresholds {
    /// The usual one.
    #[default]
    Usual,
    /// A number.
    One(f64),
    /// A list.
    List(Vec<f64>),
}

impl Setting<Thresholds> for f64 {
    fn setting(self) -> Thresholds {
        Thresholds::One(self)
    }
}

impl Thresholds {
    fn single(&self, usual: f32) -> f32 {
        match self {
            Thresholds::Usual => usual,
            Thresholds::One(x) => *x as f32,
            Thresholds::List(list) => list.first().map_or(usual, |x| *x as f32),
        }
    }

    fn check(&self, class: &str) -> Result<()> {
        match self {
            Thresholds::List(list) if list.len() != 1 => {
                Err(Error::new(format!("{class} got {} thresholds", list.len()))
                    .expected("one threshold")
                    .fix("add one metric for each threshold, each with a name of its own"))
            }
            _ => Ok(()),
        }
    }
}

macro_rules! counts {
    ($($(#[$meta:meta])* $class:ident($name:literal);)*) => { $(
        metric! {
            $(#[$meta])*
            pub struct $class($name) {
                /// Larger predictions are a yes; 0.5 when nothing is set.
                thresholds: Thresholds = Thresholds::Usual,
            }
        }

        impl Metric for $class {
            fn name(&self) -> String {
                self.name.clone()
            }
            fn start(&self, _: &Type) -> Result<Vec<Tensor>> {
                zeros(&[&[1]])
            }
            fn update(&self, state: &[Expr], t: &Expr, p: &Expr, weight: Option<&Expr>) -> Vec<Expr> {
                let thresholds = &[self.thresholds.single(0.5)];
                Decisions { thresholds, ..Decisions::default() }.update(&[Count::$class], state, t, p, weight)
            }
            fn result(&self, state: &[Tensor]) -> f64 {
                numbers(state, 0).first().copied().unwrap_or(0.0)
            }
            fn check(&self) -> Result<()> {
                self.thresholds.check(stringify!($class))
            }
        }
    )* };
}

counts! {
    /// Number of targets 1 that are predicted.
    TruePositives("true_positives");
    /// Number of targets 0 that are predicted as 1.
    FalsePositives("false_positives");
    /// Number of targets 0 that are not predicted as 1.
    TrueNegatives("true_negatives");
    /// Number of targets 1 that are not predicted.
    FalseNegatives("false_negatives");
}

macro_rules! parts {
    ($($(#[$meta:meta])* $class:ident($name:literal) over $other:ident;)*) => { $(
        metric! {
            $(#[$meta])*
            pub struct $class($name) {
                /// Larger predictions are a yes; 0.5 when nothing is set.
                thresholds: Thresholds = Thresholds::Usual,
                /// Only the largest scores of each sample can be a yes.
                top_k: Option<usize> = None,
                /// Only this class.
                class_id: Option<usize> = None,
            }
        }

        impl Metric for $class {
            fn name(&self) -> String {
                self.name.clone()
            }
            fn start(&self, _: &Type) -> Result<Vec<Tensor>> {
                zeros(&[&[1], &[1]])
            }
            fn update(&self, state: &[Expr], t: &Expr, p: &Expr, weight: Option<&Expr>) -> Vec<Expr> {
                // Among the best, any score is a yes.
                let usual = if self.top_k.is_some() { -1e10 } else { 0.5 };
                let thresholds = &[self.thresholds.single(usual)];
                let (top_k, class_id) = (self.top_k, self.class_id);
                Decisions { thresholds, top_k, class_id, ..Decisions::default() }.update(
                    &[Count::TruePositives, Count::$other],
                    state,
                    t,
                    p,
                    weight,
                )
            }
            fn result(&self, state: &[Tensor]) -> f64 {
                let at = |i| numbers(state, i).first().copied().unwrap_or(0.0);
                ratio(at(0), at(0) + at(1))
            }
            fn larger_is_better(&self) -> Option<bool> {
                Some(true)
            }
            fn check(&self) -> Result<()> {
                self.thresholds.check(stringify!($class))
            }
        }
    )* };
}

parts! {
    /// Part of what is predicted as 1 that is 1.
    Precision("precision") over FalsePositives;
    /// Part of the targets 1 that are predicted.
    Recall("recall") over FalseNegatives;
}
