//! The IDX files of MNIST.

use super::Target;
use crate::form::Form;
use rhyton::Result;
use rhyton::data::parse_idx;
use std::path::Path;

pub const TARGET: Target = Target {
    name: "idx",
    about: "IDX files of MNIST",
    extension: "idx",
    seeds,
    time: super::TIME,
    form: Form::Bytes,
    run,
};

fn seeds() -> Result<Vec<Vec<u8>>> {
    let file = |code: u8, width: usize, sizes: &[u8]| {
        let elements = sizes.iter().map(|n| usize::from(*n)).product::<usize>() * width;
        let sizes: Vec<u8> = sizes.iter().flat_map(|n| [0, 0, 0, *n]).collect();
        [&[0, 0, code, (sizes.len() / 4) as u8], &sizes[..], &vec![1; elements][..]].concat()
    };
    let types = [(0x08, 1), (0x09, 1), (0x0B, 2), (0x0C, 4), (0x0D, 4), (0x0E, 8)];
    Ok(types
        .iter()
        .flat_map(|(c, w)| [&[3][..], &[2, 3], &[2, 0, 4], &[]].map(|s| file(*c, *w, s)))
        .collect())
}

fn run(input: &[u8], _: &Path) -> Result<()> {
    parse_idx("input.idx", input).map(drop)
}
