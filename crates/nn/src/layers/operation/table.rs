//! The operations: one row for each.

use super::call::Call;
use super::numbers::{self, counted, floats, truth};
use super::{pick, products, reductions, shapes};
use crate::functions as f;
use rhyton_graph::Expr;
use rhyton_tensor::Result;

/// An operation that files may hold.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) class_name: &'static str,
    pub(super) module: &'static str,
    pub(super) apply: Apply,
}

/// What an operation does.
#[derive(Debug)]
pub(super) enum Apply {
    /// With one value.
    One(fn(&Expr) -> Expr),
    /// With two values that broadcast.
    Two(fn(&Expr, &Expr) -> Expr),
    /// With one value over the axes of its setting `axis`.
    Over(fn(&Expr, &[usize]) -> Expr),
    /// With operands and settings.
    Call(fn(&Call) -> Result<Expr>),
    /// The same with several results.
    Calls(fn(&Call) -> Result<Vec<Expr>>),
}

impl Apply {
    /// The results for these operands and settings.
    pub(super) fn run(&self, c: &Call) -> Result<Vec<Expr>> {
        Ok(match self {
            Apply::One(f) => vec![f(&c.x(0)?)],
            Apply::Two(f) => {
                let [a, b] = c.exactly()?;
                vec![f(&a, &b)]
            }
            Apply::Over(f) => vec![reductions::over(c, &c.x(0)?, f)?],
            Apply::Call(f) => vec![f(c)?],
            Apply::Calls(f) => f(c)?,
        })
    }
}

macro_rules! known {
    ($($module:literal { $($name:ident $kind:ident $f:expr;)* })*) => {
        &[$($(Known {
            class_name: stringify!($name),
            module: concat!("keras.src.ops.", $module),
            apply: Apply::$kind($f),
        },)*)*]
    };
}

