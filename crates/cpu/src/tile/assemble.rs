//! Turns a [`Program`] into [`Code`].

use super::code::*;
use rhyton_graph::ops::{Binary, Elementwise, Unary};
use rhyton_graph::plan::{Program, Register, Step};
use rhyton_tensor::{DType, Error, Result};

struct Assembler<'a> {
    program: &'a Program,
    dtypes: Vec<DType>,
    /// Register that stands for a register (through moves).
    same: Vec<usize>,
    widths: Vec<Width>,
    stages: Vec<Stage>,
    /// The pass that an addition makes together with the product it takes in.
    joined: Vec<Option<(Op, [usize; 3])>>,
    /// Products taken in.
    gone: Vec<bool>,
    /// Position of the last instruction that reads a register; `usize::MAX` until the end.
    last: Vec<usize>,
    /// Operand of a register: itself, or the output it is computed into.
    operand: Vec<usize>,
}

/// Assembles `program`. `preload(r)` says what register `r` holds when no instruction of the code computes it.
///
/// # Errors
/// When the program has too many registers.
pub fn assemble(
    program: &Program,
    preload: impl Fn(Register) -> Option<Preload>,
    outputs: &[Output],
) -> Result<Code> {
    let inputs = program.inputs.len();
    let n = inputs + program.code.len();
    if n + outputs.len() > OPERANDS {
        return Err(too_large(n));
    }
    let mut a = Assembler {
        program,
        dtypes: (0..n).map(|r| dtype(program, r)).collect(),
        same: (0..n).collect(),
        widths: vec![Width::Full; n],
        stages: vec![Stage::Tile; n],
        joined: vec![None; n],
        gone: vec![false; n],
        last: vec![0; n],
        operand: (0..n).collect(),
    };
    let preloads: Vec<Option<Preload>> = (0..n).map(preload).collect();
    a.flow(&preloads, outputs);
    a.join_products(&preloads);
    let written = a.place_outputs(&preloads, outputs);
    a.emit(&preloads, outputs, written)
}

fn too_large(registers: usize) -> Error {
    Error::new(format!("an elementwise program of {registers} values does not fit the tile registers"))
        .fix("split the expression, for instance by making an intermediate value a result")
}

