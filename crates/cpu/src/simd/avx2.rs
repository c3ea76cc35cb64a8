//! Vectors of 8 by AVX2 and FMA.

use super::{Simd, transpose8};
use std::arch::x86_64::*;

/// AVX2 with FMA.
#[derive(Clone, Copy)]
pub(crate) struct Avx2;

// SAFETY: each method is the instruction it is named after.
unsafe impl Simd for Avx2 {
    const LANES: usize = 8;
    const FUSED: bool = true;
    type F = __m256;
    type I = __m256i;
    type M = __m256i;
    type Part = __m256i;

    ops! {
        load(p: *const f32) -> __m256 = _mm256_loadu_ps(p);
        store(p: *mut f32, v: __m256) -> () = _mm256_storeu_ps(p, v);
        part(n: usize) -> __m256i =
            _mm256_cmpgt_epi32(_mm256_set1_epi32(n as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
        load_part(p: *const f32, part: __m256i) -> __m256 = _mm256_maskload_ps(p, part);
        store_part(p: *mut f32, v: __m256, part: __m256i) -> () = _mm256_maskstore_ps(p, part, v);
        load_mask(p: *const u8, n: usize) -> __m256i = {
            let mut bytes = [0u8; 8];
            std::ptr::copy_nonoverlapping(p, bytes.as_mut_ptr(), n);
            let wide = _mm256_cvtepu8_epi32(_mm_loadl_epi64(bytes.as_ptr().cast()));
            _mm256_cmpgt_epi32(wide, _mm256_setzero_si256())
        };
        store_mask(p: *mut u8, n: usize, m: __m256i) -> () = {
            let halves = _mm_packs_epi32(_mm256_castsi256_si128(m), _mm256_extracti128_si256::<1>(m));
            let ones = _mm_and_si128(_mm_packs_epi16(halves, halves), _mm_set1_epi8(1));
            let mut bytes = [0u8; 8];
            _mm_storel_epi64(bytes.as_mut_ptr().cast(), ones);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), p, n);
        };
        load_bytes(p: *const u8, n: usize) -> __m256i = {
            let mut bytes = [0u8; 8];
            std::ptr::copy_nonoverlapping(p, bytes.as_mut_ptr(), n);
            _mm256_cvtepi8_epi32(_mm_loadl_epi64(bytes.as_ptr().cast()))
        };
        store_bytes(p: *mut u8, n: usize, v: __m256i) -> () = {
            let halves = _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256::<1>(v));
            let mut bytes = [0u8; 8];
            _mm_storel_epi64(bytes.as_mut_ptr().cast(), _mm_packs_epi16(halves, halves));
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), p, n);
        };
        splat(x: f32) -> __m256 = _mm256_set1_ps(x);
        add(a: __m256, b: __m256) -> __m256 = _mm256_add_ps(a, b);
        sub(a: __m256, b: __m256) -> __m256 = _mm256_sub_ps(a, b);
        mul(a: __m256, b: __m256) -> __m256 = _mm256_mul_ps(a, b);
        div(a: __m256, b: __m256) -> __m256 = _mm256_div_ps(a, b);
        fma(a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fmadd_ps(a, b, c);
        min(a: __m256, b: __m256) -> __m256 = _mm256_min_ps(a, b);
        max(a: __m256, b: __m256) -> __m256 = _mm256_max_ps(a, b);
        sqrt(a: __m256) -> __m256 = _mm256_sqrt_ps(a);
        floor(a: __m256) -> __m256 = _mm256_floor_ps(a);
        round(a: __m256) -> __m256 = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a);
        lt(a: __m256, b: __m256) -> __m256i = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_LT_OQ>(a, b));
        le(a: __m256, b: __m256) -> __m256i = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_LE_OQ>(a, b));
        eq(a: __m256, b: __m256) -> __m256i = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_EQ_OQ>(a, b));
        select(m: __m256i, a: __m256, b: __m256) -> __m256 = _mm256_blendv_ps(b, a, _mm256_castsi256_ps(m));
        bits(a: __m256) -> __m256i = _mm256_castps_si256(a);
        float(a: __m256i) -> __m256 = _mm256_castsi256_ps(a);
        isplat(x: i32) -> __m256i = _mm256_set1_epi32(x);
        iadd(a: __m256i, b: __m256i) -> __m256i = _mm256_add_epi32(a, b);
        isub(a: __m256i, b: __m256i) -> __m256i = _mm256_sub_epi32(a, b);
        imul(a: __m256i, b: __m256i) -> __m256i = _mm256_mullo_epi32(a, b);
        imin(a: __m256i, b: __m256i) -> __m256i = _mm256_min_epi32(a, b);
        imax(a: __m256i, b: __m256i) -> __m256i = _mm256_max_epi32(a, b);
        iand(a: __m256i, b: __m256i) -> __m256i = _mm256_and_si256(a, b);
        ior(a: __m256i, b: __m256i) -> __m256i = _mm256_or_si256(a, b);
        ixor(a: __m256i, b: __m256i) -> __m256i = _mm256_xor_si256(a, b);
        ilt(a: __m256i, b: __m256i) -> __m256i = _mm256_cmpgt_epi32(b, a);
        ieq(a: __m256i, b: __m256i) -> __m256i = _mm256_cmpeq_epi32(a, b);
        iselect(m: __m256i, a: __m256i, b: __m256i) -> __m256i = _mm256_blendv_epi8(b, a, m);
        to_int(a: __m256) -> __m256i = _mm256_cvttps_epi32(a);
        to_float(a: __m256i) -> __m256 = _mm256_cvtepi32_ps(a);
        mand(a: __m256i, b: __m256i) -> __m256i = _mm256_and_si256(a, b);
        mor(a: __m256i, b: __m256i) -> __m256i = _mm256_or_si256(a, b);
        mnot(a: __m256i) -> __m256i = _mm256_xor_si256(a, _mm256_set1_epi32(-1));
        any(a: __m256i) -> bool = _mm256_movemask_epi8(a) != 0;
    }

    #[inline(always)]
    unsafe fn shl<const N: i32>(a: __m256i) -> __m256i {
        // SAFETY: the caller promises the instruction set.
        unsafe { _mm256_slli_epi32::<N>(a) }
    }
    #[inline(always)]
    unsafe fn sar<const N: i32>(a: __m256i) -> __m256i {
        // SAFETY: the caller promises the instruction set.
        unsafe { _mm256_srai_epi32::<N>(a) }
    }
    #[inline(always)]
    unsafe fn store_halves(p: *mut u16, v: __m256i, n: usize) {
        // SAFETY: the caller promises the instruction set and room for `n` numbers.
        unsafe {
            let halves = _mm256_srai_epi32::<16>(v);
            let some = _mm_packs_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256::<1>(halves));
            let mut all = [0u16; 8];
            _mm_storeu_si128(all.as_mut_ptr().cast(), some);
            std::ptr::copy_nonoverlapping(all.as_ptr(), p, n);
        }
    }
    const SQUARE: usize = 8;
    #[inline(always)]
    unsafe fn transpose(from: *const f32, from_ld: isize, to: *mut f32, to_ld: usize) {
        // SAFETY: the caller promises valid squares, and the set includes AVX.
        unsafe { transpose8(from, from_ld, to, to_ld) }
    }
}
