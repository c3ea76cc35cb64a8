//! Interval arithmetic as a [`Forward`] walk: bounds of every value of a network from bounds of its inputs.

use rhyton_graph::Expr;
use rhyton_graph::named::{self, Named};
use rhyton_graph::ops::{
    Binary, Cumulative, Elementwise, Index, Op, PoolKind, Reduce, Running, Unary, Window,
};
use rhyton_graph::transform::{Forward, Image, Occurrence, Walked};
use rhyton_tensor::Result;

/// Least and largest value of each element. Of a condition: whether it surely holds, and whether it may.
#[derive(Clone, Debug)]
pub struct Interval(pub Expr, pub Expr);

impl Image for Interval {
    fn parts(&self) -> Vec<Expr> {
        vec![self.0.clone(), self.1.clone()]
    }

    fn from_parts(parts: &[Expr]) -> Interval {
        Interval(parts[0].clone(), parts[1].clone())
    }
}

impl Interval {
    fn centre(&self) -> Expr {
        (&self.0 + &self.1) * 0.5
    }

    fn radius(&self) -> Expr {
        (&self.1 - &self.0) * 0.5
    }

    fn around(centre: &Expr, radius: &Expr) -> Interval {
        Interval(centre - radius, centre + radius)
    }

    /// The least interval that holds all of these values.
    fn of(values: &[Expr]) -> Interval {
        let fold = |f: fn(&Expr, &Expr) -> Expr| values[1..].iter().fold(values[0].clone(), |a, b| f(&a, b));
        Interval(fold(Expr::minimum), fold(Expr::maximum))
    }

    /// The number between the ends that is nearest to `x`.
    fn nearest(&self, x: f32) -> Expr {
        self.0.maximum(&Expr::scalar(x)).minimum(&self.1)
    }
}

/// Bounds by intervals (Gowal et al. 2019; Mirman, Gehr, Vechev 2018).
///
/// ```
/// use rhyton_graph::transform::{Walked, forward};
/// use rhyton_graph::{Expr, eval};
/// use rhyton_robust::bounds::{Interval, Intervals};
/// use rhyton_tensor::Tensor;
/// let ends = eval(
///     |p| {
///         let x = Expr::param("x", p[0].ty().clone());
///         let y = (&x * -2.0).tanh();
///         let around = Interval(&p[0] - 1.0, &p[0] + 1.0);
///         match &forward(&Intervals, &[y], &[(x, around)]).unwrap()[0] {
///             Walked::Image(Interval(low, high)) => vec![low.clone(), high.clone()],
///             Walked::Plain(y) => vec![y.clone()],
///         }
///     },
///     &[Tensor::vector(vec![0.0f32])],
/// )?;
/// assert!((ends[0].to_vec::<f32>()[0] + 2f32.tanh()).abs() < 1e-6);
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
pub struct Intervals;

/// Functions of one value that grow with it.
static RISING: &[&Named] = &[
    &named::RELU,
    &named::RELU6,
    &named::ELU,
    &named::CELU,
    &named::SELU,
    &named::SIGMOID,
    &named::HARD_SIGMOID,
    &named::LOG_SIGMOID,
    &named::SPARSE_SIGMOID,
    &named::TANH,
    &named::HARD_TANH,
    &named::TANH_SHRINK,
    &named::SOFT_SHRINK,
    &named::HARD_SHRINK,
    &named::SOFTPLUS,
    &named::SOFTSIGN,
    &named::SQUAREPLUS,
    &named::SPARSE_PLUS,
    &named::EXPONENTIAL,
];

/// Functions that fall, then grow, and where they are least.
static VALLEYS: &[(&Named, f32)] = &[
    (&named::GELU, -0.751_791_6),
    (&named::SILU, -1.278_464_5),
    (&named::MISH, -1.192_409_5),
    (&named::HARD_SILU, -1.5),
];

fn both(v: &Walked<Interval>) -> Interval {
    match v {
        Walked::Plain(e) => Interval(e.clone(), e.clone()),
        Walked::Image(i) => i.clone(),
    }
}

/// The operation on these values in place of its inputs.
fn apply(at: &Occurrence, inputs: Vec<Expr>) -> Expr {
    at.node.with_inputs(inputs).swap_remove(0)
}

/// The operation on the lower and on the upper ends: what grows with all its inputs.
fn rising(at: &Occurrence, inputs: &[Interval]) -> Interval {
    let low = apply(at, inputs.iter().map(|i| i.0.clone()).collect());
    Interval(low, apply(at, inputs.iter().map(|i| i.1.clone()).collect()))
}

