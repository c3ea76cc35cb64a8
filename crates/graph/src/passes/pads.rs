//! The gradient of cutting a value into pieces is a sum of the pieces' gradients, each padded with zeros to full
//! size. This finds such sums, so that `canonicalize` can join the pieces instead of adding up zeros.

use crate::expr::Expr;
use crate::ops::{Binary, Elementwise, Movement, Op, Scalar};
use rhyton_tensor::Dim;

/// At most so many pieces are looked at: cells have a few gates.
const MAX_PIECES: usize = 32;

/// Pieces that touch each other along an axis, with zeros before and after.
pub struct Run {
    pub axis: usize,
    pub parts: Vec<Expr>,
    pub lo: Dim,
    pub hi: Dim,
}

/// `a + b` as one run of pieces in zeros; `None` when it is not.
pub fn join(a: &Expr, b: &Expr) -> Option<Run> {
    let mut pieces: Vec<Run> = Vec::new();
    let mut pending = vec![b.clone(), a.clone()];
    while let Some(e) = pending.pop() {
        match e.op() {
            Op::Elementwise(Elementwise::Binary(Binary::Add)) => {
                pending.extend(e.inputs().iter().rev().cloned())
            }
            Op::Movement(Movement::Pad {
                axis,
                lo,
                hi,
                between: 0,
                value: Scalar::F32(v) | Scalar::BF16(v),
            }) if *v == 0.0 => {
                let parts = e.inputs().to_vec();
                pieces.push(Run { axis: *axis, parts, lo: lo.clone(), hi: hi.clone() });
            }
            _ => return None,
        }
        if pieces.len() + pending.len() > MAX_PIECES {
            return None;
        }
    }
    // Grows a run at both ends until every piece has found its place.
    let mut run = pieces.pop()?;
    let end = |r: &Run| r.parts.iter().fold(r.lo.clone(), |at, p| at + &p.shape()[r.axis]);
    while !pieces.is_empty() {
        let next =
            pieces.iter().position(|p| p.axis == run.axis && (p.lo == end(&run) || end(p) == run.lo))?;
        let piece = pieces.swap_remove(next);
        if piece.lo == end(&run) {
            run.hi = piece.hi;
            run.parts.extend(piece.parts);
        } else {
            run.lo = piece.lo;
            run.parts.splice(0..0, piece.parts);
        }
    }
    Some(run)
}
