//! Layer-wise relevance propagation (Bach et al. 2015; Montavon et al. 2019) as a walk: afterwards, the value times the
//! gradient of the new result is the relevance.
//!
//! - A product with weights, together with the bias that is added to it and a batch normalization after that, takes the
//!   [`Rule`] that its layer has.
//! - A function of one value passes relevance on as it is: its slope is `f(x) / x`.
//! - In a product of a signal and a gate (what a sigmoid or a softmax gives), the signal takes all (Arras et al. 2017);
//!   two signals share. Attention passes on to values.
//! - What normalizes (a root, a denominator) counts as a constant.
//! - Everything else is linear and keeps its slopes: sums share in proportion.
//!
//! What biases and constants absorb is the gradient by [`Relevance::absorbed`].

use super::{called, sloped, sloped_like};
use rhyton_graph::Expr;
use rhyton_graph::expr::topological;
use rhyton_graph::named::{BATCH_NORM, HARD_SIGMOID, SIGMOID, SOFTMAX};
use rhyton_graph::ops::{Binary, Contract, ConvKind, Elementwise, Op, Unary};
use rhyton_graph::transform::{Forward, Image, Occurrence, Walked};
use rhyton_tensor::Result;
use serde::{Deserialize, Serialize};

/// How a layer shares relevance out among its inputs. `z` is the sum of all `x w` and the bias.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// In proportion to `x w`, over `z` moved away from 0 by so much.
    Epsilon(f64),
    /// Weights above 0 count more, by this factor.
    Gamma(f64),
    /// In proportion to what is positive.
    ZPlus,
    /// `alpha` of it in proportion to what is positive, less `beta` in proportion to what is negative.
    AlphaBeta(f64, f64),
    /// To pixels within bounds: `x w - low w+ - high w-`.
    ZBox(f64, f64),
    /// In equal shares.
    Flat,
    /// In proportion to squared weights.
    WSquare,
}

/// Which rule a layer takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Composite {
    /// Dense layers, cells and attention.
    pub dense: Rule,
    /// Convolutions.
    pub convolution: Rule,
    /// What reads the explained values themselves, where that is apart.
    pub first: Option<Rule>,
    /// Layers by the end of their path, before all else.
    pub layers: Vec<(String, Rule)>,
}

/// A value on the walk.
#[derive(Clone)]
pub(crate) struct Share {
    pub value: Expr,
    /// Whether it is what a gate opens by.
    gate: bool,
    /// Whether it is an explained value, or a part or another shape of one.
    first: bool,
    /// The product with weights that it is.
    linear: Option<Linear>,
}

/// A product with weights, and what was added to it.
#[derive(Clone)]
struct Linear {
    at: Expr,
    x: Expr,
    w: Expr,
    bias: Option<Expr>,
    swapped: bool,
    rule: Rule,
}

impl Share {
    /// An explained value.
    pub fn given(value: &Expr) -> Share {
        Share { first: true, ..Share::of(value.clone()) }
    }

    fn of(value: Expr) -> Share {
        Share { value, gate: false, first: false, linear: None }
    }
}

impl Image for Share {
    fn parts(&self) -> Vec<Expr> {
        vec![self.value.clone()]
    }
    fn from_parts(parts: &[Expr]) -> Share {
        Share::of(parts[0].clone())
    }
}

/// The walk.
pub(crate) struct Relevance<'a> {
    pub composite: &'a Composite,
    /// `[1]`: 1, with which biases are multiplied. The gradient by it is what they absorb.
    pub absorbed: Expr,
}

impl Linear {
    fn product(&self, x: &Expr, w: &Expr) -> Expr {
        let inputs = if self.swapped { vec![w.clone(), x.clone()] } else { vec![x.clone(), w.clone()] };
        self.at.with_inputs(inputs).swap_remove(0)
    }

