//! Elementwise programs over tiles that stay in the first-level cache.

#[cfg(target_arch = "x86_64")]
pub mod avx2;
#[cfg(target_arch = "x86_64")]
pub mod avx512;
pub mod code;
pub mod math;
pub mod portable;
pub mod run;
pub mod simd;
pub mod space;
pub mod sweep;
mod transfer;
mod walk;

#[cfg(test)]
mod math_tests;
