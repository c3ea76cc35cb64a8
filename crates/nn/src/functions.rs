//! Named functions of tensors: bodies over primitives that stay one node until a program is compiled, so that
//! printing, exporting and explaining see `gelu` where the compiler sees arithmetic.
//!
//! All take floats of any shape (others are converted to float32 first) and keep the shape unless they say otherwise.

use rhyton_graph::Expr;
use rhyton_graph::function::VjpRule;
use rhyton_graph::named::{self, Named};
use rhyton_tensor::{DType, Dim, Error};
use serde_json::{Value, json};

fn number(value: f32) -> Expr {
    Expr::scalar(value)
}

/// `named` applied to `x` as one node with the gradient of its body.
#[track_caller]
fn plain(named: &'static Named, x: &Expr, body: impl FnOnce(&Expr) -> Expr) -> Expr {
    named.apply(Value::Null, &[x.float()], |p| body(&p[0]))
}

/// `named` applied to `x` as one node with a gradient rule that is cheaper than its body's.
#[track_caller]
fn ruled(named: &'static Named, x: &Expr, rule: VjpRule, body: impl FnOnce(&Expr) -> Expr) -> Expr {
    named.apply_with_vjp(Value::Null, &[x.float()], rule, |p| body(&p[0]))
}

/// A [`VjpRule`] of a function of one value: what to do with (x, y, cotangent of y).
macro_rules! rule {
    (|$x:ident, $y:ident, $g:ident| $body:expr) => {
        |_, xs, ys, gs| match (xs, ys, gs) {
            ([$x], [$y], [Some($g)]) => vec![Some($body)],
            _ => vec![None; xs.len()],
        }
    };
}

/// `max(x, 0)`; its slope at 0 is 0.
#[track_caller]
pub fn relu(x: &Expr) -> Expr {
    let rule: VjpRule = rule!(|_x, y, g| y.greater(&number(0.0)).select(g, &number(0.0)));
    ruled(&named::RELU, x, rule, |x| x.maximum(&number(0.0)))
}

/// `1 / (1 + e^-x)`.
#[track_caller]
pub fn sigmoid(x: &Expr) -> Expr {
    ruled(&named::SIGMOID, x, rule!(|_x, y, g| g * (y * (1.0 - y))), Expr::sigmoid)
}

/// The hyperbolic tangent.
#[track_caller]
pub fn tanh(x: &Expr) -> Expr {
    ruled(&named::TANH, x, rule!(|_x, y, g| g * (1.0 - y * y)), Expr::tanh)
}

/// The last axis as an index; an error for a value without axes.
fn last_axis(name: &str, x: &Expr) -> Result<usize, Expr> {
    if x.is_poisoned() {
        return Err(x.clone());
    }
    x.rank().checked_sub(1).ok_or_else(|| {
        Expr::poison(Error::new(format!("{name} works along the last axis, and this value has none")))
    })
}

/// `e^x` over its sum along the last axis, shifted by the maximum so that nothing overflows.
#[track_caller]
pub fn softmax(x: &Expr) -> Expr {
    let axis = match last_axis("softmax", x) {
        Ok(axis) => axis,
        Err(bad) => return bad,
    };
    let rule: VjpRule = rule!(|_x, y, g| {
        let last = [y.rank().saturating_sub(1)];
        y * (g - (g * y).sum(&last).expand_dims(&last))
    });
    named::SOFTMAX.apply_with_vjp(json!({ "axis": -1 }), &[x.cast(DType::F32)], rule, |p| {
        let e = (&p[0] - p[0].max(&[axis]).expand_dims(&[axis])).exp();
        let sum = e.sum(&[axis]).expand_dims(&[axis]);
        e / sum
    })
}

