//! Strided accesses and how views change them: the arithmetic behind "a view costs nothing".

use crate::ops::{Index, Movement, Op};
use crate::plan::row_major;
use rhyton_tensor::{Bindings, Dim};
use std::collections::BTreeSet;

/// Where the elements of an array lie in another, flat one: element `(i, j, ..)` is at
/// `offset + i * strides[0] + j * strides[1] + ..`. Axes of size 1 have stride 0.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Access {
    pub offset: Dim,
    pub strides: Vec<Dim>,
}

impl Access {
    /// A whole array of `shape` in row-major order.
    pub fn contiguous(shape: &[Dim]) -> Access {
        Access::new(Dim::default(), row_major(shape), shape)
    }

    pub fn new(offset: Dim, mut strides: Vec<Dim>, shape: &[Dim]) -> Access {
        for (s, n) in strides.iter_mut().zip(shape) {
            if n.is(1) {
                *s = Dim::default();
            }
        }
        Access { offset, strides }
    }

    /// True when the elements of `shape` lie one after the other.
    pub fn is_contiguous(&self, shape: &[Dim]) -> bool {
        Access::new(self.offset.clone(), row_major(shape), shape).strides == self.strides
    }

    /// The access of a view's elements, given that of its input's; `None` when strides cannot say it.
    pub fn through(&self, op: &Movement, from: &[Dim], to: &[Dim]) -> Option<Access> {
        let (mut offset, mut strides) = (self.offset.clone(), self.strides.clone());
        match op {
            Movement::Reshape { .. } if self.is_contiguous(from) => strides = row_major(to),
            Movement::Reshape { .. } => strides = reshaped(&self.strides, from, to)?,
            Movement::Transpose { axes } => {
                strides = axes.iter().map(|a| self.strides.get(*a).cloned()).collect::<Option<_>>()?;
            }
            // Repeated axes had size 1 and so stride 0 already.
            Movement::Broadcast { .. } => {}
            Movement::Slice { axis, start, step, .. } => {
                let stride = strides.get_mut(*axis)?;
                offset = offset + start.clone() * &*stride;
                *stride = stride.clone() * *step;
            }
            Movement::Flip { axis } => {
                let (stride, n) = (strides.get_mut(*axis)?, from.get(*axis)?);
                offset = offset + (n.clone() - 1) * &*stride;
                *stride = Dim::default() - &*stride;
            }
            Movement::Pad { .. } | Movement::Concat { .. } => return None,
        }
        Some(Access::new(offset, strides, to))
    }

    /// The access of the elements of `op`, which counts along an axis, in the flat array 0, 1, 2, ..
    pub fn iota(op: &Index) -> Option<Access> {
        let Index::Iota { shape, axis } = op else { return None };
        let mut strides = vec![Dim::default(); shape.rank()];
        *strides.get_mut(*axis)? = Dim::fixed(1);
        Some(Access::new(Dim::default(), strides, shape))
    }
}

/// The movement when `op` is a pure view.
pub(crate) fn view(op: &Op) -> Option<&Movement> {
    match op {
        Op::Movement(Movement::Pad { .. } | Movement::Concat { .. }) => None,
        Op::Movement(m) => Some(m),
        _ => None,
    }
}

/// A guess that orders two products of sizes; only where they are equal is decided exactly.
fn guess(d: &Dim) -> i64 {
    let mut names = BTreeSet::new();
    d.symbols(&mut names);
    let sample: Bindings = names.into_iter().map(|n| (n, 7919)).collect();
    d.eval_signed(&sample).unwrap_or(i64::MAX)
}

/// Strides after a reshape, by NumPy's rule: both shapes are cut into groups of axes with equal products, and the
/// old axes of a group must be one run.
fn reshaped(strides: &[Dim], from: &[Dim], to: &[Dim]) -> Option<Vec<Dim>> {
    let old: Vec<(&Dim, &Dim)> = from.iter().zip(strides).filter(|(n, _)| !n.is(1)).collect();
    let mut out = vec![Dim::default(); to.len()];
    let wanted: Vec<usize> = (0..to.len()).filter(|i| !to[*i].is(1)).collect();
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < wanted.len() {
        let (start_i, start_j) = (i, j);
        let (mut have, mut want) = (old.get(i)?.0.clone(), to[*wanted.get(j)?].clone());
        (i, j) = (i + 1, j + 1);
        while have != want {
            if guess(&have) < guess(&want) {
                have = have * old.get(i)?.0;
                i += 1;
            } else {
                want = want * &to[*wanted.get(j)?];
                j += 1;
            }
        }
        let run = &old[start_i..i];
        if run.windows(2).any(|w| *w[0].1 != w[1].1.clone() * w[1].0) {
            return None;
        }
        let mut stride = run.last()?.1.clone();
        for axis in wanted[start_j..j].iter().rev() {
            out[*axis] = stride.clone();
            stride = stride * &to[*axis];
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dims(sizes: &[usize]) -> Vec<Dim> {
        sizes.iter().map(|n| Dim::fixed(*n)).collect()
    }

    #[test]
    fn reshapes_that_strides_can_say() {
        let (from, to) = (dims(&[2, 3, 4]), dims(&[6, 2, 2]));
        let t = Access::contiguous(&from);
        assert!(t.through(&Movement::Reshape { shape: to.clone().into() }, &from, &to).is_some());
        let flipped =
            t.through(&Movement::Transpose { axes: vec![1, 0, 2] }, &from, &dims(&[3, 2, 4])).unwrap();
        let split = Movement::Reshape { shape: dims(&[3, 2, 2, 2]).into() };
        assert!(flipped.through(&split, &dims(&[3, 2, 4]), &dims(&[3, 2, 2, 2])).is_some());
        let merge = Movement::Reshape { shape: dims(&[6, 4]).into() };
        assert!(flipped.through(&merge, &dims(&[3, 2, 4]), &dims(&[6, 4])).is_none());
    }

    #[test]
    fn symbolic_sizes_group() {
        let (b, t) = (Dim::symbol("batch"), Dim::symbol("time") - 2);
        let from = vec![t.clone() * 5 * &b, Dim::fixed(6)];
        let to = vec![b, t, Dim::fixed(5), Dim::fixed(2), Dim::fixed(3)];
        // Every second column of a wider array: not contiguous, but rows split.
        let access = Access { offset: Dim::default(), strides: vec![Dim::fixed(12), Dim::fixed(2)] };
        let out = access.through(&Movement::Reshape { shape: to.clone().into() }, &from, &to).unwrap();
        assert_eq!(out.strides[2..], dims(&[12, 6, 2]));
    }
}
