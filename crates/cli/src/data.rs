//! Inputs, targets and sample weights in an `.npz` file: `x0 x1 .. y0 y1 .. sw0 sw1 ..`.

use rhyton::train::Samples;
use rhyton::{Error, Result, Tensor};
use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

/// The arrays of a data file, in the order of the model's inputs and outputs.
pub struct Data {
    /// Every array by its name.
    pub arrays: HashMap<String, Tensor>,
    pub inputs: Vec<Tensor>,
    pub targets: Vec<Tensor>,
    pub sample_weights: Vec<Tensor>,
}

impl Data {
    /// Reads the file, or with `-` standard input; a model needs at least `x0`.
    pub fn read(path: &Path) -> Result<Data> {
        Data::sort(path, &arrays(path)?)
    }

    fn sort(path: &Path, arrays: &[(String, Tensor)]) -> Result<Data> {
        let by_name: HashMap<&str, &Tensor> = arrays.iter().map(|(n, t)| (n.as_str(), t)).collect();
        let numbered = |prefix: &str| -> Vec<Tensor> {
            let find = |i: usize| by_name.get(format!("{prefix}{i}").as_str()).copied();
            (0..).map_while(find).cloned().collect()
        };
        let (inputs, targets, sample_weights) = (numbered("x"), numbered("y"), numbered("sw"));
        let data = Data { arrays: arrays.iter().cloned().collect(), inputs, targets, sample_weights };
        if data.inputs.is_empty() {
            return Err(missing(path, "x0", arrays));
        }
        Ok(data)
    }

    /// The array of this name.
    pub fn array(&self, name: &str) -> Result<&Tensor> {
        self.arrays.get(name).ok_or_else(|| {
            let mut held: Vec<&str> = self.arrays.keys().map(String::as_str).collect();
            held.sort_unstable();
            Error::new(format!("the data has no array '{name}'"))
                .expected(format!("one of {}", held.join(", ")))
        })
    }

    /// Everything, for `fit` and `evaluate`.
    pub fn samples(self) -> Samples {
        Samples { x: self.inputs, y: self.targets, weights: self.sample_weights }
    }

    /// The same, for what needs targets too.
    pub fn read_with_targets(path: &Path) -> Result<Data> {
        let arrays = arrays(path)?;
        let data = Data::sort(path, &arrays)?;
        match data.targets.is_empty() {
            true => Err(missing(path, "y0", &arrays)),
            false => Ok(data),
        }
    }
}

/// What stands for standard input, as a path and in errors.
pub const STANDARD_INPUT: &str = "-";

fn arrays(path: &Path) -> Result<Vec<(String, Tensor)>> {
    if path != Path::new(STANDARD_INPUT) {
        return rhyton::io::read_npz(path);
    }
    let mut bytes = vec![];
    std::io::stdin().lock().read_to_end(&mut bytes).map_err(|e| {
        Error::new(format!("cannot read standard input: {e}"))
            .place("--data -")
            .fix("lead an .npz file into the program: rhyton .. --data - < data.npz")
    })?;
    rhyton::io::read_npz_bytes(bytes, "standard input")
}

fn missing(path: &Path, key: &str, arrays: &[(String, Tensor)]) -> Error {
    let held = arrays.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>().join(", ");
    Error::new(format!("the data has no array '{key}'; it holds {held}"))
        .place(if path == Path::new(STANDARD_INPUT) {
            "standard input".into()
        } else {
            path.display().to_string()
        })
        .expected("inputs x0, x1, .. and targets y0, y1, .. in the order of the model's inputs and outputs")
        .fix("numpy.savez(path, x0=inputs, y0=targets)")
}
