//! [`Features`]: which elements of the inputs are left out or put back together.

use crate::Scene;
use crate::scene::numbered;
use rhyton_graph::Expr;
use rhyton_nn::Setting;
use rhyton_tensor::{DType, Error, Result, Tensor};
use serde::{Deserialize, Serialize};

/// Which elements go together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Groups {
    /// Every element on its own.
    #[default]
    Each,
    /// The number of a group for each element of a sample, in row-major order.
    Listed(Vec<usize>),
    /// The array of this name holds the numbers.
    Array(String),
}

impl Setting<Groups> for Groups {
    fn setting(self) -> Groups {
        self
    }
}
impl<const N: usize> Setting<Groups> for [usize; N] {
    fn setting(self) -> Groups {
        Groups::Listed(self.to_vec())
    }
}
impl Setting<Groups> for &str {
    fn setting(self) -> Groups {
        Groups::Array(self.into())
    }
}

/// Sizes along the axes of a sample, where they are given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sizes(Option<Vec<usize>>);

impl Sizes {
    pub(crate) fn given(&self) -> Option<&[usize]> {
        self.0.as_deref()
    }
}

impl Setting<Sizes> for Vec<usize> {
    fn setting(self) -> Sizes {
        Sizes(Some(self))
    }
}
impl<const N: usize> Setting<Sizes> for [usize; N] {
    fn setting(self) -> Sizes {
        self.to_vec().setting()
    }
}

/// The group of every element of every input.
pub(crate) struct Features {
    /// int32, of the shape of a sample, for each input.
    pub of: Vec<Expr>,
    /// How many groups there are.
    pub count: usize,
}

impl Features {
    /// The groups of a scene's explained values; blocks of the sizes `patch` where these are given.
    pub fn new(scene: &Scene, groups: &Groups, patch: Option<&[usize]>) -> Result<Features> {
        let values = scene.values();
        let shapes = values.iter().map(sample_shape).collect::<Result<Vec<Vec<usize>>>>()?;
        let (mut of, mut count) = (vec![], 0);
        for (i, shape) in shapes.iter().enumerate() {
            let size: usize = shape.iter().product();
            let numbers = match (groups, patch) {
                (_, Some(patch)) => blocks(shape, patch)?,
                (Groups::Each, None) => (0..size).collect(),
                (Groups::Listed(list), None) if values.len() == 1 && list.len() == size => list.clone(),
                (Groups::Listed(list), None) => {
                    return Err(Error::new(format!("groups of {} elements", list.len()))
                        .expected(format!("one number for each of the {size} elements of the one input")));
                }
                (Groups::Array(name), None) => scene.numbers(&numbered(name, i, values.len()), shape)?,
            };
            let first = if matches!(groups, Groups::Each) || patch.is_some() { count } else { 0 };
            let largest = numbers.iter().max().map_or(0, |n| n + 1);
            if largest > size.max(1) * values.len() {
                return Err(Error::new(format!("a group has the number {}", largest - 1))
                    .expected("groups numbered from 0 without gaps"));
            }
            count = count.max(first + largest);
            let numbers = numbers.into_iter().map(|n| (first + n) as i32).collect::<Vec<i32>>();
            of.push(Expr::constant(&Tensor::new(shape.clone(), numbers)?));
        }
        Ok(Features { of, count })
    }

    /// Every element of these values by itself.
    pub fn each(values: &[Expr]) -> Result<Features> {
        let (mut of, mut count) = (vec![], 0);
        for shape in values.iter().map(sample_shape) {
            let shape = shape?;
            let n = shape.iter().product::<usize>();
            let numbers: Vec<i32> = (count..count + n).map(|i| i as i32).collect();
            of.push(Expr::constant(&Tensor::new(shape, numbers)?));
            count += n;
        }
        Ok(Features { of, count })
    }

    /// For each value, what belongs to it among `[groups, batch]`: `[batch, ..]`.
    pub fn spread(&self, by_group: &Expr) -> Vec<Expr> {
        let each = |of: &Expr| {
            let found = by_group.gather(0, of);
            let last = found.rank() - 1;
            let order: Vec<usize> = std::iter::once(last).chain(0..last).collect();
            found.transpose(&order)
        };
        self.of.iter().map(each).collect()
    }

    /// The values where `present` (float32 0 or 1 for each group) is 1, the baseline elsewhere.
    pub fn mixed(&self, values: &[Expr], baseline: &[Expr], present: &Expr) -> Vec<Expr> {
        let half = Expr::scalar(0.5f32);
        let each =
            |((x, x0), of): ((&Expr, &Expr), &Expr)| present.gather(0, of).greater(&half).select(x, x0);
        values.iter().zip(baseline).zip(&self.of).map(each).collect()
    }
}

/// The sizes of a sample.
pub(crate) fn sample_shape(value: &Expr) -> Result<Vec<usize>> {
    let sizes: Option<Vec<usize>> = value.shape()[1..].iter().map(|d| d.as_fixed()).collect();
    sizes.ok_or_else(|| {
        Error::new(format!("the sizes of a sample are not known: {}", value.shape()))
            .fix("give the model's input fixed sizes")
    })
}

/// Numbers of the blocks that elements lie in.
fn blocks(shape: &[usize], patch: &[usize]) -> Result<Vec<usize>> {
    if patch.len() != shape.len() || patch.contains(&0) {
        return Err(Error::new(format!("blocks of {patch:?} in samples of {shape:?}"))
            .expected("a size of at least 1 for each axis"));
    }
    let counts: Vec<usize> = shape.iter().zip(patch).map(|(n, p)| n.div_ceil(*p)).collect();
    let size: usize = shape.iter().product();
    let block = |mut flat: usize| {
        let (mut number, mut step) = (0, 1);
        for axis in (0..shape.len()).rev() {
            number += flat % shape[axis] / patch[axis] * step;
            step *= counts[axis];
            flat /= shape[axis];
        }
        number
    };
    Ok((0..size).map(block).collect())
}

/// A setting that has to be at least 1.
pub(crate) fn at_least_one(name: &str, n: usize) -> Result<()> {
    if n == 0 { Err(Error::new(format!("{name}=0")).expected("at least 1")) } else { Ok(()) }
}

/// A float32 array of these sizes.
pub(crate) fn table(shape: [usize; 2], values: Vec<f32>) -> Result<Expr> {
    Ok(Expr::constant(&Tensor::new(shape, values)?))
}

/// A list of whole numbers.
pub(crate) fn list(values: Vec<usize>) -> Expr {
    Expr::constant(
        &Tensor::vector(values.into_iter().map(|n| n as i32).collect::<Vec<i32>>()).cast(DType::I32),
    )
}
