//! Which nodes share a kernel. Elementwise nodes join the kernel that computes what they read, when they read it
//! element by element over the same index space and nothing in between depends on that kernel: chains become one
//! loop with several outputs, and what follows a product happens on its way to memory. Folds of the same elements are
//! one pass.

use super::graph::{Graph, Kind, Value};
use super::order::Order;
use super::recompute::Recomputed;
use crate::backend::Limits;
use crate::expr::Expr;
use crate::ops::{Elementwise, Op, Reduce, Unary};
use rhyton_tensor::Shape;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Nodes computed by one kernel.
pub struct Group {
    pub kind: Kind,
    /// The index space of elementwise members.
    pub space: Shape,
    /// In topological order, except that a product comes first.
    pub nodes: Vec<usize>,
    /// What they count together against [`Limits::fused`].
    size: usize,
}

/// All groups; those merged into others are empty.
pub struct Groups {
    limits: Limits,
    /// What each node counts against [`Limits::fused`].
    weights: Vec<usize>,
    pub groups: Vec<Group>,
    pub order: Order,
    /// The group of each stored node.
    pub of: Vec<Option<usize>>,
}

/// What `node` reads from memory or from its own kernel, through what is recomputed inside it; and whether at
/// its own index.
pub fn leaves(g: &Graph, r: &Recomputed, node: usize) -> Vec<(Value, bool)> {
    let mut found = vec![];
    let mut pending: Vec<(usize, bool)> = vec![(node, g.kinds[node] == Kind::Pointwise)];
    // What is read twice by what is read twice is still looked into once.
    let mut seen = HashSet::new();
    while let Some((n, same)) = pending.pop() {
        for input in g.nodes[n].inputs() {
            let (base, path) = g.resolve(input);
            let same = same && path.is_empty();
            if r.is(base.0) {
                if seen.insert((base.0, same)) {
                    pending.push((base.0, same));
                }
            } else {
                found.push((base, same));
            }
        }
    }
    found
}

/// Assigns every stored node to a group. Each node has its weight, at least 1; groups of heavy nodes are smaller.
pub fn assign(g: &Graph, r: &Recomputed, weights: &[usize]) -> Groups {
    let mut all = Groups {
        limits: g.limits,
        weights: weights.to_vec(),
        groups: vec![],
        order: Order::default(),
        of: vec![None; g.nodes.len()],
    };
    for node in 0..g.nodes.len() {
        if !matches!(g.kinds[node], Kind::Source | Kind::View) && !r.is(node) {
            all.place(g, r, node);
        }
    }
    all.merge_siblings();
    all.merge_readers(g, r);
    all.merge_small(g);
    all.merge_folds(g, r);
    all
}

/// What a reduction folds, and along which axes.
pub fn folded(e: &Expr) -> Option<(&Expr, &[usize])> {
    match e.op() {
        Op::Reduce(Reduce::Fold { axes, .. }) => Some((&e.inputs()[0], axes)),
        Op::Reduce(Reduce::ArgMax { axis }) => Some((&e.inputs()[0], std::slice::from_ref(axis))),
        _ => None,
    }
}

