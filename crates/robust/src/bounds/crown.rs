//! Linear bounds, carried backwards (CROWN).

use super::ball::Ball;
use super::interval::{Interval, Intervals, of_named};
use super::relax::{Line, Lines, pooled, relaxed};
use rhyton_graph::Expr;
use rhyton_graph::expr::substitute;
use rhyton_graph::function::for_each;
use rhyton_graph::ops::{
    Binary, Control, Cumulative, Elementwise, Fold, Index, Op, PoolKind, Reduce, Running, Unary, Window,
};
use rhyton_graph::transform::{Forward, Image, Occurrence, Walked, forward, vjp};
use rhyton_model::program::sample_axes;
use rhyton_tensor::{Dim, Error, Result};
use std::cell::RefCell;
use std::collections::HashMap;

/// A value whose gradient leads through lines instead of curves, and the same value as the model computes it.
#[derive(Clone)]
pub(crate) struct Linear(pub Expr, Expr);

impl Image for Linear {
    fn parts(&self) -> Vec<Expr> {
        vec![self.0.clone(), self.1.clone()]
    }

    fn from_parts(parts: &[Expr]) -> Linear {
        Linear(parts[0].clone(), parts[1].clone())
    }
}

/// A slope of a lower line that may be chosen.
#[derive(Clone)]
pub(crate) struct Free {
    /// The slope in the graph of the results; nothing that bounds values on the way depends on it.
    pub slope: Expr,
    /// What it is unless chosen.
    pub usual: Expr,
    /// Where it may be chosen.
    pub open: Expr,
    /// What it is at least.
    pub least: Expr,
}

/// The walk that puts lines in place of curves. Each is laid between bounds of its argument, which are linear bounds
/// themselves (Zhang et al. 2018) or, faster, intervals.
pub(crate) struct Crown<'a> {
    ball: &'a Ball,
    /// `[batch]` zeros, whose gradient collects what lines are above values.
    excess: Expr,
    /// Whether intervals are to do for values on the way.
    by_intervals: bool,
    /// What is known of values on the way.
    known: RefCell<HashMap<(u64, usize), Interval>>,
    pub free: RefCell<Vec<Free>>,
}

