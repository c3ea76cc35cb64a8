//! [`Baseline`]: what an explanation compares with.

use rhyton_nn::Setting;
use serde::{Deserialize, Serialize};

/// Inputs that stand for "nothing there".
///
/// An array given by name ([`Explainer::array`](crate::Explainer::array)) holds one sample for all, `[..]` or
/// `[1, ..]`, or a sample of its own for each. A model of several inputs has the arrays `name0`, `name1`, ..
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Baseline {
    /// This number everywhere.
    Value(f64),
    /// The array of this name.
    Array(String),
}

impl Default for Baseline {
    fn default() -> Baseline {
        Baseline::Value(0.0)
    }
}

macro_rules! stands_for {
    ($($t:ty: |$x:ident| $baseline:expr;)*) => { $(
        impl Setting<Baseline> for $t {
            fn setting(self) -> Baseline {
                let $x = self;
                $baseline
            }
        }
    )* };
}
stands_for! {
    Baseline: |x| x;
    f64: |x| Baseline::Value(x);
    &str: |name| Baseline::Array(name.into());
}