impl Assembler<'_> {
    /// Widths, moves and last uses.
    fn flow(&mut self, preloads: &[Option<Preload>], outputs: &[Output]) {
        let inputs = self.program.inputs.len();
        // What is rounded for memory alone is rounded when it is stored.
        let mut read = vec![false; self.same.len()];
        let kept = self.program.outputs.iter().zip(outputs).filter(|(_, o)| o.access.is_none());
        let args = self.program.code.iter().flat_map(|i| &i.args);
        args.chain(kept.map(|(r, _)| r)).for_each(|r| read[*r] = true);
        for (r, preload) in preloads.iter().enumerate() {
            match preload {
                Some(Preload::Constant(_)) => (self.widths[r], self.stages[r]) = (Width::One, Stage::Once),
                Some(Preload::Read { access, stage }) => {
                    (self.widths[r], self.stages[r]) = (access.width(), *stage);
                }
                None => {
                    let i = &self.program.code[r - inputs];
                    let args: Vec<usize> = i.args.iter().map(|x| self.same[*x]).collect();
                    self.widths[r] = args.iter().map(|x| self.widths[*x]).max().unwrap_or(Width::One);
                    self.stages[r] = args.iter().map(|x| self.stages[*x]).max().unwrap_or(Stage::Once);
                    let stored = !read[r] && self.op(r) == Op::FloatToHalf;
                    self.same[r] = if stored { args[0] } else { origin(self.program, r) };
                    args.iter().for_each(|x| self.last[*x] = r);
                }
            }
        }
        for r in &self.program.outputs {
            self.last[self.same[*r]] = usize::MAX;
        }
    }

    /// A product that only one sum reads is computed in the sum's own pass.
    fn join_products(&mut self, preloads: &[Option<Preload>]) {
        let (inputs, n) = (self.program.inputs.len(), self.same.len());
        let computed = |r: &usize| preloads[*r].is_none() && self.same[*r] == *r;
        let args = |r: usize| self.program.code[r - inputs].args.iter().map(|x| self.same[*x]);
        let mut uses = vec![0; n];
        (0..n).filter(computed).flat_map(args).for_each(|x| uses[x] += 1);
        self.program.outputs.iter().for_each(|r| uses[self.same[*r]] += 1);
        let product = |m: usize, r: usize| {
            let alike = (self.widths[m], self.stages[m]) == (self.widths[r], self.stages[r]);
            computed(&m) && uses[m] == 1 && alike && self.op(m) == Op::FloatPair(Binary::Mul)
        };
        let mut found = vec![];
        for r in (0..n).filter(computed) {
            let (left, right) = match self.op(r) {
                Op::FloatPair(Binary::Add) => (Op::MulAdd, Op::MulAdd),
                Op::FloatPair(Binary::Sub) => (Op::MulSub, Op::SubMul),
                _ => continue,
            };
            let sides: Vec<usize> = args(r).collect();
            let [a, b] = sides[..] else { continue };
            let (op, m, other) = match (product(a, r), product(b, r)) {
                (true, _) => (left, a, b),
                (_, true) => (right, b, a),
                _ => continue,
            };
            let factors: Vec<usize> = args(m).collect();
            found.push((r, m, op, [factors[0], factors[1], other]));
        }
        for (r, m, op, args) in found {
            self.joined[r] = Some((op, args));
            self.gone[m] = true;
            args.iter().for_each(|x| self.last[*x] = self.last[*x].max(r));
        }
    }

    /// Whether an instruction of its own computes `r`.
    fn computes(&self, preloads: &[Option<Preload>], r: usize) -> bool {
        preloads[r].is_none() && self.same[r] == r && !self.gone[r]
    }

    /// Lets outputs be computed where they belong, unless that would overwrite an input still to be read.
    fn place_outputs(&mut self, preloads: &[Option<Preload>], outputs: &[Output]) -> Vec<bool> {
        let n = self.same.len();
        let mut written = vec![false; outputs.len()];
        for (j, (r, out)) in self.program.outputs.iter().zip(outputs).enumerate() {
            let r = self.same[*r];
            let safe = out.aliases.iter().all(|i| self.last[self.same[*i]] <= r);
            let free = preloads[r].is_none()
                && self.operand[r] == r
                && (self.widths[r], self.stages[r]) == (Width::Full, Stage::Tile);
            if out.access == Some(Access::Unit) && safe && free {
                self.operand[r] = n + j;
                written[j] = true;
            }
        }
        written
    }

    fn emit(self, preloads: &[Option<Preload>], outputs: &[Output], mut written: Vec<bool>) -> Result<Code> {
        let n = self.same.len();
        let (mut instrs, cost) = self.instructions(preloads);
        let until = |stage: Stage| instrs.iter().filter(|(s, _)| *s <= stage).count();
        let (once, before) = (until(Stage::Once), until(Stage::Patch));
        instrs.sort_by_key(|(s, _)| *s);
        let mut instrs: Vec<Instr> = instrs.into_iter().map(|(_, i)| i).collect();
        let results: Vec<usize> = self.program.outputs.iter().map(|r| self.operand[self.same[*r]]).collect();
        for (j, out) in outputs.iter().enumerate() {
            if out.access == Some(Access::Unit) && !written[j] {
                let op = match self.dtypes[self.program.outputs[j]] {
                    DType::Bool => Op::CopyTruth,
                    DType::I8 | DType::U8 => Op::CopyByte,
                    _ => Op::CopyNumber,
                };
                instrs.push(Instr {
                    op,
                    dst: (n + j) as u16,
                    args: [results[j] as u16, 0, 0],
                    width: Width::Full,
                });
                written[j] = true;
            }
        }
        let (locations, tile) = self.locations(preloads, outputs.len())?;
        let mut widths = self.widths;
        widths.extend(outputs.iter().map(|_| Width::Full));
        let constants = preloads.iter().enumerate().filter_map(|(r, l)| match l {
            Some(Preload::Constant(s)) => Some((r, *s)),
            _ => None,
        });
        // A register of bfloat16 holds float32.
        let bytes = self.dtypes.iter().map(|d| if d.is_float() { 4 } else { d.size_bytes() }).collect();
        let constants = constants.collect();
        Ok(Code { instrs, once, before, locations, widths, bytes, constants, results, written, tile, cost })
    }

    /// The instructions in order, and what an element of every tile costs.
    fn instructions(&self, preloads: &[Option<Preload>]) -> (Vec<(Stage, Instr)>, f32) {
        let (mut instrs, mut cost) = (vec![], 0.0);
        for r in (0..self.same.len()).filter(|r| self.computes(preloads, *r)) {
            let code = &self.program.code[r - self.program.inputs.len()];
            let (op, from) = self.joined[r].map_or_else(
                || (self.op(r), code.args.iter().map(|x| self.same[*x]).collect()),
                |(op, args)| (op, args.to_vec()),
            );
            let mut args = [0u16; 3];
            from.iter().zip(&mut args).for_each(|(x, a)| *a = self.operand[*x] as u16);
            let (width, stage) = (self.widths[r], self.stages[r]);
            cost += if (width, stage) == (Width::Full, Stage::Tile) { cost_of(op) } else { 0.0 };
            instrs.push((stage, Instr { op, dst: self.operand[r] as u16, args, width }));
        }
        (instrs, cost)
    }

    /// Gives every register a place; tile registers are used again after the last read.
    fn locations(&self, preloads: &[Option<Preload>], outputs: usize) -> Result<(Vec<Location>, usize)> {
        let n = self.same.len();
        let mut locations = vec![Location::None; n];
        locations.resize(n + outputs, Location::Memory);
        let (mut lanes, mut slots) = (0, 0);
        let mut free: Vec<usize> = vec![];
        let mut ends: Vec<(usize, usize)> = vec![];
        // What stays for a patch keeps its place; what is read is there from the start; computed values come one
        // by one.
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by_key(|r| (self.stages[*r] == Stage::Tile, preloads[*r].is_none()));
        let own = |r: &usize| self.same[*r] == *r && self.operand[*r] == *r && !self.gone[*r];
        for r in order.into_iter().filter(own) {
            let direct = matches!(preloads[r], Some(Preload::Read { access: Access::Unit, .. }));
            if direct {
                locations[r] = Location::Memory;
            } else if self.widths[r] == Width::One {
                locations[r] = Location::Lane(lanes * LANE);
                lanes += 1;
            } else {
                if preloads[r].is_none() && self.stages[r] == Stage::Tile {
                    // Not the place of an argument read last here: widths may differ, and then rows overlap.
                    ends.retain(|(end, slot)| {
                        let done = *end < r;
                        if done {
                            free.push(*slot);
                        }
                        !done
                    });
                }
                let slot = free.pop().unwrap_or_else(|| {
                    slots += 1;
                    slots - 1
                });
                let end = if self.stages[r] == Stage::Tile { self.last[r].max(r) } else { usize::MAX };
                ends.push((end, slot));
                locations[r] = Location::Tile(slot);
            }
        }
        let room = |tile: usize| lanes * LANE + slots * tile * 4;
        let fits = |bytes: usize| (4..=10).rev().map(|k| 1 << k).find(|t| room(*t) <= bytes);
        // Half of a first-level cache if that leaves tiles long, all of the work area otherwise.
        let tile = fits(WORK / 2).or_else(|| fits(WORK)).ok_or_else(|| too_large(n))?;
        for h in &mut locations {
            if let Location::Tile(slot) = h {
                *slot = lanes * LANE + *slot * tile * 4;
            }
        }
        Ok((locations, tile))
    }

    fn op(&self, r: usize) -> Op {
        let i = &self.program.code[r - self.program.inputs.len()];
        let from = |k: usize| i.args.get(k).map_or(i.dtype, |x| self.dtypes[*x]);
        match i.op {
            Step::Apply(Elementwise::Unary(Unary::Not)) => Op::Not,
            Step::Apply(Elementwise::Unary(u)) if i.dtype == DType::I32 => Op::Int(u),
            Step::Apply(Elementwise::Unary(u)) => Op::Float(u),
            Step::Apply(Elementwise::Binary(b)) => match from(0) {
                DType::Bool => Op::TruthPair(b),
                DType::I32 => Op::IntPair(b),
                _ => Op::FloatPair(b),
            },
            Step::Apply(Elementwise::Select) if i.dtype == DType::Bool => Op::SelectTruth,
            Step::Apply(Elementwise::Select) => Op::SelectNumber,
            Step::Apply(Elementwise::Cast(to)) => match (from(0), to) {
                (from, DType::I32) if from.is_float() => Op::FloatToInt,
                (from, DType::I8) if from.is_float() => Op::FloatToByte,
                (from, DType::BF16) if from.is_float() => Op::FloatToHalf,
                (from, _) if from.is_float() => Op::FloatToTruth,
                (DType::I32, DType::Bool) => Op::IntToTruth,
                (DType::I32, DType::I8) => Op::IntToByte,
                (DType::I32, _) => Op::IntToFloat,
                (DType::I8, DType::I32) => Op::ByteToInt,
                (DType::U8, DType::I32) => Op::UnsignedByteToInt,
                (DType::I8 | DType::U8, DType::Bool) => Op::ByteToTruth,
                (DType::U8, _) => Op::UnsignedByteToFloat,
                (DType::I8, _) => Op::ByteToFloat,
                (_, DType::I32) => Op::TruthToInt,
                (_, DType::I8) => Op::TruthToByte,
                _ => Op::TruthToFloat,
            },
            // These are preloads; see `Preload`.
            Step::Constant(_) | Step::Size(_) | Step::Position(_) => Op::CopyNumber,
        }
    }
}

/// Rough cost against an addition.
fn cost_of(op: Op) -> f32 {
    match op {
        Op::Float(u) => u.cost() as f32,
        Op::FloatPair(b) => b.cost() as f32,
        Op::MulAdd | Op::MulSub | Op::SubMul => 2.0,
        Op::FloatToHalf => 4.0,
        _ => 1.0,
    }
}
