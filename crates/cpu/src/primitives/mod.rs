//! Launches of one primitive over arrays that lie one element after the other: a file and a row for each.

mod cumulative;
pub mod index;
pub mod random;
mod sort;

use crate::exec::resolve::{Lane, Setting};
use crate::exec::task::Context;
use rhyton_graph::Type;
use rhyton_graph::ops::{Class, Op};
use rhyton_graph::plan::Launch;
use rhyton_tensor::{DType, Error, Result};

/// A primitive prepared for given sizes.
pub(crate) trait Primitive: Send + Sync {
    /// Bytes of scratch memory it needs.
    fn scratch(&self) -> usize {
        0
    }

    /// Runs it.
    ///
    /// # Safety
    /// As for `Task::run`.
    unsafe fn run(&self, cx: Context);
}

/// The row of each primitive.
fn row(op: &Op, sides: &Sides) -> Result<Box<dyn Primitive>> {
    match op {
        Op::Index(op) => index::prepare(op, sides),
        Op::Cumulative(op) => cumulative::prepare(op, sides),
        Op::Random(op) => random::prepare(op, sides),
        Op::Sort(op) => sort::prepare(op, sides),
        Op::Elementwise(_)
        | Op::Reduce(_)
        | Op::Movement(_)
        | Op::Contract(_)
        | Op::Window(_)
        | Op::Control(_) => Err(no_kernel(op)),
    }
}

/// An operation that the compiler gives no launch of its own.
pub(crate) fn no_kernel(op: &Op) -> Error {
    Error::new(format!("'{}' has no kernel of its own", op.name())).expected(format!(
        "an operation of the class {:?}, not {:?}",
        Class::Kernel,
        op.class()
    ))
}

/// An input or a result: a contiguous array.
pub(crate) struct Side {
    pub lane: Lane,
    pub dtype: DType,
    pub shape: Vec<usize>,
}

/// What a primitive reads and writes.
pub(crate) struct Sides<'a> {
    pub inputs: Vec<Side>,
    pub outputs: Vec<Side>,
    /// What it is prepared for.
    pub setting: &'a Setting<'a>,
}

/// Prepares a launch of `op`.
pub(crate) fn prepare(
    op: &Op,
    [inputs, outputs]: [&[Type]; 2],
    launch: &Launch,
    setting: &Setting,
) -> Result<Box<dyn Primitive>> {
    let sides = |lanes: Vec<Lane>, types: &[Type]| -> Result<Vec<Side>> {
        let side =
            |(lane, t): (Lane, &Type)| Ok(Side { lane, dtype: t.dtype, shape: setting.sizes(&t.shape)? });
        lanes.into_iter().zip(types).map(side).collect()
    };
    let sides = Sides {
        inputs: sides(setting.views(&launch.reads)?, inputs)?,
        outputs: sides(setting.views(&launch.writes)?, outputs)?,
        setting,
    };
    row(op, &sides)
}

impl Sides<'_> {
    /// Input `i`.
    pub fn input(&self, i: usize) -> Result<&Side> {
        self.inputs.get(i).ok_or_else(|| Error::new("a launch has too few reads"))
    }

    /// Result `i`.
    pub fn output(&self, i: usize) -> Result<&Side> {
        self.outputs.get(i).ok_or_else(|| Error::new("a launch has too few writes"))
    }
}

impl Side {
    /// Products of the sizes before `axis`, of `axis`, and after it.
    pub fn around(&self, axis: usize) -> Result<[usize; 3]> {
        match self.shape.get(axis) {
            Some(n) => Ok([self.shape[..axis].iter().product(), *n, self.shape[axis + 1..].iter().product()]),
            None => Err(Error::new(format!("axis {axis} of an array with {} axes", self.shape.len()))),
        }
    }
}
