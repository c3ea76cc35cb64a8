//! The vectors that tile code is written in, once for every instruction set.

use std::marker::PhantomData;

/// Lanes that a replicated scalar fills: the widest vector of any instruction set.
pub const SPLAT: usize = 16;

/// A vector instruction set.
///
/// # Safety
/// Every method may use instructions of the set: it must only be reached from a function compiled for it on a
/// machine that has it. Pointers must be valid for the lanes that are moved; nothing needs alignment.
pub unsafe trait Simd: Copy + 'static {
    /// Numbers in a vector.
    const LANES: usize;
    /// Whether [`Simd::fma`] rounds once.
    const FUSED: bool;
    /// Vector of f32.
    type F: Copy;
    /// Vector of i32.
    type I: Copy;
    /// One truth value a lane.
    type M: Copy;

    unsafe fn load(p: *const f32) -> Self::F;
    unsafe fn store(p: *mut f32, v: Self::F);
    /// The first `n` lanes; the others are zero.
    unsafe fn load_part(p: *const f32, n: usize) -> Self::F;
    unsafe fn store_part(p: *mut f32, n: usize, v: Self::F);
    /// From bytes, true where not zero.
    unsafe fn load_mask(p: *const u8, n: usize) -> Self::M;
    /// To bytes, 0 or 1.
    unsafe fn store_mask(p: *mut u8, n: usize, m: Self::M);

    unsafe fn splat(x: f32) -> Self::F;
    unsafe fn add(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn sub(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn mul(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn div(a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`, fused where the set can.
    unsafe fn fma(a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `a < b ? a : b`: the second one when a NaN is among them.
    unsafe fn min(a: Self::F, b: Self::F) -> Self::F;
    /// `a > b ? a : b`: the second one when a NaN is among them.
    unsafe fn max(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn sqrt(a: Self::F) -> Self::F;
    unsafe fn floor(a: Self::F) -> Self::F;
    /// To the nearest integer, halves to even.
    unsafe fn round(a: Self::F) -> Self::F;
    unsafe fn lt(a: Self::F, b: Self::F) -> Self::M;
    unsafe fn le(a: Self::F, b: Self::F) -> Self::M;
    unsafe fn eq(a: Self::F, b: Self::F) -> Self::M;
    unsafe fn select(m: Self::M, a: Self::F, b: Self::F) -> Self::F;

    unsafe fn bits(a: Self::F) -> Self::I;
    unsafe fn float(a: Self::I) -> Self::F;
    unsafe fn isplat(x: i32) -> Self::I;
    unsafe fn iadd(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn isub(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn imul(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn imin(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn imax(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn iand(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn ior(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn ixor(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn shl<const N: i32>(a: Self::I) -> Self::I;
    /// Shifts the sign in.
    unsafe fn sar<const N: i32>(a: Self::I) -> Self::I;
    unsafe fn ilt(a: Self::I, b: Self::I) -> Self::M;
    unsafe fn ieq(a: Self::I, b: Self::I) -> Self::M;
    unsafe fn iselect(m: Self::M, a: Self::I, b: Self::I) -> Self::I;
    /// Truncates; what does not fit is `i32::MIN`, or saturates.
    unsafe fn to_int(a: Self::F) -> Self::I;
    unsafe fn to_float(a: Self::I) -> Self::F;

    unsafe fn mand(a: Self::M, b: Self::M) -> Self::M;
    unsafe fn mor(a: Self::M, b: Self::M) -> Self::M;
    unsafe fn mnot(a: Self::M) -> Self::M;
    unsafe fn any(a: Self::M) -> bool;
}

/// How the elements of one type move between memory and vectors.
pub trait Lane<S: Simd> {
    /// The vector.
    type V: Copy;
    /// Bytes of an element in memory.
    const BYTES: usize;
    /// # Safety
    /// As for [`Simd`], for all lanes.
    unsafe fn get(p: *const u8) -> Self::V;
    /// # Safety
    /// As for [`Simd`], for the first `n` lanes.
    unsafe fn get_part(p: *const u8, n: usize) -> Self::V;
    /// # Safety
    /// As for [`Simd`], for all lanes.
    unsafe fn put(p: *mut u8, v: Self::V);
    /// # Safety
    /// As for [`Simd`], for the first `n` lanes.
    unsafe fn put_part(p: *mut u8, n: usize, v: Self::V);
}

/// f32 lanes.
pub struct Float<S>(PhantomData<S>);
/// i32 lanes.
pub struct Int<S>(PhantomData<S>);
/// Truth values, one byte each.
pub struct Truth<S>(PhantomData<S>);

macro_rules! lane {
    ($lane:ident, $v:ident, $bytes:literal, $($name:ident($($arg:ident: $ty:ty),*) -> $out:ty = $body:expr;)*) => {
        impl<S: Simd> Lane<S> for $lane<S> {
            type V = S::$v;
            const BYTES: usize = $bytes;
            $(#[inline(always)]
            unsafe fn $name($($arg: $ty),*) -> $out {
                // SAFETY: the caller's promise is passed on unchanged.
                unsafe { $body }
            })*
        }
    };
}

lane! { Float, F, 4,
    get(p: *const u8) -> S::F = S::load(p.cast());
    get_part(p: *const u8, n: usize) -> S::F = S::load_part(p.cast(), n);
    put(p: *mut u8, v: S::F) -> () = S::store(p.cast(), v);
    put_part(p: *mut u8, n: usize, v: S::F) -> () = S::store_part(p.cast(), n, v);
}
lane! { Int, I, 4,
    get(p: *const u8) -> S::I = S::bits(S::load(p.cast()));
    get_part(p: *const u8, n: usize) -> S::I = S::bits(S::load_part(p.cast(), n));
    put(p: *mut u8, v: S::I) -> () = S::store(p.cast(), S::float(v));
    put_part(p: *mut u8, n: usize, v: S::I) -> () = S::store_part(p.cast(), n, S::float(v));
}
lane! { Truth, M, 1,
    get(p: *const u8) -> S::M = S::load_mask(p, S::LANES);
    get_part(p: *const u8, n: usize) -> S::M = S::load_mask(p, n);
    put(p: *mut u8, v: S::M) -> () = S::store_mask(p, S::LANES, v);
    put_part(p: *mut u8, n: usize, v: S::M) -> () = S::store_mask(p, n, v);
}
