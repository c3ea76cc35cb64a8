//! Writes the straight-line program of a kernel.

use super::graph::{Graph, Path, Value, internal, must};
use super::recompute::{Recomputed, follow};
use crate::access::Access;
use crate::expr::Expr;
use crate::ops::{Binary, Control, Elementwise, Op, Scalar, Unary};
use crate::plan::{BufferId, Instruction, Program, Step, View};
use rhyton_tensor::{Bindings, DType, Dim, Result};
use std::collections::HashMap;

/// A register before inputs and instructions are numbered through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reg {
    Input(usize),
    Code(usize),
}

/// The number that a size is, when it is one.
pub fn int(d: &Dim) -> Option<i32> {
    d.eval_signed(&Bindings::new()).and_then(|n| i32::try_from(n).ok())
}

/// Collects reads and instructions.
pub struct Builder<'a> {
    g: &'a Graph<'a>,
    r: &'a Recomputed,
    buffers: &'a HashMap<Value, BufferId>,
    /// For folds: the axes of what is read, in the order of the kernel's index space.
    axes: Option<Vec<usize>>,
    pub reads: Vec<View>,
    inputs: Vec<DType>,
    code: Vec<(Step, Vec<Reg>, DType)>,
    known: HashMap<(Value, Path), Reg>,
}

impl<'a> Builder<'a> {
    pub fn new(g: &'a Graph<'a>, r: &'a Recomputed, buffers: &'a HashMap<Value, BufferId>) -> Builder<'a> {
        let known = HashMap::new();
        Builder { g, r, buffers, axes: None, reads: vec![], inputs: vec![], code: vec![], known }
    }

    /// The same over permuted axes.
    pub fn over(self, axes: Vec<usize>) -> Builder<'a> {
        Builder { axes: Some(axes), ..self }
    }

    /// Input 0 is this value, which the kernel computes itself; it has no read.
    pub fn given(&mut self, value: Value, dtype: DType) {
        self.inputs.push(dtype);
        self.known.insert((value, vec![]), Reg::Input(self.inputs.len() - 1));
    }

    /// The register of what `e` is, seen through `path`.
    pub fn read(&mut self, e: &Expr, path: &[usize]) -> Result<Reg> {
        let (base, mut inner) = self.g.resolve(e);
        inner.extend(path);
        self.value(base, inner)
    }

    /// The register of a member of the kernel at its own index; computes it at the first call.
    pub fn member(&mut self, node: usize) -> Result<Reg> {
        self.compute((node, 0), vec![])
    }

    fn value(&mut self, value: Value, path: Path) -> Result<Reg> {
        match self.g.op(value.0) {
            Op::Control(Control::Scalar(s)) => return Ok(self.constant(*s)),
            Op::Control(Control::Size(d)) => return Ok(self.push(Step::Size(d.clone()), vec![], DType::F32)),
            _ => {}
        }
        if let Some(reg) = self.known.get(&(value, path.clone())) {
            return Ok(*reg);
        }
        if self.r.is(value.0) {
            return self.compute(value, path);
        }
        let buffer = *must(self.buffers.get(&value), "a value is read that is not stored")?;
        let e = self.g.value(value);
        let access = Access::contiguous(e.shape());
        let access = must(follow(self.g, access, &path), "a view that strides cannot say")?;
        let strides = self.ordered(access.strides);
        let view = View { buffer, offset: access.offset, strides };
        // Different views may read the same elements.
        let found = self.reads.iter().position(|v| *v == view);
        let given = self.inputs.len() - self.reads.len();
        let reg = Reg::Input(found.map_or(self.inputs.len(), |i| i + given));
        if found.is_none() {
            self.reads.push(view);
            self.inputs.push(e.dtype());
        }
        self.known.insert((value, path), reg);
        Ok(reg)
    }

    fn ordered(&self, strides: Vec<Dim>) -> Vec<Dim> {
        match &self.axes {
            Some(axes) => axes.iter().map(|a| strides[*a].clone()).collect(),
            None => strides,
        }
    }

    fn compute(&mut self, value: Value, path: Path) -> Result<Reg> {
        if let Some(reg) = self.known.get(&(value, path.clone())) {
            return Ok(*reg);
        }
        let e = self.g.value(value);
        let reg = match e.op() {
            Op::Index(iota) => {
                let access = Access::iota(iota).and_then(|a| follow(self.g, a, &path));
                self.positions(must(access, "positions that strides cannot say")?)?
            }
            Op::Elementwise(op) => {
                let args = e.inputs().iter().map(|i| self.read(i, &path)).collect::<Result<Vec<_>>>()?;
                match op {
                    Elementwise::Unary(Unary::Copy) => args[0],
                    _ => self.push(Step::Apply(*op), args, e.dtype()),
                }
            }
            _ => return Err(internal("a program cannot hold this operation")),
        };
        self.known.insert((value, path), reg);
        Ok(reg)
    }

    /// `offset + sum of position * stride`.
    fn positions(&mut self, access: Access) -> Result<Reg> {
        let offset = must(int(&access.offset), "a symbolic position")?;
        let mut sum: Option<Reg> = None;
        for (axis, stride) in self.ordered(access.strides).iter().enumerate() {
            let stride = must(int(stride), "a symbolic distance of positions")?;
            if stride == 0 {
                continue;
            }
            let mut term = self.push(Step::Position(axis), vec![], DType::I32);
            if stride != 1 {
                let factor = self.constant(Scalar::I32(stride));
                term = self.binary(Binary::Mul, term, factor);
            }
            sum = Some(match sum {
                Some(sum) => self.binary(Binary::Add, sum, term),
                None => term,
            });
        }
        match sum {
            Some(sum) if offset == 0 => Ok(sum),
            Some(sum) => {
                let offset = self.constant(Scalar::I32(offset));
                Ok(self.binary(Binary::Add, sum, offset))
            }
            None => Ok(self.constant(Scalar::I32(offset))),
        }
    }

    fn binary(&mut self, op: Binary, a: Reg, b: Reg) -> Reg {
        self.push(Step::Apply(Elementwise::Binary(op)), vec![a, b], DType::I32)
    }

    /// A constant.
    pub fn constant(&mut self, s: Scalar) -> Reg {
        self.push(Step::Constant(s), vec![], s.dtype())
    }

    fn push(&mut self, step: Step, args: Vec<Reg>, dtype: DType) -> Reg {
        // Constants, sizes and positions are written once.
        if args.is_empty()
            && let Some(known) = self.code.iter().position(|(s, a, _)| a.is_empty() && *s == step)
        {
            return Reg::Code(known);
        }
        self.code.push((step, args, dtype));
        Reg::Code(self.code.len() - 1)
    }

    /// The program that writes these registers, and what it reads.
    pub fn finish(self, outputs: &[Reg]) -> (Program, Vec<View>) {
        let n = self.inputs.len();
        let number = |r: &Reg| match r {
            Reg::Input(i) => *i,
            Reg::Code(i) => n + i,
        };
        let instruction = |(op, args, dtype): (Step, Vec<Reg>, DType)| Instruction {
            op,
            args: args.iter().map(number).collect(),
            dtype,
        };
        let outputs = outputs.iter().map(number).collect();
        let code = self.code.into_iter().map(instruction).collect();
        (Program { inputs: self.inputs, code, outputs }, self.reads)
    }
}
