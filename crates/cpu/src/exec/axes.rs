//! Iteration spaces with as few and as long axes as possible.

use super::resolve::{Lane, Setting};
use crate::tile::code::dtype;
use crate::tile::nest::LoopNest;
use crate::tile::space::{Argument, Place, Space};
use rhyton_graph::ops::Scalar;
use rhyton_graph::plan::{Program, Register, Step};
use rhyton_tensor::{DType, Error, Result};

/// Joins neighbouring axes that every operand walks with one stride, and drops axes of size 1.
pub(crate) fn merge(sizes: &[usize], strides: &[Vec<isize>]) -> (Vec<usize>, Vec<Vec<isize>>) {
    let mut out: Vec<usize> = vec![];
    let mut merged: Vec<Vec<isize>> = vec![vec![]; strides.len()];
    for (i, n) in sizes.iter().enumerate().filter(|(_, n)| **n != 1) {
        let joins = !out.is_empty()
            && strides.iter().zip(&merged).all(|(s, m)| m.last() == Some(&(s[i] * *n as isize)));
        if joins {
            if let Some(last) = out.last_mut() {
                *last *= n;
            }
            merged.iter_mut().zip(strides).for_each(|(m, s)| {
                if let Some(last) = m.last_mut() {
                    *last = s[i];
                }
            });
        } else {
            out.push(*n);
            merged.iter_mut().zip(strides).for_each(|(m, s)| m.push(s[i]));
        }
    }
    (out, merged)
}

/// The one stride of a group of axes; `None` when it has no single one. A group of one element gets `alone`.
pub(crate) fn single(sizes: &[usize], strides: &[isize], alone: isize) -> Option<isize> {
    let (sizes, strides) = merge(sizes, &[strides.to_vec()]);
    match (sizes.len(), strides[0].first()) {
        (0, _) => Some(alone),
        (1, Some(s)) => Some(*s),
        _ => None,
    }
}

/// Groups of axes: how many belong to the batches, rows and columns of a block. `None` lets the columns be the
/// innermost axis that remains after joining, the rows the one before.
pub(crate) type Groups = Option<[usize; 3]>;

/// Prepares a program over `sizes`.
pub(crate) struct NestBuilder<'a> {
    pub setting: &'a Setting<'a>,
    pub program: &'a Program,
    pub sizes: &'a [usize],
    pub groups: Groups,
    /// Where each input comes from; `None` is the block of a product.
    pub reads: &'a [Option<Lane>],
    /// Where results go; empty when they stay in registers.
    pub writes: &'a [Lane],
}

impl NestBuilder<'_> {
    fn check(&self) -> Result<()> {
        let rank = self.sizes.len();
        let views = self.reads.iter().flatten().chain(self.writes).all(|v| v.strides.len() == rank);
        let counts = self.reads.len() == self.program.inputs.len()
            && (self.writes.is_empty() || self.writes.len() == self.program.outputs.len());
        let n = self.program.inputs.len();
        let defined = self.program.code.iter().enumerate().all(|(i, c)| c.args.iter().all(|a| *a < n + i))
            && self.program.outputs.iter().all(|r| *r < n + self.program.code.len());
        if views && counts && defined {
            return Ok(());
        }
        Err(Error::new("a launch of the plan does not fit its program or its views"))
    }

    /// Inputs, then positions, as (register, type, place, strides).
    fn sources(&self) -> (Vec<(Register, DType, Place)>, Vec<Vec<isize>>) {
        let (mut what, mut strides) = (vec![], vec![]);
        let n = self.program.inputs.len();
        for (r, (dtype, read)) in self.program.inputs.iter().zip(self.reads).enumerate() {
            match read {
                Some(v) => {
                    what.push((r, *dtype, Place::Buffer { buffer: v.buffer, offset: v.offset }));
                    strides.push(v.strides.clone());
                }
                None => {
                    what.push((r, *dtype, Place::Block));
                    // The block's own layout does not keep axes apart.
                    strides.push(super::side::row_major(self.sizes));
                }
            }
        }
        for (i, c) in self.program.code.iter().enumerate() {
            if let Step::Position(axis) = c.op {
                what.push((n + i, DType::I32, Place::Count));
                strides.push((0..self.sizes.len()).map(|a| isize::from(a == axis)).collect());
            }
        }
        (what, strides)
    }

    fn constants(&self) -> Result<Vec<(Register, Scalar)>> {
        let n = self.program.inputs.len();
        let mut out = vec![];
        for (i, c) in self.program.code.iter().enumerate() {
            match &c.op {
                Step::Constant(s) => out.push((n + i, *s)),
                Step::Size(d) => out.push((n + i, Scalar::F32(self.setting.size(d)? as f32))),
                Step::Apply(_) | Step::Position(_) => {}
            }
        }
        Ok(out)
    }

    /// The program, ready to run.
    pub fn build(&self) -> Result<LoopNest> {
        self.check()?;
        let (what, mut strides) = self.sources();
        strides.extend(self.writes.iter().map(|w| w.strides.clone()));
        let cuts = self.groups.unwrap_or([0, 0, self.sizes.len()]);
        let (mut sizes, mut parts): (Vec<Vec<usize>>, Vec<Vec<Vec<isize>>>) = (vec![], vec![]);
        let mut at = 0;
        for n in cuts {
            let group: Vec<Vec<isize>> = strides.iter().map(|s| s[at..at + n].to_vec()).collect();
            let (size, merged) = merge(&self.sizes[at..at + n], &group);
            sizes.push(size);
            parts.push(merged);
            at += n;
        }
        if self.groups.is_none() {
            spread(&mut sizes, &mut parts, strides.len());
        }
        if sizes[2].is_empty() {
            sizes[2].push(1);
            parts[2].iter_mut().for_each(|s| s.push(0));
        }
        let space = Space { batch: sizes[0].clone(), rows: sizes[1].clone(), cols: sizes[2].clone() };
        let argument = |k: usize, register, dtype, place| Argument {
            register,
            dtype,
            place,
            strides: Space {
                batch: parts[0][k].clone(),
                rows: parts[1][k].clone(),
                cols: parts[2][k].clone(),
            },
            overwritten: false,
            repeated: false,
        };
        let inputs: Vec<Argument> =
            what.iter().enumerate().map(|(k, (r, d, p))| argument(k, *r, *d, *p)).collect();
        let outputs = self.writes.iter().enumerate().map(|(j, w)| {
            let r = self.program.outputs[j];
            argument(
                what.len() + j,
                r,
                dtype(self.program, r),
                Place::Buffer { buffer: w.buffer, offset: w.offset },
            )
        });
        LoopNest::new(self.setting.isa, self.program, space, inputs, outputs.collect(), &self.constants()?)
    }
}

/// All axes are in the last group: leaves the innermost one there, moves the one before to the rows.
fn spread(sizes: &mut [Vec<usize>], parts: &mut [Vec<Vec<isize>>], operands: usize) {
    let all = std::mem::take(&mut sizes[2]);
    let strides = std::mem::replace(&mut parts[2], vec![vec![]; operands]);
    for (i, n) in all.iter().enumerate() {
        let group = 2usize.saturating_sub(all.len() - 1 - i);
        sizes[group].push(*n);
        for k in 0..operands {
            parts[group][k].push(strides[k][i]);
        }
    }
}
