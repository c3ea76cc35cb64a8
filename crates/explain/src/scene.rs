//! [`Scene`]: what a method sees of a batch.

use crate::features::at_least_one;
use crate::place::Spot;
use crate::{Attribution, Baseline, Place};
use rhyton_graph::expr::substitute;
use rhyton_graph::function::scan;
use rhyton_graph::ops::Distribution;
use rhyton_graph::transform::{Backward, Forward, Walked, backward, forward};
use rhyton_graph::{Expr, Type, grad};
use rhyton_model::program::{Build, sample_axes};
use rhyton_tensor::{DType, Dim, Error, Result, Shape, Tensor};
use std::collections::HashMap;

/// A check before its numbers are known.
pub(crate) struct Checked {
    pub name: &'static str,
    pub have: Expr,
    pub want: Expr,
    pub scale: Expr,
    pub tolerance: f32,
}

/// An array with a sample for each of the explained ones.
pub(crate) struct PerSample {
    pub param: Expr,
    pub name: String,
    pub array: Tensor,
}

/// The name of the array of one of `n` inputs: with its number, if there are several.
pub(crate) fn numbered(name: &str, i: usize, n: usize) -> String {
    if n > 1 { format!("{name}{i}") } else { name.into() }
}

/// The sizes of a sample, 1 where they are not known.
fn sample_sizes(input: &Expr) -> Vec<usize> {
    input.shape()[1..].iter().map(|d| d.as_fixed().unwrap_or(1)).collect()
}

/// What a loop's body gives where it may fail: the error goes along with the values, and comes out with the results.
pub(crate) fn or_poison(found: Result<Vec<Expr>>, n: usize) -> Vec<Expr> {
    found.unwrap_or_else(|e| vec![Expr::poison(e); n])
}

/// The results, unless one of them carries an error.
pub(crate) fn sound(results: Vec<Expr>) -> Result<Vec<Expr>> {
    match results.iter().find_map(Expr::error) {
        Some(e) => Err(e.clone()),
        None => Ok(results),
    }
}

/// What a method sees of a batch: the explained values ([`values`](Scene::values)), the score of each sample as a
/// function of them ([`score`](Scene::score)), baselines, loops and random numbers.
///
/// Random numbers are the same for every sample, so that what is said of a sample does not depend on the others.
pub struct Scene {
    pub(crate) build: Build,
    pub(crate) inputs: Vec<(String, Expr)>,
    pub(crate) spots: Vec<Spot>,
    /// What the model computes at the explained places; results are functions of these.
    pub(crate) keys: Vec<Expr>,
    /// The values that are explained: these, unless a method looks elsewhere.
    pub(crate) values: Vec<Expr>,
    /// `[batch, ..]`: what the score is picked from.
    pub(crate) result: Expr,
    /// What picks: factors of the result, which are summed.
    pub(crate) picks: Expr,
    pub(crate) arrays: HashMap<String, Tensor>,
    pub(crate) per_sample: Vec<PerSample>,
    pub(crate) checks: Vec<Checked>,
    pub(crate) standard_error: Option<Vec<Expr>>,
    pub(crate) seed: u32,
    pub(crate) streams: u32,
}

impl Scene {
    /// The values that are explained, each `[batch, ..]`.
    pub fn values(&self) -> Vec<Expr> {
        self.values.clone()
    }

    /// The model's inputs.
    pub fn inputs(&self) -> Vec<Expr> {
        self.inputs.iter().map(|(_, e)| e.clone()).collect()
    }

    /// The number of samples in the batch.
    pub fn batch(&self) -> Dim {
        self.result.shape()[0].clone()
    }

    /// What the score is picked from, `[batch, ..]`, if the explained values were these.
    pub fn result(&self, values: &[Expr]) -> Expr {
        self.result_at(&self.inputs(), values)
    }

    /// What the score is picked from if the inputs and the explained values were these.
    pub fn result_at(&self, inputs: &[Expr], values: &[Expr]) -> Expr {
        // A key that is an input takes the explained value.
        let inputs = self.inputs.iter().map(|(_, e)| e.key()).zip(inputs.iter().cloned());
        let values = self.keys.iter().map(Expr::key).zip(values.iter().cloned());
        substitute(std::slice::from_ref(&self.result), &inputs.chain(values).collect()).swap_remove(0)
    }

