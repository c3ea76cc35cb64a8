//! HDF5: everything in a file as a tree, and the tree written again.

use super::{Target, arrays};
use crate::form::Form;
use rhyton::io::{Attribute, Group, read_hdf5, write_hdf5};
use rhyton::{Result, Tensor};
use std::path::Path;

pub const TARGET: Target = Target {
    name: "hdf5",
    about: "HDF5 weights: the whole tree, and what is read written again",
    extension: "h5",
    seeds,
    time: super::TIME,
    form: Form::Bytes,
    run,
};

fn seeds() -> Result<Vec<Vec<u8>>> {
    let mut root = Group::default();
    for (i, (_, t)) in arrays()?.into_iter().enumerate() {
        root.add_tensor(&format!("layers/layer_{i}/vars/0"), t)?;
        let vars = root.group_mut(&format!("layers/layer_{i}/vars"))?;
        vars.attributes.push(("name".into(), Attribute::Text(format!("layer_{i}"))));
    }
    root.attributes.push(("names".into(), Attribute::Texts(vec!["a".into(), "".into(), "ccc".into()])));
    root.attributes.push(("sizes".into(), Attribute::Numbers(Tensor::vector(vec![1i64, 2]))));
    let mut small = Group::default();
    small.add_tensor("w", Tensor::vector(vec![1.0f32, 2.0]))?;
    // The HDF5 library has forms that our writer does not use: chunks, filters, new groups.
    let [earliest, latest] = [
        &include_bytes!("../../../io/tests/data/earliest.h5")[..],
        &include_bytes!("../../../io/tests/data/latest.h5")[..],
    ];
    Ok(vec![
        write_hdf5(&Group::default())?,
        write_hdf5(&small)?,
        write_hdf5(&root)?,
        earliest.into(),
        latest.into(),
    ])
}

fn run(input: &[u8], _: &Path) -> Result<()> {
    let tree = read_hdf5(input.to_vec())?;
    // A kind of attribute that is not read cannot be written, which is said with an error.
    write_hdf5(&tree).map(drop).or(Ok(()))
}
