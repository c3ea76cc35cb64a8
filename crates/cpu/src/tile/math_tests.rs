//! Vector math against double precision, on every instruction set of the machine.

use super::code::{Instr, Op, Width};
use super::run::{Operand, run};
use crate::denormals::as_zero;
use crate::isa::Isa;
use rhyton_graph::ops::{Binary, Unary};

fn operand(v: &mut [f32]) -> Operand {
    Operand { ptr: v.as_mut_ptr().cast(), row: (v.len() * 4) as isize, step: 1 }
}

/// As programs do.
fn apply(isa: Isa, op: Op, a: &[f32], b: &[f32]) -> Vec<f32> {
    as_zero(|| apply_here(isa, op, a, b))
}

/// In this thread's own mode.
fn apply_here(isa: Isa, op: Op, a: &[f32], b: &[f32]) -> Vec<f32> {
    let (mut a, mut b, mut out) = (a.to_vec(), b.to_vec(), vec![0.0; a.len()]);
    let operands = [operand(&mut out), operand(&mut a), operand(&mut b)];
    let instr = Instr { op, dst: 0, args: [1, 2, 2], width: Width::Full };
    let cols = out.len();
    // SAFETY: the operands have `cols` elements.
    unsafe { run(isa, &[instr], operands.as_ptr(), 1, cols) };
    out
}

/// Numbers of every magnitude and sign, special ones included; an odd count, so that a tail exists.
fn sweep() -> Vec<f32> {
    let mut x: Vec<f32> = (0..=u32::MAX - 65_537).step_by(65_537 * 3).map(f32::from_bits).collect();
    x.extend((-40_000..40_000).map(|i| i as f32 * 1.25e-3));
    x.extend((-4000..4000).map(|i| i as f32 * 1e-6));
    let max = f32::MAX;
    x.extend([
        0.0,
        -0.0,
        1.0,
        -1.0,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        max,
        -max,
        1e-45,
        88.72,
        -103.9,
    ]);
    if x.len().is_multiple_of(2) {
        x.push(0.5);
    }
    x
}

/// Denormal numbers count as zero.
fn zeroed(x: f32) -> f32 {
    if x.is_subnormal() { 0f32.copysign(x) } else { x }
}

/// The right answer for an operand.
fn right(f: impl Fn(f64) -> f64, x: f32) -> f64 {
    let y = f(f64::from(zeroed(x)));
    if y.abs() < f64::from(f32::MIN_POSITIVE) { 0.0 } else { y }
}

/// Distance in units of the last place of the right answer, or absolute in units of `floor`.
fn error(got: f32, want: f64, floor: f64) -> f64 {
    let got = zeroed(got);
    if want.is_nan() || got.is_nan() {
        return if want.is_nan() && got.is_nan() { 0.0 } else { f64::INFINITY };
    }
    let rounded = want as f32;
    if got == rounded {
        return 0.0;
    }
    if rounded.is_infinite() || got.is_infinite() {
        // One step from the largest number to infinity is rounding.
        return if got.abs().min(rounded.abs()) > 3.4e38 { 1.0 } else { f64::INFINITY };
    }
    let ulp = f64::from(rounded.abs().max(f32::MIN_POSITIVE)) * f64::from(f32::EPSILON) / 2.0;
    (f64::from(got) - want).abs() / ulp.max(floor)
}

