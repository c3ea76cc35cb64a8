//! Turns a [`Program`] into code over tiles: every register gets a place, every instruction a width.

use rhyton_graph::ops::{Binary, Elementwise, Scalar, Unary};
use rhyton_graph::plan::{Program, Register, Step};
use rhyton_tensor::{DType, Error, Result};

/// Bytes of tile registers that one thread has.
pub const WORK: usize = 64 * 1024;
/// Operands that a program can have.
pub const OPERANDS: usize = 512;
/// Bytes of a replicated scalar.
pub const LANE: usize = 64;

/// How something lies over the rows and columns of a tile.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Width {
    /// One value.
    One,
    /// One value a row.
    Row,
    /// A value at every element.
    Full,
}

/// How an operand is reached in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// One value for the whole tile.
    One,
    /// One value a row.
    Row,
    /// Neighbours along a row are neighbours in memory: used where it lies.
    Unit,
    /// Anything else: moved through a register.
    Strided,
}

impl Access {
    /// From the distances between rows and between columns.
    pub fn of(row: isize, col: isize) -> Access {
        match (row, col) {
            (0, 0) => Access::One,
            (_, 0) => Access::Row,
            (_, 1) => Access::Unit,
            _ => Access::Strided,
        }
    }

    fn width(self) -> Width {
        match self {
            Access::One => Width::One,
            Access::Row => Width::Row,
            Access::Unit | Access::Strided => Width::Full,
        }
    }
}

/// What a register holds before the code runs.
#[derive(Clone, Copy, Debug)]
pub enum Leaf {
    /// A constant.
    Constant(Scalar),
    /// Something read; `once`: the same value everywhere.
    Read {
        /// How.
        access: Access,
        /// The same single value in every tile.
        once: bool,
    },
}

/// What an instruction does.
#[derive(Clone, Copy, PartialEq, Debug)]
#[allow(missing_docs)]
pub enum Op {
    Float(Unary),
    FloatPair(Binary),
    Int(Unary),
    IntPair(Binary),
    Not,
    TruthPair(Binary),
    SelectNumber,
    SelectTruth,
    FloatToInt,
    IntToFloat,
    FloatToTruth,
    IntToTruth,
    TruthToFloat,
    TruthToInt,
    FloatToByte,
    IntToByte,
    TruthToByte,
    ByteToFloat,
    ByteToInt,
    ByteToTruth,
    CopyNumber,
    CopyByte,
    CopyTruth,
}

/// One instruction over a tile.
#[derive(Clone, Copy, Debug)]
pub struct Instr {
    /// What it does.
    pub op: Op,
    /// Operand written.
    pub dst: u16,
    /// Operands read.
    pub args: [u16; 3],
    /// Where it runs.
    pub width: Width,
}

/// Where an operand lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Home {
    /// Nowhere: never used.
    None,
    /// Tile register, byte offset in the work area.
    Tile(usize),
    /// Replicated scalar, byte offset in the work area.
    Lane(usize),
    /// In memory.
    Memory,
}

/// A program ready to run over tiles.
#[derive(Clone, Debug)]
pub struct Code {
    /// Instructions that run once, then those that run for every tile.
    pub instrs: Vec<Instr>,
    /// How many run once.
    pub once: usize,
    /// Home of each operand: registers, then outputs.
    pub homes: Vec<Home>,
    /// Width of each operand.
    pub widths: Vec<Width>,
    /// Bytes of an element of each register.
    pub bytes: Vec<usize>,
    /// Constants: operand, value.
    pub constants: Vec<(usize, Scalar)>,
    /// The operand that holds each output when the code has run.
    pub results: Vec<usize>,
    /// Outputs the code wrote where they belong; the others are to be moved from `results`.
    pub written: Vec<bool>,
    /// Elements of a tile register.
    pub tile: usize,
    /// Weighted number of operations an element, for the decision to split.
    pub cost: f32,
}

/// What happens to an output.
#[derive(Clone, Debug)]
pub struct Output {
    /// How it lies in memory; `None` keeps it in its register.
    pub access: Option<Access>,
    /// Registers of inputs that lie in the same buffer.
    pub aliases: Vec<Register>,
}

/// Type of a register.
pub fn dtype(program: &Program, r: Register) -> DType {
    let n = program.inputs.len();
    if r < n { program.inputs[r] } else { program.code[r - n].dtype }
}

