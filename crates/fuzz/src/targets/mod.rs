//! The readers, one file each, and the table of them.

mod checkpoint;
mod csv;
mod graph;
mod hdf5;
mod idx;
mod json;
mod model;
mod npz;
mod planted;
mod safetensors;
mod zip;

use crate::form::Form;
use rhyton::{Error, Result, Tensor};
use rhyton_tensor::{DType, Element};
use std::path::Path;
use std::time::Duration;

/// The time for one input of a real reader.
const TIME: Duration = Duration::from_secs(2);

/// A reader.
pub struct Target {
    /// Its name on the command line.
    pub name: &'static str,
    /// What is read and what is done with it.
    pub about: &'static str,
    /// The ending of its files.
    pub extension: &'static str,
    /// Whole inputs, made with our own writers where we have one; the reader has to accept them.
    pub seeds: fn() -> Result<Vec<Vec<u8>>>,
    /// Processor time that one input may take.
    pub time: Duration,
    /// How inputs are changed.
    pub form: Form,
    /// Reads an input; the path is free for readers that want a file.
    pub run: fn(&[u8], &Path) -> Result<()>,
}

/// The readers.
pub static ALL: &[Target] = &[
    zip::TARGET,
    model::TARGET,
    hdf5::TARGET,
    npz::TARGET,
    safetensors::TARGET,
    csv::TARGET,
    idx::TARGET,
    checkpoint::TARGET,
    graph::TARGET,
    json::TARGET,
];

/// Readers with a fault of each kind, in which the fuzzer shows that it finds them.
static PLANTED: &[Target] = planted::TARGETS;

/// The reader of this name.
pub fn find(name: &str) -> Result<&'static Target> {
    ALL.iter().chain(PLANTED).find(|t| t.name == name).ok_or_else(|| {
        let known: Vec<&str> = ALL.iter().map(|t| t.name).collect();
        Error::new(format!("there is no reader '{name}'")).expected(known.join(", "))
    })
}

/// An array of this shape; `f` makes its elements.
fn array<T: Element>(shape: &[usize], f: impl FnMut(usize) -> T) -> Result<Tensor> {
    Tensor::new(shape, (0..shape.iter().product()).map(f).collect())
}

/// An array of each element type, an empty one and a single number.
fn arrays() -> Result<Vec<(String, Tensor)>> {
    let mut all = vec![("empty".into(), array(&[3, 0], |_| 0.0f32)?), ("one".into(), Tensor::scalar(1.5f32))];
    for dtype in DType::ALL {
        all.push((dtype.name().into(), array(&[2, 3], |i| i as f64)?.cast(dtype)));
    }
    Ok(all)
}

/// Elements of all values of a program that is run.
const SMALL: usize = 1 << 20;
/// So many that the program has to be refused before it runs.
const HUGE: usize = 1 << 36;

/// Whether a program of values with so many elements is worth running: between small and huge it would be right to
/// take minutes. What is not even a number of elements counts as huge.
fn worth_running(elements: impl Iterator<Item = Option<usize>>) -> bool {
    let all = elements.fold(0usize, |sum, n| sum.saturating_add(n.unwrap_or(HUGE)));
    all <= SMALL || all >= HUGE
}

/// Writes an input to `path` for a reader that wants a file.
fn to_file(input: &[u8], path: &Path) -> Result<()> {
    std::fs::write(path, input).map_err(|e| Error::io("write the input", path, &e))
}

/// The bytes that `write` puts into a file, by a writer that wants a path.
fn written(ending: &str, write: impl FnOnce(&Path) -> Result<()>) -> Result<Vec<u8>> {
    let path = std::env::temp_dir().join(format!("rhyton-fuzz-seed-{}{ending}", std::process::id()));
    write(&path)?;
    let bytes = std::fs::read(&path).map_err(|e| Error::io("read the seed", &path, &e));
    std::fs::remove_file(&path).ok();
    bytes
}
