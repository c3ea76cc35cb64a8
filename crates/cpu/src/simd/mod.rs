//! The few vector operations that the kernels need, and the portable version of them.

#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;
#[cfg(target_arch = "x86_64")]
pub(crate) mod x86;

/// Vectors of one instruction set.
///
/// # Safety
/// Every method may be called only where the machine has the instruction set; pointers must be valid for the
/// elements named.
pub(crate) trait Simd {
    /// A vector of `LANES` numbers.
    type V: Copy;
    /// Chooses the first lanes of a vector.
    type Mask: Copy;
    /// Numbers in a vector.
    const LANES: usize;

    /// The first `count` lanes, 0 to `LANES`.
    unsafe fn mask(count: usize) -> Self::Mask;
    /// The same number in all lanes.
    unsafe fn splat(x: f32) -> Self::V;
    /// `LANES` numbers from `p`.
    unsafe fn load(p: *const f32) -> Self::V;
    /// The chosen lanes from `p`, zeros elsewhere.
    unsafe fn load_part(p: *const f32, mask: Self::Mask) -> Self::V;
    /// `LANES` numbers to `p`.
    unsafe fn store(p: *mut f32, v: Self::V);
    /// The chosen lanes to `p`.
    unsafe fn store_part(p: *mut f32, v: Self::V, mask: Self::Mask);
    /// `a * b + c`.
    unsafe fn multiply_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V;

    /// One bit, or one lane, per number.
    type Choice: Copy;
    /// Where `x` is larger than `than`; NaN is larger than all numbers.
    unsafe fn larger(x: Self::V, than: Self::V) -> Self::Choice;
    /// Where the numbers are equal.
    unsafe fn equal(a: Self::V, b: Self::V) -> Self::Choice;
    /// `yes` where chosen, else `no`.
    unsafe fn select(choice: Self::Choice, yes: Self::V, no: Self::V) -> Self::V;

    /// Side of the squares of [`Simd::transpose`].
    const SQUARE: usize = 4;
    /// `to[k * to_ld + j] = from[j * from_ld + k]` for a square of numbers.
    #[inline(always)]
    unsafe fn transpose(from: *const f32, from_ld: isize, to: *mut f32, to_ld: usize) {
        // SAFETY: see the trait.
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

/// Arrays of four, which compilers turn into the vectors that every 64-bit machine has.
pub(crate) struct Portable;

impl Simd for Portable {
    type V = [f32; 4];
    type Mask = usize;
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn mask(count: usize) -> usize {
        count
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> [f32; 4] {
        [x; 4]
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> [f32; 4] {
        // SAFETY: see the trait.
        unsafe { p.cast::<[f32; 4]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn load_part(p: *const f32, mask: usize) -> [f32; 4] {
        if mask == 4 {
            // SAFETY: see the trait.
            return unsafe { Self::load(p) };
        }
        // SAFETY: only chosen lanes are read.
        std::array::from_fn(|i| if i < mask { unsafe { *p.add(i) } } else { 0.0 })
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: [f32; 4]) {
        // SAFETY: see the trait.
        unsafe { p.cast::<[f32; 4]>().write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn store_part(p: *mut f32, v: [f32; 4], mask: usize) {
        for (i, x) in v.into_iter().enumerate().take(mask) {
            // SAFETY: only chosen lanes are written.
            unsafe { *p.add(i) = x };
        }
    }
    #[inline(always)]
    unsafe fn multiply_add(a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }

    type Choice = [bool; 4];
    #[inline(always)]
    unsafe fn larger(x: [f32; 4], than: [f32; 4]) -> [bool; 4] {
        std::array::from_fn(|i| (x[i] > than[i]) | (x[i].is_nan() & !than[i].is_nan()))
    }
    #[inline(always)]
    unsafe fn equal(a: [f32; 4], b: [f32; 4]) -> [bool; 4] {
        std::array::from_fn(|i| a[i] == b[i])
    }
    #[inline(always)]
    unsafe fn select(choice: [bool; 4], yes: [f32; 4], no: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| if choice[i] { yes[i] } else { no[i] })
    }
}
