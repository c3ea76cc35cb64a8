//! Counts of right and wrong decisions at thresholds.

use super::poisoned;
use crate::losses::align;
use crate::losses::check::mismatch;
use rhyton_graph::Expr;
use rhyton_tensor::{DType, Error, Result, Tensor, limits};

/// Which counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Count {
    TruePositives,
    FalsePositives,
    TrueNegatives,
    FalseNegatives,
}

/// All four, in the order of Keras's states.
pub(super) const ALL: [Count; 4] =
    [Count::TruePositives, Count::FalsePositives, Count::TrueNegatives, Count::FalseNegatives];

/// An error when the metric `class` would look at every prediction with too many thresholds.
pub(super) fn few_thresholds(class: &str, n: usize) -> Result<()> {
    limits::THRESHOLDS.check(n as u64, || format!("{class} got num_thresholds={n}"))
}

/// What decisions are made of.
#[derive(Clone, Debug, Default)]
pub(super) struct Decisions<'a> {
    /// A prediction above a threshold is a yes.
    pub(super) thresholds: &'a [f32],
    /// Only the `k` largest scores of a sample can be a yes.
    pub(super) top_k: Option<usize>,
    /// Only this class.
    pub(super) class_id: Option<usize>,
    /// Counts of each label by itself: predictions `[batch, labels]`, counts `[thresholds, labels]`.
    pub(super) by_label: bool,
    /// A weight for each label.
    pub(super) label_weights: Option<&'a [f64]>,
}

/// Everything but the `k` largest values along the last axis becomes a no at any threshold.
fn only_top(p: &Expr, k: usize) -> Expr {
    let last = p.rank().saturating_sub(1);
    let (own, other) = (p.expand_dims(&[last + 1]), p.expand_dims(&[last]));
    let pair = rhyton_graph::broadcast_shapes(own.shape(), other.shape()).unwrap_or_default();
    let earlier = Expr::iota(pair.clone(), last + 1).less(&Expr::iota(pair, last));
    let before = other.greater(&own).or(&other.equal(&own).and(&earlier)).cast(DType::F32);
    before.sum(&[last + 1]).less(&Expr::scalar(k as f32)).select(p, &Expr::scalar(-1e10f32))
}

/// Weights of samples as weights of values.
fn weights_of_values(weight: &Expr, p: &Expr) -> Expr {
    let mut w = weight.cast(DType::F32);
    while w.rank() > p.rank() && w.shape().last().is_some_and(|d| d.is(1)) {
        w = w.entry(w.rank() - 1, 0);
    }
    if w.rank() < p.rank() {
        w = w.expand_dims(&(w.rank()..p.rank()).collect::<Vec<_>>());
    }
    w.broadcast_to(p.shape().clone())
}

impl Decisions<'_> {
    /// `state`, one tensor for each of `counts`, with a batch counted in.
    pub(super) fn update(
        &self,
        counts: &[Count],
        state: &[Expr],
        t: &Expr,
        p: &Expr,
        weight: Option<&Expr>,
    ) -> Vec<Expr> {
        let (t, p) = align(&t.cast(DType::F32), &p.cast(DType::F32));
        if t.is_poisoned() || p.is_poisoned() {
            return poisoned(state, if t.is_poisoned() { t } else { p });
        }
        if t.shape() != p.shape() || p.rank() == 0 {
            return poisoned(state, Expr::poison(mismatch("the metric", &t, &p)));
        }
        let mut w = weight.map(|w| weights_of_values(w, &p));
        if let Some(labels) = self.label_weights.filter(|_| !self.by_label) {
            let labels = Tensor::vector(labels.iter().map(|x| *x as f32).collect::<Vec<_>>());
            let labels = Expr::constant(&labels).broadcast_to(p.shape().clone());
            w = Some(w.map_or_else(|| labels.clone(), |w| w * &labels));
        }
        let p = self.top_k.map_or_else(|| p.clone(), |k| only_top(&p, k));
        let picked = match self.class_id {
            None => Ok([t, p]),
            Some(class) => pick([&t, &p], class),
        };
        let [t, p] = match picked {
            Ok(both) => both,
            Err(e) => return poisoned(state, Expr::poison(e)),
        };
        if self.class_id.is_some() {
            w = w.map(|w| w.slice(w.rank() - 1, self.class_id.unwrap_or(0), 1));
        }
        self.count(counts, state, &t, &p, w.as_ref())
    }

    fn count(&self, counts: &[Count], state: &[Expr], t: &Expr, p: &Expr, w: Option<&Expr>) -> Vec<Expr> {
        // Values as [1, values], or [1, batch, labels]; thresholds in front.
        let flat = |e: &Expr| {
            if self.by_label {
                e.expand_dims(&[0])
            } else {
                e.reshape([e.shape().elements()].to_vec()).expand_dims(&[0])
            }
        };
        let thresholds = Expr::constant(&Tensor::vector(self.thresholds.to_vec()));
        let (t, p, w) = (flat(t), flat(p), w.map(flat));
        let thresholds = thresholds.expand_dims(&(1..p.rank()).collect::<Vec<_>>());
        let yes = p.greater(&thresholds);
        let real = t.equal(&Expr::scalar(0.0f32)).not();
        let zero = Expr::scalar(0.0f32);
        let of_one = w.unwrap_or_else(|| Expr::scalar(1.0f32));
        counts
            .iter()
            .zip(state)
            .map(|(count, old)| {
                let hit = match count {
                    Count::TruePositives => yes.and(&real),
                    Count::FalsePositives => yes.and(&real.not()),
                    Count::TrueNegatives => yes.not().and(&real.not()),
                    Count::FalseNegatives => yes.not().and(&real),
                };
                old + hit.select(&of_one, &zero).sum(&[1])
            })
            .collect()
    }
}

/// One class of targets and predictions.
fn pick([t, p]: [&Expr; 2], class: usize) -> Result<[Expr; 2]> {
    let last = p.rank() - 1;
    let known = p.shape().last().and_then(|d| d.as_fixed());
    if p.rank() < 2 || known.is_some_and(|n| class >= n) {
        return Err(Error::new(format!("class_id={class} with predictions of shape {}", p.shape()))
            .expected("predictions [batch, classes] that have this class"));
    }
    Ok([t.slice(last, class, 1), p.slice(last, class, 1)])
}

/// Numbers of a state's tensor.
pub(super) fn numbers(state: &[Tensor], i: usize) -> Vec<f64> {
    state.get(i).map_or_else(Vec::new, |t| (0..t.len()).map(|k| t.data().get_f64(k)).collect())
}

/// `a / b`, 0 where `b` is 0.
pub(super) fn ratio(a: f64, b: f64) -> f64 {
    if b == 0.0 { 0.0 } else { a / b }
}
