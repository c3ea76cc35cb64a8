//! Straight lines below and above functions of one value.

use rhyton_graph::function::scan;
use rhyton_graph::named::{self, Named};
use rhyton_graph::ops::{PoolKind, Window};
use rhyton_graph::{Expr, Function};
use rhyton_model::program::sample_axes;
use rhyton_tensor::DType;

/// A line: `slope x + intercept`, element by element.
#[derive(Clone)]
pub(crate) struct Line {
    pub slope: Expr,
    pub intercept: Expr,
}

impl Line {
    /// Through a point.
    fn through(slope: &Expr, x: &Expr, y: &Expr) -> Line {
        Line { slope: slope.clone(), intercept: y - slope * x }
    }

    /// The same everywhere.
    fn constant(y: &Expr) -> Line {
        Line { slope: y.zeros_like(), intercept: y.clone() }
    }

    fn select(which: &Expr, a: &Line, b: &Line) -> Line {
        Line { slope: which.select(&a.slope, &b.slope), intercept: which.select(&a.intercept, &b.intercept) }
    }
}

/// Lines below and above a function between bounds of its argument.
#[derive(Clone)]
pub(crate) struct Lines {
    pub below: Line,
    pub above: Line,
    /// Where the lower line may have any slope, through the origin, between this and 1.
    pub free: Option<(Expr, Expr)>,
}

/// Widths that count as none.
const NARROW: f32 = 1e-8;

impl Lines {
    /// Between fixed values.
    pub fn flat(low: &Expr, high: &Expr) -> Lines {
        Lines { below: Line::constant(low), above: Line::constant(high), free: None }
    }

    /// Whether a named function has better ones than flat ones.
    pub fn has(named: &'static Named) -> bool {
        [&named::RELU, &named::LEAKY_RELU, &named::SIGMOID, &named::TANH].contains(&named)
    }

    /// Of a named function that [`has`](Lines::has) them; `f` applies it.
    pub fn of(named: &'static Named, low: &Expr, high: &Expr, f: impl Fn(&Expr) -> Expr) -> Lines {
        match named {
            n if n == &named::SIGMOID => s_shaped(low, high, f, |y| y * (1.0 - y)),
            n if n == &named::TANH => s_shaped(low, high, f, |y| 1.0 - y * y),
            // What it makes of -1 is how much it lets through below 0.
            n if n == &named::LEAKY_RELU => leaky(low, high, &-f(&low.full_like(-1.0))),
            _ => leaky(low, high, &low.zeros_like()),
        }
    }
}

/// Of a ReLU that lets a share `leak` through below 0: the chord above; below, the identity where most of the values are
/// positive, else what it does to negative ones (Zhang et al. 2018).
fn leaky(low: &Expr, high: &Expr, leak: &Expr) -> Lines {
    let zero = Expr::scalar(0.0f32);
    let (l, u) = (low.minimum(&zero), high.maximum(&zero));
    let u = u.maximum(&(&l + NARROW));
    let slope = (&u - leak * &l) / (&u - &l);
    let above = Line { intercept: &l * (leak - &slope), slope };
    let below = Line {
        slope: above.slope.greater(&Expr::scalar(0.5f32)).select(&low.ones_like(), leak),
        intercept: low.zeros_like(),
    };
    let free = low.less(&zero).and(&high.greater(&zero));
    Lines { below, above, free: Some((free, leak.clone())) }
}

/// Of a function that is convex below 0 and concave above, with its slope from its value: the chord or a tangent.
fn s_shaped(low: &Expr, high: &Expr, f: impl Fn(&Expr) -> Expr, slope_at: fn(&Expr) -> Expr) -> Lines {
    let zero = low.zeros_like();
    let (y_low, y_high) = (f(low), f(high));
    let width = high - low;
    let middle = (low + high) * 0.5;
    let y_middle = f(&middle);
    let chord = (&y_high - &y_low) / width.maximum(&Expr::scalar(NARROW));
    let chord = width.greater(&Expr::scalar(NARROW)).select(&chord, &slope_at(&y_middle));
    let at_middle = Line::through(&slope_at(&y_middle), &middle, &y_middle);
    let (from_low, from_high) = (Line::through(&chord, low, &y_low), Line::through(&chord, high, &y_high));
    // Where a line from the other end touches the curve, between 0 and this end.
    let touching = |end: &Expr, from: &Expr, y_from: &Expr| {
        let rising = |d: &Expr| {
            let y = f(d);
            (y_from - &y) / (from - d).abs().maximum(&Expr::scalar(NARROW)) * (from - d).sign() - slope_at(&y)
        };
        let steps = Expr::iota([30], 0);
        // Between the end, where the curve is flatter than the line, and 0, where it is steeper.
        let state = [end.clone(), zero.clone()];
        let found = scan("tangent", &state, &[steps], &[], false, |s, _, _| {
            let d = (&s[0] + &s[1]) * 0.5;
            let flat = rising(&d).greater(&zero);
            (vec![flat.select(&d, &s[0]), flat.select(&s[1], &d)], vec![])
        });
        found.0[0].clone()
    };
    let tangent = |d: &Expr| {
        let y = f(d);
        Line::through(&slope_at(&y), d, &y)
    };
    let mixed_below =
        Line::select(&chord.less(&slope_at(&y_low)), &from_low, &tangent(&touching(low, high, &y_high)));
    let mixed_above =
        Line::select(&chord.less(&slope_at(&y_high)), &from_high, &tangent(&touching(high, low, &y_low)));
    let (negative, positive) = (high.less_equal(&zero), low.greater_equal(&zero));
    let below = Line::select(&negative, &at_middle, &Line::select(&positive, &from_low, &mixed_below));
    let above = Line::select(&negative, &from_low, &Line::select(&positive, &at_middle, &mixed_above));
    Lines { below, above, free: None }
}

