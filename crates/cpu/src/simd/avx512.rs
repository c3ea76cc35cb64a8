//! Vectors of 16 by AVX-512 (F, BW, VL, DQ).

use super::{Simd, transpose8};
use std::arch::x86_64::*;

/// AVX-512.
#[derive(Clone, Copy)]
pub(crate) struct Avx512;

// SAFETY: each method is the instruction it is named after.
unsafe impl Simd for Avx512 {
    const LANES: usize = 16;
    const FUSED: bool = true;
    type F = __m512;
    type I = __m512i;
    type M = __mmask16;
    type Part = __mmask16;

    ops! {
        load(p: *const f32) -> __m512 = _mm512_loadu_ps(p);
        store(p: *mut f32, v: __m512) -> () = _mm512_storeu_ps(p, v);
        load_part(p: *const f32, part: u16) -> __m512 = _mm512_maskz_loadu_ps(part, p);
        store_part(p: *mut f32, v: __m512, part: u16) -> () = _mm512_mask_storeu_ps(p, part, v);
        load_mask(p: *const u8, n: usize) -> u16 = {
            let v = _mm_maskz_loadu_epi8(Self::part(n), p.cast());
            _mm_test_epi8_mask(v, v)
        };
        store_mask(p: *mut u8, n: usize, m: u16) -> () =
            _mm_mask_storeu_epi8(p.cast(), Self::part(n), _mm_maskz_set1_epi8(m, 1));
        load_bytes(p: *const u8, n: usize) -> __m512i =
            _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(Self::part(n), p.cast()));
        store_bytes(p: *mut u8, n: usize, v: __m512i) -> () =
            _mm_mask_storeu_epi8(p.cast(), Self::part(n), _mm512_cvtepi32_epi8(v));
        splat(x: f32) -> __m512 = _mm512_set1_ps(x);
        add(a: __m512, b: __m512) -> __m512 = _mm512_add_ps(a, b);
        sub(a: __m512, b: __m512) -> __m512 = _mm512_sub_ps(a, b);
        mul(a: __m512, b: __m512) -> __m512 = _mm512_mul_ps(a, b);
        div(a: __m512, b: __m512) -> __m512 = _mm512_div_ps(a, b);
        fma(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fmadd_ps(a, b, c);
        min(a: __m512, b: __m512) -> __m512 = _mm512_min_ps(a, b);
        max(a: __m512, b: __m512) -> __m512 = _mm512_max_ps(a, b);
        sqrt(a: __m512) -> __m512 = _mm512_sqrt_ps(a);
        floor(a: __m512) -> __m512 = _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(a);
        round(a: __m512) -> __m512 = _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a);
        lt(a: __m512, b: __m512) -> u16 = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b);
        le(a: __m512, b: __m512) -> u16 = _mm512_cmp_ps_mask::<_CMP_LE_OQ>(a, b);
        eq(a: __m512, b: __m512) -> u16 = _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b);
        select(m: u16, a: __m512, b: __m512) -> __m512 = _mm512_mask_blend_ps(m, b, a);
        scale(a: __m512, n: __m512) -> __m512 = _mm512_scalef_ps(a, n);
        bits(a: __m512) -> __m512i = _mm512_castps_si512(a);
        float(a: __m512i) -> __m512 = _mm512_castsi512_ps(a);
        isplat(x: i32) -> __m512i = _mm512_set1_epi32(x);
        iadd(a: __m512i, b: __m512i) -> __m512i = _mm512_add_epi32(a, b);
        isub(a: __m512i, b: __m512i) -> __m512i = _mm512_sub_epi32(a, b);
        imul(a: __m512i, b: __m512i) -> __m512i = _mm512_mullo_epi32(a, b);
        imin(a: __m512i, b: __m512i) -> __m512i = _mm512_min_epi32(a, b);
        imax(a: __m512i, b: __m512i) -> __m512i = _mm512_max_epi32(a, b);
        iand(a: __m512i, b: __m512i) -> __m512i = _mm512_and_si512(a, b);
        ior(a: __m512i, b: __m512i) -> __m512i = _mm512_or_si512(a, b);
        ixor(a: __m512i, b: __m512i) -> __m512i = _mm512_xor_si512(a, b);
        ilt(a: __m512i, b: __m512i) -> u16 = _mm512_cmplt_epi32_mask(a, b);
        ieq(a: __m512i, b: __m512i) -> u16 = _mm512_cmpeq_epi32_mask(a, b);
        iselect(m: u16, a: __m512i, b: __m512i) -> __m512i = _mm512_mask_blend_epi32(m, b, a);
        to_int(a: __m512) -> __m512i = _mm512_cvttps_epi32(a);
        to_float(a: __m512i) -> __m512 = _mm512_cvtepi32_ps(a);
    }

    #[inline(always)]
    unsafe fn shl<const N: i32>(a: __m512i) -> __m512i {
        // SAFETY: the caller promises the instruction set.
        unsafe { _mm512_sll_epi32(a, _mm_cvtsi32_si128(N)) }
    }
    #[inline(always)]
    unsafe fn sar<const N: i32>(a: __m512i) -> __m512i {
        // SAFETY: the caller promises the instruction set.
        unsafe { _mm512_sra_epi32(a, _mm_cvtsi32_si128(N)) }
    }
    #[inline(always)]
    unsafe fn mand(a: u16, b: u16) -> u16 {
        a & b
    }
    #[inline(always)]
    unsafe fn mor(a: u16, b: u16) -> u16 {
        a | b
    }
    #[inline(always)]
    unsafe fn mnot(a: u16) -> u16 {
        !a
    }
    #[inline(always)]
    unsafe fn any(a: u16) -> bool {
        a != 0
    }
    #[inline(always)]
    unsafe fn part(n: usize) -> u16 {
        ((1u32 << n) - 1) as u16
    }
    #[inline(always)]
    unsafe fn widen(p: *const u16, n: usize) -> __m512 {
        // SAFETY: the caller promises the instruction set and `n` readable numbers.
        unsafe {
            let some = if n == 16 {
                _mm256_loadu_si256(p.cast())
            } else {
                _mm256_maskz_loadu_epi16(Self::part(n), p.cast())
            };
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(some)))
        }
    }
    #[inline(always)]
    unsafe fn store_halves(p: *mut u16, v: __m512i, n: usize) {
        // SAFETY: the caller promises the instruction set and room for `n` numbers.
        unsafe {
            let halves = _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(v));
            // Stores under a mask are slow on some machines.
            if n == 16 {
                _mm256_storeu_si256(p.cast(), halves);
            } else {
                _mm256_mask_storeu_epi16(p.cast(), Self::part(n), halves);
            }
        }
    }
    const SQUARE: usize = 8;
    #[inline(always)]
    unsafe fn transpose(from: *const f32, from_ld: isize, to: *mut f32, to_ld: usize) {
        // SAFETY: the caller promises valid squares, and the set includes AVX.
        unsafe { transpose8(from, from_ld, to, to_ld) }
    }
}