    /// The result, with slopes by the rule.
    fn value(&self, absorbed: &Expr) -> Expr {
        let zero = Expr::scalar(0.0f32);
        let y = match &self.bias {
            Some(b) => self.product(&self.x, &self.w) + b,
            None => self.product(&self.x, &self.w),
        };
        let biased = |z: Expr, of: &dyn Fn(&Expr) -> Expr| match &self.bias {
            Some(b) => z + of(b) * absorbed,
            None => z,
        };
        let (up, down) = (|e: &Expr| e.maximum(&zero), |e: &Expr| e.minimum(&zero));
        // Products of equal and of unequal signs.
        let parts = || {
            let products =
                |a: &Expr, b: &Expr| self.product(&up(&self.x), a) + self.product(&down(&self.x), b);
            let (wp, wn) = (up(&self.w), down(&self.w));
            (biased(products(&wp, &wn), &up), biased(products(&wn, &wp), &down))
        };
        let spread = |z: Expr, share: f32| sloped_like(&y, &z, &(over(&y, &z, 1e-9) * share));
        match self.rule {
            Rule::Epsilon(e) => spread_by(&y, biased(self.product(&self.x, &self.w), &Expr::clone), e as f32),
            Rule::Gamma(g) => {
                let more = |e: &Expr| e + up(e) * g as f32;
                spread(biased(self.product(&self.x, &more(&self.w)), &more), 1.0)
            }
            Rule::ZPlus => spread(parts().0, 1.0),
            Rule::AlphaBeta(alpha, beta) => {
                let (p, n) = parts();
                let half = sloped_like(&y, &p, &(over(&y, &p, 1e-9) * alpha as f32));
                half + sloped_like(&y.zeros_like(), &n, &(over(&y, &n, 1e-9) * -beta as f32))
            }
            Rule::ZBox(low, high) => {
                // Bounds are explained values too: `x dx + low dlow + high dhigh`, and all of it is x's.
                let at = |bound: f64| &self.x - &self.x.stop_gradient() + self.x.full_like(bound);
                let [low, high] = [low, high].map(|b| {
                    self.product(
                        &bounded(&self.x, &at(b)),
                        &if b == low { up(&self.w) } else { down(&self.w) },
                    )
                });
                spread(self.product(&self.x, &self.w) - low - high, 1.0)
            }
            Rule::Flat => spread(self.product(&self.alike(), &self.w.ones_like()), 1.0),
            Rule::WSquare => spread(self.product(&self.alike(), &(&self.w * &self.w)), 1.0),
        }
    }

    /// 1 everywhere, whose slope times x is 1: relevance is value times gradient.
    fn alike(&self) -> Expr {
        bounded(&self.x, &self.x.ones_like())
    }
}

/// `bound`, with such a slope by x that slope times x is the bound: then its share of relevance is counted as that of x.
fn bounded(x: &Expr, bound: &Expr) -> Expr {
    let none = x.abs().less(&Expr::scalar(1e-30f32));
    let slope = none.select(&x.zeros_like(), &(bound / none.select(&x.ones_like(), x)));
    sloped(bound, &[(x, slope)])
}

/// `y / z`, with z kept away from 0.
fn over(y: &Expr, z: &Expr, epsilon: f32) -> Expr {
    let zero = Expr::scalar(0.0f32);
    y / (z + z.less(&zero).select(&Expr::scalar(-epsilon), &Expr::scalar(epsilon)))
}

fn spread_by(y: &Expr, z: Expr, epsilon: f32) -> Expr {
    sloped_like(y, &z, &over(y, &z, epsilon.max(f32::MIN_POSITIVE)))
}

