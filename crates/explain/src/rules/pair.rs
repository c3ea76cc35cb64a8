//! DeepLIFT's multipliers (Shrikumar, Greenside, Kundaje 2017): every value goes with its reference, and a slope is
//! the difference of results over the difference of inputs.
//!
//! - What is linear keeps its slopes.
//! - A function of one value takes the rescale rule, `(f(x) - f(x0)) / (x - x0)`.
//! - A product of two explained values, and any other function of two, gives each the mean of what it does before and
//!   after the other changes: Shapley's value for two, complete by construction. Gates of an LSTM and the products of
//!   attention are such.
//! - The largest of a window passes on what it gained to where it lies, and what the reference lost to where that lay.

use super::{called, sloped};
use rhyton_graph::function::{Function, named_with_vjp};
use rhyton_graph::named::SOFTMAX;
use rhyton_graph::ops::{Binary, Elementwise, Fold, Op, PoolKind, Reduce, Unary};
use rhyton_graph::transform::{Forward, Image, Occurrence, Walked};
use rhyton_graph::{Expr, vjp};
use rhyton_tensor::Result;

/// A value and what it is for the reference.
#[derive(Clone)]
pub(crate) struct Pair {
    pub value: Expr,
    pub reference: Expr,
}

impl Image for Pair {
    fn parts(&self) -> Vec<Expr> {
        vec![self.value.clone(), self.reference.clone()]
    }
    fn from_parts(parts: &[Expr]) -> Pair {
        Pair { value: parts[0].clone(), reference: parts[1].clone() }
    }
}

/// The rescale rule.
pub(crate) struct Rescale;

/// A smaller difference is taken for none, and the slope itself is the multiplier: Captum's bound.
const TINY: f32 = 1e-10;

/// `change / way`, or the slope where there is hardly any way.
pub(super) fn multiplier(change: &Expr, x: &Pair, slope: &Expr) -> Expr {
    let way = &x.value - &x.reference;
    let none = way.abs().less(&Expr::scalar(TINY));
    none.select(slope, &(change / none.select(&way.ones_like(), &way)))
}

/// The slope of `y` by `x`, element by element.
pub(super) fn slope(y: &Expr, x: &Expr) -> Expr {
    let back = vjp(&[y.clone()], &[Some(y.ones_like())], &[x.clone()]);
    back[0].clone().unwrap_or_else(|| x.zeros_like())
}

impl Forward for Rescale {
    type Image = Pair;

    fn lift(&self, value: &Expr) -> Pair {
        Pair { value: value.clone(), reference: value.clone() }
    }

    fn rule(&self, at: &Occurrence, inputs: &[Walked<Pair>]) -> Result<Option<Vec<Walked<Pair>>>> {
        let images: Vec<(usize, &Pair)> = inputs.iter().enumerate().filter_map(image).collect();
        if let Some(f) = called(at) {
            return Ok(match &images[..] {
                [(i, _)] if at.named == Some(&SOFTMAX) => Some(vec![softmax(images[*i].1)]),
                [(i, x)] if f.is_elementwise_in(*i) => Some(vec![rescaled(at, inputs, x)]),
                _ => None,
            });
        }
        let done = match (at.op(), &images[..]) {
            (Op::Control(_), _) => return Ok(None),
            (Op::Elementwise(op), [(_, x)]) if bends(*op) => rescaled(at, inputs, x),
            (Op::Elementwise(Elementwise::Binary(b)), [(_, x), (_, y)])
                if !matches!(b, Binary::Add | Binary::Sub) =>
            {
                of_two(at, inputs, x, y)
            }
            (Op::Contract(_), [(_, x), (_, y)]) => bilinear(at, x, y),
            (Op::Window(w), [(_, x)]) if w.kind == PoolKind::Max => largest_of_window(at, x),
            (Op::Reduce(Reduce::Fold { kind: Fold::Max | Fold::Min, axes }), [(_, x)]) => {
                largest(at, x, axes)
            }
            _ => plain(at, inputs),
        };
        Ok(Some(vec![done]))
    }
}