/// The logarithm of [`softmax`], finite for any finite values.
#[track_caller]
pub fn log_softmax(x: &Expr) -> Expr {
    let axis = match last_axis("log_softmax", x) {
        Ok(axis) => axis,
        Err(bad) => return bad,
    };
    let rule: VjpRule = rule!(|_x, y, g| {
        let last = [y.rank().saturating_sub(1)];
        g - y.exp() * g.sum(&last).expand_dims(&last)
    });
    named::LOG_SOFTMAX.apply_with_vjp(json!({ "axis": -1 }), &[x.cast(DType::F32)], rule, |p| {
        let shifted = &p[0] - p[0].max(&[axis]).expand_dims(&[axis]);
        let sum = shifted.exp().sum(&[axis]).expand_dims(&[axis]);
        shifted - sum.log()
    })
}

/// `log(1 + e^x)` without overflow.
#[track_caller]
pub fn softplus(x: &Expr) -> Expr {
    let rule: VjpRule = rule!(|x, _y, g| g * x.sigmoid());
    ruled(&named::SOFTPLUS, x, rule, |x| x.maximum(&number(0.0)) + (-x.abs()).exp().log1p())
}

/// `log(sigmoid(x))` without underflow.
#[track_caller]
pub fn log_sigmoid(x: &Expr) -> Expr {
    let rule: VjpRule = rule!(|x, _y, g| g * (-x).sigmoid());
    ruled(&named::LOG_SIGMOID, x, rule, |x| x.minimum(&number(0.0)) - (-x.abs()).exp().log1p())
}

/// `min(max(x, 0), 6)`.
#[track_caller]
pub fn relu6(x: &Expr) -> Expr {
    plain(&named::RELU6, x, clamped6)
}

fn clamped6(x: &Expr) -> Expr {
    x.maximum(&number(0.0)).minimum(&number(6.0))
}

/// `x` above 0, `alpha (e^x - 1)` below. The exponential never sees a positive number, so that it cannot overflow.
#[track_caller]
pub fn elu_with(x: &Expr, alpha: f32) -> Expr {
    named::ELU.apply(json!({ "alpha": alpha }), &[x.float()], |p| {
        let below = p[0].minimum(&number(0.0)).expm1() * alpha;
        p[0].greater(&number(0.0)).select(&p[0], &below)
    })
}

/// `x` above 0, `slope x` below.
#[track_caller]
pub fn leaky_relu_with(x: &Expr, slope: f32) -> Expr {
    named::LEAKY_RELU.apply(json!({ "negative_slope": slope }), &[x.float()], |p| {
        p[0].greater(&number(0.0)).select(&p[0], &(&p[0] * slope))
    })
}

/// `x` above 0, `alpha x` below, with an `alpha` for each element.
#[track_caller]
pub fn prelu(x: &Expr, alpha: &Expr) -> Expr {
    let alpha = alpha.broadcast_to(x.shape().clone());
    named::PRELU.apply(Value::Null, &[x.float(), alpha], |p| {
        p[0].greater(&number(0.0)).select(&p[0], &(&p[0] * &p[1]))
    })
}

/// `x` from `threshold` on, up to `ceiling`; `slope (x - threshold)` below.
#[track_caller]
pub fn threshold_relu(x: &Expr, threshold: f32, slope: f32, ceiling: Option<f32>) -> Expr {
    let attrs = json!({ "threshold": threshold, "negative_slope": slope, "max_value": ceiling });
    named::THRESHOLD_RELU.apply(attrs, &[x.float()], |p| {
        let x = &p[0];
        let y = x.less(&number(threshold)).select(&((x - &number(threshold)) * slope), x);
        match ceiling {
            Some(m) => y.minimum(&number(m)),
            None => y,
        }
    })
}

/// `x` above 0, `e^x - 1` below (Clevert et al. 2015).
#[track_caller]
pub fn elu(x: &Expr) -> Expr {
    elu_with(x, 1.0)
}

/// [`elu`] with the continuously differentiable parametrisation (Barron 2017); the same for alpha 1.
#[track_caller]
pub fn celu(x: &Expr) -> Expr {
    plain(&named::CELU, x, |x| x.greater(&number(0.0)).select(x, &x.minimum(&number(0.0)).expm1()))
}