impl<'a> Crown<'a> {
    pub fn new(ball: &'a Ball, by_intervals: bool) -> Crown<'a> {
        // A node of its own: gradients are asked for it.
        let excess = Expr::full([ball.x.shape()[0].clone()], 0.0).stop_gradient();
        Crown { ball, excess, by_intervals, known: RefCell::default(), free: RefCell::default() }
    }

    /// The output with lines in place of curves.
    pub fn linear(&self, output: &Expr) -> Result<Expr> {
        let given = [(self.ball.x.clone(), self.lift(&self.ball.x))];
        Ok(value(&forward(self, std::slice::from_ref(output), &given)?[0]))
    }

    /// The least value, `[batch]`, of what `cotangent` counts of `z`.
    pub fn least(&self, z: &Expr, cotangent: &Expr) -> Expr {
        let wrt = [self.ball.x.clone(), self.excess.clone()];
        let back = vjp(std::slice::from_ref(z), &[Some(cotangent.clone())], &wrt);
        let middle = (z * cotangent).sum(&sample_axes(z));
        let middle = match &back[1] {
            Some(excess) => middle + excess,
            None => middle,
        };
        match &back[0] {
            Some(slope) => middle + self.ball.least(slope),
            None => middle,
        }
    }

    /// Bounds of each element of a value that a curve reads.
    fn bounds(&self, of: &Linear) -> Result<Interval> {
        let Linear(z, plain) = of;
        if let Some(known) = self.known.borrow().get(&plain.key()) {
            return Ok(known.clone());
        }
        let found = if self.by_intervals { interval(self.ball, plain)? } else { self.between(z)? };
        self.known.borrow_mut().insert(plain.key(), found.clone());
        Ok(found)
    }

    /// Two walks backwards for each element, in a loop.
    fn between(&self, z: &Expr) -> Result<Interval> {
        let usual = self.free.borrow().iter().map(|f| (f.slope.key(), f.usual.clone())).collect();
        let whole = substitute(std::slice::from_ref(z), &usual).swap_remove(0);
        let z = self.sample_first(&whole)?;
        let sizes: Option<Vec<usize>> = z.shape()[1..].iter().map(Dim::as_fixed).collect();
        let sizes =
            sizes.ok_or_else(|| Error::new(format!("a value of shape {} has no fixed size", z.shape())))?;
        let n: usize = sizes.iter().product();
        let ends = for_each("bounds", &[Expr::iota([n], 0)], |place| {
            let one =
                place[0].one_hot(n).reshape([&[1], &sizes[..]].concat()).broadcast_to(z.shape().clone());
            vec![self.least(&z, &one), self.least(&z, &-one)]
        });
        let end = |e: &Expr| self.as_before(&e.transpose(&[1, 0]).reshape(z.shape().clone()), &whole);
        Ok(Interval(end(&ends[0]), -end(&ends[1])))
    }

    fn batch(&self) -> Dim {
        self.ball.x.shape()[0].clone()
    }

    /// A value with the axis of the samples first: sequences in a loop have time there, and some layers make one axis of
    /// samples and steps.
    fn sample_first(&self, e: &Expr) -> Result<Expr> {
        let batch = self.batch();
        if let Some(at) = e.shape().iter().position(|d| *d == batch) {
            let order: Vec<usize> = std::iter::once(at).chain((0..e.rank()).filter(|a| *a != at)).collect();
            return Ok(if at == 0 { e.clone() } else { e.transpose(&order) });
        }
        match e.shape().first().and_then(|d| d.exact_div(&batch)) {
            Some(steps) => Ok(e.reshape([&[batch, steps], &e.shape()[1..]].concat())),
            None => Err(Error::new(format!("a value of shape {} is not made of samples", e.shape()))),
        }
    }

    /// The inverse of [`sample_first`](Crown::sample_first) for what came of a value.
    fn as_before(&self, e: &Expr, like: &Expr) -> Expr {
        match like.shape().iter().position(|d| *d == self.batch()) {
            Some(at) => {
                let order: Vec<usize> = (1..=at).chain([0]).chain(at + 1..like.rank()).collect();
                if at == 0 { e.clone() } else { e.transpose(&order) }
            }
            None => e.reshape(like.shape().clone()),
        }
    }

    /// A value with lines in place of the curve that made it.
    fn lined(&self, z: &Expr, now: &Expr, plain: &Expr, lines: &Lines) -> Result<Walked<Linear>> {
        let first = |e: &Expr| self.sample_first(&e.broadcast_to(now.shape().clone()));
        let line = |l: &Line| Ok(Line { slope: first(&l.slope)?, intercept: first(&l.intercept)? });
        let lines = Lines { below: line(&lines.below)?, above: line(&lines.above)?, free: None };
        let value = relaxed(&first(z)?, &first(now)?, &lines, &self.excess);
        Ok(Walked::Image(Linear(self.as_before(&value, now), plain.clone())))
    }

    /// Whatever an operation gives, as fixed values between interval bounds of it.
    fn flat(&self, at: &Occurrence, inputs: &[Walked<Linear>]) -> Result<Vec<Walked<Linear>>> {
        let mut known: Vec<(Expr, Interval)> = vec![];
        let mut plain = HashMap::new();
        for (original, walked) in at.inputs.iter().zip(inputs) {
            match walked {
                Walked::Image(of) => known.push((original.clone(), self.bounds(of)?)),
                Walked::Plain(e) => drop(plain.insert(original.key(), e.clone())),
            }
        }
        let results = substitute(at.results, &plain);
        let intervals = forward(&Intervals, &results, &known)?;
        let values = at.node.with_inputs(inputs.iter().map(value).collect());
        let plain = at.node.with_inputs(inputs.iter().map(plain_value).collect());
        let each = intervals.into_iter().zip(values.iter().zip(&plain)).map(|(bounds, (now, plain))| {
            Ok(match bounds {
                Walked::Plain(e) => Walked::Plain(e),
                Walked::Image(Interval(low, high)) => {
                    self.lined(&now.stop_gradient(), now, plain, &Lines::flat(&low, &high))?
                }
            })
        });
        each.collect()
    }

    /// A function of one value between lines.
    fn curve(&self, at: &Occurrence, of: &Linear) -> Result<Option<Vec<Walked<Linear>>>> {
        let f = |x: &Expr| at.node.with_inputs(vec![x.clone()]).swap_remove(0);
        let Some(named) = at.named.filter(|n| Lines::has(n)) else { return Ok(None) };
        // Steeper below 0 than above, it is no valley any more.
        if matches!(at.op(), Op::Control(Control::Call(f)) if f.attrs["negative_slope"].as_f64() > Some(1.0))
        {
            return Ok(None);
        }
        let Interval(low, high) = self.bounds(of)?;
        let mut lines = Lines::of(named, &low, &high, f);
        if let Some((open, least)) = lines.free.clone() {
            let usual = lines.below.slope.clone();
            let slope = usual.stop_gradient();
            lines.below.slope = slope.clone();
            self.free.borrow_mut().push(Free { slope, usual, open, least });
        }
        let Linear(z, plain) = of;
        Ok(Some(vec![self.lined(z, &f(z), &f(plain), &lines)?]))
    }

    /// The largest of windows: below, the element whose own lower bound is the largest; above, that one too where no
    /// other can be larger, else the largest upper bound.
    fn pool(&self, at: &Occurrence, window: &Window, of: &Linear) -> Result<Vec<Walked<Linear>>> {
        let Interval(low, high) = self.bounds(of)?;
        let f = |x: &Expr| at.node.with_inputs(vec![x.clone()]).swap_remove(0);
        let Linear(z, plain) = of;
        let value = pooled(window, z, &f(z), &low, &high, &self.excess);
        Ok(vec![Walked::Image(Linear(value, f(plain)))])
    }
}

/// Bounds by intervals.
pub(crate) fn interval(ball: &Ball, of: &Expr) -> Result<Interval> {
    match forward(&Intervals, std::slice::from_ref(of), &[(ball.x.clone(), ball.interval())])?.swap_remove(0)
    {
        Walked::Image(i) => Ok(i),
        Walked::Plain(e) => Ok(Interval(e.clone(), e)),
    }
}

fn value(walked: &Walked<Linear>) -> Expr {
    match walked {
        Walked::Plain(e) | Walked::Image(Linear(e, _)) => e.clone(),
    }
}

fn plain_value(walked: &Walked<Linear>) -> Expr {
    match walked {
        Walked::Plain(e) | Walked::Image(Linear(_, e)) => e.clone(),
    }
}

/// Whether an operation is linear in what is an image here.
fn is_linear(op: &Op, images: &[bool]) -> bool {
    let one = images.iter().filter(|i| **i).count() == 1;
    match op {
        Op::Movement(_) | Op::Reduce(Reduce::Fold { kind: Fold::Sum, .. }) => true,
        Op::Elementwise(Elementwise::Unary(Unary::Neg)) => true,
        Op::Elementwise(Elementwise::Binary(Binary::Add | Binary::Sub)) => true,
        Op::Elementwise(Elementwise::Binary(Binary::Mul)) | Op::Contract(_) => one,
        Op::Elementwise(Elementwise::Binary(Binary::Div)) => images == [true, false],
        Op::Elementwise(Elementwise::Select) => images.first() == Some(&false),
        Op::Elementwise(Elementwise::Cast(dtype)) => dtype.is_float(),
        Op::Window(Window { kind: PoolKind::Sum | PoolKind::SumSpread, .. }) => true,
        Op::Index(Index::Gather { .. } | Index::ScatterAdd { .. }) => images == [true, false],
        Op::Cumulative(Cumulative { kind: Running::Sum, .. }) => true,
        _ => false,
    }
}

impl Forward for Crown<'_> {
    type Image = Linear;