fn image((i, w): (usize, &Walked<Pair>)) -> Option<(usize, &Pair)> {
    match w {
        Walked::Image(pair) => Some((i, pair)),
        Walked::Plain(_) => None,
    }
}

/// Whether the operation bends its one explained value.
fn bends(op: Elementwise) -> bool {
    match op {
        Elementwise::Unary(u) => {
            !matches!(u, Unary::Neg | Unary::StopGradient | Unary::Copy | Unary::Not | Unary::IsFinite)
        }
        Elementwise::Binary(b) => matches!(b, Binary::Div | Binary::Max | Binary::Min | Binary::Pow),
        Elementwise::Select | Elementwise::Cast(_) => false,
    }
}

/// The values of the inputs, or their references.
fn side(inputs: &[Walked<Pair>], reference: bool) -> Vec<Expr> {
    let of = |w: &Walked<Pair>| match w {
        Walked::Plain(e) => e.clone(),
        Walked::Image(p) if reference => p.reference.clone(),
        Walked::Image(p) => p.value.clone(),
    };
    inputs.iter().map(of).collect()
}

pub(super) fn apply(at: &Occurrence, inputs: Vec<Expr>) -> Expr {
    at.node.with_inputs(inputs)[at.node.out()].clone()
}

/// The operation on both sides, with its own slopes.
fn plain(at: &Occurrence, inputs: &[Walked<Pair>]) -> Walked<Pair> {
    let [value, reference] = [false, true].map(|r| apply(at, side(inputs, r)));
    Walked::Image(Pair { value, reference })
}

fn rescaled(at: &Occurrence, inputs: &[Walked<Pair>], x: &Pair) -> Walked<Pair> {
    let Walked::Image(y) = plain(at, inputs) else { return plain(at, inputs) };
    if !y.value.dtype().is_float() {
        return Walked::Image(y);
    }
    let m = multiplier(&(&y.value - &y.reference), x, &slope(&y.value, &x.value));
    Walked::Image(Pair { value: sloped(&y.value, &[(&x.value, m)]), reference: y.reference })
}

/// An elementwise function of two explained values.
fn of_two(at: &Occurrence, inputs: &[Walked<Pair>], x: &Pair, y: &Pair) -> Walked<Pair> {
    let Walked::Image(z) = plain(at, inputs) else { return plain(at, inputs) };
    if !z.value.dtype().is_float() {
        return Walked::Image(z);
    }
    let f = |a: &Expr, b: &Expr| apply(at, vec![a.clone(), b.clone()]);
    let (by_x, by_y) = match at.op() {
        Op::Elementwise(Elementwise::Binary(Binary::Mul)) => {
            ((&y.value + &y.reference) * 0.5, (&x.value + &x.reference) * 0.5)
        }
        _ => {
            let crossed = [f(&x.value, &y.reference), f(&x.reference, &y.value)];
            let change_x = ((&z.value - &crossed[1]) + (&crossed[0] - &z.reference)) * 0.5;
            let change_y = ((&z.value - &crossed[0]) + (&crossed[1] - &z.reference)) * 0.5;
            let by = |change: &Expr, of: &Pair| multiplier(change, of, &slope(&z.value, &of.value));
            (by(&change_x, x), by(&change_y, y))
        }
    };
    Walked::Image(Pair {
        value: sloped(&z.value, &[(&x.value, by_x), (&y.value, by_y)]),
        reference: z.reference,
    })
}

/// A product of two explained values: slopes in the middle between values and references.
fn bilinear(at: &Occurrence, x: &Pair, y: &Pair) -> Walked<Pair> {
    let inputs = [&x.value, &y.value, &x.reference, &y.reference].map(Expr::clone);
    let rule = |f: &Function, xs: &[Expr], _: &[Expr], gs: &[Option<Expr>]| {
        let [x, y, x0, y0] = xs else { return vec![None; xs.len()] };
        let middle = [(x + x0) * 0.5, (y + y0) * 0.5];
        let z = f.results[0].with_inputs(middle.to_vec()).remove(0);
        [vjp(&[z], &[gs[0].clone()], &middle), vec![None, None]].concat()
    };
    let value =
        named_with_vjp("bilinear", serde_json::Value::Null, &inputs, rule, |p| apply(at, p[..2].to_vec()));
    Walked::Image(Pair { value, reference: apply(at, vec![x.reference.clone(), y.reference.clone()]) })
}

