//! Transcendental functions on vectors: range reduction and a polynomial, about one or two units in the last
//! place. Infinities, NaN and zeros come out as IEEE wants them; denormal numbers are zero, see [`crate::denormals`].
//!
//! Polynomials of expm1, log, sin and cos are those of S. Moshier's Cephes library (single precision); those of exp
//! and erf are minimax fits of the relative error.

use crate::simd::Simd;
use std::f32::consts::LOG2_E;

/// ln 2 as a short number (products with small integers are exact) and the rest.
const LN2_HI: f32 = 0.693_359_4;
const LN2_LO: f32 = -2.121_944_4e-4;

/// Horner's scheme, highest coefficient first.
///
/// # Safety
/// As for [`Simd`]; so is every function of this file.
#[inline(always)]
unsafe fn poly<S: Simd>(x: S::F, coefficients: &[f32]) -> S::F {
    // SAFETY: the frame's contract, 2 and 8.
    unsafe {
        let mut y = S::splat(coefficients[0]);
        for c in &coefficients[1..] {
            y = S::fma(y, x, S::splat(*c));
        }
        y
    }
}

#[inline(always)]
unsafe fn is_nan<S: Simd>(x: S::F) -> S::M {
    // SAFETY: the frame's contract, 2 and 8.
    unsafe { S::mnot(S::eq(x, x)) }
}

/// |x|.
#[inline(always)]
pub unsafe fn abs<S: Simd>(x: S::F) -> S::F {
    // SAFETY: the frame's contract, 2 and 8.
    unsafe { S::float(S::iand(S::bits(x), S::isplat(i32::MAX))) }
}

/// -x.
#[inline(always)]
pub unsafe fn neg<S: Simd>(x: S::F) -> S::F {
    // SAFETY: the frame's contract, 2 and 8.
    unsafe { S::float(S::ixor(S::bits(x), S::isplat(i32::MIN))) }
}

/// The magnitude of `x` with the sign of `sign`.
#[inline(always)]
unsafe fn copysign<S: Simd>(x: S::F, sign: S::F) -> S::F {
    // SAFETY: the frame's contract, 2 and 8.
    unsafe {
        let s = S::iand(S::bits(sign), S::isplat(i32::MIN));
        S::float(S::ior(S::bits(abs::<S>(x)), s))
    }
}

/// The larger one; NaN wins.
#[inline(always)]
pub unsafe fn max_nan<S: Simd>(a: S::F, b: S::F) -> S::F {
    // SAFETY: the frame's contract, 2 and 8.
    unsafe { S::select(is_nan::<S>(a), a, S::max(a, b)) }
}

/// The smaller one; NaN wins.
#[inline(always)]
pub unsafe fn min_nan<S: Simd>(a: S::F, b: S::F) -> S::F {
    // SAFETY: the frame's contract, 2 and 8.
    unsafe { S::select(is_nan::<S>(a), a, S::min(a, b)) }
}

/// -1, 0 or 1; zeros and NaN stay.
#[inline(always)]
pub unsafe fn sign<S: Simd>(x: S::F) -> S::F {
    // SAFETY: the frame's contract, 2 and 8.
    unsafe {
        let keep = S::mor(S::eq(x, S::splat(0.0)), is_nan::<S>(x));
        S::select(keep, x, copysign::<S>(S::splat(1.0), x))
    }
}

/// x = n ln 2 + r with |r| <= ln 2 / 2: the whole number n and r.
#[inline(always)]
unsafe fn exp_parts<S: Simd>(x: S::F) -> (S::F, S::F) {
    // SAFETY: the frame's contract, 2 and 8.
    unsafe {
        let n = S::round(S::mul(x, S::splat(LOG2_E)));
        let r = S::fma(n, S::splat(-LN2_HI), x);
        (n, S::fma(n, S::splat(-LN2_LO), r))
    }
}

/// e^r - 1 for |r| <= ln 2 / 2, right near zero.
#[inline(always)]
unsafe fn expm1_part<S: Simd>(r: S::F) -> S::F {
    // SAFETY: the frame's contract, 2 and 8.
    unsafe {
        let p = poly::<S>(
            r,
            &[1.987_569_2e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5],
        );
        S::fma(S::mul(r, r), p, r)
    }
}

/// The smallest x whose e^x is not denormal.
const EXP_LEAST: f32 = -87.336_54;

