//! The walk from inputs to results with other values than numbers.

use super::Occurrence;
use crate::expr::{Expr, topological};
use crate::function::{Function, scan};
use crate::ops::{Control, Op};
use rhyton_tensor::{Error, Result};
use std::collections::{HashMap, HashSet};

/// What stands for a value: an interval, a pair of value and reference, the coefficients of a linear bound.
pub trait Image: Clone {
    /// The expressions it is made of. The image of a sequence that a loop reads has the time axis first in each.
    fn parts(&self) -> Vec<Expr>;

    /// The inverse of [`parts`](Image::parts).
    fn from_parts(parts: &[Expr]) -> Self;
}

/// A value on the walk.
#[derive(Clone, Debug)]
pub enum Walked<I> {
    /// It depends on nothing that has an image: still the value itself.
    Plain(Expr),
    /// What stands for it.
    Image(I),
}

/// What an operation does to images.
pub trait Forward {
    /// What stands for a value.
    type Image: Image;

    /// The image of a value that depends on nothing that has one.
    fn lift(&self, value: &Expr) -> Self::Image;

    /// The results of an operation, at least one of whose inputs is an image. `None` for a call or a loop enters it;
    /// for a primitive it is an error that names the operation and the layer.
    ///
    /// # Errors
    /// When the operation cannot be carried out on these images.
    fn rule(
        &self,
        at: &Occurrence,
        inputs: &[Walked<Self::Image>],
    ) -> Result<Option<Vec<Walked<Self::Image>>>>;
}

type Known<I> = HashMap<(u64, usize), Walked<I>>;

/// Images of `results` from images of some values they depend on. What depends on none of those stays as it is.
///
/// # Errors
/// The first operation that has no rule, or whose rule fails, with its layer and line.
pub fn forward<F: Forward>(
    rules: &F,
    results: &[Expr],
    given: &[(Expr, F::Image)],
) -> Result<Vec<Walked<F::Image>>> {
    let known = given.iter().map(|(e, image)| (e.key(), Walked::Image(image.clone()))).collect();
    walk(rules, results, known)
}

fn walk<F: Forward>(
    rules: &F,
    results: &[Expr],
    mut known: Known<F::Image>,
) -> Result<Vec<Walked<F::Image>>> {
    for e in topological(results) {
        let (node, outs) = (e.node(), e.node().outs.len());
        if (0..outs).all(|o| known.contains_key(&(node.id, o))) {
            continue;
        }
        let inputs: Vec<Walked<F::Image>> = e.inputs().iter().map(|i| known[&i.key()].clone()).collect();
        let place = |error: Error| error.place(node.path.as_ref()).source(&node.source);
        let values = crate::expr::in_path(&node.path, || {
            crate::expr::at_source(&node.source, || step(rules, &e, &inputs))
        })
        .map_err(place)?;
        for (o, value) in values.into_iter().enumerate() {
            known.entry((node.id, o)).or_insert(value);
        }
    }
    Ok(results.iter().map(|r| known[&r.key()].clone()).collect())
}

/// The results of one operation.
fn step<F: Forward>(rules: &F, e: &Expr, inputs: &[Walked<F::Image>]) -> Result<Vec<Walked<F::Image>>> {
    let plain: Option<Vec<Expr>> = inputs.iter().map(plain).collect();
    if let Some(plain) = plain {
        return Ok(e.with_inputs(plain).into_iter().map(Walked::Plain).collect());
    }
    let siblings = e.siblings();
    if let Some(values) = rules.rule(&Occurrence::new(e, e.inputs(), &siblings), inputs)? {
        return match values.len() == siblings.len() {
            true => Ok(values),
            false => Err(Error::new(format!("the rule for {} gives {} values", e.op().name(), values.len()))
                .expected(siblings.len().to_string())),
        };
    }
    match e.op() {
        Op::Control(Control::Call(f)) => {
            walk(rules, &f.results, f.params.iter().map(Expr::key).zip(inputs.iter().cloned()).collect())
        }
        Op::Control(Control::Scan { body, carries, xs, reverse, .. }) => {
            Loop { rules, body, carries: *carries, xs: *xs, reverse: *reverse }.walk(inputs)
        }
        op => Err(Error::new(format!("no rule says what {} does here", op.name()))),
    }
}

