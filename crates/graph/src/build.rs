//! Elementwise methods and operators of [`Expr`]: what users, layers and gradient rules write. The methods of the other
//! families stand in their files ([`crate::ops`]).

use crate::expr::Expr;
use crate::ops::{Binary, Elementwise, Op, Scalar, Unary};
use rhyton_tensor::{DType, Dim, Error, Shape};

macro_rules! unary {
    ($($(#[$doc:meta])* $name:ident $op:ident;)*) => {
        impl Expr {
            $($(#[$doc])* #[track_caller] pub fn $name(&self) -> Expr {
                Expr::apply(Elementwise::Unary(Unary::$op), vec![self.clone()])
            })*
        }
    };
}

unary! {
    /// Absolute value.
    abs Abs;
    /// -1, 0 or 1.
    sign Sign;
    /// `e^x`.
    exp Exp;
    /// `e^x - 1`, accurate near zero.
    expm1 Expm1;
    /// Natural logarithm.
    log Log;
    /// `log(1 + x)`, accurate near zero.
    log1p Log1p;
    /// Square root.
    sqrt Sqrt;
    /// `1 / sqrt(x)`.
    rsqrt Rsqrt;
    /// Sine of radians.
    sin Sin;
    /// Cosine of radians.
    cos Cos;
    /// Hyperbolic tangent.
    tanh Tanh;
    /// `1 / (1 + e^-x)`.
    sigmoid Sigmoid;
    /// The error function.
    erf Erf;
    /// Largest integer not above.
    floor Floor;
    /// Nearest integer, halves to even.
    round Round;
    /// Boolean negation.
    not Not;
    /// True for numbers that are neither infinite nor NaN.
    is_finite IsFinite;
    /// The value itself, through which no gradient flows.
    stop_gradient StopGradient;
}

macro_rules! binary {
    ($($(#[$doc:meta])* $name:ident $op:ident;)*) => {
        impl Expr {
            $($(#[$doc])* #[track_caller] pub fn $name(&self, other: &Expr) -> Expr {
                Expr::binary(Binary::$op, self, other)
            })*
        }
    };
}

binary! {
    /// The larger, with broadcasting; NaN wins.
    maximum Max;
    /// The smaller, with broadcasting; NaN wins.
    minimum Min;
    /// `self ^ other`.
    pow Pow;
    /// `self < other`.
    less Less;
    /// `self <= other`.
    less_equal LessEqual;
    /// `self == other`.
    equal Equal;
    /// Both.
    and And;
    /// Either.
    or Or;
}

/// The shape two values broadcast to, by NumPy's rule: axes are aligned at the end, size 1 repeats.
pub fn broadcast_shapes(a: &Shape, b: &Shape) -> Option<Shape> {
    let rank = a.rank().max(b.rank());
    let at = |s: &Shape, i: usize| (i + s.rank()).checked_sub(rank).map(|j| s[j].clone());
    (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (Some(x), Some(y)) if x == y || y.is(1) => Some(x),
            (Some(x), Some(y)) if x.is(1) => Some(y),
            (Some(x), None) => Some(x),
            (None, y) => y,
            _ => None,
        })
        .collect::<Option<Vec<Dim>>>()
        .map(Shape)
}

fn common(a: DType, b: DType) -> DType {
    match (a, b) {
        (DType::F32, _) | (_, DType::F32) => DType::F32,
        (DType::BF16, _) | (_, DType::BF16) => DType::BF16,
        (DType::Bool, DType::Bool) => DType::Bool,
        _ => DType::I32,
    }
}

/// The type that two operands of an operation are brought to. Numbers without axes adapt to bfloat16.
fn common_of(a: &Expr, b: &Expr) -> DType {
    let yields = |e: &Expr, to: &Expr| {
        to.dtype() == DType::BF16 && e.dtype() == DType::F32 && (e.as_scalar().is_some() || is_size(e))
    };
    if yields(a, b) || yields(b, a) { DType::BF16 } else { common(a.dtype(), b.dtype()) }
}

fn is_size(e: &Expr) -> bool {
    matches!(e.op(), Op::Control(crate::ops::Control::Size(_)))
}

impl Expr {
    /// The value itself when it is of a float type, else converted to float32.
    #[track_caller]
    pub fn float(&self) -> Expr {
        if self.dtype().is_float() { self.clone() } else { self.cast(DType::F32) }
    }

    #[track_caller]
    fn binary(op: Binary, a: &Expr, b: &Expr) -> Expr {
        if let Some(bad) = [a, b].into_iter().find(|e| e.is_poisoned()) {
            return bad.clone();
        }
        let mut dtype = common_of(a, b);
        if matches!(op, Binary::Div | Binary::Pow) && !dtype.is_float() {
            dtype = DType::F32;
        } else if dtype == DType::Bool && !op.is_bool() {
            dtype = DType::I32;
        }
        let Some(shape) = broadcast_shapes(a.shape(), b.shape()) else {
            let what =
                format!("{op:?} of shapes {} and {} is not defined", a.shape(), b.shape()).to_lowercase();
            return Expr::poison(
                Error::new(what).expected("equal sizes, or size 1, counted from the last axis"),
            );
        };
        let fit = |e: &Expr| e.cast(dtype).broadcast_to(shape.clone());
        Expr::apply(Elementwise::Binary(op), vec![fit(a), fit(b)])
    }

    /// `self > other`.
    #[track_caller]
    pub fn greater(&self, other: &Expr) -> Expr {
        other.less(self)
    }

    /// `self >= other`.
    #[track_caller]
    pub fn greater_equal(&self, other: &Expr) -> Expr {
        other.less_equal(self)
    }

    /// `self ? a : b`, with broadcasting.
    #[track_caller]
    pub fn select(&self, a: &Expr, b: &Expr) -> Expr {
        if let Some(bad) = [self, a, b].into_iter().find(|e| e.is_poisoned()) {
            return bad.clone();
        }
        let dtype = common_of(a, b);
        let shape = broadcast_shapes(a.shape(), b.shape()).and_then(|s| broadcast_shapes(&s, self.shape()));
        let Some(shape) = shape else {
            let shapes = format!("{}, {} and {}", self.shape(), a.shape(), b.shape());
            return Expr::poison(Error::new(format!("select of shapes {shapes} is not defined")));
        };
        let fit = |e: &Expr, d| e.cast(d).broadcast_to(shape.clone());
        Expr::apply(Elementwise::Select, vec![fit(self, DType::Bool), fit(a, dtype), fit(b, dtype)])
    }

    /// Converted to another element type; the value itself when it has that type already.
    #[track_caller]
    pub fn cast(&self, dtype: DType) -> Expr {
        if self.dtype() == dtype || self.is_poisoned() {
            return self.clone();
        }
        Expr::apply(Elementwise::Cast(dtype), vec![self.clone()])
    }

    /// Zeros of the same type.
    #[track_caller]
    pub fn zeros_like(&self) -> Expr {
        self.full_like(0.0)
    }

    /// Ones of the same type.
    #[track_caller]
    pub fn ones_like(&self) -> Expr {
        self.full_like(1.0)
    }

    /// Every element `value`, of the same type.
    #[track_caller]
    pub fn full_like(&self, value: f64) -> Expr {
        Expr::scalar(Scalar::from_f64(value, self.dtype())).broadcast_to(self.shape().clone())
    }

    /// Every element `value` of `shape`.
    #[track_caller]
    pub fn full(shape: impl Into<Shape>, value: f32) -> Expr {
        Expr::scalar(value).broadcast_to(shape)
    }

    /// A size as a float32 number.
    #[track_caller]
    pub fn size(dim: &Dim) -> Expr {
        match dim.as_fixed() {
            Some(n) => Expr::scalar(n as f32),
            None => Expr::apply(crate::ops::Control::Size(dim.clone()), vec![]),
        }
    }
}

macro_rules! operator {
    ($($trait:ident $method:ident $op:ident;)*) => { $(
        impl std::ops::$trait<&Expr> for &Expr {
            type Output = Expr;
            #[track_caller]
            fn $method(self, other: &Expr) -> Expr { Expr::binary(Binary::$op, self, other) }
        }
        impl std::ops::$trait<Expr> for &Expr {
            type Output = Expr;
            #[track_caller]
            fn $method(self, other: Expr) -> Expr { Expr::binary(Binary::$op, self, &other) }
        }
        impl std::ops::$trait<&Expr> for Expr {
            type Output = Expr;
            #[track_caller]
            fn $method(self, other: &Expr) -> Expr { Expr::binary(Binary::$op, &self, other) }
        }
        impl std::ops::$trait<Expr> for Expr {
            type Output = Expr;
            #[track_caller]
            fn $method(self, other: Expr) -> Expr { Expr::binary(Binary::$op, &self, &other) }
        }
        impl std::ops::$trait<f32> for &Expr {
            type Output = Expr;
            #[track_caller]
            fn $method(self, other: f32) -> Expr { Expr::binary(Binary::$op, self, &Expr::scalar(other)) }
        }
        impl std::ops::$trait<f32> for Expr {
            type Output = Expr;
            #[track_caller]
            fn $method(self, other: f32) -> Expr { Expr::binary(Binary::$op, &self, &Expr::scalar(other)) }
        }
        impl std::ops::$trait<&Expr> for f32 {
            type Output = Expr;
            #[track_caller]
            fn $method(self, other: &Expr) -> Expr { Expr::binary(Binary::$op, &Expr::scalar(self), other) }
        }
        impl std::ops::$trait<Expr> for f32 {
            type Output = Expr;
            #[track_caller]
            fn $method(self, other: Expr) -> Expr { Expr::binary(Binary::$op, &Expr::scalar(self), &other) }
        }
    )* };
}

operator! {
    Add add Add;
    Sub sub Sub;
    Mul mul Mul;
    Div div Div;
}

impl std::ops::Neg for &Expr {
    type Output = Expr;
    #[track_caller]
    fn neg(self) -> Expr {
        Expr::apply(Op::Elementwise(Elementwise::Unary(Unary::Neg)), vec![self.clone()])
    }
}

impl std::ops::Neg for Expr {
    type Output = Expr;
    #[track_caller]
    fn neg(self) -> Expr {
        -&self
    }
}