/// e^x; zero where that is denormal, whatever the machine's mode.
#[inline(always)]
pub unsafe fn exp<S: Simd>(x: S::F) -> S::F {
    // SAFETY: the frame's contract, 2 and 8.
    unsafe {
        // NaN passes.
        let (n, r) = exp_parts::<S>(S::min(S::splat(89.0), x));
        // Two terms less than e^r - 1 needs: the error is against 1.
        let coefficients =
            [1.381_447_1e-3, 8.368_781e-3, 4.166_839_3e-2, 1.666_652e-1, 0.499_999_94, 1.0, 1.0];
        let y = S::scale(poly::<S>(r, &coefficients), n);
        S::select(S::lt(x, S::splat(EXP_LEAST)), S::splat(0.0), y)
    }
}

/// e^x - 1, right near zero.
#[inline(always)]
pub unsafe fn expm1<S: Simd>(x: S::F) -> S::F {
    // SAFETY: the frame's contract, 2 and 8.
    unsafe {
        let (n, r) = exp_parts::<S>(S::max(S::splat(-20.0), S::min(S::splat(89.0), x)));
        // Half of the result first, because 2^128 does not exist.
        let s = S::scale(S::splat(0.5), n);
        let y = S::fma(s, expm1_part::<S>(r), S::sub(s, S::splat(0.5)));
        // Near zero that is x, half of which may be denormal.
        S::select(S::lt(abs::<S>(x), S::splat(1e-8)), x, S::add(y, y))
    }
}

/// The natural logarithm.
#[inline(always)]
pub unsafe fn log<S: Simd>(x: S::F) -> S::F {
    // SAFETY: the frame's contract, 2 and 8.
    unsafe {
        let one = S::splat(1.0);
        let bits = S::bits(x);
        let e = S::isub(S::iand(S::sar::<23>(bits), S::isplat(0xff)), S::isplat(126));
        let m = S::float(S::ior(S::iand(bits, S::isplat(0x007f_ffff)), S::isplat(0x3f00_0000)));
        let low = S::lt(m, S::splat(std::f32::consts::FRAC_1_SQRT_2));
        let e = S::to_float(e);
        let e = S::select(low, S::sub(e, one), e);
        let f = S::sub(S::select(low, S::add(m, m), m), one);
        let z = S::mul(f, f);
        let p = poly::<S>(
            f,
            &[
                7.037_683_6e-2,
                -1.151_461e-1,
                1.167_699_9e-1,
                -1.242_014_1e-1,
                1.424_932_3e-1,
                -1.666_805_8e-1,
                2.000_071_5e-1,
                -2.499_999_4e-1,
                0.333_333_3,
            ],
        );
        let y = S::fma(e, S::splat(LN2_LO), S::mul(S::mul(p, f), z));
        let y = S::fma(S::splat(-0.5), z, y);
        let y = S::fma(e, S::splat(LN2_HI), S::add(f, y));
        let y = S::select(S::eq(x, S::splat(f32::INFINITY)), x, y);
        let y = S::select(S::lt(x, S::splat(f32::MIN_POSITIVE)), S::splat(f32::NEG_INFINITY), y);
        let y = S::select(S::le(x, S::splat(-f32::MIN_POSITIVE)), S::splat(f32::NAN), y);
        S::select(is_nan::<S>(x), x, y)
    }
}

/// log(1 + x), right near zero: the rounding of 1 + x is corrected to first order.
#[inline(always)]
pub unsafe fn log1p<S: Simd>(x: S::F) -> S::F {
    // SAFETY: the frame's contract, 2 and 8.
    unsafe {
        let one = S::splat(1.0);
        let u = S::add(x, one);
        let lost = S::sub(x, S::sub(u, one));
        let l = log::<S>(u);
        let y = S::add(l, S::div(lost, u));
        // At 0 the sign, at -1 and infinity the correction would be lost.
        let y = S::select(S::mor(S::eq(u, S::splat(0.0)), S::eq(u, S::splat(f32::INFINITY))), l, y);
        S::select(S::eq(x, S::splat(0.0)), x, y)
    }
}

