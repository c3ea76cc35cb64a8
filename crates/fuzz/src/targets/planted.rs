//! Readers with a fault of each kind the fuzzer has to find. They are not part of a hunt.

use super::Target;
use crate::form::Form;
use rhyton::{Error, Result};
use std::path::Path;
use std::time::Duration;

pub const TARGETS: &[Target] = &[
    planted("planted-panic", panics),
    planted("planted-memory", takes_memory),
    planted("planted-hang", hangs),
    planted("planted-stack", recurses),
    planted("planted-none", refuses),
];

const fn planted(name: &'static str, run: fn(&[u8], &Path) -> Result<()>) -> Target {
    // The test waits for this time again and again; half a gigabyte is filled in it.
    let time = Duration::from_secs(1);
    Target { name, about: "a planted fault", extension: "bin", seeds, time, form: Form::Bytes, run }
}

fn seeds() -> Result<Vec<Vec<u8>>> {
    Ok(vec![b"size 00000010!".to_vec()])
}

/// What a careless reader does with the length in its input.
fn length(input: &[u8]) -> Result<usize> {
    let digits = input.strip_prefix(b"size ").and_then(|b| b.get(..8));
    let length = digits.and_then(|d| std::str::from_utf8(d).ok()?.parse().ok());
    length.ok_or_else(|| Error::new("there is no size"))
}

fn refuses(input: &[u8], _: &Path) -> Result<()> {
    length(input).map(drop)
}

fn panics(input: &[u8], _: &Path) -> Result<()> {
    let n = length(input)?;
    if input[n] == b'#' { Err(Error::new("a comment")) } else { Ok(()) }
}

fn takes_memory(input: &[u8], _: &Path) -> Result<()> {
    let bytes = vec![1u8; length(input)?.saturating_mul(1000)];
    if bytes.last() == Some(&0) { Err(Error::new("an empty line")) } else { Ok(()) }
}

fn hangs(input: &[u8], _: &Path) -> Result<()> {
    let n = length(input)?;
    let mut at = 0;
    while at < n {
        at += std::hint::black_box(usize::from(n < 100));
    }
    Ok(())
}

fn recurses(input: &[u8], _: &Path) -> Result<()> {
    fn depth(n: usize) -> usize {
        if n == 0 { 0 } else { std::hint::black_box(depth(n - 1)) + 1 }
    }
    match depth(length(input)?) {
        usize::MAX => Err(Error::new("too deep")),
        _ => Ok(()),
    }
}
