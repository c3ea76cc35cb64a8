//! One step of a [`Pipeline`](super::Pipeline), stage by stage.

use super::pipeline::{Pipeline, Step, update};
use super::{LearningRate, Moment, Optimizer};
use rhyton_graph::Expr;

/// A step in the making.
pub(super) struct Applying<'a> {
    pipeline: &'a Pipeline,
    object: &'a dyn Optimizer,
    state: Vec<Expr>,
    /// True on steps that change weights; `None` when all do.
    updating: Option<Expr>,
    /// Updates so far, a float32 scalar.
    updates: Expr,
    at: Moment,
}

fn chosen(when: &Option<Expr>, new: Expr, old: &Expr) -> Expr {
    match when {
        Some(condition) => condition.select(&new, old),
        None => new,
    }
}

/// The loss does not depend on the weight of this gradient.
fn is_missing(g: &Expr) -> bool {
    g.as_scalar().is_some_and(|s| s.as_f64() == 0.0)
}

impl<'a> Applying<'a> {
    pub(super) fn new(pipeline: &'a Pipeline, object: &'a dyn Optimizer, state: &[Expr]) -> Applying<'a> {
        let common = pipeline.common();
        let iteration = state[0].cast(rhyton_tensor::DType::F32);
        let learning_rate = match &common.learning_rate {
            LearningRate::Number(_) => state[1].clone(),
            // Schedules count every step, also those that only accumulate.
            LearningRate::Schedule(s) => s.get().map_or_else(Expr::poison, |s| s.rate(&iteration)),
        };
        let (updating, updates) = match common.gradient_accumulation_steps {
            None => (None, iteration),
            Some(k) => {
                let k = Expr::scalar(k as f32);
                let after = (&iteration + 1.0) / &k;
                (Some(after.floor().equal(&after)), (iteration / k).floor())
            }
        };
        let at = Moment { learning_rate, step: &updates + 1.0, shared: state[pipeline.shared()].to_vec() };
        Applying { pipeline, object, state: state.to_vec(), updating, updates, at }
    }

    pub(super) fn run(mut self, weights: &[Expr], gradients: &[Expr]) -> Step {
        let present: Vec<usize> = (0..weights.len()).filter(|i| !is_missing(&gradients[*i])).collect();
        let mut weights = weights.to_vec();
        let mut g: Vec<Expr> = present.iter().map(|i| self.unscale(&gradients[*i])).collect();
        self.accumulate(&present, &mut g);
        self.clip(&mut g);
        self.advance();
        for (i, g) in present.iter().zip(&g) {
            weights[*i] = self.update_weight(*i, g, &weights[*i]);
        }
        self.average(&mut weights);
        for i in present {
            if let Some(c) = &self.pipeline.variables()[i].weight.constraint {
                weights[i] = c.get().map_or_else(Expr::poison, |c| c.project(&weights[i]));
            }
        }
        self.state[0] = &self.state[0] + Expr::scalar(1i32);
        Step { state: self.state, weights }
    }

    fn unscale(&self, g: &Expr) -> Expr {
        match self.pipeline.common().loss_scale_factor {
            Some(factor) => g / Expr::scalar(factor as f32),
            None => g.clone(),
        }
    }

    /// Gradients become means over the accumulated steps.
    fn accumulate(&mut self, present: &[usize], g: &mut [Expr]) {
        let (Some(places), Some(updating)) = (self.pipeline.accumulators(), &self.updating) else { return };
        let k = Expr::scalar(self.pipeline.common().gradient_accumulation_steps.unwrap_or(1) as f32);
        for (i, g) in present.iter().zip(g) {
            let sum = &*g + &self.state[places.start + i];
            self.state[places.start + i] = updating.select(&sum.zeros_like(), &sum);
            *g = sum / &k;
        }
    }

    fn clip(&self, g: &mut [Expr]) {
        let common = self.pipeline.common();
        let set = |x: Option<f64>| x.filter(|x| *x > 0.0).map(|x| Expr::scalar(x as f32));
        let squares = |g: &Expr| (g * g).sum_all();
        if let Some(c) = set(common.clipnorm) {
            g.iter_mut().for_each(|g| *g = &*g * &c / squares(g).sqrt().maximum(&c));
        } else if let Some(c) = set(common.global_clipnorm) {
            let Some(norm) = g.iter().map(squares).reduce(|a, b| a + b).map(|s| s.sqrt()) else { return };
            // A norm that is not finite makes every gradient NaN, so that training shows it.
            let factor = &c * (1.0 / &norm).minimum(&(1.0 / &c));
            let factor = norm.is_finite().select(&factor, &Expr::scalar(f32::NAN));
            g.iter_mut().for_each(|g| *g = &*g * &factor);
        } else if let Some(c) = set(common.clipvalue) {
            g.iter_mut().for_each(|g| *g = g.maximum(&-&c).minimum(&c));
        }
    }

    /// What the optimizer keeps once for all weights moves on.
    fn advance(&mut self) {
        let new = self.object.advance(&self.at);
        for (i, value) in self.pipeline.shared().zip(&new) {
            self.state[i] = chosen(&self.updating, value.clone(), &self.state[i]);
        }
        self.at.shared = new;
    }

    fn update_weight(&mut self, i: usize, g: &Expr, old: &Expr) -> Expr {
        let decayed = match self.object.decay(&self.pipeline.variables()[i]) {
            Some(rate) => old - old * rate as f32 * &self.at.learning_rate,
            None => old.clone(),
        };
        let places = self.pipeline.slots(i);
        let slots: Vec<Expr> = places.iter().map(|p| self.state[*p].clone()).collect();
        let (w, new) = update(self.object, &self.at, g, &decayed, &slots);
        for ((place, new), old) in places.iter().zip(new).zip(&slots) {
            self.state[*place] = chosen(&self.updating, new, old);
        }
        chosen(&self.updating, w, old)
    }

    /// Running averages take the new weights in, and overwrite them when it is time.
    fn average(&mut self, weights: &mut [Expr]) {
        let Some(places) = self.pipeline.averages() else { return };
        let common = self.pipeline.common();
        let first = self.updates.equal(&Expr::scalar(0.0f32));
        // The first average is a copy of the weight.
        let m = first.select(&Expr::scalar(0.0f32), &Expr::scalar(common.ema_momentum as f32));
        for (place, w) in places.zip(weights) {
            let average = &m * &self.state[place] + (1.0 - &m) * &*w;
            self.state[place] = average.clone();
            if let Some(every) = common.ema_overwrite_frequency {
                let turn = (&self.updates + 1.0) / Expr::scalar(every as f32);
                *w = turn.floor().equal(&turn).select(&average, w);
            }
        }
    }
}
