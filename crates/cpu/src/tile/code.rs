//! Code over tiles: every register has a place, every instruction a width and a time.

use rhyton_graph::ops::{Binary, Elementwise, Scalar, Unary};
use rhyton_graph::plan::{Program, Register, Step};
use rhyton_tensor::DType;

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
    /// One short row for all rows: repeated in a register, so that rows can be walked as one.
    Repeated,
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

    pub(super) fn width(self) -> Width {
        match self {
            Access::One => Width::One,
            Access::Row => Width::Row,
            Access::Unit | Access::Repeated | Access::Strided => Width::Full,
        }
    }
}

/// How often something must be read or computed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Stage {
    /// Once: the same single value in every tile.
    Once,
    /// Once for each patch: the same in every row.
    Patch,
    /// For every tile.
    Tile,
}

/// What a register holds before the code runs.
#[derive(Clone, Copy, Debug)]
pub enum Preload {
    /// A constant.
    Constant(Scalar),
    /// Something read.
    Read {
        /// How.
        access: Access,
        /// How often.
        stage: Stage,
    },
}

/// What an instruction does.
#[derive(Clone, Copy, PartialEq, Debug)]
#[allow(missing_docs)]
pub enum Op {
    Float(Unary),
    FloatPair(Binary),
    /// a * b + c, each rounded; so are the next two.
    MulAdd,
    /// a * b - c.
    MulSub,
    /// c - a * b.
    SubMul,
    Int(Unary),
    IntPair(Binary),
    Not,
    TruthPair(Binary),
    SelectNumber,
    SelectTruth,
    FloatToInt,
    /// To the nearest bfloat16, in float32.
    FloatToHalf,
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
    UnsignedByteToFloat,
    UnsignedByteToInt,
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
pub enum Location {
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
    /// Instructions that run once, then those that run for a patch, then those that run for every tile.
    pub instrs: Vec<Instr>,
    /// How many run once.
    pub once: usize,
    /// How many come before those for every tile.
    pub before: usize,
    /// Location of each operand: registers, then outputs.
    pub locations: Vec<Location>,
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

/// Whether a conversion leaves a register as it is: those of bfloat16 hold float32.
fn moves(from: DType, to: DType) -> bool {
    from == to || (from.is_float() && to == DType::F32)
}

/// The register whose value `r` holds: itself, unless it only moves another one.
pub fn origin(program: &Program, mut r: Register) -> Register {
    while let Some(i) = r.checked_sub(program.inputs.len()).map(|i| &program.code[i]) {
        match i.op {
            Step::Apply(Elementwise::Unary(Unary::Copy)) => r = i.args[0],
            Step::Apply(Elementwise::Cast(to)) if moves(dtype(program, i.args[0]), to) => r = i.args[0],
            _ => break,
        }
    }
    r
}
