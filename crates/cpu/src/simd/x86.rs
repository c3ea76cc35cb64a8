//! Vectors of x86-64.

use super::Simd;
use std::arch::x86_64::*;

/// AVX-512F.
pub(crate) struct Avx512;

impl Simd for Avx512 {
    type V = __m512;
    type Mask = __mmask16;
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn mask(count: usize) -> __mmask16 {
        ((1u32 << count) - 1) as __mmask16
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> __m512 {
        // SAFETY: see the trait.
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> __m512 {
        // SAFETY: see the trait.
        unsafe { _mm512_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn load_part(p: *const f32, mask: __mmask16) -> __m512 {
        // SAFETY: see the trait.
        unsafe { _mm512_maskz_loadu_ps(mask, p) }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: __m512) {
        // SAFETY: see the trait.
        unsafe { _mm512_storeu_ps(p, v) }
    }
    #[inline(always)]
    unsafe fn store_part(p: *mut f32, v: __m512, mask: __mmask16) {
        // SAFETY: see the trait.
        unsafe { _mm512_mask_storeu_ps(p, mask, v) }
    }
    #[inline(always)]
    unsafe fn multiply_add(a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: see the trait.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    type Choice = __mmask16;
    #[inline(always)]
    unsafe fn larger(x: __m512, than: __m512) -> __mmask16 {
        // SAFETY: see the trait.
        unsafe {
            let new = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x, x) & _mm512_cmp_ps_mask::<_CMP_ORD_Q>(than, than);
            _mm512_cmp_ps_mask::<_CMP_GT_OQ>(x, than) | new
        }
    }
    #[inline(always)]
    unsafe fn equal(a: __m512, b: __m512) -> __mmask16 {
        // SAFETY: see the trait.
        unsafe { _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b) }
    }
    #[inline(always)]
    unsafe fn select(choice: __mmask16, yes: __m512, no: __m512) -> __m512 {
        // SAFETY: see the trait.
        unsafe { _mm512_mask_blend_ps(choice, no, yes) }
    }

    const SQUARE: usize = 8;
    #[inline(always)]
    unsafe fn transpose(from: *const f32, from_ld: isize, to: *mut f32, to_ld: usize) {
        // SAFETY: see the trait; both sets have AVX.
        unsafe { transpose8(from, from_ld, to, to_ld) }
    }
}

/// AVX2 with fused multiply-add.
pub(crate) struct Avx2;

impl Simd for Avx2 {
    type V = __m256;
    type Mask = __m256i;
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn mask(count: usize) -> __m256i {
        // SAFETY: see the trait.
        unsafe {
            _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
        }
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> __m256 {
        // SAFETY: see the trait.
        unsafe { _mm256_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> __m256 {
        // SAFETY: see the trait.
        unsafe { _mm256_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn load_part(p: *const f32, mask: __m256i) -> __m256 {
        // SAFETY: see the trait.
        unsafe { _mm256_maskload_ps(p, mask) }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: __m256) {
        // SAFETY: see the trait.
        unsafe { _mm256_storeu_ps(p, v) }
    }
    #[inline(always)]
    unsafe fn store_part(p: *mut f32, v: __m256, mask: __m256i) {
        // SAFETY: see the trait.
        unsafe { _mm256_maskstore_ps(p, mask, v) }
    }
    #[inline(always)]
    unsafe fn multiply_add(a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: see the trait.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    type Choice = __m256;
    #[inline(always)]
    unsafe fn larger(x: __m256, than: __m256) -> __m256 {
        // SAFETY: see the trait.
        unsafe {
            let new =
                _mm256_and_ps(_mm256_cmp_ps::<_CMP_UNORD_Q>(x, x), _mm256_cmp_ps::<_CMP_ORD_Q>(than, than));
            _mm256_or_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(x, than), new)
        }
    }
    #[inline(always)]
    unsafe fn equal(a: __m256, b: __m256) -> __m256 {
        // SAFETY: see the trait.
        unsafe { _mm256_cmp_ps::<_CMP_EQ_OQ>(a, b) }
    }
    #[inline(always)]
    unsafe fn select(choice: __m256, yes: __m256, no: __m256) -> __m256 {
        // SAFETY: see the trait.
        unsafe { _mm256_blendv_ps(no, yes, choice) }
    }

    const SQUARE: usize = 8;
    #[inline(always)]
    unsafe fn transpose(from: *const f32, from_ld: isize, to: *mut f32, to_ld: usize) {
        // SAFETY: see the trait; both sets have AVX.
        unsafe { transpose8(from, from_ld, to, to_ld) }
    }
}

/// `to[k * to_ld + j] = from[j * from_ld + k]` for 8 by 8 numbers.
///
/// # Safety
/// The machine has AVX; the pointers are valid for these elements.
#[inline]
#[target_feature(enable = "avx")]
unsafe fn transpose8(from: *const f32, from_ld: isize, to: *mut f32, to_ld: usize) {
    // SAFETY: see above.
    let r: [__m256; 8] =
        std::array::from_fn(|j| unsafe { _mm256_loadu_ps(from.offset(j as isize * from_ld)) });
    let mut pairs = [r[0]; 8];
    for i in 0..4 {
        pairs[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
        pairs[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
    }
    let mut fours = [r[0]; 8];
    for h in 0..2 {
        let (lo, hi) = (4 * h, 4 * h + 2);
        fours[lo] = _mm256_shuffle_ps::<0x44>(pairs[lo], pairs[hi]);
        fours[lo + 1] = _mm256_shuffle_ps::<0xEE>(pairs[lo], pairs[hi]);
        fours[hi] = _mm256_shuffle_ps::<0x44>(pairs[lo + 1], pairs[hi + 1]);
        fours[hi + 1] = _mm256_shuffle_ps::<0xEE>(pairs[lo + 1], pairs[hi + 1]);
    }
    for i in 0..4 {
        // SAFETY: see above.
        unsafe {
            let low = _mm256_permute2f128_ps::<0x20>(fours[i], fours[i + 4]);
            let high = _mm256_permute2f128_ps::<0x31>(fours[i], fours[i + 4]);
            _mm256_storeu_ps(to.add(i * to_ld), low);
            _mm256_storeu_ps(to.add((i + 4) * to_ld), high);
        }
    }
}
