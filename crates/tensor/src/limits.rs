//! What a file may ask for before it is refused. Work and memory follow from what a file really holds; where a few
//! bytes can stand for much (a model called twice inside of a model called twice, zeros packed a thousand to one),
//! one of these limits holds. They lie far above what networks in use need.
//!
//! A program sets a limit with [`Limit::set`], its user with an environment variable:
//!
//! ```
//! use rhyton_tensor::limits;
//! limits::CALLS.set(1_000_000); // or RHYTON_MAX_CALLS=1000000
//! assert_eq!(limits::CALLS.get()?, 1_000_000);
//! # Ok::<(), rhyton_tensor::Error>(())
//! ```

use crate::{Error, Result};
use std::sync::atomic::{AtomicU64, Ordering};

/// Calls of layers in one model, those inside of nested models counted at each of their calls.
pub static CALLS: Limit = Limit::new("RHYTON_MAX_CALLS", 1 << 15);

/// Values in the configuration of a model: numbers, texts, lists and objects.
pub static CONFIG_VALUES: Limit = Limit::new("RHYTON_MAX_CONFIG_VALUES", 1 << 21);

/// Bytes that an archive may unpack to whatever its size; beyond, it may unpack to a hundred times its size.
pub static UNPACKED_BYTES: Limit = Limit::new("RHYTON_MAX_UNPACKED_BYTES", 128 << 20);

/// Thresholds of a metric, each of which looks at every prediction.
pub static THRESHOLDS: Limit = Limit::new("RHYTON_MAX_THRESHOLDS", 100_000);

/// Classes of a confusion matrix, which counts every pair of them.
pub static CLASSES: Limit = Limit::new("RHYTON_MAX_CLASSES", 4096);

/// Metrics of one model.
pub static METRICS: Limit = Limit::new("RHYTON_MAX_METRICS", 1024);

/// Layers inside of each other. Walking them takes a little of the stack for each, so this cannot be set.
pub const NESTING: usize = 64;

/// Axes of an array, as in NumPy.
pub const AXES: usize = 64;

/// Letters of a layer's name. Paths of weights hold the names of all models around a layer, and every call has one.
pub const NAME: usize = 255;

/// Values in the settings of one call of a layer, which every trace copies.
pub const SETTINGS: usize = 1024;

/// A number that may be changed while the program runs.
#[derive(Debug)]
pub struct Limit {
    variable: &'static str,
    usual: u64,
    /// 0 where nothing was set yet.
    now: AtomicU64,
}

impl Limit {
    const fn new(variable: &'static str, usual: u64) -> Limit {
        Limit { variable, usual, now: AtomicU64::new(0) }
    }

    /// The limit in force: what was set, else what the environment says, else what is usual.
    ///
    /// # Errors
    /// When the environment says something that is no number.
    pub fn get(&self) -> Result<u64> {
        let known = self.now.load(Ordering::Relaxed);
        if known > 0 {
            return Ok(known);
        }
        let limit = match std::env::var(self.variable) {
            Ok(text) => text.trim().parse().map_err(|_| {
                Error::new(format!("{}={text} is no number", self.variable))
                    .expected(format!("a whole number; usual is {}", self.usual))
            })?,
            Err(_) => self.usual,
        };
        self.set(limit);
        Ok(limit.max(1))
    }

    /// Sets the limit for this process; it is at least 1.
    pub fn set(&self, limit: u64) {
        self.now.store(limit.max(1), Ordering::Relaxed);
    }

    /// An error unless `asked` is within the limit; `what` says in a sentence who asks for it.
    ///
    /// # Errors
    /// When `asked` is above the limit.
    pub fn check(&self, asked: u64, what: impl FnOnce() -> String) -> Result<()> {
        let limit = self.get()?;
        if asked <= limit {
            return Ok(());
        }
        Err(Error::new(what()).expected(format!("at most {limit}")).fix(format!(
            "do not trust this file; if it is your own, raise the limit: {}=NUMBER",
            self.variable
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_usual_then_what_the_environment_says_then_what_was_set() {
        static QUIET: Limit = Limit::new("RHYTON_NO_SUCH_LIMIT", 7);
        assert_eq!(QUIET.get().unwrap(), 7);
        QUIET.set(3);
        assert!(QUIET.check(3, String::new).is_ok());
        let e = QUIET.check(4, || "four are wanted".into()).unwrap_err().to_string();
        assert!(e.starts_with("four are wanted") && e.contains("at most 3"), "{e}");
        assert!(e.contains("RHYTON_NO_SUCH_LIMIT=NUMBER"), "{e}");
        static SPOILT: Limit = Limit::new("PATH", 9);
        let e = SPOILT.get().unwrap_err().to_string();
        assert!(e.starts_with("PATH=") && e.contains("usual is 9"), "{e}");
    }
}
