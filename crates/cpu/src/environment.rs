//! What the environment asks for: `RHYTON_THREADS` and `RHYTON_ISA`. Without them, or when they are empty, the
//! machine decides.

use crate::isa::Isa;
use rhyton_tensor::{Error, Result};

/// More threads than any machine of today has processors for.
pub(crate) const MOST_THREADS: usize = 1024;

/// The number of threads that is asked for.
///
/// # Errors
/// When the variable holds anything but a number of threads.
pub(crate) fn threads() -> Result<Option<usize>> {
    threads_in(&variable("RHYTON_THREADS"))
}

/// The instruction set that is asked for.
///
/// # Errors
/// When there is no such set, or the machine lacks it.
pub(crate) fn isa() -> Result<Option<Isa>> {
    isa_in(&variable("RHYTON_ISA"))
}

/// The text of a variable, without spaces around it. What is no Unicode shows as such in an error.
fn variable(name: &str) -> String {
    let text = std::env::var_os(name).unwrap_or_default();
    text.to_string_lossy().trim().to_string()
}

fn threads_in(text: &str) -> Result<Option<usize>> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse().ok().filter(|n| (1..=MOST_THREADS).contains(n)) {
        Some(n) => Ok(Some(n)),
        None => Err(Error::new(format!("RHYTON_THREADS is '{text}', which is no number of threads"))
            .expected(format!("a whole number from 1 to {MOST_THREADS}"))
            .fix("leave it out to have a thread for every processor")),
    }
}

fn isa_in(text: &str) -> Result<Option<Isa>> {
    let available = Isa::available();
    match available.iter().find(|isa| isa.name() == text) {
        _ if text.is_empty() => Ok(None),
        Some(isa) => Ok(Some(*isa)),
        None => {
            let known = [Isa::Portable, Isa::Avx2, Isa::Avx512, Isa::Neon].iter().any(|i| i.name() == text);
            let lacks = if known { "which this machine lacks" } else { "which is no instruction set" };
            let names: Vec<&str> = available.iter().map(|isa| isa.name()).collect();
            Err(Error::new(format!("RHYTON_ISA is '{text}', {lacks}"))
                .expected(format!("one that this machine has: {}", names.join(", ")))
                .fix("leave it out to have the fastest"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_threads_are_read() {
        assert_eq!(threads_in("").unwrap(), None);
        assert_eq!(threads_in("1").unwrap(), Some(1));
        assert_eq!(threads_in("1024").unwrap(), Some(1024));
        for wrong in ["0", "-1", "abc", "2.5", "1025", "100000", "99999999999999999999999", "2 3"] {
            let text = threads_in(wrong).unwrap_err().to_string();
            assert!(text.contains(&format!("'{wrong}'")) && text.contains("from 1 to 1024"), "{text}");
        }
    }

    #[test]
    fn instruction_sets_are_those_of_the_machine() {
        assert_eq!(isa_in("").unwrap(), None);
        let available = Isa::available();
        for isa in [Isa::Portable, Isa::Avx2, Isa::Avx512, Isa::Neon] {
            match isa_in(isa.name()) {
                Ok(found) => assert!(found == Some(isa) && available.contains(&isa)),
                Err(e) => {
                    assert!(!available.contains(&isa) && e.to_string().contains("this machine lacks"), "{e}")
                }
            }
        }
        let text = isa_in("AVX-512").unwrap_err().to_string();
        assert!(
            text.contains("'AVX-512', which is no instruction set") && text.contains("portable"),
            "{text}"
        );
    }
}