/// The self-normalising unit `1.0507 (x or 1.6733 (e^x - 1))` (Klambauer et al. 2017).
#[track_caller]
pub fn selu(x: &Expr) -> Expr {
    const ALPHA: f32 = 1.673_263_2;
    const SCALE: f32 = 1.050_701;
    plain(&named::SELU, x, |x| {
        let tail = x.minimum(&number(0.0)).expm1() * ALPHA;
        x.greater(&number(0.0)).select(x, &tail) * SCALE
    })
}

/// The normal distribution function.
fn normal(x: &Expr) -> Expr {
    (x * std::f32::consts::FRAC_1_SQRT_2).erf() * 0.5 + 0.5
}

/// `x` times the normal distribution function of `x`, exactly (Hendrycks and Gimpel 2016).
#[track_caller]
pub fn gelu(x: &Expr) -> Expr {
    // The logarithm of the density at 0.
    const LOG_DENSITY: f32 = -0.918_938_5;
    let rule: VjpRule = rule!(|x, _y, g| g * (normal(x) + x * (x * x * -0.5 + LOG_DENSITY).exp()));
    ruled(&named::GELU, x, rule, |x| x * normal(x))
}

/// `x sigmoid(x)`, also called swish.
#[track_caller]
pub fn silu(x: &Expr) -> Expr {
    plain(&named::SILU, x, |x| x * x.sigmoid())
}

/// `x / (1 + |x|)`.
#[track_caller]
pub fn softsign(x: &Expr) -> Expr {
    plain(&named::SOFTSIGN, x, |x| x / (x.abs() + 1.0))
}

/// `e^x`.
#[track_caller]
pub fn exponential(x: &Expr) -> Expr {
    plain(&named::EXPONENTIAL, x, Expr::exp)
}

/// `x` from 0 on, `0.2 x` below. Other than for [`leaky_relu_with`], its slope at 0 is 1.
#[track_caller]
pub fn leaky_relu(x: &Expr) -> Expr {
    named::LEAKY_RELU.apply(json!({ "negative_slope": 0.2f32 }), &[x.float()], |p| {
        p[0].greater_equal(&number(0.0)).select(&p[0], &(&p[0] * 0.2))
    })
}

fn gate(x: &Expr) -> Expr {
    clamped6(&(x + 3.0)) / Expr::scalar(6.0f32)
}

/// `relu6(x + 3) / 6`.
#[track_caller]
pub fn hard_sigmoid(x: &Expr) -> Expr {
    plain(&named::HARD_SIGMOID, x, gate)
}

/// `x hard_sigmoid(x)`, also called hard_swish.
#[track_caller]
pub fn hard_silu(x: &Expr) -> Expr {
    plain(&named::HARD_SILU, x, |x| x * gate(x))
}

/// `x` kept between -1 and 1.
#[track_caller]
pub fn hard_tanh(x: &Expr) -> Expr {
    plain(&named::HARD_TANH, x, |x| x.maximum(&number(-1.0)).minimum(&number(1.0)))
}

/// `x tanh(softplus(x))` (Misra 2019).
#[track_caller]
pub fn mish(x: &Expr) -> Expr {
    plain(&named::MISH, x, |x| x * softplus(x).tanh())
}

/// `(x + sqrt(x^2 + 4)) / 2`.
#[track_caller]
pub fn squareplus(x: &Expr) -> Expr {
    plain(&named::SQUAREPLUS, x, |x| (x + (x * x + 4.0).sqrt()) * 0.5)
}

/// `x - tanh(x)`.
#[track_caller]
pub fn tanh_shrink(x: &Expr) -> Expr {
    plain(&named::TANH_SHRINK, x, |x| x - x.tanh())
}

/// `x` moved towards 0 by 0.5, and 0 between -0.5 and 0.5.
#[track_caller]
pub fn soft_shrink(x: &Expr) -> Expr {
    plain(&named::SOFT_SHRINK, x, |x| {
        let low = x.less(&number(-0.5)).select(&(x + 0.5), &number(0.0));
        x.greater(&number(0.5)).select(&(x - 0.5), &low)
    })
}

/// `x`, and 0 between -0.5 and 0.5.
#[track_caller]
pub fn hard_shrink(x: &Expr) -> Expr {
    plain(&named::HARD_SHRINK, x, |x| x.abs().greater(&number(0.5)).select(x, &number(0.0)))
}

