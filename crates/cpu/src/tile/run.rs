//! Runs tile code: one pass over the tile for each instruction, every pass the same vector loop.

use super::code::{Instr, Op, Width};
use super::math;
use crate::isa::{Isa, Loops};
use crate::simd::lane::{Byte, Float, Int, Lane, Truth};
use crate::simd::{SPLAT, Simd};
use rhyton_graph::ops::{Binary, Unary};

/// An operand over a tile: element (r, c) is at `ptr + r * row + c * step * bytes`. With step 0 a vector's worth
/// of equal values lies at the start of the row.
#[derive(Clone, Copy, Debug)]
pub struct Operand {
    /// First element.
    pub ptr: *mut u8,
    /// Bytes from row to row.
    pub row: isize,
    /// 1, or 0 for a replicated scalar.
    pub step: usize,
}

impl Operand {
    /// Nothing yet.
    pub const NONE: Operand = Operand { ptr: std::ptr::null_mut(), row: 0, step: 0 };
}

/// One instruction's operands and extent.
#[derive(Clone, Copy)]
struct Pass {
    d: Operand,
    a: Operand,
    b: Operand,
    c: Operand,
    rows: usize,
    cols: usize,
}

/// `body` at every element: full vectors, then the rest of the row with the same code on part of a vector.
macro_rules! each {
    ($p:ident, $out:ident; $($arg:ident => $x:ident: $lane:ident),+; $body:expr) => {{
        let whole = $p.cols - $p.cols % S::LANES;
        for r in 0..$p.rows {
            let d = $p.d.ptr.offset(r as isize * $p.d.row);
            $(let $arg = $p.$arg.ptr.offset(r as isize * $p.$arg.row);)+
            let mut i = 0;
            while i < whole {
                $(let $x = <$lane<S> as Lane<S>>::get($arg.add(i * $p.$arg.step * <$lane<S> as Lane<S>>::BYTES));)+
                <$out<S> as Lane<S>>::put(d.add(i * <$out<S> as Lane<S>>::BYTES), $body);
                i += S::LANES;
            }
            if i < $p.cols {
                let n = $p.cols - i;
                $(let $x = <$lane<S> as Lane<S>>::get_part($arg.add(i * $p.$arg.step * <$lane<S> as Lane<S>>::BYTES), n);)+
                <$out<S> as Lane<S>>::put_part(d.add(i * <$out<S> as Lane<S>>::BYTES), n, $body);
            }
        }
    }};
}

#[inline(always)]
unsafe fn float<S: Simd>(u: Unary, p: Pass) {
    // SAFETY: the caller promises the instruction set and operands that cover the pass.
    unsafe {
        match u {
            Unary::Neg => each!(p, Float; a => x: Float; math::neg::<S>(x)),
            Unary::Abs => each!(p, Float; a => x: Float; math::abs::<S>(x)),
            Unary::Sign => each!(p, Float; a => x: Float; math::sign::<S>(x)),
            Unary::Exp => each!(p, Float; a => x: Float; math::exp::<S>(x)),
            Unary::Expm1 => each!(p, Float; a => x: Float; math::expm1::<S>(x)),
            Unary::Log => each!(p, Float; a => x: Float; math::log::<S>(x)),
            Unary::Log1p => each!(p, Float; a => x: Float; math::log1p::<S>(x)),
            Unary::Sqrt => each!(p, Float; a => x: Float; S::sqrt(x)),
            Unary::Rsqrt => each!(p, Float; a => x: Float; S::div(S::splat(1.0), S::sqrt(x))),
            Unary::Sin => each!(p, Float; a => x: Float; math::sin::<S>(x)),
            Unary::Cos => each!(p, Float; a => x: Float; math::cos::<S>(x)),
            Unary::Tanh => each!(p, Float; a => x: Float; math::tanh::<S>(x)),
            Unary::Sigmoid => each!(p, Float; a => x: Float; math::sigmoid::<S>(x)),
            Unary::Erf => each!(p, Float; a => x: Float; math::erf::<S>(x)),
            Unary::Floor => each!(p, Float; a => x: Float; S::floor(x)),
            Unary::Round => each!(p, Float; a => x: Float; S::round(x)),
            Unary::IsFinite => {
                each!(p, Truth; a => x: Float; S::lt(math::abs::<S>(x), S::splat(f32::INFINITY)))
            }
            Unary::Not | Unary::StopGradient | Unary::Copy => each!(p, Float; a => x: Float; x),
        }
    }
}