    /// The score in a result: `[batch]`.
    pub fn pick(&self, result: &Expr) -> Expr {
        (result * &self.picks).sum(&sample_axes(result))
    }

    /// The score of each sample, `[batch]`, if the explained values were these.
    pub fn score(&self, values: &[Expr]) -> Expr {
        self.pick(&self.result(values))
    }

    /// The score if the inputs were these, and with them the explained values.
    pub fn score_of_inputs(&self, inputs: &[Expr]) -> Expr {
        let replace = self.inputs.iter().map(|(_, e)| e.key()).zip(inputs.iter().cloned()).collect();
        self.pick(&substitute(std::slice::from_ref(&self.result), &replace)[0])
    }

    /// The gradient of the score by the explained values, at these.
    pub fn gradient(&self, values: &[Expr]) -> Vec<Expr> {
        grad(&self.score(values).sum_all(), values)
    }

    /// What the walk from the score to the explained values gives with these rules.
    pub fn backward(&self, rules: &dyn Backward) -> Vec<Expr> {
        let score = self.score(&self.values).sum_all();
        let back = backward(rules, &[score], &[Some(Expr::scalar(1.0f32))], &self.values);
        back.into_iter().zip(&self.values).map(|(g, v)| g.unwrap_or_else(|| v.zeros_like())).collect()
    }

    /// What stands for the result when these stand for the explained values (see [`Forward`]).
    ///
    /// # Errors
    /// The first operation without a rule, by its layer.
    pub fn walk<F: Forward>(&self, rules: &F, given: &[(Expr, F::Image)]) -> Result<Walked<F::Image>> {
        let result = self.result(&self.values);
        let mut found = forward(rules, &[result], given)?;
        Ok(found.swap_remove(0))
    }

    /// What `method` makes of other values at the explained places; checks of its own are not kept.
    ///
    /// # Errors
    /// As for the method.
    pub fn moved(&mut self, values: Vec<Expr>, method: &dyn Attribution) -> Result<Vec<Expr>> {
        let here = std::mem::replace(&mut self.values, values);
        let checks = self.checks.len();
        let found = method.attribute(self);
        self.checks.truncate(checks);
        self.standard_error = None;
        self.values = here;
        found
    }

    /// The explained values if the inputs were these.
    pub fn values_of_inputs(&self, inputs: &[Expr]) -> Vec<Expr> {
        let replace = self.inputs.iter().map(|(_, e)| e.key()).zip(inputs.iter().cloned()).collect();
        substitute(&self.keys, &replace)
    }

    /// The inputs that a baseline stands for, each like the model's.
    ///
    /// # Errors
    /// When there is no such array, or its shape does not fit.
    pub fn baseline_inputs(&mut self, baseline: &Baseline) -> Result<Vec<Expr>> {
        let inputs = self.inputs.clone();
        let n = inputs.len();
        let one = |(i, (name, input)): (usize, (String, Expr))| match baseline {
            Baseline::Value(x) => Ok(input.full_like(*x)),
            Baseline::Array(array) => self
                .array_like(&numbered(array, i, n), &input)
                .map_err(|e| e.place(format!("the baseline of input '{name}'"))),
        };
        inputs.into_iter().enumerate().map(one).collect()
    }

    /// The explained values of a baseline.
    ///
    /// # Errors
    /// As for [`baseline_inputs`](Scene::baseline_inputs).
    pub fn baseline(&mut self, baseline: &Baseline) -> Result<Vec<Expr>> {
        let inputs = self.baseline_inputs(baseline)?;
        Ok(self.values_of_inputs(&inputs))
    }

    fn array(&self, name: &str) -> Result<Tensor> {
        self.arrays.get(name).cloned().ok_or_else(|| {
            let mut known: Vec<&str> = self.arrays.keys().map(String::as_str).collect();
            known.sort_unstable();
            let e = Error::new(format!("there is no array '{name}'"));
            if known.is_empty() { e } else { e.expected(format!("one of {}", known.join(", "))) }
        })
    }

