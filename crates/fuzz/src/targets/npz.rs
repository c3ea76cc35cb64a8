//! NumPy arrays in an archive, fed on as the command line does it.

use super::{Target, arrays, to_file, written};
use crate::form::Form;
use rhyton::io::{read_npz, write_npz};
use rhyton::{Result, Tensor};
use rhyton_tensor::DType;
use std::path::Path;

pub const TARGET: Target = Target {
    name: "npz",
    about: "NumPy archives: every array, in both orders and all types",
    extension: "npz",
    seeds,
    time: super::TIME,
    form: Form::Archive,
    run,
};

fn seeds() -> Result<Vec<Vec<u8>>> {
    let mut seeds = vec![
        include_bytes!("../../../io/tests/data/numpy.npz").to_vec(),
        include_bytes!("../../../io/tests/data/numpy_deflated.npz").to_vec(),
    ];
    for part in arrays()?.chunks(4) {
        let named: Vec<(&str, &Tensor)> = part.iter().map(|(n, t)| (n.as_str(), t)).collect();
        seeds.push(written(".npz", |path| write_npz(path, &named))?);
    }
    Ok(seeds)
}

fn run(input: &[u8], path: &Path) -> Result<()> {
    to_file(input, path)?;
    let arrays = read_npz(path)?;
    for (_, t) in &arrays {
        t.cast(DType::F32);
    }
    Ok(())
}
