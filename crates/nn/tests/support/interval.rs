//! Interval arithmetic as a [`Forward`] walk: bounds of every value of a network from bounds of its inputs.

use rhyton_graph::Expr;
use rhyton_graph::ops::{Binary, Elementwise, Op, Unary};
use rhyton_graph::transform::{Forward, Image, Occurrence, Walked};
use rhyton_tensor::Result;

/// Least and largest value of each element.
#[derive(Clone)]
pub struct Interval(pub Expr, pub Expr);

impl Image for Interval {
    fn parts(&self) -> Vec<Expr> {
        vec![self.0.clone(), self.1.clone()]
    }
    fn from_parts(parts: &[Expr]) -> Interval {
        Interval(parts[0].clone(), parts[1].clone())
    }
}

pub struct Bounds;

fn both(v: &Walked<Interval>) -> Interval {
    match v {
        Walked::Plain(e) => Interval(e.clone(), e.clone()),
        Walked::Image(i) => i.clone(),
    }
}

/// The operation on the lower and on the upper ends: what grows with all its inputs.
fn rising(at: &Occurrence, inputs: &[Walked<Interval>]) -> Interval {
    let side = |upper: bool| {
        let ends = inputs.iter().map(both).map(|i| if upper { i.1 } else { i.0 }).collect();
        at.node.with_inputs(ends).remove(0)
    };
    Interval(side(false), side(true))
}

/// Products: the extremes are among the products of the ends.
fn product(a: &Interval, b: &Interval) -> Interval {
    let ends = [&a.0 * &b.0, &a.0 * &b.1, &a.1 * &b.0, &a.1 * &b.1];
    let fold = |f: fn(&Expr, &Expr) -> Expr| ends.iter().skip(1).fold(ends[0].clone(), |x, y| f(&x, y));
    Interval(fold(Expr::minimum), fold(Expr::maximum))
}

/// What is linear in the first input and has a fixed second one: from centre and radius.
fn linear(at: &Occurrence, x: &Interval, w: &Expr) -> Interval {
    let apply = |x: Expr, w: Expr| at.node.with_inputs(vec![x, w]).remove(0);
    let centre = apply((&x.0 + &x.1) * 0.5, w.clone());
    let radius = apply((&x.1 - &x.0) * 0.5, w.abs());
    Interval(&centre - &radius, &centre + &radius)
}

impl Forward for Bounds {
    type Image = Interval;

    fn lift(&self, value: &Expr) -> Interval {
        Interval(value.clone(), value.clone())
    }

    fn rule(&self, at: &Occurrence, inputs: &[Walked<Interval>]) -> Result<Option<Vec<Walked<Interval>>>> {
        let [x, y] = [0, 1].map(|i| inputs.get(i).map(both));
        let done = match (at.op(), x, y) {
            (Op::Elementwise(Elementwise::Unary(u)), Some(x), _) => match u {
                Unary::Neg => Interval(-&x.1, -&x.0),
                Unary::Abs => {
                    let zero = x.0.zeros_like();
                    Interval(x.0.maximum(&-&x.1).maximum(&zero), x.1.maximum(&-&x.0))
                }
                Unary::Rsqrt => Interval(x.1.rsqrt(), x.0.rsqrt()),
                Unary::Sin | Unary::Cos | Unary::Not | Unary::IsFinite => return Ok(None),
                _ => rising(at, inputs),
            },
            (Op::Elementwise(Elementwise::Binary(b)), Some(x), Some(y)) => match b {
                Binary::Sub => Interval(&x.0 - &y.1, &x.1 - &y.0),
                Binary::Mul => product(&x, &y),
                Binary::Add | Binary::Max | Binary::Min => rising(at, inputs),
                _ => return Ok(None),
            },
            (Op::Reduce(_) | Op::Movement(_) | Op::Window(_), ..) => rising(at, inputs),
            (Op::Contract(_), Some(x), _) => match inputs {
                [Walked::Image(_), Walked::Plain(w)] => linear(at, &x, w),
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        Ok(Some(vec![Walked::Image(done)]))
    }
}