/// The largest of each window.
fn largest_of_window(at: &Occurrence, x: &Pair) -> Walked<Pair> {
    let rule = |f: &Function, xs: &[Expr], ys: &[Expr], gs: &[Option<Expr>]| {
        let ([x, x0], [y, y0], Some(g), Op::Window(w)) = (xs, ys, &gs[0], f.results[0].op()) else {
            return vec![None; xs.len()];
        };
        let spread = |of: &Expr, g: Expr| Expr::apply(w.with(PoolKind::MaxSpread), vec![of.clone(), g]);
        let top = y.maximum(y0);
        let change = spread(x, g * (&top - y0)) + spread(x0, g * (y - &top));
        let pair = Pair { value: x.clone(), reference: x0.clone() };
        vec![Some(multiplier(&change, &pair, &spread(x, g.clone()))), None]
    };
    let inputs = [x.value.clone(), x.reference.clone()];
    let types: Vec<_> = inputs.iter().map(|e| e.ty().clone()).collect();
    let f = Function::trace("largest_of_window", &types, |p| {
        p.iter().map(|x| apply(at, vec![x.clone()])).collect()
    });
    let results = f.with_vjp(rule).call(&inputs);
    Walked::Image(Pair { value: results[0].clone(), reference: results[1].stop_gradient() })
}

/// The largest (or smallest) along axes.
fn largest(at: &Occurrence, x: &Pair, axes: &[usize]) -> Walked<Pair> {
    let [y, y0] = [&x.value, &x.reference].map(|e| apply(at, vec![e.clone()]));
    let wide = |e: &Expr| e.expand_dims(axes);
    // Equal ones share.
    let where_it_is = |x: &Expr, y: &Expr| {
        let hit = x.equal(&wide(y)).cast(rhyton_tensor::DType::F32);
        &hit / wide(&hit.sum(axes))
    };
    let top = y.maximum(&y0);
    let change =
        where_it_is(&x.value, &y) * wide(&(&top - &y0)) + where_it_is(&x.reference, &y0) * wide(&(&y - &top));
    let m = multiplier(&change, x, &where_it_is(&x.value, &y));
    let value = y.stop_gradient() + (m.stop_gradient() * (&x.value - x.value.stop_gradient())).sum(axes);
    Walked::Image(Pair { value, reference: y0 })
}

/// Softmax, by its parts: exponentials, their sum, the quotient. What is taken off all logits alike changes nothing.
fn softmax(x: &Pair) -> Walked<Pair> {
    let last = [x.value.rank() - 1];
    let top = x.value.maximum(&x.reference).max(&last).expand_dims(&last).stop_gradient();
    let [value, reference] = [&x.value, &x.reference].map(|e| (e - &top).exp());
    let m = multiplier(&(&value - &reference), x, &value);
    let e = Pair { value: sloped(&value, &[(&x.value, m)]), reference };
    let sum = Pair {
        value: e.value.sum(&last).expand_dims(&last),
        reference: e.reference.sum(&last).expand_dims(&last),
    };
    let [y, y0] = [&e.value / &sum.value, &e.reference / &sum.reference];
    let by_e = (sum.value.pow(&Expr::scalar(-1.0f32)) + sum.reference.pow(&Expr::scalar(-1.0f32))) * 0.5;
    let by_sum = (&e.value + &e.reference) * -0.5 / (&sum.value * &sum.reference);
    let wide = sum.value.broadcast_to(y.shape().clone());
    Walked::Image(Pair {
        value: sloped(&y, &[(&e.value, by_e.broadcast_to(y.shape().clone())), (&wide, by_sum)]),
        reference: y0,
    })
}