#[inline(always)]
unsafe fn float_pair<S: Simd>(b: Binary, p: Pass) {
    // SAFETY: as for `float`.
    unsafe {
        match b {
            Binary::Add => each!(p, Float; a => x: Float, b => y: Float; S::add(x, y)),
            Binary::Sub => each!(p, Float; a => x: Float, b => y: Float; S::sub(x, y)),
            Binary::Mul => each!(p, Float; a => x: Float, b => y: Float; S::mul(x, y)),
            Binary::Div => each!(p, Float; a => x: Float, b => y: Float; S::div(x, y)),
            Binary::Max => each!(p, Float; a => x: Float, b => y: Float; math::max_nan::<S>(x, y)),
            Binary::Min => each!(p, Float; a => x: Float, b => y: Float; math::min_nan::<S>(x, y)),
            Binary::Pow => each!(p, Float; a => x: Float, b => y: Float; math::pow::<S>(x, y)),
            Binary::Less => each!(p, Truth; a => x: Float, b => y: Float; S::lt(x, y)),
            Binary::LessEqual => each!(p, Truth; a => x: Float, b => y: Float; S::le(x, y)),
            Binary::Equal => each!(p, Truth; a => x: Float, b => y: Float; S::eq(x, y)),
            // Not defined for numbers: no plan holds them.
            Binary::And | Binary::Or => {}
        }
    }
}

#[inline(always)]
unsafe fn int<S: Simd>(u: Unary, p: Pass) {
    // SAFETY: as for `float`.
    unsafe {
        let zero = S::isplat(0);
        match u {
            Unary::Neg => each!(p, Int; a => x: Int; S::isub(zero, x)),
            Unary::Abs => each!(p, Int; a => x: Int; S::imax(x, S::isub(zero, x))),
            Unary::Sign => {
                each!(p, Int; a => x: Int; S::imax(S::isplat(-1), S::imin(S::isplat(1), x)))
            }
            _ => each!(p, Int; a => x: Int; x),
        }
    }
}

#[inline(always)]
unsafe fn int_pair<S: Simd>(b: Binary, p: Pass) {
    // SAFETY: as for `float`.
    unsafe {
        match b {
            Binary::Add => each!(p, Int; a => x: Int, b => y: Int; S::iadd(x, y)),
            Binary::Sub => each!(p, Int; a => x: Int, b => y: Int; S::isub(x, y)),
            Binary::Mul => each!(p, Int; a => x: Int, b => y: Int; S::imul(x, y)),
            Binary::Max => each!(p, Int; a => x: Int, b => y: Int; S::imax(x, y)),
            Binary::Min => each!(p, Int; a => x: Int, b => y: Int; S::imin(x, y)),
            Binary::Less => each!(p, Truth; a => x: Int, b => y: Int; S::ilt(x, y)),
            Binary::LessEqual => each!(p, Truth; a => x: Int, b => y: Int; S::mnot(S::ilt(y, x))),
            Binary::Equal => each!(p, Truth; a => x: Int, b => y: Int; S::ieq(x, y)),
            // Not defined for integers: no plan holds them.
            Binary::Div | Binary::Pow | Binary::And | Binary::Or => {}
        }
    }
}

#[inline(always)]
unsafe fn truth_pair<S: Simd>(b: Binary, p: Pass) {
    // SAFETY: as for `float`.
    unsafe {
        match b {
            Binary::And => each!(p, Truth; a => x: Truth, b => y: Truth; S::mand(x, y)),
            Binary::Or => each!(p, Truth; a => x: Truth, b => y: Truth; S::mor(x, y)),
            // Equal; the others are not defined for booleans.
            _ => each!(p, Truth; a => x: Truth, b => y: Truth;
                S::mor(S::mand(x, y), S::mnot(S::mor(x, y)))),
        }
    }
}

