//! Sums of products of bytes, four to a lane of 32 bits. Every way to compute them is exact.

use super::Simd;
use std::marker::PhantomData;

/// Vectors of `D`.
pub(crate) type I<D> = <<D as ByteDots>::S as Simd>::I;

/// An instruction set's way to multiply bytes.
///
/// # Safety
/// As for [`Simd`].
pub(crate) unsafe trait ByteDots: Copy + 'static {
    /// The vectors.
    type S: Simd;

    /// `acc` and, added to each lane, the products of its four bytes: those of `u` are 0 to 255, those of `s` -128 to
    /// 127. Lanes wrap around.
    unsafe fn dot4(acc: I<Self>, u: I<Self>, s: I<Self>) -> I<Self>;
}

/// By operations on whole lanes.
#[derive(Clone, Copy)]
pub(crate) struct Lanewise<S>(PhantomData<S>);

// SAFETY: only methods of the set are used.
unsafe impl<S: Simd> ByteDots for Lanewise<S> {
    type S = S;

    #[inline(always)]
    unsafe fn dot4(acc: S::I, u: S::I, s: S::I) -> S::I {
        // SAFETY: passed on to the caller.
        unsafe {
            let low = S::isplat(255);
            let first = S::imul(S::iand(u, low), S::sar::<24>(S::shl::<24>(s)));
            let second = S::imul(S::iand(S::sar::<8>(u), low), S::sar::<24>(S::shl::<16>(s)));
            let third = S::imul(S::iand(S::sar::<16>(u), low), S::sar::<24>(S::shl::<8>(s)));
            let fourth = S::imul(S::iand(S::sar::<24>(u), low), S::sar::<24>(s));
            S::iadd(acc, S::iadd(S::iadd(first, second), S::iadd(third, fourth)))
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::ByteDots;
    use crate::simd::avx2::Avx2;
    use crate::simd::avx512::Avx512;
    use std::arch::x86_64::*;

    /// AVX2: even and odd bytes as 16 bits, whose products do not saturate.
    #[derive(Clone, Copy)]
    pub(crate) struct Pairs;

    // SAFETY: only instructions of AVX2 are used.
    unsafe impl ByteDots for Pairs {
        type S = Avx2;

        #[inline(always)]
        unsafe fn dot4(acc: __m256i, u: __m256i, s: __m256i) -> __m256i {
            // SAFETY: the caller promises the instruction set.
            unsafe {
                let even = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(s));
                let even = _mm256_madd_epi16(_mm256_and_si256(u, _mm256_set1_epi16(255)), even);
                let odd = _mm256_madd_epi16(_mm256_srli_epi16::<8>(u), _mm256_srai_epi16::<8>(s));
                _mm256_add_epi32(acc, _mm256_add_epi32(even, odd))
            }
        }
    }

    /// AVX-512 with VNNI, where it is one instruction.
    #[derive(Clone, Copy)]
    pub(crate) struct Vnni;

    // SAFETY: only instructions of AVX-512 and VNNI are used.
    unsafe impl ByteDots for Vnni {
        type S = Avx512;

        #[inline(always)]
        unsafe fn dot4(acc: __m512i, u: __m512i, s: __m512i) -> __m512i {
            // SAFETY: the caller promises the instruction set.
            unsafe { _mm512_dpbusd_epi32(acc, u, s) }
        }
    }
}
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Pairs, Vnni};