    /// An array as a batch like `input`: one sample for all, or one for each.
    fn array_like(&mut self, name: &str, input: &Expr) -> Result<Expr> {
        let array = self.array(name)?.try_cast(input.dtype())?;
        let sample = sample_sizes(input);
        let misfit = || {
            Error::new(format!("the array '{name}' has the shape {:?}", array.shape()))
                .expected(format!("{sample:?}, or samples of it"))
        };
        let rows = match array.shape() {
            s if s == sample => return Ok(Expr::constant(&array).broadcast_to(input.shape().clone())),
            [rows, s @ ..] if *s == sample => *rows,
            _ => return Err(misfit()),
        };
        if rows == 1 {
            return Ok(Expr::constant(&array).broadcast_to(input.shape().clone()));
        }
        if let Some(known) = self.per_sample.iter().find(|p| p.name == name) {
            return Ok(known.param.clone());
        }
        let param = self.build.typed_input(name, Type::new(input.dtype(), input.shape().clone()));
        self.per_sample.push(PerSample { name: name.into(), param: param.clone(), array });
        Ok(param)
    }

    /// The arrays of this name over some values; one whose last axis is 1 stands for all channels.
    pub(crate) fn arrays_over(&mut self, name: &str, values: &[Expr]) -> Result<Vec<Expr>> {
        let over = |(i, value): (usize, &Expr)| {
            let name = numbered(name, i, values.len());
            let is_flat = self.array(&name)?.shape().last() == Some(&1);
            let like = if is_flat { value.slice(value.rank() - 1, 0, 1) } else { value.clone() };
            Ok(self.array_like(&name, &like)?.broadcast_to(value.shape().clone()))
        };
        values.iter().enumerate().map(over).collect()
    }

    /// Whole numbers from the array of this name, one for each element of a sample.
    pub(crate) fn numbers(&self, name: &str, sample: &[usize]) -> Result<Vec<usize>> {
        let array = self.array(name)?;
        let size: usize = sample.iter().product();
        if array.len() != size {
            return Err(Error::new(format!("the array '{name}' has the shape {:?}", array.shape()))
                .expected(format!("a number for each element of a sample, {sample:?}")));
        }
        let values = array.to_vec::<f64>();
        match values.iter().find(|x| x.fract() != 0.0 || **x < 0.0 || **x > u32::MAX.into()) {
            Some(x) => {
                Err(Error::new(format!("the array '{name}' holds {x}")).expected("whole numbers from 0 on"))
            }
            None => Ok(values.into_iter().map(|x| x as usize).collect()),
        }
    }

    /// What a layer gives, at each of its calls, and the gradient of the score by that.
    ///
    /// # Errors
    /// When there is no such layer on the way to the score.
    pub fn at_layer(&self, place: &Place) -> Result<Vec<(Expr, Expr)>> {
        let result = self.result(&self.values);
        let spots = place.find(&self.inputs, &result)?;
        let values: Vec<Expr> = spots.into_iter().map(|s| s.value).collect();
        let slopes = grad(&self.pick(&result).sum_all(), &values);
        Ok(values.into_iter().zip(slopes).collect())
    }

    /// Several samples to compare with, `[m, ..]` for each input: the arrays of this name.
    ///
    /// # Errors
    /// When there is none, or its shape does not fit.
    pub fn background(&self, name: &str) -> Result<Vec<Expr>> {
        let mut found = vec![];
        for (i, (input_name, input)) in self.inputs.iter().enumerate() {
            let key = numbered(name, i, self.inputs.len());
            let array = self.array(&key)?.try_cast(input.dtype())?;
            let sample = sample_sizes(input);
            if array.rank() != input.rank() || array.shape()[1..] != sample || array.is_empty() {
                return Err(Error::new(format!("the array '{key}' has the shape {:?}", array.shape()))
                    .place(format!("input '{input_name}'"))
                    .expected(format!("samples of {sample:?}")));
            }
            found.push(Expr::constant(&array));
        }
        Ok(found)
    }

