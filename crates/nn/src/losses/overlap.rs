//! Losses of masks: how little two of them overlap.

use super::check::paired;
use super::{EPSILON, loss};
use crate::object::Setting;
use rhyton_graph::{Expr, named};
use rhyton_tensor::Error;
use serde_json::json;

type Axes = Option<Vec<i64>>;

impl Setting<Axes> for Axes {
    fn setting(self) -> Axes {
        self
    }
}
impl<const N: usize> Setting<Axes> for [i64; N] {
    fn setting(self) -> Axes {
        Some(self.to_vec())
    }
}

/// Sums over `axes`, or everything.
fn summed(e: &Expr, axes: &Axes) -> Expr {
    let Some(axes) = axes else { return e.sum_all() };
    let rank = e.rank() as i64;
    let at: Option<Vec<usize>> = axes
        .iter()
        .map(|a| usize::try_from(if *a < 0 { a + rank } else { *a }).ok().filter(|a| *a < e.rank()))
        .collect();
    match at {
        Some(mut at) => {
            at.sort_unstable();
            at.dedup();
            e.sum(&at)
        }
        None => Expr::poison(Error::new(format!("axes {axes:?} do not fit the shape {}", e.shape()))),
    }
}

loss! {
    /// `1 - 2 sum(t p) / (sum(t) + sum(p) + 1e-7)` over `axis`, or over everything, batch included.
    pub struct Dice("dice") {
        /// The axes that are summed over.
        axis: Axes = None,
    }
    impl {
        fn losses(&self, t: &Expr, p: &Expr) -> Expr {
            paired(&named::DICE, json!({ "axis": self.axis }), t, p, |t, p| {
                let sum = |e: &Expr| summed(e, &self.axis);
                1.0 - sum(&(t * p)) * 2.0 / (sum(t) + sum(p) + EPSILON)
            })
        }
    }
}

loss! {
    /// `1 - s / (s + alpha sum((1 - p) t) + beta sum(p (1 - t)) + 1e-7)` with `s = sum(t p)` over `axis`, or over
    /// everything, batch included (Salehi et al. 2017).
    pub struct Tversky("tversky") {
        /// Weight of what the prediction lacks.
        alpha: f64 = 0.5,
        /// Weight of what the prediction has too much.
        beta: f64 = 0.5,
        /// The axes that are summed over.
        axis: Axes = None,
    }
    impl {
        fn losses(&self, t: &Expr, p: &Expr) -> Expr {
            let attrs = json!({ "alpha": self.alpha, "beta": self.beta, "axis": self.axis });
            paired(&named::TVERSKY, attrs, t, p, |t, p| {
                let sum = |e: &Expr| summed(e, &self.axis);
                let both = sum(&(t * p));
                let missing = sum(&((1.0 - p) * t)) * self.alpha as f32;
                let extra = sum(&(p * (1.0 - t))) * self.beta as f32;
                1.0 - &both / (&both + missing + extra + EPSILON)
            })
        }
    }
}
