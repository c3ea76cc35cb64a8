//! [`Victim`]: what an attack sees.

use crate::Norm;
use rhyton_graph::expr::substitute;
use rhyton_graph::function::scan;
use rhyton_graph::ops::Distribution;
use rhyton_graph::{Expr, grad};
use rhyton_model::program::logits;
use rhyton_model::program::{per_sample, sample_axes};
use rhyton_nn::functions::log_softmax;
use rhyton_tensor::{DType, Dim, Error, Result, Shape};

/// What an attack sees of a batch: the clean input, the logits as a function of it, labels, bounds of the input, and
/// random numbers. Loops are loops in the program.
pub struct Victim {
    x: Expr,
    start: Expr,
    logits: Expr,
    classes: usize,
    labels: Expr,
    one_hot: Expr,
    bounds: (f32, f32),
    targeted: bool,
    round: Expr,
    key: Expr,
    streams: u32,
}

impl Victim {
    /// A model whose `output` depends on `x`, `[batch, ..]`; `labels` are classes, int32 `[batch]`. `key` (int32 `[2]`)
    /// gives random numbers.
    ///
    /// # Errors
    /// When the output is not a score of each class for each sample.
    pub fn new(x: &Expr, output: &Expr, labels: &Expr, bounds: (f32, f32), key: &Expr) -> Result<Victim> {
        if let Some(e) = output.error() {
            return Err(e.clone());
        }
        let scores = logits(output).float();
        let classes = scores.shape().last().and_then(Dim::as_fixed).filter(|_| scores.rank() == 2);
        let classes = classes.ok_or_else(|| {
            Error::new(format!("the model's output has the shape {}", output.shape()))
                .expected("[batch, classes]: attacks change which class a sample is taken for")
        })?;
        // One number says how much more likely the second of two classes is.
        let (scores, classes) = match classes {
            1 => (Expr::concat(&[scores.zeros_like(), scores], 1), 2),
            n => (scores, n),
        };
        Ok(Victim {
            start: x.clone(),
            x: x.clone(),
            logits: scores,
            classes,
            one_hot: labels.one_hot(classes),
            labels: labels.clone(),
            bounds,
            targeted: false,
            round: Expr::scalar(0i32),
            key: key.clone(),
            streams: 0,
        })
    }

    /// Labels are the classes that samples are to be taken for.
    pub fn targeted(mut self, yes: bool) -> Victim {
        self.targeted = yes;
        self
    }

    /// A later round, which begins where the one before ended.
    pub fn at_round(mut self, round: &Expr, start: &Expr) -> Victim {
        (self.round, self.start) = (round.clone(), start.clone());
        self
    }

    /// The clean input, `[batch, ..]`.
    pub fn x(&self) -> Expr {
        self.x.clone()
    }

    /// Where this round begins: the clean input in the first.
    pub fn start(&self) -> Expr {
        self.start.clone()
    }

