//! Constants fold, and operations that change nothing disappear. Every rule keeps the bits of float results,
//! infinities and NaN included: `x + 0` is not `x` when x is -0, `x * 0` is not 0 when x is NaN, so such rules
//! are not here. The exceptions: constants fold in float32, cubes are products, and pieces added up out of zeros
//! are joined (see `pads`), which may turn +0 into -0.

use super::Context;
use super::pads::Run;
use crate::access::view;
use crate::expr::{Expr, rewrite};
use crate::function::Function;
use crate::ops::{Binary, Control, Elementwise, Movement, Op, Reduce, Scalar, Unary};
use rhyton_tensor::{DType, Dim, Shape};
use std::cell::Cell;
use std::collections::HashMap;

/// The pass.
pub fn canonicalize(f: &Function, _: &Context) -> Vec<Expr> {
    let parts = Cell::new(EXTRA_PARTS + PARTS_PER_NODE * crate::expr::topological(&f.results).len());
    rewrite(&f.results, HashMap::new(), |e, inputs| {
        let at = At { e, parts: &parts };
        match at.simplify(e.op(), &inputs, e.shape()) {
            Some(new) => vec![new],
            None => e.with_inputs(inputs),
        }
    })
}

/// Joined values that are parts of others become parts of these, so long as no more parts than this are written
/// anew in all: a value joined with itself, again and again, would double them each time.
const EXTRA_PARTS: usize = 4096;
const PARTS_PER_NODE: usize = 8;

/// Makes nodes on the line and in the layer of the node they replace.
struct At<'a> {
    e: &'a Expr,
    /// How many parts of joined values may still be written anew.
    parts: &'a Cell<usize>,
}

