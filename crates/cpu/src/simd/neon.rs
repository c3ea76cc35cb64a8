//! Vectors of 64-bit ARM.

use super::Simd;
use std::arch::aarch64::*;

/// NEON.
pub(crate) struct Neon;

impl Simd for Neon {
    type V = float32x4_t;
    type Mask = usize;
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn mask(count: usize) -> usize {
        count
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> float32x4_t {
        // SAFETY: see the trait.
        unsafe { vdupq_n_f32(x) }
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> float32x4_t {
        // SAFETY: see the trait.
        unsafe { vld1q_f32(p) }
    }
    #[inline(always)]
    unsafe fn load_part(p: *const f32, mask: usize) -> float32x4_t {
        if mask == 4 {
            // SAFETY: see the trait.
            return unsafe { vld1q_f32(p) };
        }
        let mut part = [0.0; 4];
        for (i, x) in part.iter_mut().enumerate().take(mask) {
            // SAFETY: only chosen lanes are read.
            *x = unsafe { *p.add(i) };
        }
        // SAFETY: see the trait.
        unsafe { vld1q_f32(part.as_ptr()) }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: float32x4_t) {
        // SAFETY: see the trait.
        unsafe { vst1q_f32(p, v) }
    }
    #[inline(always)]
    unsafe fn store_part(p: *mut f32, v: float32x4_t, mask: usize) {
        let mut part = [0.0; 4];
        // SAFETY: see the trait.
        unsafe { vst1q_f32(part.as_mut_ptr(), v) };
        for (i, x) in part.into_iter().enumerate().take(mask) {
            // SAFETY: only chosen lanes are written.
            unsafe { *p.add(i) = x };
        }
    }
    #[inline(always)]
    unsafe fn multiply_add(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        // SAFETY: see the trait.
        unsafe { vfmaq_f32(c, a, b) }
    }

    type Choice = uint32x4_t;
    #[inline(always)]
    unsafe fn larger(x: float32x4_t, than: float32x4_t) -> uint32x4_t {
        // SAFETY: see the trait.
        unsafe {
            let new = vbicq_u32(vceqq_f32(than, than), vceqq_f32(x, x));
            vorrq_u32(vcgtq_f32(x, than), new)
        }
    }
    #[inline(always)]
    unsafe fn equal(a: float32x4_t, b: float32x4_t) -> uint32x4_t {
        // SAFETY: see the trait.
        unsafe { vceqq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn select(choice: uint32x4_t, yes: float32x4_t, no: float32x4_t) -> float32x4_t {
        // SAFETY: see the trait.
        unsafe { vbslq_f32(choice, yes, no) }
    }
}