impl Relevance<'_> {
    fn rule_for(&self, at: &Occurrence, first: bool) -> Rule {
        let path = at.path();
        let ends = |name: &str| {
            path.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with('/'))
        };
        let c = self.composite;
        let by_name = c.layers.iter().find(|(name, _)| ends(name)).map(|(_, rule)| *rule);
        by_name.or(c.first.filter(|_| first)).unwrap_or(match at.op() {
            Op::Contract(Contract::Conv(_)) => c.convolution,
            _ => c.dense,
        })
    }

    fn linear(&self, linear: Linear) -> Share {
        Share { linear: Some(linear.clone()), ..Share::of(linear.value(&self.absorbed)) }
    }

    fn contract(&self, at: &Occurrence, inputs: &[Walked<Share>]) -> Share {
        let image = |i: usize| match &inputs[i] {
            Walked::Image(s) => Some(s),
            Walked::Plain(_) => None,
        };
        match (image(0), image(1), inputs) {
            (Some(x), None, [_, Walked::Plain(w)]) => self.product(at, x, w, false),
            (None, Some(x), [Walked::Plain(w), _]) => self.product(at, x, w, true),
            (Some(a), Some(b), _) => {
                let apply = |a: Expr, b: Expr| at.node.with_inputs(vec![a, b]).swap_remove(0);
                let by_a = || apply(a.value.clone(), b.value.stop_gradient());
                let by_b = || apply(a.value.stop_gradient(), b.value.clone());
                Share::of(match (a.gate, b.gate) {
                    (true, false) => by_b(),
                    (false, true) => by_a(),
                    _ => (by_a() + by_b()) * 0.5,
                })
            }
            _ => Share::of(at.node.with_inputs(inputs.iter().map(value).collect()).swap_remove(0)),
        }
    }

    fn product(&self, at: &Occurrence, x: &Share, w: &Expr, swapped: bool) -> Share {
        let (at_node, x_value) = (at.node.clone(), x.value.clone());
        self.linear(Linear {
            at: at_node,
            x: x_value,
            w: w.clone(),
            bias: None,
            swapped,
            rule: self.rule_for(at, x.first),
        })
    }

    fn binary(&self, at: &Occurrence, op: Binary, inputs: &[Walked<Share>]) -> Share {
        let apply = |a: Expr, b: Expr| at.node.with_inputs(vec![a, b]).swap_remove(0);
        match (op, inputs) {
            (Binary::Add, [Walked::Image(Share { linear: Some(l), .. }), Walked::Plain(b)])
            | (Binary::Add, [Walked::Plain(b), Walked::Image(Share { linear: Some(l), .. })])
                if l.bias.is_none() =>
            {
                self.linear(Linear { bias: Some(b.clone()), ..l.clone() })
            }
            (Binary::Add | Binary::Sub, [a, b]) => {
                let gate = [a, b].iter().any(|w| matches!(w, Walked::Image(s) if s.gate));
                let side = |w: &Walked<Share>| match w {
                    Walked::Plain(e) => e * &self.absorbed,
                    Walked::Image(s) => s.value.clone(),
                };
                Share { gate, ..Share::of(apply(side(a), side(b))) }
            }
            (Binary::Mul, [Walked::Image(a), Walked::Image(b)]) => {
                let (x, y) = (&a.value, &b.value);
                let all_to = |x: &Expr, y: &Expr| x * y.stop_gradient();
                match (a.gate, b.gate) {
                    (true, false) => Share::of(all_to(y, x)),
                    (false, true) => Share::of(all_to(x, y)),
                    (gate, _) => Share { gate, ..Share::of((all_to(x, y) + all_to(y, x)) * 0.5) },
                }
            }
            (Binary::Div, [Walked::Image(a), Walked::Image(b)]) => {
                Share::of(apply(a.value.clone(), b.value.stop_gradient()))
            }
            (Binary::Mul, [Walked::Image(s), Walked::Plain(_)] | [Walked::Plain(_), Walked::Image(s)])
            | (Binary::Div, [Walked::Image(s), Walked::Plain(_)]) => Share {
                gate: s.gate,
                first: s.first,
                ..Share::of(apply(value(&inputs[0]), value(&inputs[1])))
            },
            (Binary::Div | Binary::Pow, _) => passed(at, inputs),
            _ => Share::of(apply(value(&inputs[0]), value(&inputs[1]))),
        }
    }

    fn call(&self, at: &Occurrence, inputs: &[Walked<Share>]) -> Option<Share> {
        let f = called(at)?;
        let shares: Vec<usize> =
            (0..inputs.len()).filter(|i| matches!(inputs[*i], Walked::Image(_))).collect();
        let [i] = shares[..] else { return None };
        if at.named == Some(&BATCH_NORM) {
            return self.batch_norm(at, inputs);
        }
        if at.named == Some(&SOFTMAX) {
            return Some(Share { gate: true, ..Share::of(natural(at, inputs)) });
        }
        if !f.is_elementwise_in(i) {
            return None;
        }
        let gate = at.named == Some(&SIGMOID) || at.named == Some(&HARD_SIGMOID);
        Some(Share { gate, ..passed(at, inputs) })
    }

    /// Batch normalization after a product with weights is part of it.
    fn batch_norm(&self, at: &Occurrence, inputs: &[Walked<Share>]) -> Option<Share> {
        let Walked::Image(Share { linear: Some(l), .. }) = &inputs[0] else { return None };
        let forward = match l.at.op() {
            Op::Contract(Contract::Conv(conv)) => conv.kind == ConvKind::Forward,
            Op::Contract(Contract::Dot { .. }) => !l.swapped && l.w.rank() == 2,
            _ => false,
        };
        let x = &l.product(&l.x, &l.w);
        let channels = l.w.shape().last()?.clone();
        if !forward || x.shape().last() != Some(&channels) || l.x.rank() < 2 {
            return None;
        }
        // What it does to 0 and to 1 says all: it is linear in each channel.
        let plain: Vec<Expr> = inputs[1..].iter().map(value).collect();
        let of = |x: f64| {
            let given = std::iter::once(l_like(x, l)).chain(plain.iter().cloned()).collect();
            at.node.with_inputs(given).swap_remove(0)
        };
        let (shift, scaled) = (of(0.0), of(1.0));
        let first = |e: &Expr| {
            let mut e = e.clone();
            while e.rank() > 1 {
                e = e.entry(0, 0);
            }
            e
        };
        let (shift, scale) = (first(&shift), first(&scaled) - first(&shift));
        let is_per_channel =
            at.node.shape().last() == Some(&channels) && topological(&[scale.clone()]).len() < 10_000;
        let bias = match &l.bias {
            Some(b) => b * &scale + &shift,
            None => shift.broadcast_to(x.shape().clone()),
        };
        is_per_channel.then(|| self.linear(Linear { w: &l.w * &scale, bias: Some(bias), ..l.clone() }))
    }
}

