//! What the instruction sets of x86-64 share.

use std::arch::x86_64::*;

/// `to[k * to_ld + j] = from[j * from_ld + k]` for 8 by 8 numbers.
///
/// # Safety
/// The machine has AVX; the pointers are valid for these elements.
#[inline]
#[target_feature(enable = "avx")]
pub(super) unsafe fn transpose8(from: *const f32, from_ld: isize, to: *mut f32, to_ld: usize) {
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
