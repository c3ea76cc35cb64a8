//! The vectors that kernels are written in, once for every instruction set.

/// Methods that are single expressions.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! ops {
    ($($name:ident($($arg:ident: $ty:ty),*) -> $out:ty = $body:expr;)*) => {
        $(#[inline(always)]
        unsafe fn $name($($arg: $ty),*) -> $out {
            // SAFETY: the caller promises the instruction set and valid pointers.
            unsafe { $body }
        })*
    };
}

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
pub(crate) mod bytes;
mod element;
pub(crate) mod lane;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;
pub(crate) mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use element::Element;
#[cfg(target_arch = "x86_64")]
use x86::transpose8;

/// Lanes that a replicated scalar fills: the widest vector of any instruction set.
pub(crate) const SPLAT: usize = 16;

/// Asks for the cache line at `p`, to be written; any address will do.
#[inline(always)]
pub(crate) fn prefetch(p: *const u8) {
    // SAFETY: the instruction has no effect but on the cache, whatever the address.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::asm!("prefetchw [{}]", in(reg) p, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = p;
}

/// A vector instruction set.
///
/// # Safety
/// Every method may use instructions of the set: it must only be reached from a function compiled for it on a
/// machine that has it. Pointers must be valid for the lanes that are moved; nothing needs alignment.
pub(crate) unsafe trait Simd: Copy + 'static {
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
    /// Chooses the first lanes of a vector.
    type Part: Copy;

    unsafe fn load(p: *const f32) -> Self::F;
    unsafe fn store(p: *mut f32, v: Self::F);
    /// The first `n` lanes, 0 to `LANES`.
    unsafe fn part(n: usize) -> Self::Part;
    /// The chosen lanes; the others are zero.
    unsafe fn load_part(p: *const f32, part: Self::Part) -> Self::F;
    unsafe fn store_part(p: *mut f32, v: Self::F, part: Self::Part);
    /// From bytes, true where not zero.
    unsafe fn load_mask(p: *const u8, n: usize) -> Self::M;
    /// To bytes, 0 or 1.
    unsafe fn store_mask(p: *mut u8, n: usize, m: Self::M);
    /// From `n` int8; the other lanes are zero.
    unsafe fn load_bytes(p: *const u8, n: usize) -> Self::I;
    /// The first `n` lanes to int8, which they must fit.
    unsafe fn store_bytes(p: *mut u8, n: usize, v: Self::I);

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

    /// `a * 2^n`, rounded once, for whole numbers `n` of -150 to 150.
    #[inline(always)]
    unsafe fn scale(a: Self::F, n: Self::F) -> Self::F {
        // SAFETY: the caller's promise is passed on unchanged.
        unsafe {
            // In two steps, because 2^128 and denormal powers do not exist as one factor.
            let n = Self::to_int(n);
            let half = Self::sar::<1>(n);
            let power = |n| Self::float(Self::shl::<23>(Self::iadd(n, Self::isplat(127))));
            Self::mul(Self::mul(a, power(half)), power(Self::isub(n, half)))
        }
    }

    /// Where `x` is larger than `than`; NaN is larger than all numbers.
    #[inline(always)]
    unsafe fn larger(x: Self::F, than: Self::F) -> Self::M {
        // SAFETY: the caller's promise is passed on unchanged.
        unsafe { Self::mor(Self::lt(than, x), Self::mand(Self::mnot(Self::eq(x, x)), Self::eq(than, than))) }
    }

    /// The first `n` numbers, at most all lanes; the other lanes are zero.
    #[inline(always)]
    unsafe fn load_first(p: *const f32, n: usize) -> Self::F {
        // SAFETY: the caller promises the numbers that are read.
        unsafe { if n >= Self::LANES { Self::load(p) } else { Self::load_part(p, Self::part(n)) } }
    }

    /// Stores the first `n` lanes, at most all.
    #[inline(always)]
    unsafe fn store_first(p: *mut f32, v: Self::F, n: usize) {
        // SAFETY: the caller promises room for the numbers that are written.
        unsafe { if n >= Self::LANES { Self::store(p, v) } else { Self::store_part(p, v, Self::part(n)) } }
    }

    /// The first `n` of some bfloat16 as float32; the other lanes are zero.
    #[inline(always)]
    unsafe fn widen(p: *const u16, n: usize) -> Self::F {
        let mut bits = [0u32; SPLAT];
        // SAFETY: the caller promises `n` readable numbers; the array fills any vector.
        unsafe {
            for (i, bits) in bits.iter_mut().enumerate().take(n) {
                *bits = u32::from(p.add(i).read_unaligned()) << 16;
            }
            Self::load(bits.as_ptr().cast())
        }
    }

    /// Rounds the first `n` lanes to the nearest bfloat16, halves to even; NaN stays NaN.
    #[inline(always)]
    unsafe fn narrow(p: *mut u16, v: Self::F, n: usize) {
        // SAFETY: the caller's promise is passed on unchanged.
        unsafe { Self::store_halves(p, Self::rounded(v), n) }
    }

    /// The upper halves of the first `n` lanes.
    #[inline(always)]
    unsafe fn store_halves(p: *mut u16, v: Self::I, n: usize) {
        let mut bits = [0f32; SPLAT];
        // SAFETY: the caller promises room for `n` numbers; the array has room for any vector.
        unsafe {
            Self::store(bits.as_mut_ptr(), Self::float(v));
            for (i, x) in bits.iter().enumerate().take(n) {
                p.add(i).write_unaligned((x.to_bits() >> 16) as u16);
            }
        }
    }

    /// Bits whose upper halves are the nearest bfloat16.
    #[inline(always)]
    unsafe fn rounded(v: Self::F) -> Self::I {
        // SAFETY: the caller's promise is passed on unchanged.
        unsafe {
            let bits = Self::bits(v);
            let odd = Self::iand(Self::sar::<16>(bits), Self::isplat(1));
            let nearest = Self::iadd(Self::iadd(bits, Self::isplat(0x7fff)), odd);
            Self::iselect(Self::eq(v, v), nearest, Self::ior(bits, Self::isplat(0x0040_0000)))
        }
    }

    /// Side of the squares of [`Simd::transpose`].
    const SQUARE: usize = 4;
    /// `to[k * to_ld + j] = from[j * from_ld + k]` for a square of numbers.
    #[inline(always)]
    unsafe fn transpose(from: *const f32, from_ld: isize, to: *mut f32, to_ld: usize) {
        // SAFETY: the caller promises that both squares are valid.
        unsafe {
            let lines: [[f32; 4]; 4] = std::array::from_fn(|j| {
                from.offset(j as isize * from_ld).cast::<[f32; 4]>().read_unaligned()
            });
            for k in 0..4 {
                to.add(k * to_ld).cast::<[f32; 4]>().write_unaligned(lines.map(|line| line[k]));
            }
        }
    }
}
