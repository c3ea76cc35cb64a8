//! How typed elements move between memory and vectors.

use super::Simd;
use std::marker::PhantomData;

/// How the elements of one type move between memory and vectors.
pub(crate) trait Lane<S: Simd> {
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
pub(crate) struct Float<S>(PhantomData<S>);
/// i32 lanes.
pub(crate) struct Int<S>(PhantomData<S>);
/// i32 lanes that are int8 in memory.
pub(crate) struct Byte<S>(PhantomData<S>);
/// Truth values, one byte each.
pub(crate) struct Truth<S>(PhantomData<S>);

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
    get_part(p: *const u8, n: usize) -> S::F = S::load_part(p.cast(), S::part(n));
    put(p: *mut u8, v: S::F) -> () = S::store(p.cast(), v);
    put_part(p: *mut u8, n: usize, v: S::F) -> () = S::store_part(p.cast(), v, S::part(n));
}
lane! { Int, I, 4,
    get(p: *const u8) -> S::I = S::bits(S::load(p.cast()));
    get_part(p: *const u8, n: usize) -> S::I = S::bits(S::load_part(p.cast(), S::part(n)));
    put(p: *mut u8, v: S::I) -> () = S::store(p.cast(), S::float(v));
    put_part(p: *mut u8, n: usize, v: S::I) -> () = S::store_part(p.cast(), S::float(v), S::part(n));
}
lane! { Byte, I, 1,
    get(p: *const u8) -> S::I = S::load_bytes(p, S::LANES);
    get_part(p: *const u8, n: usize) -> S::I = S::load_bytes(p, n);
    put(p: *mut u8, v: S::I) -> () = S::store_bytes(p, S::LANES, v);
    put_part(p: *mut u8, n: usize, v: S::I) -> () = S::store_bytes(p, n, v);
}
lane! { Truth, M, 1,
    get(p: *const u8) -> S::M = S::load_mask(p, S::LANES);
    get_part(p: *const u8, n: usize) -> S::M = S::load_mask(p, n);
    put(p: *mut u8, v: S::M) -> () = S::store_mask(p, S::LANES, v);
    put_part(p: *mut u8, n: usize, v: S::M) -> () = S::store_mask(p, n, v);
}
