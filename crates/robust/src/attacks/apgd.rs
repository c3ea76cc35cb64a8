//! Auto-PGD, which two attacks of the ensemble are.

use super::dlr;
use crate::{Norm, Victim};
use rhyton_graph::Expr;
use rhyton_tensor::{DType, Tensor};

/// Projected gradient descent that halves its step where it stops gaining (Croce, Hein 2020), within a largest change.
pub(super) struct Apgd {
    pub eps: f64,
    pub steps: usize,
    /// The share of steps that have to gain.
    pub rho: f64,
}

/// What the loop carries.
struct State {
    at: Expr,
    before: Expr,
    slope: Expr,
    best: Expr,
    best_slope: Expr,
    best_gain: Expr,
    found: Expr,
    gain: Expr,
    gained: Expr,
    checked_gain: Expr,
    halved: Expr,
    step: Expr,
}

impl State {
    fn flat(self) -> Vec<Expr> {
        let State {
            at,
            before,
            slope,
            best,
            best_slope,
            best_gain,
            found,
            gain,
            gained,
            checked_gain,
            halved,
            step,
        } = self;
        vec![at, before, slope, best, best_slope, best_gain, found, gain, gained, checked_gain, halved, step]
    }

    fn of(s: &[Expr]) -> State {
        let e = |i: usize| s[i].clone();
        State {
            at: e(0),
            before: e(1),
            slope: e(2),
            best: e(3),
            best_slope: e(4),
            best_gain: e(5),
            found: e(6),
            gain: e(7),
            gained: e(8),
            checked_gain: e(9),
            halved: e(10),
            step: e(11),
        }
    }
}

impl Apgd {
    /// The adversarial inputs; `gain`, `[batch]`, of logits is what grows.
    pub fn run(&self, victim: &mut Victim, gain: impl Fn(&Victim, &Expr) -> Expr) -> Expr {
        let (x, once) = (victim.x(), victim.once());
        let noise = victim.random_signed(&once);
        let noise = &noise / rhyton_model::program::per_sample(&Norm::Inf.of(&noise), &noise);
        let start = victim.clip(&(&x + noise * self.eps as f32));
        let look = |v: &Victim, at: &Expr| {
            let logits = v.logits(at);
            let slope = v.slope(at, |logits| gain(v, logits));
            (gain(v, &logits), slope, v.fooled(&logits))
        };
        let (first, slope, fooled) = look(victim, &start);
        let none = first.zeros_like();
        let state = State {
            before: start.clone(),
            best: start.clone(),
            best_slope: slope.clone(),
            best_gain: first.clone(),
            found: victim.choose(&fooled, &start, &x),
            gain: first.clone(),
            gained: none.clone(),
            checked_gain: first.clone(),
            halved: none.ones_like(),
            step: none.full_like(2.0 * self.eps),
            at: start,
            slope,
        };
        let (momentum, checks) = self.schedule();
        let end = victim.repeat_over(&[momentum, checks], &state.flat(), |v, s, turn| {
            let s = State::of(s);
            let next = self.advance(v, &s, &turn[0]);
            let (now, slope, fooled) = look(v, &next);
            let better = now.greater(&s.best_gain);
            let best = v.choose(&better, &next, &s.best);
            let best_slope = v.choose(&better, &slope, &s.best_slope);
            let best_gain = better.select(&now, &s.best_gain);
            let gained = &s.gained + now.greater(&s.gain).cast(DType::F32);
            // A check asks whether enough steps gained, and whether anything was gained since the last.
            let check = turn[1].greater(&Expr::scalar(0.0f32));
            let enough = gained.greater(&(&turn[1] * self.rho as f32));
            let idle = s.halved.equal(&none).and(&best_gain.less_equal(&s.checked_gain));
            let halve = check.and(&enough.not().or(&idle));
            State {
                at: v.choose(&halve, &best, &next),
                before: s.at,
                slope: v.choose(&halve, &best_slope, &slope),
                found: v.choose(&fooled, &next, &s.found),
                gained: check.select(&none, &gained),
                checked_gain: check.select(&best_gain, &s.checked_gain),
                halved: check.select(&halve.cast(DType::F32), &s.halved),
                step: halve.select(&(&s.step * 0.5), &s.step),
                gain: now,
                best,
                best_slope,
                best_gain,
            }
            .flat()
        });
        State::of(&end).found
    }

    /// A step with momentum, brought back into reach.
    fn advance(&self, v: &Victim, s: &State, momentum: &Expr) -> Expr {
        let x = v.x();
        let reach = |at: &Expr| v.clip(&(&x + Norm::Inf.shrink(&(at - &x), &Expr::scalar(self.eps as f32))));
        let step = rhyton_model::program::per_sample(&s.step, &s.at);
        let plain = reach(&(&s.at + s.slope.sign() * step));
        reach(&(&s.at + (plain - &s.at) * momentum + (&s.at - &s.before) * (1.0 - momentum)))
    }

    /// How much of a step is new, and at checks the number of steps since the last.
    fn schedule(&self) -> (Expr, Expr) {
        let share = |p: f64| ((p * self.steps as f64) as usize).max(1);
        let (mut every, least, less) = (share(0.22), share(0.06), share(0.03));
        let (mut since, mut checks) = (0, vec![]);
        for _ in 0..self.steps.max(1) {
            since += 1;
            if since == every {
                checks.push(since as f32);
                (since, every) = (0, every.saturating_sub(less).max(least));
            } else {
                checks.push(0.0);
            }
        }
        let momentum = (0..checks.len()).map(|i| if i == 0 { 1.0 } else { 0.75 }).collect::<Vec<f32>>();
        (Expr::constant(&Tensor::vector(momentum)), Expr::constant(&Tensor::vector(checks)))
    }
}

/// The difference of logits ratio towards the class in `wanted` (one-hot), `[batch]`: of the label's and that class's.
pub(super) fn targeted_ratio(victim: &Victim, logits: &Expr, wanted: &Expr) -> Expr {
    let (own, other) = ((logits * victim.one_hot()).sum(&[1]), (logits * wanted).sum(&[1]));
    (other - own) / dlr::scale(logits, true)
}
