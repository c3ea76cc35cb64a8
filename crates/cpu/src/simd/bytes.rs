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

    /// Four lanes' worth of bytes of each of four rows, side by side: lane `4 l + e` of vector `q` has the bytes at
    /// `16 l + 4 q + e`.
    unsafe fn interleave(rows: [*const u8; 4]) -> [I<Self>; 4];
}

/// By operations on whole lanes.
#[derive(Clone, Copy)]
pub(crate) struct Lanewise<S>(PhantomData<S>);

// SAFETY: only methods of the set are used.
unsafe impl<S: Simd> ByteDots for Lanewise<S> {
    type S = S;

    #[inline(always)]
    unsafe fn dot4(acc: S::I, u: S::I, s: S::I) -> S::I {
        // SAFETY: the frame's contract, 2 and 8.
        unsafe {
            let low = S::isplat(255);
            let first = S::imul(S::iand(u, low), S::sar::<24>(S::shl::<24>(s)));
            let second = S::imul(S::iand(S::sar::<8>(u), low), S::sar::<24>(S::shl::<16>(s)));
            let third = S::imul(S::iand(S::sar::<16>(u), low), S::sar::<24>(S::shl::<8>(s)));
            let fourth = S::imul(S::iand(S::sar::<24>(u), low), S::sar::<24>(s));
            S::iadd(acc, S::iadd(S::iadd(first, second), S::iadd(third, fourth)))
        }
    }

    #[inline(always)]
    unsafe fn interleave(rows: [*const u8; 4]) -> [S::I; 4] {
        std::array::from_fn(|q| {
            let mut lanes = [[0u8; 4]; 16];
            for (i, lane) in lanes.iter_mut().enumerate().take(S::LANES) {
                // SAFETY: the caller promises the bytes.
                *lane = rows.map(|row| unsafe { *row.add(i / 4 * 16 + 4 * q + i % 4) });
            }
            // SAFETY: the lanes fill the widest vector.
            unsafe { S::bits(S::load(lanes.as_ptr().cast())) }
        })
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

        #[inline(always)]
        unsafe fn interleave(rows: [*const u8; 4]) -> [__m256i; 4] {
            // SAFETY: the caller promises the instruction set and the bytes.
            unsafe {
                let [a, b, c, d] = rows.map(|row| _mm256_loadu_si256(row.cast()));
                let (low, high) = (_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b));
                let (low2, high2) = (_mm256_unpacklo_epi8(c, d), _mm256_unpackhi_epi8(c, d));
                [
                    _mm256_unpacklo_epi16(low, low2),
                    _mm256_unpackhi_epi16(low, low2),
                    _mm256_unpacklo_epi16(high, high2),
                    _mm256_unpackhi_epi16(high, high2),
                ]
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

        #[inline(always)]
        unsafe fn interleave(rows: [*const u8; 4]) -> [__m512i; 4] {
            // SAFETY: the caller promises the instruction set and the bytes.
            unsafe {
                let [a, b, c, d] = rows.map(|row| _mm512_loadu_si512(row.cast()));
                let (low, high) = (_mm512_unpacklo_epi8(a, b), _mm512_unpackhi_epi8(a, b));
                let (low2, high2) = (_mm512_unpacklo_epi8(c, d), _mm512_unpackhi_epi8(c, d));
                [
                    _mm512_unpacklo_epi16(low, low2),
                    _mm512_unpackhi_epi16(low, low2),
                    _mm512_unpacklo_epi16(high, high2),
                    _mm512_unpackhi_epi16(high, high2),
                ]
            }
        }
    }
}
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Pairs, Vnni};