/// Truncation that saturates; NaN becomes 0.
#[inline(always)]
pub(crate) unsafe fn to_int<S: Simd>(x: S::F) -> S::I {
    // SAFETY: as for `float`.
    unsafe {
        let y = S::iselect(S::le(S::splat(2_147_483_648.0), x), S::isplat(i32::MAX), S::to_int(x));
        S::iselect(S::eq(x, x), y, S::isplat(0))
    }
}

/// The nearest int8.
#[inline(always)]
unsafe fn clamp<S: Simd>(x: S::I) -> S::I {
    // SAFETY: as for `float`.
    unsafe { S::imax(S::isplat(i8::MIN.into()), S::imin(S::isplat(i8::MAX.into()), x)) }
}

/// Conversions from and to int8.
#[inline(always)]
unsafe fn bytewise<S: Simd>(op: Op, p: Pass) {
    // SAFETY: as for `float`.
    unsafe {
        match op {
            Op::FloatToByte => each!(p, Byte; a => x: Float; clamp::<S>(to_int::<S>(x))),
            Op::IntToByte => each!(p, Byte; a => x: Int; clamp::<S>(x)),
            Op::TruthToByte => each!(p, Byte; a => m: Truth; S::iselect(m, S::isplat(1), S::isplat(0))),
            Op::ByteToFloat => each!(p, Float; a => x: Byte; S::to_float(x)),
            Op::ByteToInt => each!(p, Int; a => x: Byte; x),
            Op::UnsignedByteToFloat => each!(p, Float; a => x: Byte; S::to_float(S::iand(x, S::isplat(255)))),
            Op::UnsignedByteToInt => each!(p, Int; a => x: Byte; S::iand(x, S::isplat(255))),
            Op::ByteToTruth => each!(p, Truth; a => x: Byte; S::mnot(S::ieq(x, S::isplat(0)))),
            _ => each!(p, Byte; a => x: Byte; x),
        }
    }
}

#[inline(always)]
unsafe fn pass<S: Simd>(op: Op, p: Pass) {
    // SAFETY: as for `float`.
    unsafe {
        let one = || S::bits(S::splat(1.0));
        match op {
            Op::Float(u) => float::<S>(u, p),
            Op::FloatPair(b) => float_pair::<S>(b, p),
            Op::MulAdd => {
                each!(p, Float; a => x: Float, b => y: Float, c => z: Float; S::add(S::mul(x, y), z))
            }
            Op::MulSub => {
                each!(p, Float; a => x: Float, b => y: Float, c => z: Float; S::sub(S::mul(x, y), z))
            }
            Op::SubMul => {
                each!(p, Float; a => x: Float, b => y: Float, c => z: Float; S::sub(z, S::mul(x, y)))
            }
            Op::Int(u) => int::<S>(u, p),
            Op::IntPair(b) => int_pair::<S>(b, p),
            Op::Not => each!(p, Truth; a => x: Truth; S::mnot(x)),
            Op::TruthPair(b) => truth_pair::<S>(b, p),
            Op::SelectNumber => {
                each!(p, Float; a => m: Truth, b => x: Float, c => y: Float; S::select(m, x, y))
            }
            Op::SelectTruth => each!(p, Truth; a => m: Truth, b => x: Truth, c => y: Truth;
                S::mor(S::mand(m, x), S::mand(S::mnot(m), y))),
            Op::FloatToInt => each!(p, Int; a => x: Float; to_int::<S>(x)),
            Op::FloatToHalf => {
                each!(p, Int; a => x: Float; S::iand(S::rounded(x), S::isplat(0xffff_0000_u32 as i32)))
            }
            Op::IntToFloat => each!(p, Float; a => x: Int; S::to_float(x)),
            Op::FloatToTruth => each!(p, Truth; a => x: Float; S::mnot(S::eq(x, S::splat(0.0)))),
            Op::IntToTruth => each!(p, Truth; a => x: Int; S::mnot(S::ieq(x, S::isplat(0)))),
            Op::TruthToFloat => {
                each!(p, Int; a => m: Truth; S::iselect(m, one(), S::isplat(0)))
            }
            Op::TruthToInt => each!(p, Int; a => m: Truth; S::iselect(m, S::isplat(1), S::isplat(0))),
            Op::FloatToByte | Op::IntToByte | Op::TruthToByte | Op::CopyByte => bytewise::<S>(op, p),
            Op::ByteToFloat | Op::ByteToInt | Op::ByteToTruth => bytewise::<S>(op, p),
            Op::UnsignedByteToFloat | Op::UnsignedByteToInt => bytewise::<S>(op, p),
            Op::CopyNumber => each!(p, Int; a => x: Int; x),
            Op::CopyTruth => each!(p, Truth; a => x: Truth; x),
        }
    }
}

