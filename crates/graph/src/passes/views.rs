//! Copies become visible: wherever a value must lie in memory of its own and strides cannot say it, this pass puts
//! an identity node in between. After it, lowering never has to invent a buffer.
//!
//! Copied are: the input of a reshape that strides cannot say; operands that a kernel wants contiguous and that
//! are not; constants that a kernel reads from memory; results that are views, parameters or constants, or that
//! are results twice.

use super::Context;
use crate::access::{Access, view};
use crate::expr::{Expr, rewrite};
use crate::function::Function;
use crate::ops::{Class, Contract, Control, Elementwise, Movement, Op, Unary};
use std::collections::{HashMap, HashSet};

/// The pass.
pub fn views(f: &Function, cx: &Context) -> Vec<Expr> {
    let mut copies = Copies::default();
    let mut results = rewrite(&f.results, HashMap::new(), |e, inputs| {
        let inputs = match wants(e.op()) {
            Wants::Anything => inputs,
            Wants::Strides => inputs.iter().map(|i| copies.stored(i)).collect(),
            Wants::Contiguous => inputs.iter().map(|i| copies.contiguous(i)).collect(),
            Wants::Reshape => inputs.iter().map(|i| copies.reshapable(i, e)).collect(),
        };
        e.with_inputs(inputs)
    });
    let mut taken = HashSet::new();
    let updates: HashMap<usize, usize> = cx.updates.iter().copied().collect();
    for (i, r) in results.iter_mut().enumerate() {
        let own = updates.get(&i).is_some_and(|p| f.params[*p].key() == r.key());
        let virtual_or_given = matches!(r.op().class(), Class::View | Class::Source);
        // A state that stays as it is needs no copy.
        if !own && (virtual_or_given || !taken.insert(r.key())) {
            *r = copy(r);
        }
    }
    results
}

/// How an operation reads its inputs.
enum Wants {
    /// Element by element, wherever they come from.
    Anything,
    /// From memory, at any strides.
    Strides,
    /// From memory, one after the other.
    Contiguous,
    /// As this reshape says.
    Reshape,
}

fn wants(op: &Op) -> Wants {
    match (op.class(), op) {
        (_, Op::Movement(Movement::Reshape { .. })) => Wants::Reshape,
        (_, Op::Contract(Contract::Dot { .. })) => Wants::Strides,
        (Class::Anchor | Class::Kernel, _) => Wants::Contiguous,
        (Class::Elementwise | Class::View | Class::Join | Class::Reduce | Class::Source, _) => {
            Wants::Anything
        }
    }
}

fn copy(e: &Expr) -> Expr {
    e.with_op(Elementwise::Unary(Unary::Copy), vec![e.clone()])[0].clone()
}

fn is_constant(e: &Expr) -> bool {
    matches!(e.op(), Op::Control(Control::Scalar(_) | Control::Size(_)))
}

#[derive(Default)]
struct Copies {
    /// Of a view: what it views, and how that is read as if it lay in row-major order.
    seen: HashMap<(u64, usize), Option<(Expr, Access)>>,
    copied: HashMap<(u64, usize), Expr>,
}

impl Copies {
    /// Views of views may be many: the innermost that is known comes first, without recursion.
    fn resolve(&mut self, e: &Expr) -> Option<(Expr, Access)> {
        let mut pending = vec![e.clone()];
        while let Some(e) = pending.last().filter(|e| !self.seen.contains_key(&e.key())) {
            match view(e.op()) {
                Some(_) => pending.push(e.inputs()[0].clone()),
                None => break,
            }
        }
        let mut found = None;
        for e in pending.into_iter().rev() {
            found = match (self.seen.get(&e.key()), view(e.op())) {
                (Some(known), _) => known.clone(),
                (None, Some(m)) => found.and_then(|(base, a): (Expr, Access)| {
                    Some((base, a.through(m, e.inputs()[0].shape(), e.shape())?))
                }),
                (None, None) => Some((e.clone(), Access::contiguous(e.shape()))),
            };
            self.seen.insert(e.key(), found.clone());
        }
        found
    }

    fn copy(&mut self, e: &Expr) -> Expr {
        self.copied.entry(e.key()).or_insert_with(|| copy(e)).clone()
    }

    fn stored(&mut self, e: &Expr) -> Expr {
        match self.resolve(e) {
            Some((base, _)) if !is_constant(&base) => e.clone(),
            _ => self.copy(e),
        }
    }

    fn contiguous(&mut self, e: &Expr) -> Expr {
        match self.resolve(e) {
            Some((base, a)) if !is_constant(&base) && a.is_contiguous(e.shape()) => e.clone(),
            _ => self.copy(e),
        }
    }

    fn reshapable(&mut self, e: &Expr, reshape: &Expr) -> Expr {
        let Op::Movement(m) = reshape.op() else { return e.clone() };
        match self.resolve(e) {
            Some((base, a)) if is_constant(&base) || a.through(m, e.shape(), reshape.shape()).is_some() => {
                e.clone()
            }
            _ => self.copy(e),
        }
    }
}
