//! Where values live: which get a buffer, which part of a joined buffer their own kernel writes, and which results
//! replace a state parameter in place.

use super::graph::{Graph, Kind, Value, must};
use super::groups::{Groups, leaves};
use super::join;
use super::recompute::Recomputed;
use crate::access::Access;
use crate::expr::Expr;
use crate::ops::{Control, Op};
use crate::plan::{Buffer, BufferId, Place};
use rhyton_tensor::Result;
use std::collections::{HashMap, HashSet};

/// A part of a joined value that the kernel of the part writes itself.
pub struct Placement {
    /// The joined node.
    pub join: usize,
    /// Where, over the index space of the part's kernel.
    pub access: Access,
}

/// Where everything lives.
#[derive(Default)]
pub struct Storage {
    pub buffers: Vec<Buffer>,
    /// The buffers of values in memory.
    pub of: HashMap<Value, BufferId>,
    pub placements: HashMap<Value, Vec<Placement>>,
    /// (joined node, input) pairs that are placed.
    pub placed: HashSet<(usize, usize)>,
    /// Groups that copy a value into a parameter when all else is done.
    pub copies: HashMap<usize, (Value, BufferId)>,
    pub inputs: Vec<BufferId>,
    pub outputs: Vec<BufferId>,
}

/// Who reads a value: group, at the same index.
type Readers = HashMap<Value, Vec<(usize, bool)>>;

/// Decides for every value.
pub fn assign(g: &Graph, r: &Recomputed, groups: &mut Groups, updates: &[(usize, usize)]) -> Result<Storage> {
    let mut s = Storage::default();
    s.given(g);
    s.place_parts(g, groups);
    let readers = readers(g, r, groups);
    let in_place = s.in_place(g, groups, updates, &readers)?;
    s.outputs = vec![0; g.function.results.len()];
    for node in 0..g.nodes.len() {
        if groups.of[node].is_some() {
            s.store(g, groups, node, &readers, &in_place)?;
        }
    }
    for (i, result) in g.function.results.iter().enumerate() {
        s.outputs[i] = *must(s.of.get(&g.resolve(result).0), "a result is not stored")?;
    }
    s.copy_late(g, groups, updates, &readers, &in_place)?;
    Ok(s)
}

fn readers(g: &Graph, r: &Recomputed, groups: &Groups) -> Readers {
    let mut readers: Readers = HashMap::new();
    for node in 0..g.nodes.len() {
        if let Some(group) = groups.of[node] {
            for (value, same) in leaves(g, r, node) {
                readers.entry(value).or_default().push((group, same));
            }
        }
    }
    readers
}

impl Storage {
    fn buffer(&mut self, e: &Expr, place: Place) -> BufferId {
        self.buffers.push(Buffer { dtype: e.dtype(), shape: e.shape().clone(), place });
        self.buffers.len() - 1
    }

    /// Parameters and constants.
    fn given(&mut self, g: &Graph) {
        for (i, p) in g.function.params.iter().enumerate() {
            let buffer = self.buffer(p, Place::Input(i));
            self.inputs.push(buffer);
            self.of.insert((i, 0), buffer);
        }
        for (node, e) in g.nodes.iter().enumerate() {
            if let Op::Control(Control::Literal(l)) = e.op() {
                let buffer = self.buffer(e, Place::Constant(l.clone()));
                self.of.insert((node, 0), buffer);
            }
        }
    }

    /// Parts of joined values that their kernels can write where they belong.
    fn place_parts(&mut self, g: &Graph, groups: &Groups) {
        let mut written: HashMap<usize, usize> = HashMap::new();
        for node in (0..g.nodes.len()).filter(|n| g.kinds[*n] == Kind::Join) {
            let targets = join::targets(g, node);
            for (part, (input, target)) in g.nodes[node].inputs().iter().zip(targets).enumerate() {
                let (base, path) = g.resolve(input);
                let writes_views = groups.of[base.0]
                    .is_some_and(|i| matches!(groups.groups[i].kind, Kind::Pointwise | Kind::Dot));
                if !writes_views || join::fills(g, node) {
                    continue;
                }
                let kernel = written.entry(groups.of[base.0].unwrap_or_default()).or_default();
                if *kernel == g.limits.placed {
                    continue;
                }
                if let Some(access) = join::placement(g, target, &path) {
                    *kernel += 1;
                    self.placements.entry(base).or_default().push(Placement { join: node, access });
                    self.placed.insert((node, part));
                }
            }
        }
    }

