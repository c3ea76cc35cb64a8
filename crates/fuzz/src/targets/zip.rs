//! Zip archives: the list of members, and every member unpacked.

use super::Target;
use crate::form::{Form, archive};
use rhyton::io::Archive;
use rhyton::{Error, Result};
use std::path::Path;

pub const TARGET: Target = Target {
    name: "zip",
    about: "zip archives: the list of members, every member unpacked",
    extension: "zip",
    seeds,
    time: super::TIME,
    form: Form::Bytes,
    run,
};

fn seeds() -> Result<Vec<Vec<u8>>> {
    let lists: [&[(&str, &[u8])]; 3] = [
        &[],
        &[("config.json", b"{}")],
        &[("a.npy", b"content of a"), ("b/c.npy", &[7; 300]), ("empty", b"")],
    ];
    let owned =
        |list: &[(&str, &[u8])]| list.iter().map(|(n, c)| ((*n).into(), c.to_vec())).collect::<Vec<_>>();
    let own = lists.iter().map(|l| archive(&owned(l)).ok_or_else(|| Error::new("no archive was written")));
    // Our writer does not compress; NumPy does.
    let deflated = include_bytes!("../../../io/tests/data/numpy_deflated.npz").to_vec();
    own.chain([Ok(deflated)]).collect()
}

fn run(input: &[u8], _: &Path) -> Result<()> {
    let mut archive = Archive::from_bytes(input.to_vec(), "input")?;
    let names = archive.names().to_vec();
    names.iter().try_for_each(|name| archive.read(name).map(drop))
}
