//! Joined buffers: concatenation, padding, copies in another order. Every part is a piece of the buffer seen as a
//! strided view; the kernel of a part writes there itself where it can.

use super::graph::Graph;
use crate::access::Access;
use crate::expr::Expr;
use crate::ops::{Movement, Op};
use rhyton_tensor::{Dim, Shape};

/// True when the buffer must be filled before parts are written: spread entries leave gaps.
pub fn fills(g: &Graph, node: usize) -> bool {
    matches!(g.op(node), Op::Movement(Movement::Pad { between, .. }) if *between > 0)
}

/// Every `step`-th entry of `axis` from `start` on, of the whole buffer.
pub fn piece(shape: &Shape, axis: usize, start: &Dim, step: usize) -> Access {
    let mut access = Access::contiguous(shape);
    if let Some(stride) = access.strides.get_mut(axis) {
        access.offset = start.clone() * &*stride;
        *stride = stride.clone() * step;
    }
    access
}

/// Where each input of a joined node lies in its buffer, over the shape of the input.
pub fn targets(g: &Graph, node: usize) -> Vec<Access> {
    let e = &g.nodes[node];
    match e.op() {
        Op::Movement(Movement::Concat { axis }) => {
            let mut at = Dim::default();
            let target = |part: &Expr| {
                let start = at.clone();
                at = start.clone() + &part.shape()[*axis];
                piece(e.shape(), *axis, &start, 1)
            };
            e.inputs().iter().map(target).collect()
        }
        Op::Movement(Movement::Pad { axis, lo, between, .. }) => {
            vec![piece(e.shape(), *axis, lo, between + 1)]
        }
        _ => vec![Access::contiguous(e.shape())],
    }
}

/// The same over the index space of the value that the part is a reordering of; `None` when strides cannot say it.
pub fn placement(g: &Graph, target: Access, path: &[usize]) -> Option<Access> {
    let mut access = target;
    for v in path.iter().rev() {
        let e = &g.nodes[*v];
        let (from, to) = (e.inputs()[0].shape(), e.shape());
        let back = match e.op() {
            Op::Movement(Movement::Reshape { .. }) => Movement::Reshape { shape: from.clone() },
            Op::Movement(Movement::Transpose { axes }) => {
                let mut inverse = vec![0; axes.len()];
                axes.iter().enumerate().for_each(|(i, a)| inverse[*a] = i);
                Movement::Transpose { axes: inverse }
            }
            Op::Movement(Movement::Flip { axis }) => Movement::Flip { axis: *axis },
            _ => return None,
        };
        access = access.through(&back, to, from)?;
    }
    Some(access)
}