    /// The number of the round, an int32 number.
    pub fn round(&self) -> Expr {
        self.round.clone()
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The number of samples.
    pub fn batch(&self) -> Dim {
        self.x.shape()[0].clone()
    }

    /// The classes, int32 `[batch]`.
    pub fn labels(&self) -> Expr {
        self.labels.clone()
    }

    /// The classes as `[batch, classes]`.
    pub fn one_hot(&self) -> Expr {
        self.one_hot.clone()
    }

    /// Least and largest value of an input.
    pub fn bounds(&self) -> (f32, f32) {
        self.bounds
    }

    /// Whether labels are the classes that samples are to be taken for.
    pub fn is_targeted(&self) -> bool {
        self.targeted
    }

    /// The logits at an input, `[batch, classes]`.
    pub fn logits(&self, at: &Expr) -> Expr {
        let replace = [(self.x.key(), at.clone())].into();
        substitute(std::slice::from_ref(&self.logits), &replace).swap_remove(0)
    }

    /// The crossentropy of each sample, `[batch]`, from logits.
    pub fn crossentropy(&self, logits: &Expr) -> Expr {
        -(log_softmax(logits) * &self.one_hot).sum(&[1])
    }

    /// What an attack lets grow, `[batch]`: the crossentropy, or its negative where labels are what is wanted.
    pub fn gain(&self, logits: &Expr) -> Expr {
        let loss = self.crossentropy(logits);
        if self.targeted { -loss } else { loss }
    }

    /// The gradient of [`gain`](Victim::gain) at an input.
    pub fn ascent(&self, at: &Expr) -> Expr {
        self.slope(at, |logits| self.gain(logits))
    }

    /// The gradient of a number of each sample, `[batch]`, that is made of the logits.
    pub fn slope(&self, at: &Expr, f: impl FnOnce(&Expr) -> Expr) -> Expr {
        grad(&f(&self.logits(at)).sum_all(), std::slice::from_ref(at)).swap_remove(0)
    }

    /// By how much the label's logit is above the largest other, `[batch]`.
    pub fn margin(&self, logits: &Expr) -> Expr {
        let own = (logits * &self.one_hot).sum(&[1]);
        own - (logits - &self.one_hot * f32::MAX).max(&[1])
    }

    /// Whether samples are where the attack wants them, bool `[batch]`: not taken for their label or, targeted, taken
    /// for it.
    pub fn fooled(&self, logits: &Expr) -> Expr {
        let is_label = logits.argmax(1).equal(&self.labels);
        if self.targeted { is_label } else { is_label.not() }
    }

    /// An input within the bounds.
    pub fn clip(&self, x: &Expr) -> Expr {
        x.maximum(&Expr::scalar(self.bounds.0)).minimum(&Expr::scalar(self.bounds.1))
    }

    /// A step by `step` along the signs of `direction`, no further than `eps` from the clean input in any value, within
    /// the bounds.
    pub fn step_linf(&self, at: &Expr, direction: &Expr, step: f64, eps: f64) -> Expr {
        let eps = eps as f32;
        let delta = at + direction.sign() * step as f32 - &self.x;
        let delta = delta.maximum(&Expr::scalar(-eps)).minimum(&Expr::scalar(eps));
        self.clip(&(&self.x + delta))
    }

    /// A step along `direction` of the length `step` in a norm, no further than `eps` in that norm.
    pub fn step_scaled(&self, norm: Norm, at: &Expr, direction: &Expr, step: f64, eps: f64) -> Expr {
        let length = norm.of(direction) + TINY;
        let next = at + direction / per_sample(&length, direction) * step as f32;
        let delta = norm.shrink(&(next - &self.x), &Expr::scalar(eps as f32));
        self.clip(&(&self.x + delta))
    }

    /// The end of `n` steps up the gradient from `start`, each of the length `step` in a norm and no further than `eps`
    /// from the clean input: along the signs for `Inf`.
    pub fn climb(&mut self, norm: Norm, start: Expr, n: usize, step: f64, eps: f64) -> Expr {
        let end = self.repeat(n, &[start], |v, at, _| {
            let up = v.ascent(&at[0]);
            vec![match norm {
                Norm::Inf => v.step_linf(&at[0], &up, step, eps),
                _ => v.step_scaled(norm, &at[0], &up, step, eps),
            }]
        });
        end[0].clone()
    }

    /// A loop: what becomes of `state` in `n` turns. The body gets the state and the number of the turn (int32).
    pub fn repeat(
        &mut self,
        n: usize,
        state: &[Expr],
        body: impl FnOnce(&mut Victim, &[Expr], &Expr) -> Vec<Expr>,
    ) -> Vec<Expr> {
        self.repeat_over(&[Expr::iota([n], 0)], state, |v, state, x| body(v, state, &x[0]))
    }

    /// A loop over the first axis of sequences.
    pub fn repeat_over(
        &mut self,
        xs: &[Expr],
        state: &[Expr],
        body: impl FnOnce(&mut Victim, &[Expr], &[Expr]) -> Vec<Expr>,
    ) -> Vec<Expr> {
        // Shapes that a body makes come out as written; the state it begins with must be of these.
        scan("attack", state, xs, &[], false, |state, x, _| (body(self, state, x), vec![])).0
    }

    /// Random numbers of `shape`, others in each round and for each `turn` of a loop (an int32 number).
    pub fn random(&mut self, distribution: Distribution, turn: &Expr, shape: impl Into<Shape>) -> Expr {
        self.streams += 1;
        let part = |i: usize| self.key.slice(0, i, 1);
        let step = part(1) + (turn.cast(DType::I32)).reshape([1]);
        Expr::random(&Expr::concat(&[part(0), step], 0), distribution, self.streams, shape)
    }

    /// Uniform random numbers between -1 and 1 like the input.
    pub fn random_signed(&mut self, turn: &Expr) -> Expr {
        let shape = self.x.shape().clone();
        self.random(Distribution::Uniform, turn, shape) * 2.0 - 1.0
    }

    /// The turn of what is drawn outside of loops.
    pub fn once(&self) -> Expr {
        Expr::scalar(-1i32)
    }

    /// One or the other value for each sample, by a condition `[batch]`.
    pub fn choose(&self, which: &Expr, a: &Expr, b: &Expr) -> Expr {
        which.expand_dims(&sample_axes(a)).select(a, b)
    }
}

/// What keeps a length of 0 from being divided by.
const TINY: f32 = 1e-10;
