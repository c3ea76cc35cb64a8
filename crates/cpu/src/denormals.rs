//! Denormal numbers, those below 1.18e-38, count as zero while kernels run: as operands, and as results.
//!
//! Processors compute with them in microcode. On Intel's that takes about 150 cycles a vector, and training makes them
//! by the million: what a mask leaves of a softmax, gradients of a network that has learnt its data, moments of
//! weights that get no more gradients. They shrink until they stick at the smallest denormal number for ever.
//!
//! Each thread that computes gives its own floating-point control register a fixed content, see [`as_zero`]. Exact
//! results that would be denormal become zero; moving, negating and choosing numbers is no arithmetic and keeps bits.

/// Runs `kernels` on this thread with the one mode that kernels compute in: denormal numbers are zero, results are
/// rounded to the nearest number, nothing traps. The thread's own mode is back when it ends, by a panic too.
///
/// It may be nested, but is meant for the door: once for each run of a program and once in the life of a thread that
/// only computes.
// Not inlined: arithmetic of the caller must not move in, nor that of the kernels out.
#[inline(never)]
pub(crate) fn as_zero<R>(kernels: impl FnOnce() -> R) -> R {
    let _back = Restore(register::read());
    register::write(register::AS_ZERO);
    kernels()
}

/// Gives the thread its own mode back.
struct Restore(register::Word);

impl Drop for Restore {
    fn drop(&mut self) {
        register::write(self.0);
    }
}

// Rust and LLVM take for granted that this register has its usual content, and promise nothing where it has not. What
// they can do with that is two things, and neither hurts. They may move arithmetic past the change of mode: but between
// the two writes this thread runs kernels alone, which are reached through pointers to functions and take all numbers
// from memory, and no load or store moves past a block of assembly that may touch memory. And they may compute ahead
// what is made of constants: no constant of a kernel is denormal, nor is what is made of them.

#[cfg(target_arch = "x86_64")]
mod register {
    /// MXCSR.
    pub type Word = u32;
    /// Denormal results (bit 15) and operands (bit 6) are zero; all exceptions masked; rounding to nearest.
    pub const AS_ZERO: Word = 0x9fc0;

    pub fn read() -> Word {
        let mut word: Word = 0;
        // SAFETY: the instruction stores four bytes at the address of `word`.
        unsafe {
            std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut word, options(nostack, preserves_flags));
        }
        word
    }

    pub fn write(word: Word) {
        // SAFETY: the instruction loads four bytes from the address of `word`, which has no reserved bit set: it is
        // the constant above or was read from the register. For the change of mode see above.
        unsafe { std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const word, options(nostack)) };
    }
}

#[cfg(target_arch = "aarch64")]
mod register {
    /// FPCR.
    pub type Word = u64;
    /// Denormal operands and results are zero (bit 24); nothing traps; rounding to nearest.
    pub const AS_ZERO: Word = 1 << 24;

    pub fn read() -> Word {
        let word: Word;
        // SAFETY: the instruction only reads the register.
        unsafe { std::arch::asm!("mrs {}, fpcr", out(reg) word, options(nostack, preserves_flags)) };
        word
    }

    pub fn write(word: Word) {
        // SAFETY: the word is the constant above or was read from the register. For the change of mode see above.
        unsafe { std::arch::asm!("msr fpcr, {}", in(reg) word, options(nostack)) };
    }
}

/// Other machines compute with denormal numbers as they can.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod register {
    pub type Word = ();
    pub const AS_ZERO: Word = ();

    pub fn read() -> Word {}

    pub fn write(_: Word) {}
}

#[cfg(test)]
mod tests {
    use super::as_zero;
    use crate::pool::Pool;
    use std::hint::black_box;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicU32, Ordering};

    /// Whether an operand and a result that are denormal count as zero on this thread.
    fn counts_as_zero() -> [bool; 2] {
        let operand = black_box(1e-40f32) * black_box(1e30);
        let result = black_box(1e-30f32) * black_box(1e-10);
        [operand, result].map(|x| x.to_bits() == 0)
    }

    #[test]
    fn the_mode_is_on_inside_and_off_outside() {
        assert_eq!(counts_as_zero(), [false; 2]);
        as_zero(|| {
            assert_eq!(counts_as_zero(), [true; 2]);
            as_zero(|| assert_eq!(counts_as_zero(), [true; 2]));
            assert_eq!(counts_as_zero(), [true; 2]);
        });
        assert_eq!(counts_as_zero(), [false; 2]);
    }

    #[test]
    fn a_panic_takes_the_mode_back() {
        let pool = Pool::new(3);
        let kernel = || as_zero(|| pool.run(100, &|i| assert_ne!(i, 50, "a kernel fails")));
        assert!(catch_unwind(AssertUnwindSafe(kernel)).is_err());
        assert_eq!(counts_as_zero(), [false; 2]);
    }

    #[test]
    fn workers_compute_like_the_caller_of_a_run() {
        for threads in [1, 2, 7] {
            let pool = Pool::new(threads);
            let workers = AtomicU32::new(0);
            let count = |worker: usize, _: usize| {
                assert_eq!(counts_as_zero(), [true; 2], "worker {worker}");
                workers.fetch_or(1 << worker, Ordering::SeqCst);
                while workers.load(Ordering::SeqCst).count_ones() < threads as u32 {
                    std::thread::yield_now();
                }
            };
            // Each task waits for all the others, so every thread must come.
            as_zero(|| pool.run_on(threads, &count));
            assert_eq!(counts_as_zero(), [false; 2]);
        }
    }

    /// Rounding upwards, for instance: kernels round to nearest all the same, and leave it as they found it.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_callers_own_mode_is_kept() {
        use super::register;
        let usual = register::read();
        let upwards = usual & !0x3f | 2 << 13;
        let up = || (black_box(1f32) + black_box(1e-10)) > 1.0;
        register::write(upwards);
        let (before, inside) = (up(), as_zero(up));
        let (after, word) = (up(), register::read() & !0x3f);
        register::write(usual);
        assert_eq!((before, inside, after, word), (true, false, true, upwards));
    }
}
