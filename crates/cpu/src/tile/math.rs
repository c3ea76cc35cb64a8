//! Transcendental functions on vectors: range reduction and a polynomial, about one or two units in the last
//! place. Infinities, NaN, zeros and denormals come out as IEEE wants them.
//!
//! Polynomials of exp, log, sin and cos are those of S. Moshier's Cephes library (single precision); erf follows
//! N. Juffa's minimax approximation.

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
    // SAFETY: passed on.
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
    // SAFETY: passed on.
    unsafe { S::mnot(S::eq(x, x)) }
}

/// |x|.
#[inline(always)]
pub unsafe fn abs<S: Simd>(x: S::F) -> S::F {
    // SAFETY: passed on.
    unsafe { S::float(S::iand(S::bits(x), S::isplat(i32::MAX))) }
}

/// -x.
#[inline(always)]
pub unsafe fn neg<S: Simd>(x: S::F) -> S::F {
    // SAFETY: passed on.
    unsafe { S::float(S::ixor(S::bits(x), S::isplat(i32::MIN))) }
}

/// The magnitude of `x` with the sign of `sign`.
#[inline(always)]
unsafe fn copysign<S: Simd>(x: S::F, sign: S::F) -> S::F {
    // SAFETY: passed on.
    unsafe {
        let s = S::iand(S::bits(sign), S::isplat(i32::MIN));
        S::float(S::ior(S::bits(abs::<S>(x)), s))
    }
}

/// The larger one; NaN wins.
#[inline(always)]
pub unsafe fn max_nan<S: Simd>(a: S::F, b: S::F) -> S::F {
    // SAFETY: passed on.
    unsafe { S::select(is_nan::<S>(a), a, S::max(a, b)) }
}

/// The smaller one; NaN wins.
#[inline(always)]
pub unsafe fn min_nan<S: Simd>(a: S::F, b: S::F) -> S::F {
    // SAFETY: passed on.
    unsafe { S::select(is_nan::<S>(a), a, S::min(a, b)) }
}

/// -1, 0 or 1; zeros and NaN stay.
#[inline(always)]
pub unsafe fn sign<S: Simd>(x: S::F) -> S::F {
    // SAFETY: passed on.
    unsafe {
        let keep = S::mor(S::eq(x, S::splat(0.0)), is_nan::<S>(x));
        S::select(keep, x, copysign::<S>(S::splat(1.0), x))
    }
}

/// `2^n` for n in -126..=127.
#[inline(always)]
unsafe fn pow2<S: Simd>(n: S::I) -> S::F {
    // SAFETY: passed on.
    unsafe { S::float(S::shl::<23>(S::iadd(n, S::isplat(127)))) }
}

/// x = n ln 2 + r with |r| <= ln 2 / 2: n and e^r - 1.
#[inline(always)]
unsafe fn exp_parts<S: Simd>(x: S::F) -> (S::I, S::F) {
    // SAFETY: passed on.
    unsafe {
        let n = S::round(S::mul(x, S::splat(LOG2_E)));
        let r = S::fma(n, S::splat(-LN2_HI), x);
        let r = S::fma(n, S::splat(-LN2_LO), r);
        let p = poly::<S>(
            r,
            &[1.987_569_2e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5],
        );
        (S::to_int(n), S::fma(S::mul(r, r), p, r))
    }
}

/// e^x.
#[inline(always)]
pub unsafe fn exp<S: Simd>(x: S::F) -> S::F {
    // SAFETY: passed on.
    unsafe {
        // Beyond these bounds the result is infinite or rounds to zero; NaN passes.
        let x = S::max(S::splat(-104.0), S::min(S::splat(89.0), x));
        let (n, em1) = exp_parts::<S>(x);
        // In two steps, because 2^128 and denormal powers do not exist as one factor.
        let half = S::sar::<1>(n);
        let y = S::add(em1, S::splat(1.0));
        S::mul(S::mul(y, pow2::<S>(half)), pow2::<S>(S::isub(n, half)))
    }
}

/// e^x - 1, right near zero.
#[inline(always)]
pub unsafe fn expm1<S: Simd>(x: S::F) -> S::F {
    // SAFETY: passed on.
    unsafe {
        let c = S::max(S::splat(-20.0), S::min(S::splat(89.0), x));
        let (n, em1) = exp_parts::<S>(c);
        let s = pow2::<S>(S::isub(n, S::isplat(1)));
        let y = S::fma(s, em1, S::sub(s, S::splat(0.5)));
        S::select(S::eq(x, S::splat(0.0)), x, S::add(y, y))
    }
}

