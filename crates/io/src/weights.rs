//! Weights of a model in files: by Keras's places in HDF5, by path in safetensors and npz.

use crate::hdf5::{Attribute, Dataset, Group};
use crate::{files, keras, npz, safetensors};
use rhyton_model::Model;
use rhyton_nn::layer::Variable;
use rhyton_tensor::{Error, Problem, Result, Tensor};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// The tree that Keras keeps at the root of `model.weights.h5`: every object of the model has a group `vars` with
/// its name, and in it its variables by number, trainable ones first.
pub(crate) fn tree(model: &Model) -> Result<Group> {
    let mut tree = Tree::default();
    for place in model.places() {
        let vars = tree.at(&vars_of(&place.location));
        vars.attributes.push(("name".into(), Attribute::Text(place.name.clone())));
    }
    for (location, members) in by_location(model.variables()) {
        let vars = tree.at(&vars_of(location));
        for (number, i) in members.into_iter().enumerate() {
            let dataset = Dataset { tensor: model.weights()[i].clone(), attributes: vec![] };
            vars.datasets.push((number.to_string(), dataset));
        }
    }
    Ok(tree.root)
}

/// Groups being made, found by their paths without a search through thousands of neighbours.
#[derive(Default)]
struct Tree {
    root: Group,
    /// The way to each group: its number in the group above, step by step.
    ways: HashMap<String, Vec<usize>>,
}

impl Tree {
    /// The group at `path`, made with everything above it when it is missing.
    fn at(&mut self, path: &str) -> &mut Group {
        let way = self.way(path.trim_start_matches('/'));
        way.into_iter().fold(&mut self.root, |g, i| &mut g.groups[i].1)
    }

    fn way(&mut self, path: &str) -> Vec<usize> {
        if path.is_empty() {
            return vec![];
        }
        if let Some(way) = self.ways.get(path) {
            return way.clone();
        }
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut way = self.way(above);
        let group = self.at(above);
        group.groups.push((name.to_owned(), Group::default()));
        way.push(group.groups.len() - 1);
        self.ways.insert(path.to_owned(), way.clone());
        way
    }
}

/// Every group below `root` by its path.
fn groups_by_path(root: &Group) -> HashMap<String, &Group> {
    let (mut all, mut pending) = (HashMap::new(), vec![(String::new(), root)]);
    while let Some((path, group)) = pending.pop() {
        for (name, inside) in &group.groups {
            let path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
            pending.push((path, inside));
        }
        all.insert(path, group);
    }
    all
}

/// The values of `variables` in such a tree, in their order; groups that the model does not have are left alone.
///
/// # Errors
/// Every layer whose number of weights or whose shapes differ.
pub(crate) fn from_tree(variables: &[Variable], root: &Group) -> Result<Vec<Tensor>> {
    let mut values: Vec<Option<Tensor>> = vec![None; variables.len()];
    let mut problems = vec![];
    let groups = groups_by_path(root);
    for (location, members) in by_location(variables) {
        let group = groups.get(vars_of(location).trim_start_matches('/'));
        let stored = group.map(|g| g.datasets_by_number()).unwrap_or_default();
        if stored.len() != members.len() {
            problems.extend(count_differs(variables, location, &members, stored.len()).problems);
            continue;
        }
        for (i, (_, dataset)) in members.into_iter().zip(stored) {
            match fits(&variables[i], &dataset.tensor) {
                Ok(()) => values[i] = Some(dataset.tensor.clone()),
                Err(e) => problems.extend(e.problems),
            }
        }
    }
    complete(values, problems)
}

/// The values of `variables` in a list of tensors by path.
fn from_named(variables: &[Variable], named: &[(String, Tensor)]) -> Result<Vec<Tensor>> {
    let known: BTreeMap<&str, &Tensor> = named.iter().map(|(n, t)| (n.as_str(), t)).collect();
    let mut values = vec![];
    let mut problems = vec![];
    for v in variables {
        let found = known
            .get(v.path.as_str())
            .copied()
            .ok_or_else(|| {
                Error::new(format!("the file holds no weight '{}'", v.path)).expected(held(&known))
            })
            .and_then(|t| fits(v, t).map(|()| t.clone()));
        match found {
            Ok(t) => values.push(Some(t)),
            Err(e) => problems.extend(e.problems),
        }
    }
    complete(values, problems)
}

fn held(known: &BTreeMap<&str, &Tensor>) -> String {
    let names: Vec<&str> = known.keys().copied().take(12).collect();
    format!("the paths of this model; the file holds {}", names.join(", "))
}

fn complete(values: Vec<Option<Tensor>>, problems: Vec<Problem>) -> Result<Vec<Tensor>> {
    match Error::from_problems(problems) {
        Some(e) => Err(e.fix("load the file into the model it was saved from")),
        None => Ok(values.into_iter().flatten().collect()),
    }
}