/// Whether a conversion leaves a register as it is: those of bfloat16 hold float32, and storing rounds.
fn moves(from: DType, to: DType) -> bool {
    from == to || (from.is_float() && to.is_float())
}

/// The register whose value `r` holds: itself, unless it only moves another one.
pub fn origin(program: &Program, mut r: Register) -> Register {
    while let Some(i) = r.checked_sub(program.inputs.len()).map(|i| &program.code[i]) {
        match i.op {
            Step::Apply(Elementwise::Unary(Unary::StopGradient)) => r = i.args[0],
            Step::Apply(Elementwise::Cast(to)) if moves(dtype(program, i.args[0]), to) => r = i.args[0],
            _ => break,
        }
    }
    r
}

struct Assembler<'a> {
    program: &'a Program,
    dtypes: Vec<DType>,
    /// Register that stands for a register (through moves).
    same: Vec<usize>,
    widths: Vec<Width>,
    once: Vec<bool>,
    /// Position of the last instruction that reads a register; `usize::MAX` until the end.
    last: Vec<usize>,
    /// Operand of a register: itself, or the output it is computed into.
    operand: Vec<usize>,
}

/// Assembles `program`. `leaf(r)` says what register `r` holds when no instruction of the code computes it.
///
/// # Errors
/// When the program has too many registers.
pub fn assemble(
    program: &Program,
    leaf: impl Fn(Register) -> Option<Leaf>,
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
        once: vec![false; n],
        last: vec![0; n],
        operand: (0..n).collect(),
    };
    let leaves: Vec<Option<Leaf>> = (0..n).map(leaf).collect();
    a.flow(&leaves);
    let written = a.place_outputs(&leaves, outputs);
    a.emit(&leaves, outputs, written)
}

fn too_large(registers: usize) -> Error {
    Error::new(format!("an elementwise program of {registers} values does not fit the tile registers"))
        .fix("split the expression, for instance by making an intermediate value a result")
}