/// The hyperbolic tangent: with t = e^(2|x|) - 1 it is t / (t + 2).
#[inline(always)]
pub unsafe fn tanh<S: Simd>(x: S::F) -> S::F {
    // SAFETY: the frame's contract, 2 and 8.
    unsafe {
        let a = S::min(S::splat(10.0), abs::<S>(x));
        let (n, r) = exp_parts::<S>(S::add(a, a));
        let s = S::scale(S::splat(1.0), n);
        let t = S::fma(s, expm1_part::<S>(r), S::sub(s, S::splat(1.0)));
        copysign::<S>(S::div(t, S::add(t, S::splat(2.0))), x)
    }
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub unsafe fn sigmoid<S: Simd>(x: S::F) -> S::F {
    // SAFETY: the frame's contract, 2 and 8.
    unsafe {
        let one = S::splat(1.0);
        S::div(one, S::add(one, exp::<S>(neg::<S>(x))))
    }
}

/// The error function: near zero an odd polynomial; far from it 1 - h^4, where the fourth root h of the rest is a
/// polynomial of a third of the degree that the rest itself would need.
#[inline(always)]
pub unsafe fn erf<S: Simd>(x: S::F) -> S::F {
    // SAFETY: the frame's contract, 2 and 8.
    unsafe {
        let near = poly::<S>(
            S::mul(x, x),
            &[
                7.188_021e-5,
                -7.805_801e-4,
                5.164_864_5e-3,
                -2.684_144_3e-2,
                1.128_329_2e-1,
                -3.761_26e-1,
                1.283_791_7e-1,
            ],
        );
        let near = S::fma(near, x, x);
        // From 3.92 on the rest is less than half a unit in the last place; NaN passes.
        let t = S::min(S::splat(3.92), abs::<S>(x));
        let h = poly::<S>(
            S::sub(t, S::splat(2.5)),
            &[
                -1.749_130_2e-4,
                1.095_659_7e-4,
                2.758_098e-3,
                -6.503_002_3e-3,
                -1.232_872_5e-2,
                9.362_894e-2,
                -1.900_613_3e-1,
                1.420_328_1e-1,
            ],
        );
        let square = S::mul(h, h);
        let far = S::fma(neg::<S>(square), square, S::splat(1.0));
        // NaN is not larger and comes out of the polynomial of x itself.
        S::select(S::lt(S::splat(1.1), t), copysign::<S>(far, x), near)
    }
}

/// Lanes of `m` are replaced by `f` of the lane, in double precision.
#[inline(always)]
unsafe fn by_lane<S: Simd>(m: S::M, v: S::F, a: S::F, b: S::F, f: impl Fn(f64, f64) -> f64) -> S::F {
    // SAFETY: the frame's contract, 2 and 8; the buffers hold the lanes of the widest vector.
    unsafe {
        if !S::any(m) {
            return v;
        }
        let (mut xs, mut ys, mut out) = ([0f32; 16], [0f32; 16], [0f32; 16]);
        S::store(xs.as_mut_ptr(), a);
        S::store(ys.as_mut_ptr(), b);
        for ((o, x), y) in out.iter_mut().zip(xs).zip(ys).take(S::LANES) {
            *o = f(f64::from(x), f64::from(y)) as f32;
        }
        S::select(m, S::load(out.as_ptr()), v)
    }
}

/// Sine (`quarter` 0) or cosine (1): x = j pi/2 + r, then the polynomial of the quadrant. Arguments so large
/// that the reduction loses digits take the slow way.
#[inline(always)]
unsafe fn sin_cos<S: Simd>(x: S::F, quarter: i32, slow: impl Fn(f64) -> f64) -> S::F {
    // SAFETY: the frame's contract, 2 and 8.
    unsafe {
        let large = S::mnot(S::lt(abs::<S>(x), S::splat(8192.0)));
        let j = S::round(S::mul(x, S::splat(std::f32::consts::FRAC_2_PI)));
        let r = S::fma(j, S::splat(-1.570_312_5), x);
        let r = S::fma(j, S::splat(-4.837_513e-4), r);
        let r = S::fma(j, S::splat(-7.549_79e-8), r);
        let z = S::mul(r, r);
        let s = poly::<S>(z, &[-1.951_529_6e-4, 8.332_161e-3, -1.666_665_5e-1]);
        let s = S::fma(S::mul(s, z), r, r);
        let c = poly::<S>(z, &[2.443_315_7e-5, -1.388_731_6e-3, 4.166_664_6e-2]);
        let c = S::fma(S::mul(c, z), z, S::fma(S::splat(-0.5), z, S::splat(1.0)));
        let q = S::iadd(S::to_int(j), S::isplat(quarter));
        let even = S::ieq(S::iand(q, S::isplat(1)), S::isplat(0));
        let y = S::bits(S::select(even, s, c));
        let y = S::float(S::ixor(y, S::shl::<30>(S::iand(q, S::isplat(2)))));
        by_lane::<S>(large, y, x, x, |x, _| slow(x))
    }
}

/// Sine.
#[inline(always)]
pub unsafe fn sin<S: Simd>(x: S::F) -> S::F {
    // SAFETY: the frame's contract, 2 and 8.
    unsafe {
        let y = sin_cos::<S>(x, 0, f64::sin);
        S::select(S::eq(x, S::splat(0.0)), x, y)
    }
}

/// Cosine.
#[inline(always)]
pub unsafe fn cos<S: Simd>(x: S::F) -> S::F {
    // SAFETY: the frame's contract, 2 and 8.
    unsafe { sin_cos::<S>(x, 1, f64::cos) }
}

/// x + y and what rounding lost.
#[inline(always)]
unsafe fn two_sum<S: Simd>(x: S::F, y: S::F) -> (S::F, S::F) {
    // SAFETY: the frame's contract, 2 and 8.
    unsafe {
        let s = S::add(x, y);
        let t = S::sub(s, x);
        (s, S::add(S::sub(x, S::sub(s, t)), S::sub(y, t)))
    }
}

/// ln x as the sum of two numbers, for positive normal x. With x = 2^k m and t = (m - 1) / (m + 1) it is
/// k ln 2 + 2 (t + t^3/3 + t^5/5 + ..); only the first two terms need both halves.
#[inline(always)]
unsafe fn log_two<S: Simd>(x: S::F) -> (S::F, S::F) {
    // SAFETY: the frame's contract, 2 and 8.
    unsafe {
        let one = S::splat(1.0);
        // The bits of sqrt(1/2) make the mantissa's range [sqrt(1/2), sqrt(2)).
        let shifted = S::isub(S::bits(x), S::isplat(0x3f35_04f3));
        let k = S::to_float(S::sar::<23>(shifted));
        let m = S::float(S::iadd(S::iand(shifted, S::isplat(0x007f_ffff)), S::isplat(0x3f35_04f3)));
        let (f, s) = (S::sub(m, one), S::add(m, one));
        let s_lo = S::sub(m, S::sub(s, one));
        let t = S::div(f, s);
        let rest = S::fma(neg::<S>(t), s_lo, S::fma(neg::<S>(t), s, f));
        let t_lo = S::div(rest, s);
        let z = S::mul(t, t);
        let p = poly::<S>(z, &[2.0 / 11.0, 2.0 / 9.0, 2.0 / 7.0, 2.0 / 5.0, 2.0 / 3.0]);
        let small = S::fma(S::mul(z, t), p, S::add(t_lo, t_lo));
        let (hi, lo) = two_sum::<S>(S::mul(k, S::splat(LN2_HI)), S::add(t, t));
        two_sum::<S>(hi, S::add(lo, S::fma(k, S::splat(LN2_LO), small)))
    }
}

/// a^b = e^(b ln a), the exponent in two halves. Anything but positive normal a and ordinary exponents takes the
/// slow way; so does everything where multiply-add is not fused, because the halves need it.
#[inline(always)]
pub unsafe fn pow<S: Simd>(a: S::F, b: S::F) -> S::F {
    // SAFETY: the frame's contract, 2 and 8.
    unsafe {
        let (min, max) = (S::splat(f32::MIN_POSITIVE), S::splat(f32::MAX));
        let plain = S::mand(S::mand(S::le(min, a), S::le(a, max)), S::lt(abs::<S>(b), S::splat(1e30)));
        let plain = if S::FUSED { plain } else { S::lt(a, a) };
        let (hi, lo) = log_two::<S>(a);
        let p = S::mul(b, hi);
        let p_lo = S::fma(b, lo, S::fma(b, hi, neg::<S>(p)));
        // Between these bounds e^p is neither infinite nor rounds to zero.
        let x = S::max(S::splat(-104.0), S::min(S::splat(89.0), p));
        let p_lo = S::select(S::eq(x, p), p_lo, S::splat(0.0));
        let (n, r) = exp_parts::<S>(x);
        let em1 = expm1_part::<S>(r);
        // e^(r + p_lo) = e^r (1 + p_lo) up to the square of p_lo.
        let y = S::add(S::fma(em1, p_lo, p_lo), em1);
        let y = S::scale(S::add(y, S::splat(1.0)), n);
        by_lane::<S>(S::mnot(plain), y, a, b, f64::powf)
    }
}
