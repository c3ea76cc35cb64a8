//! Sizes and memory, in one place: products of sizes that cannot wrap around, and memory that is counted against a
//! limit before it is taken.
//!
//! Every tensor and every arena of a program is counted. The limit is what [`set_limit`] says, else the environment
//! variable `RHYTON_MEMORY` (`8G`), else nine tenths of the memory that the machine, or the container around the
//! process, has available when the first array is made.

use crate::{DType, Error, Result};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Most elements of one array, sizes of 0 counted as 1: more than any machine holds, and so few that distances in
/// bytes and sums of several arrays stay far from the ends of a machine number.
pub const MOST_ELEMENTS: usize = 1 << 44;

/// Number of elements of an array of these sizes.
///
/// ```
/// use rhyton_tensor::memory::elements;
/// assert_eq!(elements(&[2, 3])?, 6);
/// assert_eq!(elements(&[0, 3])?, 0);
/// assert!(elements(&[1 << 40, 1 << 40]).is_err());
/// assert!(elements(&[0, 1 << 40, 1 << 40]).is_err());
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
///
/// # Errors
/// When there are more than [`MOST_ELEMENTS`].
pub fn elements(shape: &[usize]) -> Result<usize> {
    match extent(shape.iter().copied()) {
        Some(_) => Ok(shape.iter().product()),
        None => Err(too_many(format!("{shape:?}"))),
    }
}

/// The product of `sizes`, each 0 counted as 1, when it is at most [`MOST_ELEMENTS`].
pub(crate) fn extent(mut sizes: impl Iterator<Item = usize>) -> Option<usize> {
    let product = sizes.try_fold(1usize, |n, s| n.checked_mul(s.max(1)))?;
    (product <= MOST_ELEMENTS).then_some(product)
}

/// An array of this shape has more elements than any machine holds.
pub(crate) fn too_many(shape: String) -> Error {
    Error::new(format!("an array of the shape {shape} has too many elements"))
        .expected(format!("at most {MOST_ELEMENTS}"))
        .fix("check the sizes of the layers, and the shapes they lead to")
}

/// Bytes of an array.
///
/// # Errors
/// When it has more than [`MOST_ELEMENTS`] elements.
pub fn bytes(dtype: DType, shape: &[usize]) -> Result<usize> {
    Ok(elements(shape)? * dtype.size_bytes())
}

/// The limit in bytes; 0 when it is not known yet.
static LIMIT: AtomicUsize = AtomicUsize::new(0);
/// Bytes of everything that is held.
static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// Sets the most bytes that arrays may take in this process.
pub fn set_limit(bytes: usize) {
    LIMIT.store(bytes.max(1), Ordering::Relaxed);
}

/// The most bytes that arrays may take in this process.
///
/// # Errors
/// When the environment variable `RHYTON_MEMORY` is not an amount of memory.
pub fn limit() -> Result<usize> {
    match LIMIT.load(Ordering::Relaxed) {
        0 => {
            let first = match std::env::var("RHYTON_MEMORY") {
                Ok(text) => parse(&text).map_err(|e| e.place("RHYTON_MEMORY"))?,
                Err(_) => default_limit(),
            };
            // Whoever sets a limit meanwhile is right.
            let _ = LIMIT.compare_exchange(0, first.max(1), Ordering::Relaxed, Ordering::Relaxed);
            Ok(LIMIT.load(Ordering::Relaxed))
        }
        known => Ok(known),
    }
}

/// Nine tenths of what is available and of what is taken already.
fn default_limit() -> usize {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    let mut available = system.available_memory();
    if let Some(container) = system.cgroup_limits() {
        // Not what is free there: files that were read count as used, and make room when it is needed.
        available = available.min(container.total_memory.saturating_sub(container.rss));
    }
    // A system that does not tell: then only a refused allocation sets a limit.
    if available == 0 {
        return usize::MAX / 2;
    }
    usize::try_from(available / 10 * 9).unwrap_or(usize::MAX / 2).saturating_add(taken())
}

/// Bytes that arrays take now.
pub fn taken() -> usize {
    TAKEN.load(Ordering::Relaxed)
}

/// Reads an amount of memory: `500M`, `8G`, `1.5GiB`, or a number of bytes. Units are powers of 1024.
///
/// # Errors
/// When it is not an amount of memory.
pub fn parse(text: &str) -> Result<usize> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
    let (number, unit) = lower.split_at(digits);
    let power = match unit.trim() {
        "" | "b" => Some(0),
        "k" | "kb" | "kib" => Some(1),
        "m" | "mb" | "mib" => Some(2),
        "g" | "gb" | "gib" => Some(3),
        "t" | "tb" | "tib" => Some(4),
        _ => None,
    };
    match (number.parse::<f64>(), power) {
        // A cast saturates, and 2^63 bytes are no limit either.
        (Ok(n), Some(power)) if n > 0.0 => Ok((n * 1024f64.powi(power)).min(1e18) as usize),
        _ => Err(Error::new(format!("'{text}' is not an amount of memory"))
            .expected("a number of bytes, or one with a unit: 500M, 8G")),
    }
}

