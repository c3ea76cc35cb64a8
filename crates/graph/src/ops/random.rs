//! Random numbers as a function of a key, so that a step is a pure function.

use super::Class;
use crate::expr::{Expr, Type};
use crate::interp::Value;
use rhyton_tensor::{Bindings, DType, Dim, Error, Result, Shape, rng};
use serde::{Deserialize, Serialize};

/// Random float32 numbers of `shape`. The input is the key, int32\[2\]: (seed, step).
///
/// Element `i` of the whole takes word `i % 4` of Philox block `i / 4` (uniform), or the normal pair of words
/// `(0, 1)` and `(2, 3)` of block `i / 4` (normal).
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Random {
    /// Which distribution.
    pub distribution: Distribution,
    /// Distinguishes the random operations of one graph.
    pub stream: u32,
    /// Where in the whole the result begins: who draws a part of an array has the same bits as who draws all of it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub first: Dim,
    /// Sizes of the result.
    pub shape: Shape,
}

fn is_zero(d: &Dim) -> bool {
    d.is(0)
}

/// Distributions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distribution {
    /// Uniform over [0, 1).
    Uniform,
    /// Standard normal.
    Normal,
}

impl Distribution {
    /// Four numbers from four random words.
    #[inline(always)]
    pub fn four(self, words: [u32; 4]) -> [f32; 4] {
        match self {
            Distribution::Uniform => words.map(rng::unit_f32),
            Distribution::Normal => {
                let [a, b] = rng::normal_pair(words[0], words[1]);
                let [c, d] = rng::normal_pair(words[2], words[3]);
                [a, b, c, d]
            }
        }
    }
}

names!(Random {
    Random { .. } => "random",
});

impl Random {
    pub(crate) fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>> {
        match inputs {
            [key] if key.dtype == DType::I32 && key.shape == Shape::from([2]) => {
                Ok(vec![Type::f32(self.shape.clone())])
            }
            _ => Err(Error::new("random numbers need a key").expected("int32[2]: seed and step")),
        }
    }

    pub(crate) fn vjp(&self, _: &Expr, _: &[Option<Expr>]) -> Vec<Option<Expr>> {
        vec![None]
    }

    pub(crate) fn interp(&self, inputs: &[&Value], outs: &[Type], bindings: &Bindings) -> Result<Vec<Value>> {
        let mut out = Value::zeros(&outs[0], bindings)?;
        let key = [inputs[0].data[0] as i32 as u32, inputs[0].data[1] as i32 as u32];
        let first = self.first.eval(bindings);
        let first = first.ok_or_else(|| Error::new(format!("the size {} is not known", self.first)))?;
        for (i, x) in out.data.iter_mut().enumerate().map(|(i, x)| (first + i, x)) {
            let words = rng::block(key[0], key[1], self.stream, (i / 4) as u64);
            *x = f64::from(self.distribution.four(words)[i % 4]);
        }
        Ok(vec![out])
    }

    pub(crate) fn class(&self) -> Class {
        Class::Kernel
    }
}

impl Expr {
    /// Random numbers of `shape` from a key (int32\[2\]: seed, step); see [`Random`].
    #[track_caller]
    pub fn random(key: &Expr, distribution: Distribution, stream: u32, shape: impl Into<Shape>) -> Expr {
        Expr::random_part(key, distribution, stream, Dim::default(), shape)
    }

    /// [`random`](Expr::random) for a part of an array, which begins with its element `first`: the same bits.
    #[track_caller]
    pub fn random_part(
        key: &Expr,
        distribution: Distribution,
        stream: u32,
        first: impl Into<Dim>,
        shape: impl Into<Shape>,
    ) -> Expr {
        let op = Random { distribution, stream, first: first.into(), shape: shape.into() };
        Expr::apply(op, vec![key.clone()])
    }
}