/// Sorted by Keras's modules.
pub(super) static KNOWN: &[Known] = known! {
    "numpy" {
        Absolute One |x| counted(x).abs();
        Fabs One |x| x.float().abs();
        Negative One |x| -counted(x);
        Sign One |x| counted(x).sign();
        Exp One |x| x.float().exp();
        Exp2 One |x| (x.float() * std::f32::consts::LN_2).exp();
        Expm1 One |x| x.float().expm1();
        Log One |x| x.float().log();
        Log1p One |x| x.float().log1p();
        Log2 One |x| x.float().log() / Expr::scalar(std::f32::consts::LN_2);
        Log10 One |x| x.float().log() / Expr::scalar(std::f32::consts::LN_10);
        Sqrt One |x| x.float().sqrt();
        Cbrt One numbers::cube_root;
        Square One |x| counted(x) * counted(x);
        Reciprocal One |x| 1.0 / x.float();
        Sin One |x| x.float().sin();
        Cos One |x| x.float().cos();
        Tan One numbers::tan;
        Sinh One numbers::sinh;
        Cosh One numbers::cosh;
        Tanh One |x| x.float().tanh();
        Arcsin One numbers::arcsin;
        Arccos One numbers::arccos;
        Arctan One numbers::arctan;
        Arcsinh One numbers::arcsinh;
        Arccosh One numbers::arccosh;
        Arctanh One numbers::arctanh;
        Floor One |x| x.float().floor();
        Ceil One numbers::ceil;
        Trunc One numbers::trunc;
        Deg2rad One |x| x.float() * (std::f32::consts::PI / 180.0);
        Rad2deg One |x| x.float() * (180.0 / std::f32::consts::PI);
        Isnan One numbers::is_nan;
        Isinf One numbers::is_infinite;
        Isfinite One |x| x.float().is_finite();
        LogicalNot One |x| truth(x).not();
        Copy One Expr::clone;
        Real One Expr::clone;
        Conjugate One Expr::clone;
        Ravel One shapes::flat;
        ZerosLike One Expr::zeros_like;
        OnesLike One Expr::ones_like;
        Add Two numbers::add;
        Subtract Two |a, b| counted(a) - counted(b);
        Multiply Two numbers::multiply;
        TrueDivide Two |a, b| floats(|a, b| a / b, a, b);
        Divide Two |a, b| floats(|a, b| a / b, a, b);
        DivideNoNan Two numbers::divide_or_zero;
        FloorDivide Two numbers::floor_divide;
        Mod Two numbers::modulo;
        Fmod Two |a, b| a.float() - numbers::trunc(&floats(|a, b| a / b, a, b)) * b;
        Fmax Two |a, b| numbers::known(a, b, Expr::maximum);
        Fmin Two |a, b| numbers::known(a, b, Expr::minimum);
        Power Two |a, b| floats(Expr::pow, a, b);
        Maximum Two |a, b| counted(a).maximum(&counted(b));
        Minimum Two |a, b| counted(a).minimum(&counted(b));
        Hypot Two numbers::hypot;
        Logaddexp Two numbers::logaddexp;
        Arctan2 Two numbers::arctan2;
        Matmul Two |a, b| floats(Expr::matmul, a, b);
        Equal Two Expr::equal;
        NotEqual Two |a, b| a.equal(b).not();
        Less Two |a, b| counted(a).less(&counted(b));
        LessEqual Two |a, b| counted(a).less_equal(&counted(b));
        Greater Two |a, b| counted(a).greater(&counted(b));
        GreaterEqual Two |a, b| counted(a).greater_equal(&counted(b));
        LogicalAnd Two |a, b| truth(a).and(&truth(b));
        LogicalOr Two |a, b| truth(a).or(&truth(b));
        LogicalXor Two numbers::xor;
        Sum Over reductions::sum;
        Mean Over reductions::mean;
        Max Over reductions::max;
        Min Over reductions::min;
        Amax Over reductions::max;
        Amin Over reductions::min;
        Any Over reductions::any;
        All Over reductions::all;
        Ptp Over |x, axes| reductions::max(x, axes) - reductions::min(x, axes);
        Average Call reductions::average;
        Var Over reductions::variance;
        Std Over reductions::deviation;
        CountNonzero Over reductions::count_nonzero;
        Prod Call reductions::product;
        Cumsum Call |c| reductions::cumulated(c, Expr::cumsum);
        Cumprod Call |c| reductions::cumulated(c, Expr::cumprod);
        Argmax Call |c| reductions::argmax(c, &c.x(0)?);
        Argmin Call |c| reductions::argmax(c, &-counted(&c.x(0)?));
        Clip Call numbers::clip;
        Round Call numbers::round;
        Where Call numbers::choose;
        FullLike Call numbers::full_like;
        Reshape Call shapes::reshape;
        Transpose Call shapes::transpose;
        Swapaxes Call shapes::swap_axes;
        Moveaxis Call shapes::move_axis;
        ExpandDims Call shapes::expand_dims;
        Squeeze Call shapes::squeeze;
        Flip Call shapes::flip;
        Roll Call shapes::roll;
        Repeat Call shapes::repeat;
        Tile Call shapes::tile;
        BroadcastTo Call shapes::broadcast_to;
        Concatenate Call shapes::concatenate;
        Append Call shapes::concatenate;
        Hstack Call shapes::concatenate;
        Vstack Call shapes::concatenate;
        Stack Call shapes::stack;
        Split Calls shapes::split;
        Pad Call shapes::pad;
        Triu Call |c| shapes::triangle(c, true);
        Tril Call |c| shapes::triangle(c, false);
        Diff Call shapes::differences;
        GetItem Call pick::get_item;
        Take Call pick::take;
        TakeAlongAxis Call pick::take_along_axis;
        Sort Call pick::sort;
        Argsort Call pick::argsort;
        Einsum Call products::einsum;
        Tensordot Call products::tensordot;
        Dot Call products::dot;
        Inner Call products::inner;
        Outer Call products::outer;
    }
    "core" {
        Cast Call numbers::cast;
        ConvertToTensor Call numbers::cast;
        StopGradient One Expr::stop_gradient;
        Unstack Calls shapes::unstack;
        Slice Call pick::slice;
    }
    "math" {
        Rsqrt One |x| x.float().rsqrt();
        Erf One |x| x.float().erf();
        Erfc One |x| 1.0 - x.float().erf();
        Logsumexp Over reductions::logsumexp;
        TopK Calls pick::top_k;
    }
    "linalg" {
        Norm Call reductions::norm;
    }
    "nn" {
        Relu One f::relu;
        Relu6 One f::relu6;
        Sigmoid One f::sigmoid;
        SparseSigmoid One f::sparse_sigmoid;
        Softplus One f::softplus;
        Softsign One f::softsign;
        SparsePlus One f::sparse_plus;
        Silu One f::silu;
        Squareplus One f::squareplus;
        LogSigmoid One f::log_sigmoid;
        HardSigmoid One f::hard_sigmoid;
        HardSilu One f::hard_silu;
        HardTanh One f::hard_tanh;
        Selu One f::selu;
        TanhShrink One f::tanh_shrink;
        LeakyRelu Call numbers::leaky_relu;
        Elu Call numbers::elu;
        Celu Call numbers::celu;
        Gelu Call numbers::gelu;
        Threshold Call numbers::threshold;
        SoftShrink Call numbers::soft_shrink;
        HardShrink Call numbers::hard_shrink;
        Softmax Call |c| numbers::along_axis(c, f::softmax);
        LogSoftmax Call |c| numbers::along_axis(c, f::log_softmax);
        Sparsemax Call |c| numbers::along_axis(c, f::sparsemax);
        Glu Call |c| numbers::along_axis(c, f::glu);
        Normalize Call reductions::normalize;
        Moments Calls reductions::moments;
        OneHot Call pick::one_hot;
    }
};