/// An amount of memory for people: `1.5 GiB`.
pub fn show(bytes: usize) -> String {
    let mut amount = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if amount < 1024.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{amount:.1} {unit}") };
        }
        amount /= 1024.0;
    }
    format!("{amount:.1} TiB")
}

/// Asks whether `bytes` more may be taken.
///
/// # Errors
/// When the limit does not allow it.
pub fn fits(bytes: usize) -> Result<()> {
    let (limit, taken) = (limit()?, taken());
    if taken.saturating_add(bytes) <= limit {
        return Ok(());
    }
    let limit = show(limit);
    Err(Error::new(format!("{} of memory are needed, and {} are in use already", show(bytes), show(taken)))
        .expected(format!("at most {limit} in all"))
        .fix("use a smaller batch or a smaller model, or allow more: RHYTON_MEMORY=16G"))
}

/// Memory that counts against the limit while this lives.
#[derive(Debug)]
pub struct Held(usize);

impl Held {
    /// Counts `bytes`.
    ///
    /// # Errors
    /// When the limit does not allow it.
    pub fn take(bytes: usize) -> Result<Held> {
        fits(bytes)?;
        Ok(Held::given(bytes))
    }

    /// Counts `bytes` that somebody allocated already.
    pub fn given(bytes: usize) -> Held {
        TAKEN.fetch_add(bytes, Ordering::Relaxed);
        Held(bytes)
    }

    /// How many.
    pub fn bytes(&self) -> usize {
        self.0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        TAKEN.fetch_sub(self.0, Ordering::Relaxed);
    }
}

/// An empty vector with room for `n` elements.
///
/// # Errors
/// When the machine does not give the memory, or the limit does not allow it.
pub fn room<T>(n: usize) -> Result<Vec<T>> {
    let bytes = n.saturating_mul(size_of::<T>());
    fits(bytes)?;
    let mut out = Vec::new();
    match out.try_reserve_exact(n) {
        Ok(()) => Ok(out),
        Err(_) => Err(refused(bytes)),
    }
}

/// `n` times `value`.
///
/// # Errors
/// As for [`room`].
pub fn filled<T: Clone>(n: usize, value: T) -> Result<Vec<T>> {
    let mut out = room(n)?;
    out.resize(n, value);
    Ok(out)
}

/// A copy of `from`.
///
/// # Errors
/// As for [`room`].
pub fn copied<T: Clone>(from: &[T]) -> Result<Vec<T>> {
    let mut out = room(from.len())?;
    out.extend_from_slice(from);
    Ok(out)
}

/// Why reading failed when it was for want of memory and not for what was read.
pub fn reading(e: &std::io::Error) -> Option<Error> {
    (e.kind() == std::io::ErrorKind::OutOfMemory).then(|| {
        Error::new("the system does not give the memory to read it")
            .fix("close other programs, or read it in smaller pieces")
    })
}

/// The machine did not give this memory.
fn refused(bytes: usize) -> Error {
    Error::new(format!("the system does not give {} of memory", show(bytes)))
        .fix("use a smaller batch or a smaller model, or close other programs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_and_shown() {
        for (text, bytes) in [
            ("12", 12),
            ("1k", 1024),
            ("1.5 KiB", 1536),
            ("500M", 500 << 20),
            ("8G", 8 << 30),
            ("2TB", 2 << 40),
        ] {
            assert_eq!(parse(text).unwrap(), bytes, "{text}");
        }
        for bad in ["", "G", "-1", "8X", "0", "1e3", "nan"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(
            [show(12), show(1536), show(8 << 30), show(5 << 50)],
            ["12 B", "1.5 KiB", "8.0 GiB", "5120.0 TiB"]
        );
    }

    #[test]
    fn products_do_not_wrap_around() {
        // 2^32 * 2^32 is 0 in 64 bits, and these are 8 more than 2^64.
        for shape in [&[1usize << 32, 1 << 32][..], &[429_509_837, 1_923_865, 5_581, 4], &[usize::MAX, 2]] {
            let e = elements(shape).unwrap_err().to_string();
            assert!(e.contains("too many elements"), "{e}");
            assert!(bytes(DType::F32, shape).is_err());
        }
        assert_eq!(bytes(DType::F32, &[2, 3]).unwrap(), 24);
    }

    #[test]
    fn memory_that_no_machine_has_is_an_error() {
        for e in [room::<u64>(usize::MAX).unwrap_err(), filled(1 << 60, 0u8).unwrap_err()] {
            assert!(e.to_string().contains("memory"), "{e}");
        }
    }
}