impl Groups {
    /// The groups that were not merged into others.
    pub fn alive(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.groups.len()).filter(|i| !self.groups[*i].nodes.is_empty())
    }

    pub fn push(&mut self, kind: Kind, space: Shape) -> usize {
        self.groups.push(Group { kind, space, nodes: vec![], size: 0 });
        self.order.push()
    }

    fn fuses(&self, group: usize) -> bool {
        self.groups[group].kind.fuses()
    }

    fn place(&mut self, g: &Graph, r: &Recomputed, node: usize) {
        let mut before: BTreeMap<usize, bool> = BTreeMap::new();
        for (value, same) in leaves(g, r, node) {
            if let Some(group) = self.of[value.0] {
                *before.entry(group).or_insert(true) &= same;
            }
        }
        let space = g.nodes[node].shape();
        let own = match g.kinds[node] {
            Kind::Pointwise => self.host(node, &before, space),
            _ => None,
        };
        let own = own.unwrap_or_else(|| self.push(g.kinds[node], space.clone()));
        self.groups[own].nodes.push(node);
        self.groups[own].size += self.weights[node];
        self.of[node] = Some(own);
        for (group, same) in before {
            // Groups may have merged while the host was found.
            let group = if self.groups[group].nodes.is_empty() { own } else { group };
            self.order.edge(group, own, same);
        }
    }

    /// The group that takes in an elementwise node which reads `before`.
    fn host(&mut self, node: usize, before: &BTreeMap<usize, bool>, space: &Shape) -> Option<usize> {
        let mut candidates: Vec<usize> = before.iter().filter(|(_, same)| **same).map(|(i, _)| *i).collect();
        candidates.retain(|c| {
            let size = self.groups[*c].size + self.weights[node];
            self.fuses(*c) && self.groups[*c].space == *space && size <= self.limits.fused
        });
        // The latest first: it depends on the others, if anything does.
        candidates.sort_unstable_by_key(|c| std::cmp::Reverse(self.groups[*c].nodes.last().copied()));
        let mut own = None;
        for c in candidates {
            let others: Vec<usize> = before
                .keys()
                .copied()
                .filter(|b| *b != c && Some(*b) != own && !self.groups[*b].nodes.is_empty())
                .collect();
            // None of what else the node reads may wait for its host.
            if !others.is_empty() && self.order.reaches(c, &others) {
                continue;
            }
            own = match own {
                None => Some(c),
                Some(own) => Some(self.try_merge(own, c).unwrap_or(own)),
            };
        }
        own
    }

    /// Makes one group of two over the same space, unless one waits for the other by way of a third, reads it at
    /// other indices, or both are products.
    fn try_merge(&mut self, a: usize, b: usize) -> Option<usize> {
        let plain = |i: usize| self.groups[i].kind == Kind::Pointwise;
        let size = self.groups[a].size + self.groups[b].size;
        let fit = self.groups[a].space == self.groups[b].space && self.fuses(a) && self.fuses(b);
        if !fit || !(plain(a) || plain(b)) || size > self.limits.fused || self.order.is_between(a, b) {
            return None;
        }
        let (keep, gone) = if plain(b) { (a, b) } else { (b, a) };
        self.merge(keep, gone);
        Some(keep)
    }

    /// Moves the nodes of one group to another; a product stays the first of them.
    fn merge(&mut self, keep: usize, gone: usize) {
        self.order.merge(keep, gone);
        let nodes = std::mem::take(&mut self.groups[gone].nodes);
        self.groups[keep].size += std::mem::take(&mut self.groups[gone].size);
        nodes.iter().for_each(|n| self.of[*n] = Some(keep));
        let group = &mut self.groups[keep];
        let first = usize::from(group.kind.has_epilogue());
        group.nodes.extend(nodes);
        group.nodes[first..].sort_unstable();
    }

    /// Reductions of the same space along the same axes that read an array of its size in common read it once.
    fn merge_folds(&mut self, g: &Graph, r: &Recomputed) {
        let mut known: HashMap<(Value, &Shape, &[usize]), Vec<usize>> = HashMap::new();
        for node in 0..g.nodes.len() {
            let (Some((input, axes)), Some(own)) = (folded(&g.nodes[node]), self.of[node]) else { continue };
            let mut values: Vec<Value> = leaves(g, r, node).into_iter().map(|(v, _)| v).collect();
            values.retain(|v| g.value(*v).shape().elements() == input.shape().elements());
            let found =
                values.iter().flat_map(|v| known.get(&(*v, input.shape(), axes)).into_iter().flatten());
            let fits = |other: &usize| {
                self.groups[*other].nodes.len() < self.limits.folds
                    && self.groups[*other].size + self.groups[own].size <= self.limits.fused
                    && !self.order.is_between(*other, own)
            };
            let other = found.copied().find(fits);
            if let Some(other) = other {
                self.merge(other, own);
            }
            for v in values {
                known.entry((v, input.shape(), axes)).or_default().push(other.unwrap_or(own));
            }
        }
    }

    /// Loops over the same space that read the same value element by element read it once.
    fn merge_readers(&mut self, g: &Graph, r: &Recomputed) {
        let mut last: BTreeMap<Value, usize> = BTreeMap::new();
        for node in 0..g.nodes.len() {
            if g.kinds[node] != Kind::Pointwise || r.is(node) {
                continue;
            }
            for (value, _) in leaves(g, r, node).into_iter().filter(|(_, same)| *same) {
                let Some(own) = self.of[node].filter(|i| self.groups[*i].kind == Kind::Pointwise) else {
                    continue;
                };
                let other = last.get(&value).and_then(|n| self.of[*n]);
                if let Some(other) = other.filter(|o| *o != own) {
                    self.try_merge(other, own);
                }
                last.insert(value, node);
            }
        }
    }

    /// Copies and arithmetic on single numbers run with another loop where they can: launching costs more than
    /// computing.
    fn merge_small(&mut self, g: &Graph) {
        let is_copy = |n: &usize| matches!(g.op(*n), Op::Elementwise(Elementwise::Unary(Unary::Copy)));
        let mut loops: HashMap<Shape, Vec<usize>> = HashMap::new();
        for i in 0..self.groups.len() {
            let Group { kind, space, nodes, .. } = &self.groups[i];
            if *kind != Kind::Pointwise || nodes.is_empty() {
                continue;
            }
            let small = space.rank() == 0 || nodes.iter().all(is_copy);
            let others = loops.entry(space.clone()).or_default();
            others.retain(|o| !self.groups[*o].nodes.is_empty());
            let small_other = |o: &usize| self.groups[*o].nodes.iter().all(is_copy);
            let near: Vec<usize> =
                others.iter().rev().take(8).copied().filter(|o| small || small_other(o)).collect();
            if !near.into_iter().any(|o| self.try_merge(o, i).is_some()) {
                others.push(i);
            }
        }
    }

    /// Loops over the same space whose results are read by the same kernel run as one.
    fn merge_siblings(&mut self) {
        for reader in 0..self.groups.len() {
            let mut loops: Vec<usize> = self.order.before(reader).keys().copied().collect();
            loops.retain(|l| self.groups[*l].kind == Kind::Pointwise);
            let mut merged: Vec<usize> = vec![];
            for l in loops {
                if !merged.iter().any(|m| self.try_merge(*m, l).is_some()) {
                    merged.push(l);
                }
            }
        }
    }
}