fn vars_of(location: &str) -> String {
    format!("{location}/vars")
}

/// Variables by the place of their object, each object's trainable ones first, as Keras counts them; a quantized one
/// is counted where the trainable one was.
fn by_location(variables: &[Variable]) -> Vec<(&str, Vec<usize>)> {
    let mut groups: Vec<(&str, Vec<usize>)> = vec![];
    let mut known = HashMap::new();
    for (i, v) in variables.iter().enumerate() {
        let at = *known.entry(v.location.as_str()).or_insert(groups.len());
        if at == groups.len() {
            groups.push((&v.location, vec![]));
        }
        groups[at].1.push(i);
    }
    for (_, members) in &mut groups {
        members.sort_by_key(|i| !variables[*i].weight.trainable && variables[*i].weight.scales.is_none());
    }
    groups
}

fn fits(v: &Variable, t: &Tensor) -> Result<()> {
    if v.weight.shape.as_fixed().as_deref() == Some(t.shape()) {
        return Ok(());
    }
    Err(Error::new(format!("the weight in the file has the shape {:?}", t.shape()))
        .place(&v.path)
        .expected(v.weight.shape.to_string()))
}

fn count_differs(variables: &[Variable], location: &str, members: &[usize], stored: usize) -> Error {
    let first = &variables[members[0]].path;
    let layer = first.rsplit_once('/').map_or(first.as_str(), |(l, _)| l);
    let wanted = members.iter().map(|i| {
        let v = &variables[*i];
        format!("{} {}", v.weight.name, v.weight.shape)
    });
    Error::new(format!("the file holds {stored} weights for this layer (at {location}/vars)"))
        .place(layer)
        .expected(format!("{}: {}", members.len(), wanted.collect::<Vec<_>>().join(", ")))
}

/// How weights are kept in a file, told by its name.
enum Format {
    Keras,
    Hdf5,
    SafeTensors,
    Npz,
}

fn format_of(path: &Path) -> Result<Format> {
    let name = path.to_string_lossy().to_lowercase();
    let ends = |end: &str| name.ends_with(end);
    match () {
        () if ends(".keras") => Ok(Format::Keras),
        () if ends(".weights.h5") => Ok(Format::Hdf5),
        () if ends(".safetensors") => Ok(Format::SafeTensors),
        () if ends(".npz") => Ok(Format::Npz),
        () => Err(Error::new("the name does not say how weights are kept in the file")
            .place(path.display().to_string())
            .expected("a name that ends in .weights.h5, .safetensors or .npz")),
    }
}

/// Writes the weights of `model`: `.weights.h5` as Keras does it, `.safetensors` and `.npz` by path.
///
/// # Errors
/// When the name ends otherwise or the file cannot be written; an old file is untouched then.
pub fn save_weights(model: &Model, path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let paths = model.variables().iter().map(|v| v.path.as_str());
    let named: Vec<(&str, &Tensor)> = paths.zip(model.weights()).collect();
    match format_of(path)? {
        Format::Keras => Err(Error::new("a .keras file holds a whole model, not weights alone")
            .place(path.display().to_string())
            .fix("use save, or a name that ends in .weights.h5")),
        Format::Hdf5 => {
            let bytes = crate::write_hdf5(&tree(model)?)?;
            files::write_atomically(path, |out| out.write_all(&bytes).map_err(|e| files::write_failed(&e)))
        }
        Format::SafeTensors => {
            let metadata = BTreeMap::from([("format".to_string(), "rhyton".to_string())]);
            safetensors::write_safetensors(path, &named, &metadata)
        }
        Format::Npz => npz::write_npz(path, &named),
    }
}

/// The weights for `model` in a file that [`save_weights`] or Keras wrote, in the order of its variables; of a
/// `.keras` file the weights are taken and the rest is ignored.
///
/// # Errors
/// Every layer whose weights differ in number or shape, and damaged files.
pub fn load_weights(model: &Model, path: impl AsRef<Path>) -> Result<Vec<Tensor>> {
    let path = path.as_ref();
    let variables = model.variables();
    let values = match format_of(path)? {
        Format::Keras => {
            keras::weights_of(&mut crate::Archive::open(path)?).and_then(|t| from_tree(variables, &t))
        }
        Format::Hdf5 => crate::read_hdf5(files::read(path)?).and_then(|t| from_tree(variables, &t)),
        Format::SafeTensors => from_named(variables, &safetensors::read_safetensors(path)?.tensors),
        Format::Npz => from_named(variables, &npz::read_npz(path)?),
    };
    values.map_err(|e| files::in_file(e, path))
}
