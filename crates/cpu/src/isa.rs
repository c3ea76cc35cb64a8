//! Which instruction set the kernels use, found when the program starts.

use crate::environment;
use crate::simd::Simd;
use std::sync::OnceLock;

/// An instruction set that the kernels know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Isa {
    /// Plain Rust: every machine.
    Portable,
    /// x86-64 with AVX2 and fused multiply-add.
    Avx2,
    /// x86-64 with AVX-512 F, VL, BW and DQ, as every server since 2017 has them.
    Avx512,
    /// 64-bit ARM.
    Neon,
}

impl Isa {
    /// Those that this machine can run, weakest first.
    pub fn available() -> Vec<Isa> {
        let all = [Isa::Portable, Isa::Avx2, Isa::Avx512, Isa::Neon];
        all.into_iter().filter(|isa| isa.runs_here()).collect()
    }

    /// The strongest one of this machine, or what the environment variable `RHYTON_ISA` (`portable`, `avx2`,
    /// `avx512`, `neon`) names. (One that the machine lacks is an error of [`crate::CpuBackend::new`].)
    pub fn detect() -> Isa {
        static DETECTED: OnceLock<Isa> = OnceLock::new();
        *DETECTED.get_or_init(|| {
            let strongest = || Isa::available().last().copied().unwrap_or(Isa::Portable);
            environment::isa().ok().flatten().unwrap_or_else(strongest)
        })
    }

    /// For people: `avx512`.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Portable => "portable",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
            Isa::Neon => "neon",
        }
    }

    /// Whether it multiplies pairs of bfloat16 in one instruction.
    pub(crate) fn multiplies_pairs(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return self == Isa::Avx512 && is_x86_feature_detected!("avx512bf16");
        #[cfg(not(target_arch = "x86_64"))]
        false
    }

    pub(crate) fn runs_here(self) -> bool {
        match self {
            Isa::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                Isa::Avx2.runs_here()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
            }
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => true,
            _ => false,
        }
    }
}

/// Loops to be compiled for every instruction set: with its vectors `S`, or plain ones left to the compiler. `run`
/// must be `#[inline(always)]`, as must what it calls.
pub(crate) trait Loops {
    /// Does the work.
    fn run<S: Simd>(self);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
fn run_avx512(loops: impl Loops) {
    loops.run::<crate::simd::avx512::Avx512>();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn run_avx2(loops: impl Loops) {
    loops.run::<crate::simd::avx2::Avx2>();
}

impl Isa {
    /// Runs the version of the loops for this set.
    pub(crate) fn run(self, loops: impl Loops) {
        match self {
            // SAFETY: an `Isa` other than `Portable` is made by those who have detected it.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => unsafe { run_avx512(loops) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => unsafe { run_avx2(loops) },
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => loops.run::<crate::simd::neon::Neon>(),
            _ => loops.run::<crate::simd::portable::Portable>(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_detected_set_runs_here() {
        assert_eq!(Isa::available().first(), Some(&Isa::Portable));
        assert!(Isa::detect().runs_here());
    }
}