/// A function of one value whose extremes lie at the ends or at one of these points.
fn turning(at: &Occurrence, x: &Interval, others: &[Expr], points: &[f32]) -> Interval {
    let f = |x: Expr| apply(at, [&[x], others].concat());
    let inner = points.iter().map(|p| f(x.nearest(*p)));
    Interval::of(&[f(x.0.clone()), f(x.1.clone())].into_iter().chain(inner).collect::<Vec<_>>())
}

/// A product of two values, summed or not: of intervals from centres and radii.
fn bilinear(at: &Occurrence, inputs: &[Walked<Interval>]) -> Interval {
    let f = |a: &Expr, b: &Expr| apply(at, vec![a.clone(), b.clone()]);
    match inputs {
        [Walked::Image(x), Walked::Plain(w)] => {
            Interval::around(&f(&x.centre(), w), &f(&x.radius(), &w.abs()))
        }
        [Walked::Plain(w), Walked::Image(x)] => {
            Interval::around(&f(w, &x.centre()), &f(&w.abs(), &x.radius()))
        }
        _ => {
            let [a, b] = [0, 1].map(|i| both(&inputs[i]));
            let (ra, rb) = (a.radius(), b.radius());
            let spread = f(&a.centre().abs(), &rb) + f(&ra, &b.centre().abs()) + f(&ra, &rb);
            Interval::around(&f(&a.centre(), &b.centre()), &spread)
        }
    }
}

/// Products of elements: the extremes are among the products of the ends.
fn product(a: &Interval, b: &Interval) -> Interval {
    Interval::of(&[&a.0 * &b.0, &a.0 * &b.1, &a.1 * &b.0, &a.1 * &b.1])
}

/// 1 / x; infinite both ways where 0 is among the values.
fn reciprocal(x: &Interval) -> Interval {
    let zero = Expr::scalar(0.0f32);
    let apart = x.0.greater(&zero).or(&x.1.less(&zero));
    let end = |y: &Expr, otherwise: f32| apart.select(&(1.0 / y), &Expr::scalar(otherwise));
    Interval(end(&x.1, f32::NEG_INFINITY), end(&x.0, f32::INFINITY))
}

fn unary(op: Unary, at: &Occurrence, x: &Interval) -> Interval {
    match op {
        Unary::Neg | Unary::Not => {
            let f = |e: &Expr| apply(at, vec![e.clone()]);
            Interval(f(&x.1), f(&x.0))
        }
        Unary::Abs => turning(at, x, &[], &[0.0]),
        Unary::Rsqrt => Interval(x.1.rsqrt(), x.0.rsqrt()),
        Unary::Sin | Unary::Cos => {
            // The slope is at most 1.
            let (middle, r) = (apply(at, vec![x.centre()]), x.radius());
            let one = Expr::scalar(1.0f32);
            Interval((&middle - &r).maximum(&-&one), (&middle + &r).minimum(&one))
        }
        _ => rising(at, std::slice::from_ref(x)),
    }
}

fn binary(op: Binary, at: &Occurrence, a: &Interval, b: &Interval, same: bool) -> Interval {
    let f = |a: &Expr, b: &Expr| apply(at, vec![a.clone(), b.clone()]);
    match op {
        Binary::Sub => Interval(&a.0 - &b.1, &a.1 - &b.0),
        // What is multiplied with itself is a square.
        Binary::Mul if same => {
            let least = a.nearest(0.0);
            let Interval(_, high) = Interval::of(&[&a.0 * &a.0, &a.1 * &a.1]);
            Interval(&least * &least, high)
        }
        Binary::Mul => product(a, b),
        Binary::Div => product(a, &reciprocal(b)),
        // Powers turn at 0 only.
        Binary::Pow => Interval::of(
            &[&a.0, &a.1, &a.nearest(0.0)]
                .into_iter()
                .flat_map(|x| [f(x, &b.0), f(x, &b.1)])
                .collect::<Vec<_>>(),
        ),
        Binary::Less | Binary::LessEqual => Interval(f(&a.1, &b.0), f(&a.0, &b.1)),
        Binary::Equal => {
            let surely = f(&a.0, &b.1).and(&f(&a.1, &b.0));
            Interval(surely, a.0.less_equal(&b.1).and(&b.0.less_equal(&a.1)))
        }
        Binary::Add | Binary::Max | Binary::Min | Binary::And | Binary::Or => {
            rising(at, &[a.clone(), b.clone()])
        }
    }
}

/// Of a condition that may hold and may not, both values.
fn select(condition: &Interval, a: &Interval, b: &Interval) -> Interval {
    let Interval(surely, maybe) = condition;
    let end = |a: &Expr, b: &Expr, f: fn(&Expr, &Expr) -> Expr| surely.select(a, &maybe.select(&f(a, b), b));
    Interval(end(&a.0, &b.0, Expr::minimum), end(&a.1, &b.1, Expr::maximum))
}

