//! Vectors of 64-bit ARM.

use super::Simd;
use std::arch::aarch64::*;

/// NEON.
#[derive(Clone, Copy)]
pub(crate) struct Neon;

// SAFETY: each method is the instruction it is named after.
unsafe impl Simd for Neon {
    const LANES: usize = 4;
    const FUSED: bool = true;
    type F = float32x4_t;
    type I = int32x4_t;
    type M = uint32x4_t;
    type Part = usize;

    ops! {
        load(p: *const f32) -> float32x4_t = vld1q_f32(p);
        store(p: *mut f32, v: float32x4_t) -> () = vst1q_f32(p, v);
        load_part(p: *const f32, part: usize) -> float32x4_t = {
            if part == 4 {
                return vld1q_f32(p);
            }
            let mut some = [0.0f32; 4];
            some.iter_mut().enumerate().take(part).for_each(|(i, x)| *x = *p.add(i));
            vld1q_f32(some.as_ptr())
        };
        store_part(p: *mut f32, v: float32x4_t, part: usize) -> () = {
            let mut all = [0.0f32; 4];
            vst1q_f32(all.as_mut_ptr(), v);
            all.into_iter().enumerate().take(part).for_each(|(i, x)| *p.add(i) = x);
        };
        load_mask(p: *const u8, n: usize) -> uint32x4_t = {
            let mut wide = [0u32; 4];
            wide.iter_mut().enumerate().take(n).for_each(|(i, x)| *x = u32::from(*p.add(i)));
            let wide = vld1q_u32(wide.as_ptr());
            vtstq_u32(wide, wide)
        };
        store_mask(p: *mut u8, n: usize, m: uint32x4_t) -> () = {
            let mut all = [0u32; 4];
            vst1q_u32(all.as_mut_ptr(), m);
            all.into_iter().enumerate().take(n).for_each(|(i, x)| *p.add(i) = (x & 1) as u8);
        };
        load_bytes(p: *const u8, n: usize) -> int32x4_t = {
            let mut wide = [0i32; 4];
            wide.iter_mut().enumerate().take(n).for_each(|(i, x)| *x = i32::from(*p.add(i) as i8));
            vld1q_s32(wide.as_ptr())
        };
        store_bytes(p: *mut u8, n: usize, v: int32x4_t) -> () = {
            let mut all = [0i32; 4];
            vst1q_s32(all.as_mut_ptr(), v);
            all.into_iter().enumerate().take(n).for_each(|(i, x)| *p.add(i) = x as u8);
        };
        splat(x: f32) -> float32x4_t = vdupq_n_f32(x);
        add(a: float32x4_t, b: float32x4_t) -> float32x4_t = vaddq_f32(a, b);
        sub(a: float32x4_t, b: float32x4_t) -> float32x4_t = vsubq_f32(a, b);
        mul(a: float32x4_t, b: float32x4_t) -> float32x4_t = vmulq_f32(a, b);
        div(a: float32x4_t, b: float32x4_t) -> float32x4_t = vdivq_f32(a, b);
        fma(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t = vfmaq_f32(c, a, b);
        min(a: float32x4_t, b: float32x4_t) -> float32x4_t = vbslq_f32(vcltq_f32(a, b), a, b);
        max(a: float32x4_t, b: float32x4_t) -> float32x4_t = vbslq_f32(vcgtq_f32(a, b), a, b);
        sqrt(a: float32x4_t) -> float32x4_t = vsqrtq_f32(a);
        floor(a: float32x4_t) -> float32x4_t = vrndmq_f32(a);
        round(a: float32x4_t) -> float32x4_t = vrndnq_f32(a);
        lt(a: float32x4_t, b: float32x4_t) -> uint32x4_t = vcltq_f32(a, b);
        le(a: float32x4_t, b: float32x4_t) -> uint32x4_t = vcleq_f32(a, b);
        eq(a: float32x4_t, b: float32x4_t) -> uint32x4_t = vceqq_f32(a, b);
        select(m: uint32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t = vbslq_f32(m, a, b);
        bits(a: float32x4_t) -> int32x4_t = vreinterpretq_s32_f32(a);
        float(a: int32x4_t) -> float32x4_t = vreinterpretq_f32_s32(a);
        isplat(x: i32) -> int32x4_t = vdupq_n_s32(x);
        iadd(a: int32x4_t, b: int32x4_t) -> int32x4_t = vaddq_s32(a, b);
        isub(a: int32x4_t, b: int32x4_t) -> int32x4_t = vsubq_s32(a, b);
        imul(a: int32x4_t, b: int32x4_t) -> int32x4_t = vmulq_s32(a, b);
        imin(a: int32x4_t, b: int32x4_t) -> int32x4_t = vminq_s32(a, b);
        imax(a: int32x4_t, b: int32x4_t) -> int32x4_t = vmaxq_s32(a, b);
        iand(a: int32x4_t, b: int32x4_t) -> int32x4_t = vandq_s32(a, b);
        ior(a: int32x4_t, b: int32x4_t) -> int32x4_t = vorrq_s32(a, b);
        ixor(a: int32x4_t, b: int32x4_t) -> int32x4_t = veorq_s32(a, b);
        ilt(a: int32x4_t, b: int32x4_t) -> uint32x4_t = vcltq_s32(a, b);
        ieq(a: int32x4_t, b: int32x4_t) -> uint32x4_t = vceqq_s32(a, b);
        iselect(m: uint32x4_t, a: int32x4_t, b: int32x4_t) -> int32x4_t = vbslq_s32(m, a, b);
        to_int(a: float32x4_t) -> int32x4_t = vcvtq_s32_f32(a);
        to_float(a: int32x4_t) -> float32x4_t = vcvtq_f32_s32(a);
        mand(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t = vandq_u32(a, b);
        mor(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t = vorrq_u32(a, b);
        mnot(a: uint32x4_t) -> uint32x4_t = vmvnq_u32(a);
        any(a: uint32x4_t) -> bool = vmaxvq_u32(a) != 0;
    }

    #[inline(always)]
    unsafe fn part(n: usize) -> usize {
        n
    }
    #[inline(always)]
    unsafe fn shl<const N: i32>(a: int32x4_t) -> int32x4_t {
        // SAFETY: the caller promises the instruction set.
        unsafe { vshlq_s32(a, vdupq_n_s32(N)) }
    }
    #[inline(always)]
    unsafe fn sar<const N: i32>(a: int32x4_t) -> int32x4_t {
        // SAFETY: the caller promises the instruction set.
        unsafe { vshlq_s32(a, vdupq_n_s32(-N)) }
    }
}