    /// (value to parameter) for the results that replace their parameter directly: everyone else who reads the
    /// old value can run before the kernel that writes, and that kernel reads it at most where it writes.
    fn in_place(
        &self,
        g: &Graph,
        groups: &mut Groups,
        updates: &[(usize, usize)],
        readers: &Readers,
    ) -> Result<HashMap<Value, usize>> {
        let mut found = HashMap::new();
        for (result, param) in updates {
            let (value, _) = g.resolve(&g.function.results[*result]);
            let Some(writer) = groups.of[value.0] else { continue };
            let kind = groups.groups[writer].kind;
            let reads = readers.get(&(*param, 0)).map(Vec::as_slice).unwrap_or_default();
            let mut others: Vec<usize> = reads.iter().map(|(i, _)| *i).filter(|i| *i != writer).collect();
            others.sort_unstable();
            others.dedup();
            let own_fits = reads.iter().all(|(i, same)| *i != writer || (*same && kind.fuses()));
            if kind != Kind::Join && own_fits && !groups.order.reaches(writer, &others) {
                others.iter().for_each(|o| groups.order.edge(*o, writer, false));
                found.insert(value, *param);
            }
        }
        Ok(found)
    }

    /// Buffers of the values of one node that are read elsewhere.
    fn store(
        &mut self,
        g: &Graph,
        groups: &Groups,
        node: usize,
        readers: &Readers,
        in_place: &HashMap<Value, usize>,
    ) -> Result<()> {
        for out in 0..g.nodes[node].node().outs.len() {
            let value = (node, out);
            if let Some(param) = in_place.get(&value) {
                self.of.insert(value, self.inputs[*param]);
                continue;
            }
            let result = g.result_of.get(&value).copied();
            let own = groups.of[node];
            let fused = own.is_some_and(|i| groups.groups[i].kind.fuses());
            let placed = self.placements.get(&value).map_or(0, Vec::len);
            let elsewhere =
                readers.get(&value).map_or(0, |all| all.iter().filter(|(i, _)| Some(*i) != own).count());
            if fused && result.is_none() && elsewhere <= placed {
                continue;
            }
            let place = result.map_or(Place::Temp, Place::Output);
            let buffer = self.buffer(&g.value(value), place);
            self.of.insert(value, buffer);
        }
        Ok(())
    }

    /// Updates that could not happen in place: the result is stored elsewhere and copied when nobody reads the
    /// old value any more.
    fn copy_late(
        &mut self,
        g: &Graph,
        groups: &mut Groups,
        updates: &[(usize, usize)],
        readers: &Readers,
        in_place: &HashMap<Value, usize>,
    ) -> Result<()> {
        for (result, param) in updates {
            let (value, _) = g.resolve(&g.function.results[*result]);
            self.outputs[*result] = self.inputs[*param];
            if value == (*param, 0) || in_place.get(&value) == Some(param) {
                continue;
            }
            let from = *must(self.of.get(&value), "an update is not stored")?;
            if let Place::Output(_) = self.buffers[from].place {
                self.buffers[from].place = Place::Temp;
            }
            let e = g.value(value);
            let copy = groups.push(Kind::Kernel, e.shape().clone());
            let writer = groups.of[value.0];
            for before in readers.get(&(*param, 0)).into_iter().flatten().map(|(i, _)| *i).chain(writer) {
                groups.order.edge(before, copy, false);
            }
            self.copies.insert(copy, (value, self.inputs[*param]));
        }
        Ok(())
    }
}