/// Bytes of an element read by argument `k` of an operation, then of the result.
fn bytes(op: Op) -> ([usize; 3], usize) {
    match op {
        Op::Not | Op::TruthPair(_) | Op::SelectTruth | Op::CopyTruth | Op::CopyByte => ([1; 3], 1),
        Op::TruthToByte | Op::ByteToTruth => ([1; 3], 1),
        Op::FloatToByte | Op::IntToByte => ([4; 3], 1),
        Op::ByteToFloat | Op::ByteToInt => ([1; 3], 4),
        Op::UnsignedByteToFloat | Op::UnsignedByteToInt => ([1; 3], 4),
        Op::SelectNumber => ([1, 4, 4], 4),
        Op::FloatToTruth | Op::IntToTruth | Op::Float(Unary::IsFinite) => ([4; 3], 1),
        Op::TruthToFloat | Op::TruthToInt => ([1; 3], 4),
        Op::FloatPair(b) | Op::IntPair(b) if b.is_bool() => ([4; 3], 1),
        _ => ([4; 3], 4),
    }
}

fn arity(op: Op) -> usize {
    match op {
        Op::FloatPair(_) | Op::IntPair(_) | Op::TruthPair(_) => 2,
        Op::SelectNumber | Op::SelectTruth | Op::MulAdd | Op::MulSub | Op::SubMul => 3,
        _ => 1,
    }
}

#[inline(always)]
unsafe fn run_all<S: Simd>(instrs: &[Instr], operands: *const Operand, rows: usize, cols: usize) {
    for i in instrs {
        // SAFETY: the assembler numbers operands within the table, and the caller filled it for this tile.
        unsafe {
            let at = |k: u16| *operands.add(usize::from(k));
            let mut p =
                Pass { d: at(i.dst), a: at(i.args[0]), b: at(i.args[1]), c: at(i.args[2]), rows, cols };
            match i.width {
                Width::One => (p.rows, p.cols) = (1, SPLAT),
                Width::Row => p.cols = SPLAT,
                Width::Full if rows > 1 => {
                    // Rows that follow one another without gaps are one long row.
                    let (sizes, out) = bytes(i.op);
                    let dense = |o: Operand, size: usize| {
                        (o.step == 1 && o.row == (cols * size) as isize) || (o.step == 0 && o.row == 0)
                    };
                    let n = arity(i.op);
                    let all = dense(p.d, out)
                        && dense(p.a, sizes[0])
                        && (n < 2 || dense(p.b, sizes[1]))
                        && (n < 3 || dense(p.c, sizes[2]));
                    if all {
                        (p.rows, p.cols) = (1, rows * cols);
                    }
                }
                Width::Full => {}
            }
            pass::<S>(i.op, p);
        }
    }
}

/// Code and the tile it runs over.
struct Job<'a> {
    instrs: &'a [Instr],
    operands: *const Operand,
    rows: usize,
    cols: usize,
}

impl Loops for Job<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        // SAFETY: the caller of `run` vouches for the operands.
        unsafe { run_all::<S>(self.instrs, self.operands, self.rows, self.cols) }
    }
}

/// Runs `instrs` over a tile.
///
/// # Safety
/// Each operand an instruction names must be valid over `rows` x `cols` (replicated ones over a vector), and the
/// machine must have `isa`.
pub unsafe fn run(isa: Isa, instrs: &[Instr], operands: *const Operand, rows: usize, cols: usize) {
    if !instrs.is_empty() {
        isa.run(Job { instrs, operands, rows, cols });
    }
}