#[test]
fn unary_functions_are_right_to_a_few_ulp() {
    // Function, bound in units of half an epsilon relative, absolute floor of the unit.
    let cases = [
        (Unary::Exp, 2.0, 0.0),
        (Unary::Expm1, 4.0, 0.0),
        (Unary::Log, 3.0, 0.0),
        (Unary::Log1p, 4.0, 0.0),
        (Unary::Tanh, 3.0, 0.0),
        (Unary::Sigmoid, 3.0, 1e-38),
        (Unary::Erf, 3.0, 1e-38),
        (Unary::Sin, 4.0, 3e-8),
        (Unary::Cos, 4.0, 3e-8),
        (Unary::Sqrt, 1.0, 0.0),
        (Unary::Rsqrt, 3.0, 0.0),
        (Unary::Floor, 0.0, 0.0),
        (Unary::Round, 0.0, 0.0),
        (Unary::Sign, 0.0, 0.0),
        (Unary::Abs, 0.0, 0.0),
        (Unary::Neg, 0.0, 0.0),
    ];
    let x = sweep();
    for isa in Isa::available() {
        for (unary, bound, floor) in cases {
            let y = apply(isa, Op::Float(unary), &x, &x);
            let want = |x: f32| right(|x| unary.eval(x), x);
            let worst = x.iter().zip(&y).map(|(x, y)| (error(*y, want(*x), floor), *x, *y));
            let (e, at, got) = worst.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
            let want = want(at);
            println!("{} {unary:?}: {e:.2} at {at:e}", isa.name());
            assert!(e <= bound, "{} {unary:?}({at:e}) = {got:e}, not {want:e}: {e}", isa.name());
        }
    }
}

/// Kernels called without a program are as fast.
#[test]
fn exp_is_zero_instead_of_denormal_in_any_mode() {
    let least = -87.336_54f32;
    let x = [least, least.next_down(), -87.4, -88.0, -103.9, -104.1, -1e9, f32::MIN, f32::NEG_INFINITY];
    for isa in Isa::available() {
        for y in [apply(isa, Op::Float(Unary::Exp), &x, &x), apply_here(isa, Op::Float(Unary::Exp), &x, &x)] {
            assert!(y[0].is_normal(), "{}: {y:?}", isa.name());
            assert!(y[1..].iter().all(|y| y.to_bits() == 0), "{}: {y:?}", isa.name());
        }
    }
}

#[test]
fn pow_is_right() {
    let a: Vec<f32> = sweep().into_iter().step_by(7).collect();
    for isa in Isa::available() {
        for p in [2.0, -1.5, 0.5, 3.0, 0.0, 17.3, f32::NAN, f32::INFINITY, -0.0] {
            let b = vec![p; a.len()];
            let y = apply(isa, Op::FloatPair(Binary::Pow), &a, &b);
            for (x, y) in a.iter().zip(&y) {
                let want = right(|x| x.powf(f64::from(p)), *x);
                assert!(error(*y, want, 1e-38) <= 4.0, "{} {x:e}^{p} = {y:e}, not {want:e}", isa.name());
            }
        }
    }
}

#[test]
fn binary_operations_are_exact_and_nan_wins() {
    let a: Vec<f32> = sweep().into_iter().step_by(5).collect();
    let b: Vec<f32> = a.iter().rev().copied().collect();
    for isa in Isa::available() {
        for op in [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::Max, Binary::Min] {
            let y = apply(isa, Op::FloatPair(op), &a, &b);
            for ((a, b), y) in a.iter().zip(&b).zip(&y) {
                let want = op.eval(f64::from(zeroed(*a)), f64::from(zeroed(*b))) as f32;
                // What rounds to the least normal number may have counted as denormal before.
                let tiny = y.abs() <= f32::MIN_POSITIVE && want.abs() <= f32::MIN_POSITIVE;
                let same = *y == want || (y.is_nan() && want.is_nan());
                assert!(same || tiny, "{} {op:?}({a}, {b}) = {y}", isa.name());
            }
        }
    }
}

#[test]
fn a_lane_has_the_same_bits_wherever_it_lies() {
    let x = sweep();
    let x = &x[x.len() - 70_000..];
    for isa in Isa::available() {
        for unary in [Unary::Exp, Unary::Tanh, Unary::Log, Unary::Erf, Unary::Sin, Unary::Sigmoid] {
            let whole = apply(isa, Op::Float(unary), x, x);
            for (start, len) in [(1, 1), (3, 7), (5, 17), (100, 1000), (4095, 333)] {
                let part = apply(isa, Op::Float(unary), &x[start..start + len], &x[start..start + len]);
                for (a, b) in part.iter().zip(&whole[start..]) {
                    assert_eq!(a.to_bits(), b.to_bits(), "{} {unary:?}", isa.name());
                }
            }
        }
    }
}