    /// The sums of what `body` gives for each entry of the sequences `xs` (their first axis): a loop in the program.
    /// `like` has the shapes of what is summed.
    pub fn sum_over(xs: &[Expr], like: &[Expr], body: impl FnOnce(&[Expr]) -> Vec<Expr>) -> Vec<Expr> {
        let zeros: Vec<Expr> = like.iter().map(|e| Expr::full(e.shape().clone(), 0.0)).collect();
        let (sums, _) = scan("sum_over", &zeros, xs, &[], false, |sums, x, _| {
            let next = body(x);
            (sums.iter().zip(&next).map(|(s, n)| s + n).collect(), vec![])
        });
        sums
    }

    /// The numbers 0, 1, .. as a sequence for [`sum_over`](Scene::sum_over).
    pub fn count(&self, n: usize) -> Expr {
        Expr::iota([n], 0)
    }

    /// Random numbers of `shape`, others for each `turn` of a loop (an int32 number).
    pub fn random(&mut self, distribution: Distribution, turn: &Expr, shape: impl Into<Shape>) -> Expr {
        self.streams += 1;
        let seed = Expr::scalar(self.seed as i32).reshape([1]);
        let key = Expr::concat(&[seed, turn.cast(DType::I32).reshape([1])], 0);
        Expr::random(&key, distribution, self.streams, shape)
    }

    /// Random numbers like a value, the same for every sample, others for each `turn` of a loop.
    pub fn noise(&mut self, distribution: Distribution, turn: &Expr, like: &Expr) -> Expr {
        let one = self.random(distribution, turn, like.shape()[1..].to_vec());
        self.for_all(&one)
    }

    /// Mean and variance of what `body` gives in `samples` turns, each time values like the explained ones. The mean's
    /// standard error is `sqrt(variance / samples)`.
    ///
    /// # Errors
    /// Without samples.
    pub fn moments(
        &mut self,
        samples: usize,
        body: impl FnOnce(&mut Scene, &Expr) -> Result<Vec<Expr>>,
    ) -> Result<(Vec<Expr>, Vec<Expr>)> {
        at_least_one("samples", samples)?;
        let (n, turns) = (self.values.len(), self.count(samples));
        let like = [&self.values[..], &self.values[..]].concat();
        let sums = Scene::sum_over(&[turns], &like, |turn| {
            let each = or_poison(body(self, &turn[0]), n);
            let squares: Vec<Expr> = each.iter().map(|a| a * a).collect();
            [each, squares].concat()
        });
        let share = 1.0 / samples as f32;
        let mean: Vec<Expr> = sums[..n].iter().map(|s| s * share).collect();
        let zero = Expr::scalar(0.0f32);
        let variance = sums[n..].iter().zip(&mean).map(|(s, m)| (s * share - m * m).maximum(&zero)).collect();
        Ok((mean, variance))
    }

    /// The same value for every sample: `[..]` to `[batch, ..]`.
    pub fn for_all(&self, value: &Expr) -> Expr {
        let shape = [&[self.batch()], &value.shape()[..]].concat();
        value.broadcast_to(shape)
    }

    /// Notes what should hold: of each sample, `have` is `want`, up to `tolerance` of `scale` (all `[batch]`).
    pub fn check(&mut self, name: &'static str, have: Expr, want: Expr, scale: Expr, tolerance: f32) {
        self.checks.push(Checked { name, have, want, scale, tolerance });
    }

    /// Notes that attributions should add up to `want`, `[batch]`.
    pub fn check_sum(&mut self, name: &'static str, attributions: &[Expr], want: Expr, tolerance: f32) {
        let total = |f: fn(&Expr) -> Expr| {
            let sums = attributions.iter().map(|a| f(a).sum(&sample_axes(a)));
            sums.reduce(|a, b| a + b).unwrap_or_else(|| want.zeros_like())
        };
        let scale = want.abs().maximum(&total(Expr::abs));
        self.check(name, total(Expr::clone), want, scale, tolerance);
    }

    /// Notes how uncertain the attributions are.
    pub fn standard_error(&mut self, errors: Vec<Expr>) {
        self.standard_error = Some(errors);
    }
}
