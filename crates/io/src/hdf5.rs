//! HDF5 files as a tree of groups, attributes and tensors: the weights of Keras.
//!
//! Reading accepts what the HDF5 library writes (old and new group formats, contiguous, compact and chunked data, gzip
//! and shuffle). Writing produces the old format that Keras' own files have: superblock 0, symbol tables, contiguous
//! data, no compression (HDF5 file format specification, version 3:
//! <https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html>).

mod encode;
mod read;
mod write;

pub use read::read_hdf5;
pub use write::write_hdf5;

use rhyton_tensor::{Error, Result, Tensor};

/// How deep groups may nest; Keras' files stay below twenty.
const MAX_DEPTH: usize = 64;

/// A folder of an HDF5 file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Group {
    /// Named values that belong to the group itself.
    pub attributes: Vec<(String, Attribute)>,
    /// The groups inside.
    pub groups: Vec<(String, Group)>,
    /// The tensors inside.
    pub datasets: Vec<(String, Dataset)>,
}

/// A tensor of an HDF5 file.
///
/// `bfloat16`, which HDF5 does not have, is two opaque bytes with the attribute `dtype` = `"bfloat16"`, as Keras does
/// it; that attribute is read and written with the tensor and does not show here.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// Shape, element type and elements.
    pub tensor: Tensor,
    /// Named values that belong to it.
    pub attributes: Vec<(String, Attribute)>,
}

/// A small named value.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// One string.
    Text(String),
    /// A list of strings.
    Texts(Vec<String>),
    /// Numbers or booleans.
    Numbers(Tensor),
    /// A value of a kind that Rhyton does not read, described in words; it cannot be written.
    Unsupported(String),
}

fn find<'a, T>(list: &'a [(String, T)], name: &str) -> Option<&'a T> {
    list.iter().find(|(n, _)| n == name).map(|(_, t)| t)
}

fn steps(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|s| !s.is_empty())
}

impl Group {
    /// The group at `path` below this one: `"layers/dense/vars"`. The empty path is this group.
    pub fn group(&self, path: &str) -> Option<&Group> {
        steps(path).try_fold(self, |g, step| find(&g.groups, step))
    }

    /// The group at `path`, made with everything above it when it is missing.
    ///
    /// # Errors
    /// When a step of the path is a dataset.
    pub fn group_mut(&mut self, path: &str) -> Result<&mut Group> {
        let mut here = self;
        for step in steps(path) {
            if find(&here.datasets, step).is_some() {
                return Err(Error::new(format!("{step:?} is a dataset, not a group")).place(path));
            }
            let at = match here.groups.iter().position(|(n, _)| n == step) {
                Some(at) => at,
                None => {
                    here.groups.push((step.to_owned(), Group::default()));
                    here.groups.len() - 1
                }
            };
            here = &mut here.groups[at].1;
        }
        Ok(here)
    }

    /// The dataset at `path`: `"layers/dense/vars/0"`.
    pub fn dataset(&self, path: &str) -> Option<&Dataset> {
        let path = path.trim_end_matches('/');
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        find(&self.group(folder)?.datasets, name)
    }

    /// Adds a tensor at `path`, making the groups above it.
    ///
    /// # Errors
    /// When something of that name is there already, or a step of the path is a dataset.
    pub fn add_tensor(&mut self, path: &str, tensor: Tensor) -> Result<()> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let group = self.group_mut(folder)?;
        if find(&group.datasets, name).is_some() || find(&group.groups, name).is_some() {
            return Err(Error::new("there is already something of this name").place(path));
        }
        group.datasets.push((name.to_owned(), Dataset { tensor, attributes: vec![] }));
        Ok(())
    }

    /// The attribute of this name.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        find(&self.attributes, name)
    }

    /// The attribute of this name when it is one string.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.attribute(name) {
            Some(Attribute::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The datasets in the order of their numbers, `"10"` after `"2"`; names that are no numbers come last, by name.
    pub fn datasets_by_number(&self) -> Vec<(&str, &Dataset)> {
        let mut list: Vec<_> = self.datasets.iter().map(|(n, d)| (n.as_str(), d)).collect();
        list.sort_by_key(|(name, _)| (name.parse::<u64>().unwrap_or(u64::MAX), *name));
        list
    }

    /// Every dataset below this group with its path, depth first.
    pub fn all_datasets(&self) -> Vec<(String, &Dataset)> {
        let mut list: Vec<_> = self.datasets.iter().map(|(n, d)| (n.clone(), d)).collect();
        for (name, group) in &self.groups {
            list.extend(group.all_datasets().into_iter().map(|(path, d)| (format!("{name}/{path}"), d)));
        }
        list
    }
}

#[cfg(test)]
#[path = "hdf5/tests.rs"]
mod tests;
