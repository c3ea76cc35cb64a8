//! Methods and operators of [`Expr`]: what users, layers and gradient rules write.

use crate::expr::Expr;
use crate::ops::{
    Binary, Contract, ConvKind, Distribution, Elementwise, Fold, Index, Movement, Op, PoolKind, Random,
    Reduce, Scalar, Unary, Window,
};
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

    #[track_caller]
    fn fold(&self, kind: Fold, axes: &[usize]) -> Expr {
        self.fold_wide(kind, axes).cast(self.dtype())
    }

    /// A fold of bfloat16 that stays in float32, in which it is computed.
    #[track_caller]
    fn fold_wide(&self, kind: Fold, axes: &[usize]) -> Expr {
        if axes.is_empty() || self.is_poisoned() {
            return self.clone();
        }
        let mut axes = axes.to_vec();
        axes.sort_unstable();
        Expr::apply(Reduce::Fold { kind, axes }, vec![self.clone()])
    }

    /// [`Expr::sum`] that leaves a sum of bfloat16 in float32, in which it adds up.
    #[track_caller]
    pub(crate) fn sum_float32(&self, axes: &[usize]) -> Expr {
        self.fold_wide(Fold::Sum, axes)
    }

    /// Sum over `axes`, which disappear.
    #[track_caller]
    pub fn sum(&self, axes: &[usize]) -> Expr {
        self.fold(Fold::Sum, axes)
    }

    /// Largest element over `axes`, which disappear.
    #[track_caller]
    pub fn max(&self, axes: &[usize]) -> Expr {
        self.fold(Fold::Max, axes)
    }

    /// Smallest element over `axes`, which disappear.
    #[track_caller]
    pub fn min(&self, axes: &[usize]) -> Expr {
        self.fold(Fold::Min, axes)
    }

    /// Mean over `axes`, which disappear.
    #[track_caller]
    pub fn mean(&self, axes: &[usize]) -> Expr {
        if self.is_poisoned() {
            return self.clone();
        }
        let n = axes.iter().filter_map(|a| self.shape().get(*a)).fold(Dim::fixed(1), |n, d| n * d);
        let own = self.float();
        (own.sum_float32(axes) / Expr::size(&n)).cast(own.dtype())
    }

    /// Sum of all elements.
    #[track_caller]
    pub fn sum_all(&self) -> Expr {
        self.sum(&(0..self.rank()).collect::<Vec<_>>())
    }

    /// Mean of all elements.
    #[track_caller]
    pub fn mean_all(&self) -> Expr {
        self.mean(&(0..self.rank()).collect::<Vec<_>>())
    }

    /// int32 position of the first largest element along `axis`.
    #[track_caller]
    pub fn argmax(&self, axis: usize) -> Expr {
        Expr::apply(Reduce::ArgMax { axis }, vec![self.clone()])
    }

    /// The elements in row-major order under other sizes.
    #[track_caller]
    pub fn reshape(&self, shape: impl Into<Shape>) -> Expr {
        let shape = shape.into();
        if *self.shape() == shape || self.is_poisoned() {
            return self.clone();
        }
        Expr::apply(Movement::Reshape { shape }, vec![self.clone()])
    }

    /// Axis `i` of the result is axis `axes[i]` of this.
    #[track_caller]
    pub fn transpose(&self, axes: &[usize]) -> Expr {
        if axes.iter().copied().eq(0..self.rank()) || self.is_poisoned() {
            return self.clone();
        }
        Expr::apply(Movement::Transpose { axes: axes.to_vec() }, vec![self.clone()])
    }

    /// Exchanges two axes.
    #[track_caller]
    pub fn swap_axes(&self, a: usize, b: usize) -> Expr {
        let mut axes: Vec<usize> = (0..self.rank()).collect();
        if a < axes.len() && b < axes.len() {
            axes.swap(a, b);
        }
        self.transpose(&axes)
    }

    /// Repeats axes of size 1 and adds leading axes, by NumPy's rule.
    #[track_caller]
    pub fn broadcast_to(&self, shape: impl Into<Shape>) -> Expr {
        let shape = shape.into();
        if *self.shape() == shape || self.is_poisoned() {
            return self.clone();
        }
        let mut own: Vec<Dim> = vec![Dim::fixed(1); shape.rank().saturating_sub(self.rank())];
        own.extend_from_slice(self.shape());
        Expr::apply(Movement::Broadcast { shape }, vec![self.reshape(own)])
    }

    /// Inserts axes of size 1 at these positions of the result.
    #[track_caller]
    pub fn expand_dims(&self, at: &[usize]) -> Expr {
        let mut rest = self.shape().iter().cloned();
        let shape: Vec<Dim> = (0..self.rank() + at.len())
            .map(|i| if at.contains(&i) { Dim::fixed(1) } else { rest.next().unwrap_or_default() })
            .collect();
        self.reshape(shape)
    }

    /// `len` entries of `axis` from `start` on.
    #[track_caller]
    pub fn slice(&self, axis: usize, start: impl Into<Dim>, len: impl Into<Dim>) -> Expr {
        self.slice_step(axis, start.into(), len.into(), 1)
    }

    /// `len` entries of `axis`: `start`, `start + step`, ..
    #[track_caller]
    pub fn slice_step(&self, axis: usize, start: Dim, len: Dim, step: usize) -> Expr {
        if self.is_poisoned() || (start.is(0) && step == 1 && self.shape().get(axis) == Some(&len)) {
            return self.clone();
        }
        Expr::apply(Movement::Slice { axis, start, len, step }, vec![self.clone()])
    }

    /// Entry `at` of `axis`, which disappears.
    #[track_caller]
    pub fn entry(&self, axis: usize, at: impl Into<Dim>) -> Expr {
        let piece = self.slice(axis, at, 1);
        if piece.is_poisoned() {
            return piece;
        }
        let mut shape = piece.shape().clone();
        shape.0.remove(axis);
        piece.reshape(shape)
    }

    /// Adds entries holding `value` along `axis`: `lo` before, `hi` after, `between` between neighbours.
    #[track_caller]
    pub fn pad(
        &self,
        axis: usize,
        lo: impl Into<Dim>,
        hi: impl Into<Dim>,
        between: usize,
        value: f64,
    ) -> Expr {
        let (lo, hi) = (lo.into(), hi.into());
        if self.is_poisoned() || (lo.is(0) && hi.is(0) && between == 0) {
            return self.clone();
        }
        let value = Scalar::from_f64(value, self.dtype());
        Expr::apply(Movement::Pad { axis, lo, hi, between, value }, vec![self.clone()])
    }

    /// Joins along `axis`.
    #[track_caller]
    pub fn concat(parts: &[Expr], axis: usize) -> Expr {
        let mixed =
            parts.iter().any(|p| p.dtype() == DType::F32) && parts.iter().any(|p| p.dtype() == DType::BF16);
        let fit = |p: &Expr| if mixed { p.cast(DType::F32) } else { p.clone() };
        match parts {
            [one] => one.clone(),
            _ => Expr::apply(Movement::Concat { axis }, parts.iter().map(fit).collect()),
        }
    }

    /// Reverses `axis`.
    #[track_caller]
    pub fn flip(&self, axis: usize) -> Expr {
        Expr::apply(Movement::Flip { axis }, vec![self.clone()])
    }

    /// int32 of `shape`: positions along `axis`.
    #[track_caller]
    pub fn iota(shape: impl Into<Shape>, axis: usize) -> Expr {
        Expr::apply(Index::Iota { shape: shape.into(), axis }, vec![])
    }

    /// Entries of `axis` chosen by int32 indices, whose axes stand where `axis` was.
    #[track_caller]
    pub fn gather(&self, axis: usize, indices: &Expr) -> Expr {
        if self.dtype() == DType::BF16 {
            // Rows of a rounded table are rounded rows of the table.
            let table = match (self.op(), self.inputs()) {
                (Op::Elementwise(Elementwise::Cast(_)), [x]) if x.dtype() == DType::F32 => x.clone(),
                _ => self.cast(DType::F32),
            };
            return table.gather(axis, indices).cast(DType::BF16);
        }
        Expr::apply(Index::Gather { axis }, vec![self.clone(), indices.cast(DType::I32)])
    }

    /// float32 one-hot vectors of `classes` along a new last axis; an index out of range gives zeros.
    #[track_caller]
    pub fn one_hot(&self, classes: usize) -> Expr {
        if self.is_poisoned() {
            return self.clone();
        }
        let mut shape = self.shape().clone();
        shape.0.push(Dim::fixed(classes));
        let index = self.cast(DType::I32).expand_dims(&[self.rank()]);
        Expr::iota(shape, self.rank()).equal(&index).cast(DType::F32)
    }

    /// Matrix product by NumPy's rule: the last two axes are matrices, the others are batch axes and broadcast;
    /// a right operand with two axes is applied to every row of the left one, whatever its rank.
    #[track_caller]
    pub fn matmul(&self, other: &Expr) -> Expr {
        if let Some(bad) = [self, other].into_iter().find(|e| e.is_poisoned()) {
            return bad.clone();
        }
        let (ra, rb) = (self.rank(), other.rank());
        if ra < 1 || rb < 2 {
            let what = format!("no matrix product of shapes {} and {}", self.shape(), other.shape());
            return Expr::poison(Error::new(what));
        }
        if rb == 2 {
            return self.dot(other, &[ra - 1], &[0]);
        }
        let batch_of = |e: &Expr| Shape(e.shape()[..e.rank().saturating_sub(2)].to_vec());
        let Some(batch) = broadcast_shapes(&batch_of(self), &batch_of(other)) else {
            let what = format!("no matrix product of shapes {} and {}", self.shape(), other.shape());
            return Expr::poison(Error::new(what).expected("leading axes that broadcast"));
        };
        let full = |e: &Expr| {
            let mut s = batch.clone();
            s.0.extend_from_slice(&e.shape()[e.rank() - 2..]);
            e.broadcast_to(s)
        };
        let n = batch.rank();
        let axes: Vec<usize> = (0..n).collect();
        full(self).dot_general(&full(other), &axes, &axes, &[n + 1], &[n])
    }

    /// Product summed over pairs of axes; the result has the other axes of this, then those of `other`.
    #[track_caller]
    pub fn dot(&self, other: &Expr, own: &[usize], others: &[usize]) -> Expr {
        self.dot_general(other, &[], &[], own, others)
    }

    /// Product with batch axes paired and contracted axes summed; see [`Contract::Dot`].
    #[track_caller]
    pub fn dot_general(
        &self,
        other: &Expr,
        lhs_batch: &[usize],
        rhs_batch: &[usize],
        lhs_contract: &[usize],
        rhs_contract: &[usize],
    ) -> Expr {
        let op = Contract::Dot {
            lhs_batch: lhs_batch.to_vec(),
            rhs_batch: rhs_batch.to_vec(),
            lhs_contract: lhs_contract.to_vec(),
            rhs_contract: rhs_contract.to_vec(),
        };
        self.product(other, op, true)
    }

    /// Channels-last convolution or one of its transposes; see [`Contract::Conv`].
    #[track_caller]
    pub fn conv(
        &self,
        other: &Expr,
        kind: ConvKind,
        sizes: &[Dim],
        strides: &[usize],
        dilation: &[usize],
        pad_lo: &[Dim],
        groups: usize,
    ) -> Expr {
        let op = Contract::Conv {
            kind,
            sizes: sizes.to_vec(),
            strides: strides.to_vec(),
            dilation: dilation.to_vec(),
            pad_lo: pad_lo.to_vec(),
            groups,
        };
        // A product of pairs would mix the groups.
        self.product(other, op, groups == 1)
    }

    /// A product of two values of one type, and of that type; `narrow`: bfloat16 is multiplied as it is.
    #[track_caller]
    fn product(&self, other: &Expr, op: Contract, narrow: bool) -> Expr {
        let both = self.dtype() == DType::BF16 && other.dtype() == DType::BF16;
        let fit = |e: &Expr| {
            let widen = e.dtype() == DType::BF16 && !(both && narrow);
            if widen { e.cast(DType::F32) } else { e.clone() }
        };
        let y = Expr::apply(op, vec![fit(self), fit(other)]);
        if both { y.cast(DType::BF16) } else { y }
    }

    /// Channels-last pooling of the largest (`PoolKind::Max`) or the sum (`PoolKind::Sum`) of windows.
    #[track_caller]
    pub fn pool(
        &self,
        kind: PoolKind,
        sizes: &[Dim],
        window: &[usize],
        strides: &[usize],
        pad_lo: &[Dim],
    ) -> Expr {
        if self.is_poisoned() {
            return self.clone();
        }
        let full = self.shape().get(1..self.rank().saturating_sub(1)).unwrap_or_default().to_vec();
        let op = Window {
            kind,
            pooled: sizes.to_vec(),
            full,
            window: window.to_vec(),
            strides: strides.to_vec(),
            pad_lo: pad_lo.to_vec(),
        };
        let sums = matches!(kind, PoolKind::Sum | PoolKind::SumSpread);
        let x = if sums { self.cast(DType::F32) } else { self.clone() };
        Expr::apply(op, vec![x]).cast(self.dtype())
    }

    /// Random numbers of `shape` from a key (int32\[2\]: seed, step); see [`Random`].
    #[track_caller]
    pub fn random(key: &Expr, distribution: Distribution, stream: u32, shape: impl Into<Shape>) -> Expr {
        Expr::apply(Random { distribution, stream, shape: shape.into() }, vec![key.clone()])
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
