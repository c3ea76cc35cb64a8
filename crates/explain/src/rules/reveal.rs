//! DeepLIFT's reveal-cancel rule (Shrikumar, Greenside, Kundaje 2017): of every value's difference from its reference, what
//! pushed it up and what pushed it down go their ways apart.
//!
//! - A product with weights sorts its terms by their sign.
//! - A function f of one value gives the part p, beside the other part n and the reference r, the mean of what p does
//!   before and after n: `(f(r + p) - f(r) + f(r + n + p) - f(r + n)) / 2`; n alike.
//! - What only moves or adds up values treats the parts as it treats values.
//! - All else takes the rules of [`super::pair`], and its difference is sorted by sign.

use super::pair::{Pair, Rescale, apply, multiplier, slope};
use super::{called, sloped};
use rhyton_graph::Expr;
use rhyton_graph::ops::{Binary, Elementwise, Fold, Op, Reduce};
use rhyton_graph::transform::{Forward, Image, Occurrence, Walked};
use rhyton_tensor::Result;

/// A reference and the parts of the difference from it. What is no float has the value itself for parts.
#[derive(Clone)]
pub(crate) struct Parts {
    reference: Expr,
    up: Expr,
    down: Expr,
}

impl Parts {
    /// A difference, sorted by its sign.
    pub fn of(pair: &Pair) -> Parts {
        let Pair { value, reference } = pair.clone();
        if !value.dtype().is_float() {
            return Parts { reference, up: value.clone(), down: value };
        }
        let (zero, way) = (Expr::scalar(0.0f32), &value - &reference);
        Parts { reference, up: way.maximum(&zero), down: way.minimum(&zero) }
    }

    /// The value and its reference.
    pub fn pair(&self) -> Pair {
        let is_float = self.reference.dtype().is_float();
        let value = if is_float { &self.reference + self.way() } else { self.up.clone() };
        Pair { value, reference: self.reference.clone() }
    }

    fn way(&self) -> Expr {
        &self.up + &self.down
    }
}

impl Image for Parts {
    fn parts(&self) -> Vec<Expr> {
        vec![self.reference.clone(), self.up.clone(), self.down.clone()]
    }
    fn from_parts(parts: &[Expr]) -> Parts {
        Parts { reference: parts[0].clone(), up: parts[1].clone(), down: parts[2].clone() }
    }
}

/// The rule.
pub(crate) struct RevealCancel;

impl Forward for RevealCancel {
    type Image = Parts;

    fn lift(&self, value: &Expr) -> Parts {
        Parts::of(&Pair { value: value.clone(), reference: value.clone() })
    }

    fn rule(&self, at: &Occurrence, inputs: &[Walked<Parts>]) -> Result<Option<Vec<Walked<Parts>>>> {
        let images: Vec<usize> =
            (0..inputs.len()).filter(|i| matches!(inputs[*i], Walked::Image(_))).collect();
        if let ([i], Some(Walked::Image(x))) = (&images[..], images.first().map(|i| &inputs[*i])) {
            let bends = match (called(at), at.op()) {
                (Some(f), _) => f.is_elementwise_in(*i),
                (None, Op::Elementwise(Elementwise::Unary(_) | Elementwise::Binary(_))) => true,
                _ => false,
            };
            if bends && at.node.dtype().is_float() && at.node.shape() == x.reference.shape() {
                return Ok(Some(vec![Walked::Image(revealed(at, inputs, *i, x))]));
            }
            if let (Op::Contract(_), 2) = (at.op(), inputs.len()) {
                return Ok(Some(vec![Walked::Image(product(at, inputs, *i, x))]));
            }
        }
        if images.len() == inputs.len() && adds_up(at.op()) && at.node.dtype().is_float() {
            return Ok(Some(vec![Walked::Image(each(at, inputs))]));
        }
        let pairs: Vec<Walked<Pair>> = inputs.iter().map(pair).collect();
        let found = Rescale.rule(at, &pairs)?;
        Ok(found.map(|values| values.into_iter().map(sorted).collect()))
    }
}

fn pair(w: &Walked<Parts>) -> Walked<Pair> {
    match w {
        Walked::Plain(e) => Walked::Plain(e.clone()),
        Walked::Image(x) => Walked::Image(x.pair()),
    }
}

fn sorted(w: Walked<Pair>) -> Walked<Parts> {
    match w {
        Walked::Plain(e) => Walked::Plain(e),
        Walked::Image(pair) => Walked::Image(Parts::of(&pair)),
    }
}

/// Whether parts of the inputs add up to parts of the result.
fn adds_up(op: &Op) -> bool {
    matches!(
        op,
        Op::Movement(_)
            | Op::Elementwise(Elementwise::Binary(Binary::Add) | Elementwise::Cast(_))
            | Op::Reduce(Reduce::Fold { kind: Fold::Sum, .. })
    )
}

/// The operation on each part by itself.
fn each(at: &Occurrence, inputs: &[Walked<Parts>]) -> Parts {
    let part = |of: fn(&Parts) -> &Expr| {
        let inputs = inputs.iter().map(|w| match w {
            Walked::Plain(e) => e.clone(),
            Walked::Image(x) => of(x).clone(),
        });
        apply(at, inputs.collect())
    };
    Parts { reference: part(|x| &x.reference), up: part(|x| &x.up), down: part(|x| &x.down) }
}

/// The operation with another value in the place `i`.
fn with(at: &Occurrence, inputs: &[Walked<Parts>], i: usize, value: Expr) -> Expr {
    let plain = inputs.iter().map(|w| match w {
        Walked::Plain(e) => e.clone(),
        Walked::Image(_) => value.clone(),
    });
    debug_assert!(matches!(inputs[i], Walked::Image(_)));
    apply(at, plain.collect())
}

/// A function of one value.
fn revealed(at: &Occurrence, inputs: &[Walked<Parts>], i: usize, x: &Parts) -> Parts {
    let f = |e: Expr| with(at, inputs, i, e);
    let Parts { reference: r, up, down } = x;
    let value = r + x.way();
    let (none, only_up, only_down, both) = (f(r.clone()), f(r + up), f(r + down), f(value.clone()));
    let by_up = (&only_up - &none + (&both - &only_down)) * 0.5;
    let by_down = (&only_down - &none + (&both - &only_up)) * 0.5;
    let bend = slope(&both, &value);
    let part = |change: Expr, x: &Expr| {
        let way = Pair { value: x.clone(), reference: x.zeros_like() };
        sloped(&change, &[(x, multiplier(&change, &way, &bend))])
    };
    Parts { reference: none.stop_gradient(), up: part(by_up, up), down: part(by_down, down) }
}

/// A product with weights: terms above 0 are the one part, those below the other.
fn product(at: &Occurrence, inputs: &[Walked<Parts>], i: usize, x: &Parts) -> Parts {
    let Walked::Plain(w) = &inputs[1 - i] else { return each(at, inputs) };
    let zero = Expr::scalar(0.0f32);
    let (rise, fall) = (x.way().maximum(&zero), x.way().minimum(&zero));
    let (above, below) = (w.maximum(&zero), w.minimum(&zero));
    let of = |x: &Expr, w: &Expr| {
        let mut given = vec![x.clone(), w.clone()];
        given.rotate_right(i);
        apply(at, given)
    };
    Parts {
        reference: of(&x.reference, w),
        up: of(&rise, &above) + of(&fall, &below),
        down: of(&rise, &below) + of(&fall, &above),
    }
}