/// 0 up to -1, `x` from 1 on, `(x + 1)^2 / 4` between.
#[track_caller]
pub fn sparse_plus(x: &Expr) -> Expr {
    plain(&named::SPARSE_PLUS, x, |x| {
        let arc = (x + 1.0) * (x + 1.0) * 0.25;
        let upper = x.greater_equal(&number(1.0)).select(x, &arc);
        x.less_equal(&number(-1.0)).select(&number(0.0), &upper)
    })
}

/// `(x + 1) / 2` kept between 0 and 1.
#[track_caller]
pub fn sparse_sigmoid(x: &Expr) -> Expr {
    plain(&named::SPARSE_SIGMOID, x, |x| (x + 1.0).maximum(&number(0.0)).minimum(&number(2.0)) * 0.5)
}

/// The larger of two elements; shapes broadcast.
#[track_caller]
pub fn maximum(a: &Expr, b: &Expr) -> Expr {
    named::MAXIMUM.apply(Value::Null, &[a.clone(), b.clone()], |p| p[0].maximum(&p[1]))
}

/// The smaller of two elements; shapes broadcast.
#[track_caller]
pub fn minimum(a: &Expr, b: &Expr) -> Expr {
    named::MINIMUM.apply(Value::Null, &[a.clone(), b.clone()], |p| p[0].minimum(&p[1]))
}

/// `x` scaled to length one along `axes`. A sum of squares below `floor` counts as `floor`, which keeps the gradient
/// finite at zero.
#[track_caller]
pub fn unit_norm(x: &Expr, axes: &[usize], floor: f32) -> Expr {
    named::UNIT_NORM.apply(json!({ "axes": axes, "floor": floor }), std::slice::from_ref(x), |p| {
        let square = (&p[0] * &p[0]).sum(axes).expand_dims(axes);
        &p[0] * square.maximum(&number(floor)).rsqrt()
    })
}

/// The first half of the last axis times the sigmoid of the second half; the axis halves (Dauphin et al. 2016).
#[track_caller]
pub fn glu(x: &Expr) -> Expr {
    let axis = match last_axis("glu", x) {
        Ok(axis) => axis,
        Err(bad) => return bad,
    };
    let Some(half) = x.shape().last().and_then(Dim::as_fixed).filter(|n| n % 2 == 0).map(|n| n / 2) else {
        return Expr::poison(
            Error::new(format!("glu halves the last axis, and the shape is {}", x.shape()))
                .expected("an even last size"),
        );
    };
    plain(&named::GLU, x, |x| x.slice(axis, 0, half) * x.slice(axis, half, half).sigmoid())
}

/// Sparse probabilities along the last axis as Keras 3.15 computes them. Its threshold adds up all cumulative
/// sums of the support where Martins and Astudillo (2016) take the last one, so the results rarely sum to 1.
#[track_caller]
pub fn sparsemax(x: &Expr) -> Expr {
    let axis = match last_axis("sparsemax", x) {
        Ok(axis) => axis,
        Err(bad) => return bad,
    };
    plain(&named::SPARSEMAX, x, |x| {
        // Position and cumulative sum of each element in descending order, without sorting: by comparing all
        // pairs, the earlier of two equal elements first.
        let (own, other) = (x.expand_dims(&[axis + 1]), x.expand_dims(&[axis]));
        let pair = rhyton_graph::broadcast_shapes(own.shape(), other.shape()).unwrap_or_default();
        let earlier = Expr::iota(pair.clone(), axis + 1).less_equal(&Expr::iota(pair, axis));
        let before = other.greater(&own).or(&other.equal(&own).and(&earlier)).cast(DType::F32);
        let position = before.sum(&[axis + 1]);
        let cumulated = (&before * &other).sum(&[axis + 1]);
        let support = (x - (&cumulated - 1.0) / position).greater(&number(0.0)).cast(DType::F32);
        let count = support.sum(&[axis]);
        let tau = ((support * cumulated).sum(&[axis]) - 1.0) / count;
        (x - tau.expand_dims(&[axis])).maximum(&number(0.0))
    })
}