    fn lift(&self, value: &Expr) -> Linear {
        Linear(value.clone(), value.clone())
    }

    fn rule(&self, at: &Occurrence, inputs: &[Walked<Linear>]) -> Result<Option<Vec<Walked<Linear>>>> {
        let images: Vec<bool> = inputs.iter().map(|i| matches!(i, Walked::Image(_))).collect();
        if is_linear(at.op(), &images) {
            let both = [value, plain_value].map(|f| at.node.with_inputs(inputs.iter().map(f).collect()));
            let each = both[0].iter().zip(&both[1]);
            return Ok(Some(
                each.map(|(z, plain)| Walked::Image(Linear(z.clone(), plain.clone()))).collect(),
            ));
        }
        match (at.op(), inputs) {
            // The value itself: its gradient is that of the bound.
            (Op::Elementwise(Elementwise::Unary(Unary::StopGradient | Unary::Copy)), [x]) => {
                return Ok(Some(vec![x.clone()]));
            }
            (Op::Window(window), [Walked::Image(of)]) if window.kind == PoolKind::Max => {
                return self.pool(at, window, of).map(Some);
            }
            (_, [Walked::Image(of)]) => {
                if let Some(found) = self.curve(at, of)? {
                    return Ok(Some(found));
                }
            }
            _ => {}
        }
        // A call that intervals know as a whole is better taken so; another is entered.
        let probe = |(e, image): (&Expr, &bool)| match image {
            true => Walked::Image(Interval(e.clone(), e.clone())),
            false => Walked::Plain(e.clone()),
        };
        let probes: Vec<Walked<Interval>> = at.inputs.iter().zip(&images).map(probe).collect();
        match at.op() {
            Op::Control(Control::Call(_)) if of_named(at, &probes).is_none() => Ok(None),
            _ => self.flat(at, inputs).map(Some),
        }
    }
}