/// Shares of sums of exponentials: `x_i` against all others.
fn softmax(x: &Interval, log: bool) -> Interval {
    let last = [x.0.rank() - 1];
    let shift = x.1.max(&last).expand_dims(&last);
    let [low, high] = [&x.0, &x.1].map(|e| (e - &shift).exp());
    let side = |own: &Expr, exp_own: &Expr, others: &Expr| {
        // What rounding leaves of a difference of equal sums is not below 0.
        let rest = (others.sum(&last).expand_dims(&last) - others).maximum(&Expr::scalar(0.0f32));
        if log { own - &shift - (exp_own + rest).log() } else { exp_own / (exp_own + rest) }
    };
    Interval(side(&x.0, &low, &high), side(&x.1, &high, &low))
}

/// The rule of a named function that is better taken as a whole.
pub(crate) fn of_named(at: &Occurrence, inputs: &[Walked<Interval>]) -> Option<Interval> {
    let (named, x) = (at.named?, both(inputs.first()?));
    let setting = |key: &str| match at.op() {
        Op::Control(rhyton_graph::ops::Control::Call(f)) => f.attrs[key].as_f64(),
        _ => None,
    };
    // An exponential tail that points down turns.
    let turns = setting("alpha").is_some_and(|alpha| alpha < 0.0);
    if RISING.contains(&named) && !turns {
        return Some(rising(at, &[x]));
    }
    if let Some((_, least)) = VALLEYS.iter().find(|(n, _)| *n == named) {
        return Some(turning(at, &x, &[], &[*least]));
    }
    match inputs {
        _ if named == &named::SOFTMAX => Some(softmax(&x, false)),
        _ if named == &named::LOG_SOFTMAX => Some(softmax(&x, true)),
        _ if named == &named::LEAKY_RELU => Some(turning(at, &x, &[], &[0.0])),
        [_, Walked::Plain(alpha)] if named == &named::PRELU => {
            Some(turning(at, &x, std::slice::from_ref(alpha), &[0.0]))
        }
        _ if named == &named::THRESHOLD_RELU => {
            // It jumps at the threshold, and may do so downwards: just below it lies the end of the other branch.
            let threshold = setting("threshold").unwrap_or(0.0) as f32;
            let below = f32::from_bits(if threshold > 0.0 {
                threshold.to_bits() - 1
            } else {
                threshold.to_bits() + 1
            });
            let below = if threshold == 0.0 { -1e-30 } else { below };
            Some(turning(at, &x, &[], &[threshold, below]))
        }
        _ => None,
    }
}

impl Forward for Intervals {
    type Image = Interval;

    fn lift(&self, value: &Expr) -> Interval {
        Interval(value.clone(), value.clone())
    }

    fn rule(&self, at: &Occurrence, inputs: &[Walked<Interval>]) -> Result<Option<Vec<Walked<Interval>>>> {
        if let Some(done) = of_named(at, inputs) {
            return Ok(Some(vec![Walked::Image(done)]));
        }
        let all: Vec<Interval> = inputs.iter().map(both).collect();
        let done = match (at.op(), &all[..]) {
            (Op::Elementwise(Elementwise::Unary(op)), [x]) if *op != Unary::IsFinite => unary(*op, at, x),
            (Op::Elementwise(Elementwise::Binary(Binary::Mul)), [_, _])
                if inputs.iter().any(|i| matches!(i, Walked::Plain(_))) =>
            {
                bilinear(at, inputs)
            }
            (Op::Elementwise(Elementwise::Binary(op)), [a, b]) => {
                binary(*op, at, a, b, at.inputs[0].key() == at.inputs[1].key())
            }
            (Op::Elementwise(Elementwise::Select), [c, a, b]) => select(c, a, b),
            (
                Op::Elementwise(Elementwise::Cast(_)) | Op::Movement(_) | Op::Reduce(Reduce::Fold { .. }),
                _,
            ) => rising(at, &all),
            (Op::Window(Window { kind: PoolKind::Max | PoolKind::Sum | PoolKind::SumSpread, .. }), _) => {
                rising(at, &all)
            }
            (Op::Index(Index::Gather { .. } | Index::ScatterAdd { .. }), _)
                if matches!(inputs.last(), Some(Walked::Plain(_))) =>
            {
                rising(at, &all)
            }
            (Op::Cumulative(Cumulative { kind: Running::Sum | Running::Max | Running::Min, .. }), _) => {
                rising(at, &all)
            }
            (Op::Contract(_), [_, _]) => bilinear(at, inputs),
            _ => return Ok(None),
        };
        Ok(Some(vec![Walked::Image(done)]))
    }
}
