//! [`Units`]: attributions as one row of numbers for each sample.

use crate::features::sample_shape;
use crate::{Attribution, Baseline, Scene};
use rhyton_graph::Expr;
use rhyton_graph::function::for_each;
use rhyton_tensor::{Dim, Error, Result, Shape};

/// What is taken away or put in as one: every element of an attribution. A token's vector is one, and so is a place of
/// a map without channels.
pub(crate) struct Units {
    /// Attributions, each of its value's rank.
    shapes: Vec<Shape>,
    /// Elements of all.
    pub count: usize,
    /// The attributions, `[batch, count]`.
    pub row: Expr,
}

impl Units {
    /// What the method gives at the scene's values.
    pub fn of(scene: &mut Scene, method: &dyn Attribution) -> Result<Units> {
        let found = method.attribute(scene)?;
        Units::new(scene, &found)
    }

    /// Those of attributions.
    pub fn new(scene: &Scene, attributions: &[Expr]) -> Result<Units> {
        let mut parts = vec![];
        for ((a, v), spot) in attributions.iter().zip(&scene.values).zip(&scene.spots) {
            let last = a.rank() - 1;
            let is_vector = spot.token_of.is_some() && a.rank() > 2;
            let a = if is_vector { a.sum(&[last]).expand_dims(&[last]) } else { a.clone() };
            if a.rank() != v.rank() {
                return Err(Error::new(format!(
                    "attributions of shape {} do not lie over values of shape {}",
                    a.shape(),
                    v.shape()
                )));
            }
            parts.push(a.float());
        }
        let shapes: Vec<Shape> = parts.iter().map(|a| a.shape().clone()).collect();
        let sizes = parts.iter().map(|a| Ok(sample_shape(a)?.iter().product()));
        let sizes: Vec<usize> = sizes.collect::<Result<_>>()?;
        Ok(Units { shapes, count: sizes.iter().sum(), row: joined(scene, &parts) })
    }

    /// For each value what belongs to it in a row of these units, `[batch, count]`, so that it broadcasts to the value.
    pub fn spread(&self, row: &Expr) -> Vec<Expr> {
        let mut first = 0;
        let each = |shape: &Shape| {
            let n: usize = shape[1..].iter().filter_map(Dim::as_fixed).product();
            first += n;
            row.slice(1, first - n, n).reshape(shape.clone())
        };
        self.shapes.iter().map(each).collect()
    }

    /// `to` where a row of flags is true, `from` elsewhere.
    pub fn mixed(&self, flags: &Expr, from: &[Expr], to: &[Expr]) -> Vec<Expr> {
        let flags = self.spread(flags);
        flags.iter().zip(from.iter().zip(to)).map(|(f, (from, to))| f.select(to, from)).collect()
    }

    /// Where each unit stands in the order of attributions, int32 `[batch, count]`: 0 is the largest or the smallest.
    pub fn order(&self, largest_first: bool) -> Expr {
        self.row.argsort(1, largest_first).argsort(1, false)
    }

    /// The score after so many units of the order went from `from` to `to`: `[batch, points]`.
    pub fn curve(&self, scene: &Scene, order: &Expr, gone: Vec<usize>, from: &[Expr], to: &[Expr]) -> Expr {
        let scores = for_each("curve", &[crate::features::list(gone)], |n| {
            vec![scene.score(&self.mixed(&order.less(&n[0]), from, to))]
        });
        scores[0].transpose(&[1, 0])
    }
}

/// Parts of known sizes, `[batch, ..]` each, as one row for each sample.
pub(crate) fn joined(scene: &Scene, parts: &[Expr]) -> Expr {
    let flat = |a: &Expr| {
        let n = a.shape()[1..].iter().filter_map(Dim::as_fixed).product();
        a.reshape(Shape(vec![scene.batch(), Dim::fixed(n)]))
    };
    Expr::concat(&parts.iter().map(flat).collect::<Vec<Expr>>(), 1)
}

/// The explained values, and those of a baseline.
pub(crate) fn ends(scene: &mut Scene, baseline: &Baseline) -> Result<(Vec<Expr>, Vec<Expr>)> {
    Ok((scene.values(), scene.baseline(baseline)?))
}
