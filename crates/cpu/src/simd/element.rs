//! Numbers in memory that vectors of float32 are loaded from and stored to.

use super::Simd;

/// A float32, or the bits of a bfloat16.
pub(crate) trait Element: Copy + Default {
    /// The first `n` numbers as float32, at most all lanes; the other lanes are zero.
    ///
    /// # Safety
    /// There must be so many; as for every method of [`Simd`].
    unsafe fn load<S: Simd>(p: *const Self, n: usize) -> S::F;
    /// Stores the first `n` numbers.
    ///
    /// # Safety
    /// There must be room for so many; as for every method of [`Simd`].
    unsafe fn store<S: Simd>(p: *mut Self, x: S::F, n: usize);
}

impl Element for f32 {
    #[inline(always)]
    unsafe fn load<S: Simd>(p: *const f32, n: usize) -> S::F {
        // SAFETY: the frame's contract, 2 and 8.
        unsafe { S::load_first(p, n) }
    }
    #[inline(always)]
    unsafe fn store<S: Simd>(p: *mut f32, x: S::F, n: usize) {
        // SAFETY: the frame's contract, 2 and 8.
        unsafe { S::store_first(p, x, n) }
    }
}

impl Element for u16 {
    #[inline(always)]
    unsafe fn load<S: Simd>(p: *const u16, n: usize) -> S::F {
        // SAFETY: the frame's contract, 2 and 8.
        unsafe { S::widen(p, n.min(S::LANES)) }
    }
    #[inline(always)]
    unsafe fn store<S: Simd>(p: *mut u16, x: S::F, n: usize) {
        // SAFETY: the frame's contract, 2 and 8.
        unsafe { S::narrow(p, x, n) }
    }
}