impl At<'_> {
    fn raw(&self, op: impl Into<Op>, inputs: Vec<Expr>) -> Expr {
        Expr::apply_at(op.into(), inputs, self.e.node().source.clone(), self.e.node().path.clone())
    }

    /// A simplified node.
    fn make(&self, op: impl Into<Op>, inputs: Vec<Expr>) -> Expr {
        let new = self.raw(op, inputs);
        self.simplify(new.op(), new.inputs(), new.shape()).unwrap_or(new)
    }

    fn unary(&self, op: Unary, x: &Expr) -> Expr {
        self.make(Elementwise::Unary(op), vec![x.clone()])
    }

    fn binary(&self, op: Binary, a: &Expr, b: &Expr) -> Expr {
        self.make(Elementwise::Binary(op), vec![a.clone(), b.clone()])
    }

    /// The constant `value` everywhere, in its one canonical form.
    fn full(&self, value: Scalar, shape: &Shape) -> Expr {
        let one = self.raw(Control::Scalar(value), vec![]);
        let flat: Shape = shape.iter().map(|_| Dim::fixed(1)).collect();
        let one =
            if shape.rank() == 0 { one } else { self.raw(Movement::Reshape { shape: flat }, vec![one]) };
        let grown = Movement::Broadcast { shape: shape.clone() };
        if one.shape() == shape { one } else { self.raw(grown, vec![one]) }
    }

    fn simplify(&self, op: &Op, x: &[Expr], shape: &Shape) -> Option<Expr> {
        match op {
            Op::Elementwise(e) => self.fold(*e, x, shape).or_else(|| match e {
                Elementwise::Unary(u) => self.of_one(*u, &x[0]),
                Elementwise::Binary(b) => self.of_two(*b, &x[0], &x[1], shape),
                Elementwise::Select => self.select(&x[0], &x[1], &x[2]),
                Elementwise::Cast(d) => self.cast(*d, &x[0]),
            }),
            Op::Movement(m) => match (view(op), x[0].as_scalar()) {
                (Some(_), Some(value)) => {
                    let new = self.full(value, shape);
                    let same =
                        new.op() == op && new.inputs().first().map(Expr::op) == x.first().map(Expr::op);
                    (!same).then_some(new)
                }
                _ => self.movement(m, x, shape),
            },
            Op::Reduce(Reduce::Fold { axes, .. }) => axes.is_empty().then(|| x[0].clone()),
            Op::Control(Control::Literal(l)) if l.0.len() == 1 => {
                let value = Scalar::from_f64(l.0.data().get_f64(0), l.0.dtype());
                Some(self.full(value, shape))
            }
            _ => None,
        }
    }

    fn fold(&self, op: Elementwise, x: &[Expr], shape: &Shape) -> Option<Expr> {
        let values: Vec<f64> = x.iter().map(|e| e.as_scalar().map(Scalar::as_f64)).collect::<Option<_>>()?;
        let dtype = self.raw(op, x.to_vec()).dtype();
        Some(self.full(Scalar::from_f64(op.eval(&values, dtype), dtype), shape))
    }

    /// What was rounded to bfloat16 is so already; whole numbers are rounded as floats.
    fn cast(&self, to: DType, x: &Expr) -> Option<Expr> {
        if (x.dtype(), to) == (DType::I32, DType::BF16) {
            let float = self.raw(Elementwise::Cast(DType::F32), vec![x.clone()]);
            return Some(self.raw(Elementwise::Cast(to), vec![float]));
        }
        let inner = x.inputs().first().filter(|_| matches!(x.op(), Op::Elementwise(Elementwise::Cast(_))));
        let widened = inner.filter(|e| x.dtype() == DType::F32 && e.dtype() == DType::BF16);
        if x.dtype() == to { Some(x.clone()) } else { widened.filter(|e| e.dtype() == to).cloned() }
    }

    fn of_one(&self, op: Unary, x: &Expr) -> Option<Expr> {
        let inner = || x.inputs().first().cloned();
        match (op, x.op()) {
            (Unary::StopGradient, _) => Some(x.clone()),
            (Unary::Neg, Op::Elementwise(Elementwise::Unary(Unary::Neg))) => inner(),
            (Unary::Not, Op::Elementwise(Elementwise::Unary(Unary::Not))) => inner(),
            (Unary::Abs, Op::Elementwise(Elementwise::Unary(Unary::Abs))) => Some(x.clone()),
            (Unary::Abs, Op::Elementwise(Elementwise::Unary(Unary::Neg))) => Some(self.unary(op, &inner()?)),
            _ => None,
        }
    }

    fn of_two(&self, op: Binary, a: &Expr, b: &Expr, shape: &Shape) -> Option<Expr> {
        let negated = |e: &Expr| match e.op() {
            Op::Elementwise(Elementwise::Unary(Unary::Neg)) => e.inputs().first().cloned(),
            _ => None,
        };
        let (ca, cb) = (a.as_scalar(), b.as_scalar());
        let is = |c: Option<Scalar>, x: f32| c == Some(Scalar::F32(x)) || c == Some(Scalar::BF16(x));
        let int = |c: Option<Scalar>, x: i32| c == Some(Scalar::I32(x));
        match op {
            Binary::Add if is(cb, -0.0) || int(cb, 0) => Some(a.clone()),
            Binary::Add if is(ca, -0.0) || int(ca, 0) => Some(b.clone()),
            Binary::Sub if is(cb, 0.0) || int(cb, 0) => Some(a.clone()),
            Binary::Sub if is(ca, -0.0) || int(ca, 0) => Some(self.unary(Unary::Neg, b)),
            Binary::Mul if is(cb, 1.0) || int(cb, 1) => Some(a.clone()),
            Binary::Mul if is(ca, 1.0) || int(ca, 1) => Some(b.clone()),
            Binary::Mul if is(cb, -1.0) || int(cb, -1) => Some(self.unary(Unary::Neg, a)),
            Binary::Mul if is(ca, -1.0) || int(ca, -1) => Some(self.unary(Unary::Neg, b)),
            Binary::Mul if int(ca, 0) || int(cb, 0) => Some(self.full(Scalar::I32(0), shape)),
            Binary::Div if is(cb, 1.0) => Some(a.clone()),
            Binary::Div => self.reciprocal(cb?).map(|r| self.binary(Binary::Mul, a, &self.full(r, shape))),
            Binary::Pow => self.power(a, cb?, shape),
            Binary::Max | Binary::Min if a.key() == b.key() => Some(a.clone()),
            Binary::And | Binary::Or if a.key() == b.key() => Some(a.clone()),
            Binary::And | Binary::Or => {
                let (constant, other) = if ca.is_some() { (ca, b) } else { (cb, a) };
                let neutral = constant? == Scalar::Bool(op == Binary::And);
                Some(if neutral { other.clone() } else { self.full(constant?, shape) })
            }
            Binary::Add => match (negated(a), negated(b)) {
                (_, Some(b)) => Some(self.binary(Binary::Sub, a, &b)),
                (Some(a), None) => Some(self.binary(Binary::Sub, b, &a)),
                (None, None) => super::pads::join(a, b).map(|parts| self.joined(&parts)),
            },
            Binary::Sub => negated(b).map(|b| self.binary(Binary::Add, a, &b)),
            Binary::Mul => negated(a).zip(negated(b)).map(|(a, b)| self.binary(op, &a, &b)),
            _ => None,
        }
    }

    /// Pieces side by side, with the zeros that are left around them.
    fn joined(&self, Run { axis, parts, lo, hi }: &Run) -> Expr {
        let all = self.make(Movement::Concat { axis: *axis }, parts.clone());
        let value = Scalar::from_f64(0.0, all.dtype());
        let around = Movement::Pad { axis: *axis, lo: lo.clone(), hi: hi.clone(), between: 0, value };
        self.make(around, vec![all])
    }

    /// `1 / c` where dividing by c is multiplying by it, bit for bit: powers of two.
    fn reciprocal(&self, c: Scalar) -> Option<Scalar> {
        let (Scalar::F32(x) | Scalar::BF16(x)) = c else { return None };
        let (c, r, dtype) = (x, 1.0 / x, c.dtype());
        let power_of_two = c.to_bits() & 0x007f_ffff == 0 && r.to_bits() & 0x007f_ffff == 0;
        (power_of_two && c.is_normal() && r.is_normal()).then(|| Scalar::from_f64(f64::from(r), dtype))
    }

    /// Powers without `pow`. A cube may differ from it in the last bit, as `pow` itself does from the truth.
    fn power(&self, a: &Expr, exponent: Scalar, shape: &Shape) -> Option<Expr> {
        let (Scalar::F32(p) | Scalar::BF16(p)) = exponent else { return None };
        let full = |x: f32| self.full(Scalar::from_f64(f64::from(x), a.dtype()), shape);
        let square = || self.binary(Binary::Mul, a, a);
        if p == 0.0 {
            Some(full(1.0))
        } else if p == 1.0 {
            Some(a.clone())
        } else if p == 2.0 {
            Some(square())
        } else if p == 3.0 {
            Some(self.binary(Binary::Mul, &square(), a))
        } else if p == -1.0 {
            Some(self.binary(Binary::Div, &full(1.0), a))
        } else if p == 0.5 {
            // (-0)^0.5 is +0 and (-inf)^0.5 is +inf, which the square root alone would get wrong.
            let root = self.unary(Unary::Sqrt, &self.binary(Binary::Add, a, &full(0.0)));
            let infinite = self.binary(Binary::Equal, a, &full(f32::NEG_INFINITY));
            Some(self.make(Elementwise::Select, vec![infinite, full(f32::INFINITY), root]))
        } else {
            None
        }
    }

    fn select(&self, condition: &Expr, a: &Expr, b: &Expr) -> Option<Expr> {
        if a.key() == b.key() {
            return Some(a.clone());
        }
        match condition.as_scalar() {
            Some(Scalar::Bool(c)) => return Some(if c { a.clone() } else { b.clone() }),
            Some(_) => return None,
            None => {}
        }
        let Op::Elementwise(Elementwise::Unary(Unary::Not)) = condition.op() else { return None };
        Some(self.make(Elementwise::Select, vec![condition.inputs()[0].clone(), b.clone(), a.clone()]))
    }

    fn movement(&self, op: &Movement, x: &[Expr], shape: &Shape) -> Option<Expr> {
        let first = &x[0];
        let under = view(first.op()).map(|m| (m, &first.inputs()[0]));
        match (op, under) {
            (Movement::Reshape { .. } | Movement::Broadcast { .. }, _) if first.shape() == shape => {
                Some(first.clone())
            }
            (Movement::Reshape { .. }, Some((Movement::Reshape { .. }, y)))
            | (Movement::Broadcast { .. }, Some((Movement::Broadcast { .. }, y))) => {
                Some(self.make(op.clone(), vec![y.clone()]))
            }
            (Movement::Transpose { axes }, _) if axes.iter().copied().eq(0..axes.len()) => {
                Some(first.clone())
            }
            (Movement::Transpose { axes }, Some((Movement::Transpose { axes: before }, y))) => {
                let axes = axes.iter().map(|a| before[*a]).collect();
                Some(self.make(Movement::Transpose { axes }, vec![y.clone()]))
            }
            (Movement::Flip { axis }, _) if shape[*axis].is(1) => Some(first.clone()),
            (Movement::Flip { axis }, Some((Movement::Flip { axis: before }, y))) if axis == before => {
                Some(y.clone())
            }
            (Movement::Slice { .. }, _) => self.slice(op, first, under),
            (Movement::Pad { lo, hi, between, .. }, _) if lo.is(0) && hi.is(0) && *between == 0 => {
                Some(first.clone())
            }
            (Movement::Concat { .. }, _) if x.len() == 1 => Some(first.clone()),
            (Movement::Concat { .. }, _) => {
                let same = |e: &Expr| matches!(e.op(), Op::Movement(m) if m == op);
                let parts = |e: &Expr| if same(e) { e.inputs().to_vec() } else { vec![e.clone()] };
                let many = x.iter().map(|e| if same(e) { e.inputs().len() } else { 1 }).sum();
                let left = self.parts.get().checked_sub(many).filter(|_| x.iter().any(same))?;
                self.parts.set(left);
                Some(self.raw(op.clone(), x.iter().flat_map(parts).collect()))
            }
            _ => None,
        }
    }

    fn slice(&self, op: &Movement, x: &Expr, under: Option<(&Movement, &Expr)>) -> Option<Expr> {
        let Movement::Slice { axis, start, len, step } = op else { return None };
        if start.is(0) && *step == 1 && x.shape()[*axis] == *len {
            return Some(x.clone());
        }
        if let Some((Movement::Slice { axis: before, start: s, step: t, .. }, y)) = under {
            let start = s.clone() + start.clone() * *t;
            let both = Movement::Slice { axis: *axis, start, len: len.clone(), step: step.checked_mul(*t)? };
            return (axis == before).then(|| self.make(both, vec![y.clone()]));
        }
        match x.op() {
            // What was padded around or spread apart is taken out again.
            Op::Movement(Movement::Pad { axis: padded, lo, between, .. })
                if padded == axis && start == lo && *step == between + 1 =>
            {
                let y = &x.inputs()[0];
                (y.shape()[*axis] == *len).then(|| y.clone())
            }
            Op::Movement(Movement::Concat { axis: joined }) if joined == axis && *step == 1 => {
                let mut at = Dim::default();
                for part in x.inputs() {
                    let size = part.shape()[*axis].clone();
                    if at == *start && size == *len {
                        return Some(part.clone());
                    }
                    at = at + size;
                }
                None
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Type;

    fn simplified(f: impl FnOnce(&Expr) -> Expr) -> Expr {
        let x = Expr::param("x", Type::new(DType::F32, [2, 3]));
        let y = f(&x);
        let f = Function::new("f", vec![x], vec![y]);
        let backend = crate::reference::NullBackend;
        canonicalize(&f, &Context { backend: &backend, updates: &[], stop_after: None }).remove(0)
    }

    fn is_param(e: &Expr) -> bool {
        matches!(e.op(), Op::Control(Control::Param { .. }))
    }

    #[test]
    fn exact_identities_disappear() {
        assert!(is_param(&simplified(|x| x * 1.0)));
        assert!(is_param(&simplified(|x| x - 0.0)));
        assert!(is_param(&simplified(|x| x + -0.0)));
        assert!(is_param(&simplified(|x| -(-x))));
        assert!(is_param(&simplified(|x| x.pow(&Expr::scalar(1.0f32)))));
        assert!(is_param(&simplified(|x| x.transpose(&[1, 0]).transpose(&[1, 0]))));
        assert!(is_param(&simplified(|x| x.reshape([6]).reshape([3, 2]).reshape([2, 3]))));
        assert!(is_param(&simplified(|x| x.pad(1, 1, 2, 1, 0.0).slice_step(1, 1.into(), 3.into(), 2))));
        assert!(is_param(&simplified(|x| Expr::concat(&[x + 2.0, x.clone()], 0).slice(0, 2, 2))));
        assert!(is_param(&simplified(|x| Expr::scalar(true).select(x, &(x + 1.0)))));
    }

    #[test]
    fn inexact_identities_stay() {
        assert!(!is_param(&simplified(|x| x + 0.0)), "-0 + 0 is 0");
        assert!(simplified(|x| x * 0.0).as_scalar().is_none(), "NaN * 0 is NaN");
        assert!(!is_param(&simplified(|x| 0.0 - x)), "0 - 0 is not -0");
        assert!(simplified(|x| x - x).as_scalar().is_none(), "inf - inf is NaN");
    }

    #[test]
    fn constants_fold() {
        let y = simplified(|x| (x.zeros_like() + 2.0).exp().reshape([6]).transpose(&[0]));
        assert_eq!(y.as_scalar(), Some(Scalar::F32(2.0f32.exp())));
        assert_eq!(y.shape().to_string(), "[6]");
    }
}
