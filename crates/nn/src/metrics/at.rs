//! The best of one figure among the thresholds that reach another.

use super::auc::inner_thresholds;
use super::confusion::{ALL, Decisions, few_thresholds, numbers, ratio};
use super::{Metric, metric, zeros};
use rhyton_graph::{Expr, Type};
use rhyton_tensor::{Error, Result, Tensor};

fn thresholds(n: usize) -> Vec<f32> {
    if n < 2 {
        return vec![0.5];
    }
    let all = std::iter::once(0.0).chain(inner_thresholds(n)).chain([1.0]);
    all.map(|x| x as f32).collect()
}

/// Figures of counts (true positives, false positives, true negatives, false negatives).
type Figure = fn([f64; 4]) -> f64;
const PRECISION: Figure = |[tp, fp, _, _]| ratio(tp, tp + fp);
const RECALL: Figure = |[tp, _, _, fne]| ratio(tp, tp + fne);
const SPECIFICITY: Figure = |[_, fp, tn, _]| ratio(tn, tn + fp);

macro_rules! at {
    ($($(#[$meta:meta])* $class:ident($name:literal) { $given:ident : $figure:ident } => $best:ident;)*) => { $(
        metric! {
            $(#[$meta])*
            pub struct $class($name) {
                /// Only this class.
                class_id: Option<usize> = None,
                /// Number of thresholds, evenly from 0 to 1.
                num_thresholds: usize = 200,
                /// What a threshold must reach, between 0 and 1.
                $given: f64 = 0.5,
            }
        }

        impl Metric for $class {
            fn name(&self) -> String {
                self.name.clone()
            }
            fn start(&self, _: &Type) -> Result<Vec<Tensor>> {
                zeros(&[&[thresholds(self.num_thresholds).len()][..]; 4])
            }
            fn update(&self, state: &[Expr], t: &Expr, p: &Expr, weight: Option<&Expr>) -> Vec<Expr> {
                let (thresholds, class_id) = (&thresholds(self.num_thresholds)[..], self.class_id);
                Decisions { thresholds, class_id, ..Decisions::default() }.update(&ALL, state, t, p, weight)
            }
            fn result(&self, state: &[Tensor]) -> f64 {
                best(state, |c| $figure(c) >= self.$given, $best)
            }
            fn larger_is_better(&self) -> Option<bool> {
                Some(true)
            }
            fn check(&self) -> Result<()> {
                if (0.0..=1.0).contains(&self.$given) && self.num_thresholds > 0 {
                    return few_thresholds(stringify!($class), self.num_thresholds);
                }
                let got = format!(
                    "{}={} and num_thresholds={}",
                    stringify!($given), self.$given, self.num_thresholds
                );
                Err(Error::new(format!("{} got {got}", stringify!($class)))
                    .expected(concat!(stringify!($given), " between 0 and 1, and at least one threshold")))
            }
        }
    )* };
}

fn best(state: &[Tensor], reaches: impl Fn([f64; 4]) -> bool, figure: Figure) -> f64 {
    let all: Vec<Vec<f64>> = (0..4).map(|i| numbers(state, i)).collect();
    let n = all.iter().map(Vec::len).min().unwrap_or(0);
    (0..n)
        .map(|i| [all[0][i], all[1][i], all[2][i], all[3][i]])
        .filter(|c| reaches(*c))
        .map(figure)
        .fold(0.0, f64::max)
}

at! {
    /// The best precision among thresholds with at least this recall.
    PrecisionAtRecall("precision_at_recall") { recall: RECALL } => PRECISION;
    /// The best recall among thresholds with at least this precision.
    RecallAtPrecision("recall_at_precision") { precision: PRECISION } => RECALL;
    /// The best sensitivity among thresholds with at least this specificity.
    SensitivityAtSpecificity("sensitivity_at_specificity") { specificity: SPECIFICITY } => RECALL;
    /// The best specificity among thresholds with at least this sensitivity.
    SpecificityAtSensitivity("specificity_at_sensitivity") { sensitivity: RECALL } => SPECIFICITY;
}