static RELAXED: Named = Named::new(
    "relaxed",
    "z, value, slope_below, intercept_below, slope_above, intercept_above, excess",
    "`value`, with a gradient that follows the lines below and above it",
);

/// `value`, which is a function of `z` between two lines. A cotangent that counts its lower bound (positive) takes the
/// lower line, one that counts its upper bound the upper line. What the lines are above the value at this `z`, times
/// the cotangent, is the cotangent of `excess`, `[batch]`.
pub(crate) fn relaxed(z: &Expr, value: &Expr, lines: &Lines, excess: &Expr) -> Expr {
    let Lines { below, above, .. } = lines;
    let fit = |e: &Expr| e.broadcast_to(z.shape().clone());
    let inputs = [
        z.clone(),
        value.clone(),
        fit(&below.slope),
        fit(&below.intercept),
        fit(&above.slope),
        fit(&above.intercept),
        excess.clone(),
    ];
    RELAXED.apply_with_vjp(serde_json::Value::Null, &inputs, along_lines, |p| p[1].clone())
}

fn along_lines(_: &Function, inputs: &[Expr], _: &[Expr], cotangents: &[Option<Expr>]) -> Vec<Option<Expr>> {
    let ([z, value, s_below, b_below, s_above, b_above, _], Some(Some(c))) = (inputs, cotangents.first())
    else {
        return vec![None; inputs.len()];
    };
    let (up, down) = (c.maximum(&c.zeros_like()), c.minimum(&c.zeros_like()));
    let back = &up * s_below + &down * s_above;
    let over = &up * (s_below * z + b_below - value) + &down * (s_above * z + b_above - value);
    vec![Some(back), None, None, None, None, None, Some(over.sum(&sample_axes(z)))]
}

static POOLED: Named = Named::new(
    "relaxed_max_pool",
    "z, value, low, largest, alone, excess; kind, pooled, full, window, strides, pad_lo",
    "the largest elements of windows, with a gradient that follows the lines around them",
);

/// [`relaxed`] for the largest elements of windows: `value` of `z`, whose elements lie between `low` and `high`.
pub(crate) fn pooled(
    window: &Window,
    z: &Expr,
    value: &Expr,
    low: &Expr,
    high: &Expr,
    excess: &Expr,
) -> Expr {
    let apply = |kind, inputs: &[&Expr]| {
        Expr::apply(window.with(kind), inputs.iter().map(|e| (*e).clone()).collect())
    };
    let largest = apply(PoolKind::Max, &[high]);
    // Whether no other element of the window can be larger. Where windows overlap, it is not asked.
    let alone = match window.strides.iter().zip(&window.window).all(|(s, w)| s >= w) {
        true => {
            let chosen = apply(PoolKind::MaxSpread, &[low, &value.ones_like()]).greater(&z.zeros_like());
            let others = chosen.select(&z.full_like(f64::from(f32::MIN)), high);
            let others = apply(PoolKind::Max, &[&others]);
            others.less_equal(&apply(PoolKind::Max, &[low])).cast(DType::F32)
        }
        false => value.zeros_like(),
    };
    let attrs = serde_json::to_value(window).unwrap_or_default();
    let inputs = [z, value, low, &largest, &alone, excess].map(Expr::clone);
    POOLED.apply_with_vjp(attrs, &inputs, along_largest, |p| p[1].clone())
}

fn along_largest(
    f: &Function,
    inputs: &[Expr],
    _: &[Expr],
    cotangents: &[Option<Expr>],
) -> Vec<Option<Expr>> {
    let window = serde_json::from_value::<Window>(f.attrs.clone());
    let ([z, value, low, largest, alone, _], Some(Some(c)), Ok(window)) =
        (inputs, cotangents.first(), window)
    else {
        return vec![None; inputs.len()];
    };
    let (up, down) = (c.maximum(&c.zeros_like()), c.minimum(&c.zeros_like()));
    let through = &up + &down * alone;
    let back = Expr::apply(window.with(PoolKind::MaxSpread), vec![low.clone(), through.clone()]);
    let chosen = Expr::apply(window.with(PoolKind::MaxTake), vec![low.clone(), z.clone()]);
    let over = through * (chosen - value) + down * (1.0 - alone) * (largest - value);
    vec![Some(back), None, None, None, None, Some(over.sum(&sample_axes(value)))]
}