impl Assembler<'_> {
    /// Widths, moves and last uses.
    fn flow(&mut self, leaves: &[Option<Leaf>]) {
        let inputs = self.program.inputs.len();
        for (r, leaf) in leaves.iter().enumerate() {
            match leaf {
                Some(Leaf::Constant(_)) => (self.widths[r], self.once[r]) = (Width::One, true),
                Some(Leaf::Read { access, once }) => (self.widths[r], self.once[r]) = (access.width(), *once),
                None => {
                    let i = &self.program.code[r - inputs];
                    let args: Vec<usize> = i.args.iter().map(|x| self.same[*x]).collect();
                    self.widths[r] = args.iter().map(|x| self.widths[*x]).max().unwrap_or(Width::One);
                    self.once[r] = args.iter().all(|x| self.once[*x]);
                    self.same[r] = origin(self.program, r);
                    args.iter().for_each(|x| self.last[*x] = r);
                }
            }
        }
        for r in &self.program.outputs {
            self.last[self.same[*r]] = usize::MAX;
        }
    }

    /// Lets outputs be computed where they belong, unless that would overwrite an input still to be read.
    fn place_outputs(&mut self, leaves: &[Option<Leaf>], outputs: &[Output]) -> Vec<bool> {
        let n = self.same.len();
        let mut written = vec![false; outputs.len()];
        for (j, (r, out)) in self.program.outputs.iter().zip(outputs).enumerate() {
            let r = self.same[*r];
            let safe = out.aliases.iter().all(|i| self.last[self.same[*i]] <= r);
            let free = leaves[r].is_none() && self.operand[r] == r && self.widths[r] == Width::Full;
            if out.access == Some(Access::Unit) && safe && free {
                self.operand[r] = n + j;
                written[j] = true;
            }
        }
        written
    }

    fn emit(self, leaves: &[Option<Leaf>], outputs: &[Output], mut written: Vec<bool>) -> Result<Code> {
        let n = self.same.len();
        let mut instrs = Vec::new();
        let mut cost = 0.0;
        for r in (0..n).filter(|r| leaves[*r].is_none() && self.same[*r] == *r) {
            let op = self.op(r);
            let i = &self.program.code[r - self.program.inputs.len()];
            let mut args = [0u16; 3];
            i.args.iter().zip(&mut args).for_each(|(x, a)| *a = self.operand[self.same[*x]] as u16);
            cost += if self.widths[r] == Width::Full { weight(op) } else { 0.0 };
            instrs
                .push((self.once[r], Instr { op, dst: self.operand[r] as u16, args, width: self.widths[r] }));
        }
        let once = instrs.iter().filter(|(o, _)| *o).count();
        instrs.sort_by_key(|(o, _)| !o);
        let mut instrs: Vec<Instr> = instrs.into_iter().map(|(_, i)| i).collect();
        let results: Vec<usize> = self.program.outputs.iter().map(|r| self.operand[self.same[*r]]).collect();
        for (j, out) in outputs.iter().enumerate() {
            if out.access == Some(Access::Unit) && !written[j] {
                let op = match self.dtypes[self.program.outputs[j]] {
                    DType::Bool => Op::CopyTruth,
                    DType::I8 => Op::CopyByte,
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
        let (homes, tile) = self.homes(leaves, outputs.len())?;
        let mut widths = self.widths;
        widths.extend(outputs.iter().map(|_| Width::Full));
        let constants = leaves.iter().enumerate().filter_map(|(r, l)| match l {
            Some(Leaf::Constant(s)) => Some((r, *s)),
            _ => None,
        });
        // A register of bfloat16 holds float32.
        let bytes = self.dtypes.iter().map(|d| if d.is_float() { 4 } else { d.size_bytes() }).collect();
        let constants = constants.collect();
        Ok(Code { instrs, once, homes, widths, bytes, constants, results, written, tile, cost })
    }

    /// Gives every register a place; tile registers are used again after the last read.
    fn homes(&self, leaves: &[Option<Leaf>], outputs: usize) -> Result<(Vec<Home>, usize)> {
        let n = self.same.len();
        let mut homes = vec![Home::None; n];
        homes.resize(n + outputs, Home::Memory);
        let (mut lanes, mut slots) = (0, 0);
        let mut free: Vec<usize> = vec![];
        let mut ends: Vec<(usize, usize)> = vec![];
        // What is read is there from the start; computed values come one by one.
        let order = (0..n).filter(|r| leaves[*r].is_some()).chain((0..n).filter(|r| leaves[*r].is_none()));
        for r in order.filter(|r| self.same[*r] == *r && self.operand[*r] == *r) {
            let direct = matches!(leaves[r], Some(Leaf::Read { access: Access::Unit, .. }));
            if direct {
                homes[r] = Home::Memory;
            } else if self.widths[r] == Width::One {
                homes[r] = Home::Lane(lanes * LANE);
                lanes += 1;
            } else {
                if leaves[r].is_none() {
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
                ends.push((self.last[r].max(r), slot));
                homes[r] = Home::Tile(slot);
            }
        }
        let room = |tile: usize| lanes * LANE + slots * tile * 4;
        let fits = |bytes: usize| (4..=10).rev().map(|k| 1 << k).find(|t| room(*t) <= bytes);
        // Half of a first-level cache if that leaves tiles long, all of the work area otherwise.
        let tile = fits(WORK / 2).or_else(|| fits(WORK)).ok_or_else(|| too_large(n))?;
        for h in &mut homes {
            if let Home::Tile(slot) = h {
                *slot = lanes * LANE + *slot * tile * 4;
            }
        }
        Ok((homes, tile))
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
                (from, _) if from.is_float() => Op::FloatToTruth,
                (DType::I32, DType::Bool) => Op::IntToTruth,
                (DType::I32, DType::I8) => Op::IntToByte,
                (DType::I32, _) => Op::IntToFloat,
                (DType::I8, DType::I32) => Op::ByteToInt,
                (DType::I8, DType::Bool) => Op::ByteToTruth,
                (DType::I8, _) => Op::ByteToFloat,
                (_, DType::I32) => Op::TruthToInt,
                (_, DType::I8) => Op::TruthToByte,
                _ => Op::TruthToFloat,
            },
            // These are leaves; see `Leaf`.
            Step::Constant(_) | Step::Size(_) | Step::Position(_) => Op::CopyNumber,
        }
    }
}

/// Rough cost against an addition.
fn weight(op: Op) -> f32 {
    match op {
        Op::Float(Unary::Neg | Unary::Abs | Unary::Floor | Unary::Round | Unary::Sign | Unary::IsFinite) => {
            1.0
        }
        Op::Float(Unary::Sqrt | Unary::Rsqrt) | Op::FloatPair(Binary::Div) => 4.0,
        Op::Float(_) => 12.0,
        Op::FloatPair(Binary::Pow) => 40.0,
        _ => 1.0,
    }
}