fn l_like(x: f64, l: &Linear) -> Expr {
    l.product(&l.x, &l.w).full_like(x)
}

fn value(w: &Walked<Share>) -> Expr {
    match w {
        Walked::Plain(e) => e.clone(),
        Walked::Image(s) => s.value.clone(),
    }
}

fn natural(at: &Occurrence, inputs: &[Walked<Share>]) -> Expr {
    at.node.with_inputs(inputs.iter().map(value).collect())[at.node.out()].clone()
}

/// A function of one value: relevance goes on as it is.
fn passed(at: &Occurrence, inputs: &[Walked<Share>]) -> Share {
    let y = natural(at, inputs);
    let one = inputs.iter().find_map(|w| if let Walked::Image(s) = w { Some(s) } else { None });
    match one {
        Some(s) if y.dtype().is_float() && y.shape() == s.value.shape() => {
            let none = s.value.abs().less(&Expr::scalar(1e-30f32));
            let slope = none.select(&y.zeros_like(), &(&y / none.select(&s.value.ones_like(), &s.value)));
            Share::of(sloped(&y, &[(&s.value, slope)]))
        }
        _ => Share::of(y),
    }
}

impl Forward for Relevance<'_> {
    type Image = Share;

    fn lift(&self, value: &Expr) -> Share {
        Share::of(value.clone())
    }

    fn rule(&self, at: &Occurrence, inputs: &[Walked<Share>]) -> Result<Option<Vec<Walked<Share>>>> {
        let done = match at.op() {
            Op::Control(_) => return Ok(self.call(at, inputs).map(|s| vec![Walked::Image(s)])),
            Op::Contract(_) => self.contract(at, inputs),
            Op::Elementwise(Elementwise::Binary(b)) => self.binary(at, *b, inputs),
            Op::Elementwise(Elementwise::Unary(Unary::Rsqrt)) => {
                return Ok(Some(vec![Walked::Plain(natural(at, inputs).stop_gradient())]));
            }
            Op::Elementwise(Elementwise::Unary(u)) => {
                let linear = matches!(u, Unary::Neg | Unary::StopGradient | Unary::Copy);
                let share = if linear { Share::of(natural(at, inputs)) } else { passed(at, inputs) };
                Share { gate: *u == Unary::Sigmoid, ..share }
            }
            Op::Movement(_) | Op::Elementwise(Elementwise::Cast(_)) => {
                let of = |f: fn(&Share) -> bool| inputs.iter().any(|w| matches!(w, Walked::Image(s) if f(s)));
                Share { gate: of(|s| s.gate), first: of(|s| s.first), ..Share::of(natural(at, inputs)) }
            }
            _ => {
                let all = at.node.with_inputs(inputs.iter().map(value).collect());
                return Ok(Some(all.into_iter().map(|e| Walked::Image(Share::of(e))).collect()));
            }
        };
        Ok(Some(vec![Walked::Image(done)]))
    }
}
