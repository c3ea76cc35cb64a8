//! Vectors of 4 as plain arrays: any machine runs them, and the compiler turns them into the vectors that every
//! machine of the target has (SSE2, NEON, wasm SIMD).

use super::Simd;
use std::array::from_fn;

/// Arrays.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

type F = [f32; 4];
type I = [i32; 4];
/// -1 is true, 0 false.
type M = [i32; 4];

macro_rules! lanes {
    ($($name:ident($($arg:ident: $ty:ty),*) -> $out:ty = $body:expr;)*) => {
        $(#[inline(always)]
        unsafe fn $name($($arg: $ty),*) -> $out {
            from_fn(|i| {
                $(let $arg = $arg[i];)*
                $body
            })
        })*
    };
}

#[inline(always)]
fn mask(t: bool) -> i32 {
    -i32::from(t)
}

// SAFETY: plain Rust; pointers are valid for the lanes moved, as the caller promises.
unsafe impl Simd for Portable {
    const LANES: usize = 4;
    const FUSED: bool = false;
    type F = F;
    type I = I;
    type M = M;
    type Part = usize;

    lanes! {
        add(a: F, b: F) -> F = a + b;
        sub(a: F, b: F) -> F = a - b;
        mul(a: F, b: F) -> F = a * b;
        div(a: F, b: F) -> F = a / b;
        fma(a: F, b: F, c: F) -> F = a * b + c;
        min(a: F, b: F) -> F = if a < b { a } else { b };
        max(a: F, b: F) -> F = if a > b { a } else { b };
        sqrt(a: F) -> F = a.sqrt();
        floor(a: F) -> F = if a.abs() < f32::MIN_POSITIVE { 0f32.copysign(a) } else { a.floor() };
        round(a: F) -> F = a.round_ties_even();
        lt(a: F, b: F) -> M = mask(a < b);
        le(a: F, b: F) -> M = mask(a <= b);
        eq(a: F, b: F) -> M = mask(a == b);
        select(m: M, a: F, b: F) -> F = if m != 0 { a } else { b };
        bits(a: F) -> I = a.to_bits() as i32;
        float(a: I) -> F = f32::from_bits(a as u32);
        iadd(a: I, b: I) -> I = a.wrapping_add(b);
        isub(a: I, b: I) -> I = a.wrapping_sub(b);
        imul(a: I, b: I) -> I = a.wrapping_mul(b);
        imin(a: I, b: I) -> I = a.min(b);
        imax(a: I, b: I) -> I = a.max(b);
        iand(a: I, b: I) -> I = a & b;
        ior(a: I, b: I) -> I = a | b;
        ixor(a: I, b: I) -> I = a ^ b;
        ilt(a: I, b: I) -> M = mask(a < b);
        ieq(a: I, b: I) -> M = mask(a == b);
        iselect(m: M, a: I, b: I) -> I = if m != 0 { a } else { b };
        to_int(a: F) -> I = a as i32;
        to_float(a: I) -> F = a as f32;
        mand(a: M, b: M) -> M = a & b;
        mor(a: M, b: M) -> M = a | b;
        mnot(a: M) -> M = !a;
    }

    #[inline(always)]
    unsafe fn load(p: *const f32) -> F {
        // SAFETY: the caller promises four valid numbers; arrays of f32 may be read unaligned.
        unsafe { p.cast::<F>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: F) {
        // SAFETY: as for `load`.
        unsafe { p.cast::<F>().write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn part(n: usize) -> usize {
        n
    }
    #[inline(always)]
    unsafe fn load_part(p: *const f32, part: usize) -> F {
        if part == 4 {
            // SAFETY: the caller promises four valid numbers.
            return unsafe { Self::load(p) };
        }
        // SAFETY: only the first lanes are read.
        from_fn(|i| if i < part { unsafe { *p.add(i) } } else { 0.0 })
    }
    #[inline(always)]
    unsafe fn store_part(p: *mut f32, v: F, part: usize) {
        for (i, x) in v.into_iter().enumerate().take(part) {
            // SAFETY: only the first lanes are written.
            unsafe { *p.add(i) = x };
        }
    }
    #[inline(always)]
    unsafe fn load_mask(p: *const u8, n: usize) -> M {
        let mut bytes = [0u8; 4];
        // SAFETY: the caller promises `n` valid bytes, at most four.
        unsafe { std::ptr::copy_nonoverlapping(p, bytes.as_mut_ptr(), n) };
        bytes.map(|b| mask(b != 0))
    }
    #[inline(always)]
    unsafe fn store_mask(p: *mut u8, n: usize, m: M) {
        let bytes = m.map(|t| (t & 1) as u8);
        // SAFETY: the caller promises room for `n` bytes, at most four.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), p, n) };
    }
    #[inline(always)]
    unsafe fn load_bytes(p: *const u8, n: usize) -> I {
        let mut bytes = [0u8; 4];
        // SAFETY: the caller promises `n` valid bytes, at most four.
        unsafe { std::ptr::copy_nonoverlapping(p, bytes.as_mut_ptr(), n) };
        bytes.map(|b| i32::from(b as i8))
    }
    #[inline(always)]
    unsafe fn store_bytes(p: *mut u8, n: usize, v: I) {
        let bytes = v.map(|x| x as u8);
        // SAFETY: the caller promises room for `n` bytes, at most four.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), p, n) };
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> F {
        [x; 4]
    }
    #[inline(always)]
    unsafe fn isplat(x: i32) -> I {
        [x; 4]
    }
    #[inline(always)]
    unsafe fn shl<const N: i32>(a: I) -> I {
        a.map(|x| x << N)
    }
    #[inline(always)]
    unsafe fn sar<const N: i32>(a: I) -> I {
        a.map(|x| x >> N)
    }
    #[inline(always)]
    unsafe fn any(a: M) -> bool {
        a.iter().any(|t| *t != 0)
    }
}