/// The natural logarithm.
#[inline(always)]
pub unsafe fn log<S: Simd>(x: S::F) -> S::F {
    // SAFETY: passed on.
    unsafe {
        let (zero, one) = (S::splat(0.0), S::splat(1.0));
        let tiny = S::lt(x, S::splat(f32::MIN_POSITIVE));
        let scaled = S::select(tiny, S::mul(x, S::splat(8_388_608.0)), x);
        let bits = S::bits(scaled);
        let e = S::isub(S::iand(S::sar::<23>(bits), S::isplat(0xff)), S::isplat(126));
        let m = S::float(S::ior(S::iand(bits, S::isplat(0x007f_ffff)), S::isplat(0x3f00_0000)));
        let low = S::lt(m, S::splat(std::f32::consts::FRAC_1_SQRT_2));
        let e = S::sub(S::to_float(e), S::select(tiny, S::splat(23.0), zero));
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
        let y = S::select(S::eq(x, zero), S::splat(f32::NEG_INFINITY), y);
        let y = S::select(S::lt(x, zero), S::splat(f32::NAN), y);
        S::select(is_nan::<S>(x), x, y)
    }
}

/// log(1 + x), right near zero: the rounding of 1 + x is corrected to first order.
#[inline(always)]
pub unsafe fn log1p<S: Simd>(x: S::F) -> S::F {
    // SAFETY: passed on.
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
    // SAFETY: passed on.
    unsafe {
        let a = S::min(S::splat(10.0), abs::<S>(x));
        let t = expm1::<S>(S::add(a, a));
        copysign::<S>(S::div(t, S::add(t, S::splat(2.0))), x)
    }
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub unsafe fn sigmoid<S: Simd>(x: S::F) -> S::F {
    // SAFETY: passed on.
    unsafe {
        let one = S::splat(1.0);
        S::div(one, S::add(one, exp::<S>(neg::<S>(x))))
    }
}

/// The error function.
#[inline(always)]
pub unsafe fn erf<S: Simd>(x: S::F) -> S::F {
    // SAFETY: passed on.
    unsafe {
        let s = S::mul(x, x);
        let near = poly::<S>(
            s,
            &[
                -5.967_617e-4,
                4.991_194_2e-3,
                -2.676_813_5e-2,
                1.128_199_25e-1,
                -3.761_253_4e-1,
                1.283_791_7e-1,
            ],
        );
        let near = S::fma(near, x, x);
        let t = S::min(S::splat(4.0), abs::<S>(x));
        let p = poly::<S>(
            t,
            &[
                -1.728_534_7e-5,
                3.831_972e-4,
                -3.883_964_4e-3,
                2.425_462_2e-2,
                -1.067_778_8e-1,
                -6.348_467e-1,
                -1.287_175_1e-1,
            ],
        );
        let far = S::sub(S::splat(1.0), exp::<S>(S::fma(p, t, neg::<S>(t))));
        let y = S::select(S::lt(S::splat(0.927_734_4), t), copysign::<S>(far, x), near);
        S::select(is_nan::<S>(x), x, y)
    }
}

/// Lanes of `m` are replaced by `f` of the lane, in double precision.
#[inline(always)]
unsafe fn by_lane<S: Simd>(m: S::M, v: S::F, a: S::F, b: S::F, f: impl Fn(f64, f64) -> f64) -> S::F {
    // SAFETY: passed on; the buffers hold the lanes of the widest vector.
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
    // SAFETY: passed on.
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
    // SAFETY: passed on.
    unsafe {
        let y = sin_cos::<S>(x, 0, f64::sin);
        S::select(S::eq(x, S::splat(0.0)), x, y)
    }
}

/// Cosine.
#[inline(always)]
pub unsafe fn cos<S: Simd>(x: S::F) -> S::F {
    // SAFETY: passed on.
    unsafe { sin_cos::<S>(x, 1, f64::cos) }
}

/// x + y and what rounding lost.
#[inline(always)]
unsafe fn two_sum<S: Simd>(x: S::F, y: S::F) -> (S::F, S::F) {
    // SAFETY: passed on.
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
    // SAFETY: passed on.
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
    // SAFETY: passed on.
    unsafe {
        let (min, max) = (S::splat(f32::MIN_POSITIVE), S::splat(f32::MAX));
        let plain = S::mand(S::mand(S::le(min, a), S::le(a, max)), S::lt(abs::<S>(b), S::splat(1e30)));
        let plain = if S::FUSED { plain } else { S::lt(a, a) };
        let (hi, lo) = log_two::<S>(a);
        let p = S::mul(b, hi);
        let p_lo = S::fma(b, lo, S::fma(b, hi, neg::<S>(p)));
        let x = S::max(S::splat(-104.0), S::min(S::splat(89.0), p));
        let p_lo = S::select(S::eq(x, p), p_lo, S::splat(0.0));
        let (n, em1) = exp_parts::<S>(x);
        // e^(r + p_lo) = e^r (1 + p_lo) up to the square of p_lo.
        let y = S::add(S::fma(em1, p_lo, p_lo), em1);
        let y = S::add(y, S::splat(1.0));
        let half = S::sar::<1>(n);
        let y = S::mul(S::mul(y, pow2::<S>(half)), pow2::<S>(S::isub(n, half)));
        by_lane::<S>(S::mnot(plain), y, a, b, f64::powf)
    }
}