fn plain<I>(value: &Walked<I>) -> Option<Expr> {
    match value {
        Walked::Plain(e) => Some(e.clone()),
        Walked::Image(_) => None,
    }
}

/// A loop whose body works on images.
struct Loop<'a, F: Forward> {
    rules: &'a F,
    body: &'a Function,
    carries: usize,
    xs: usize,
    reverse: bool,
}

impl<F: Forward> Loop<'_, F> {
    fn walk(&self, inputs: &[Walked<F::Image>]) -> Result<Vec<Walked<F::Image>>> {
        let (is_image, result_is_image) = self.images(inputs);
        let parts = |i: usize| match (&inputs[i], is_image[i]) {
            (Walked::Plain(e), false) => vec![e.clone()],
            (Walked::Plain(e), true) => self.rules.lift(e).parts(),
            (Walked::Image(image), _) => image.parts(),
        };
        let counts: Vec<usize> = (0..inputs.len()).map(|i| parts(i).len()).collect();
        let range = |r: std::ops::Range<usize>| r.flat_map(parts).collect::<Vec<Expr>>();
        let (first, last) = (self.carries, self.carries + self.xs);
        let (init, xs, constants) = (range(0..first), range(first..last), range(last..inputs.len()));
        let mut failed = None;
        let mut sizes = vec![];
        let (states, collected) = scan(&self.body.name, &init, &xs, &constants, self.reverse, |c, x, k| {
            let mut given = c.iter().chain(x).chain(k).cloned();
            let known = self.body.params.iter().zip(is_image.iter().zip(&counts)).map(|(p, (image, n))| {
                let parts: Vec<Expr> = given.by_ref().take(*n).collect();
                (p.key(), value::<F>(&parts, *image))
            });
            match walk(self.rules, &self.body.results, known.collect()) {
                Ok(values) => {
                    let flat: Vec<Vec<Expr>> =
                        values.iter().zip(&result_is_image).map(|(v, image)| self.flat(v, *image)).collect();
                    sizes = flat.iter().map(Vec::len).collect();
                    (flat[..first].concat(), flat[first..].concat())
                }
                Err(e) => {
                    let bad = Expr::poison(e.clone());
                    failed = Some(e);
                    (vec![bad; c.len()], vec![])
                }
            }
        });
        if let Some(e) = failed {
            return Err(e);
        }
        let mut all = states.into_iter().chain(collected);
        let results = sizes.iter().zip(&result_is_image);
        Ok(results.map(|(n, image)| value::<F>(&all.by_ref().take(*n).collect::<Vec<_>>(), *image)).collect())
    }

    /// The expressions of a value of the body, lifted where an image is expected.
    fn flat(&self, value: &Walked<F::Image>, image: bool) -> Vec<Expr> {
        match value {
            Walked::Plain(e) if image => self.rules.lift(e).parts(),
            Walked::Plain(e) => vec![e.clone()],
            Walked::Image(i) => i.parts(),
        }
    }

    /// Which parameters and which results of the body are images. A state is one as soon as some step makes it one.
    fn images(&self, inputs: &[Walked<F::Image>]) -> (Vec<bool>, Vec<bool>) {
        let mut params: Vec<bool> = inputs.iter().map(|v| matches!(v, Walked::Image(_))).collect();
        loop {
            let of_params = self.body.params.iter().zip(&params).filter(|(_, image)| **image);
            let mut reached: HashSet<u64> = of_params.map(|(p, _)| p.node().id).collect();
            for e in self.body.nodes() {
                if e.inputs().iter().any(|i| reached.contains(&i.node().id)) {
                    reached.insert(e.node().id);
                }
            }
            let results: Vec<bool> =
                self.body.results.iter().map(|r| reached.contains(&r.node().id)).collect();
            let grown: Vec<usize> = (0..self.carries).filter(|i| results[*i] && !params[*i]).collect();
            if grown.is_empty() {
                let carried = |i: usize| results[i] || (i < self.carries && params[i]);
                let results = (0..results.len()).map(carried).collect();
                return (params, results);
            }
            grown.into_iter().for_each(|i| params[i] = true);
        }
    }
}

fn value<F: Forward>(parts: &[Expr], image: bool) -> Walked<F::Image> {
    match parts {
        [e] if !image => Walked::Plain(e.clone()),
        _ => Walked::Image(F::Image::from_parts(parts)),
    }
}
