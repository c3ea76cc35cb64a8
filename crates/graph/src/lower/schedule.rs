//! The order of the kernels: one that respects what must run before what and keeps little memory alive. A kernel
//! that frees at least as much as it needs runs as soon as it can; the others in the order of the graph.

use super::graph::{Graph, Value};
use super::groups::Groups;
use super::storage::Storage;
use crate::plan::Place;
use rhyton_tensor::{Bindings, memory};
use std::collections::{BTreeMap, BTreeSet};

/// Groups in the order they run.
pub fn schedule(g: &Graph, groups: &Groups, storage: &Storage) -> Vec<usize> {
    let all: Vec<usize> = groups.alive().chain(storage.copies.keys().copied()).collect();
    let last = |i: &usize| groups.groups[*i].nodes.iter().max().copied().unwrap_or(usize::MAX);
    let mut waiting: BTreeMap<usize, usize> =
        all.iter().map(|i| (*i, groups.order.before(*i).len())).collect();
    let mut ready: BTreeSet<(usize, usize)> =
        all.iter().filter(|i| waiting[i] == 0).map(|i| (last(i), *i)).collect();
    let mut memory = Memory::new(g, groups, storage);
    // Those of `ready` that free at least as much as they need. A group gets there and never leaves again.
    let mut frugal: BTreeSet<(usize, usize)> =
        ready.iter().copied().filter(|(_, i)| memory.grows_by(*i) <= 0).collect();
    let mut order = Vec::new();
    while let Some(next) = frugal.first().or(ready.first()).copied() {
        ready.remove(&next);
        frugal.remove(&next);
        order.push(next.1);
        let mut cheaper = memory.run(next.1);
        for after in groups.order.after(next.1) {
            if let Some(n) = waiting.get_mut(after) {
                *n -= 1;
                if *n == 0 {
                    ready.insert((last(after), *after));
                    cheaper.push(*after);
                }
            }
        }
        let at = cheaper.into_iter().filter(|i| memory.grows_by(*i) <= 0).map(|i| (last(&i), i));
        frugal.extend(at.filter(|place| ready.contains(place)));
    }
    order
}

/// Sizes of what groups write and free.
struct Memory {
    writes: BTreeMap<usize, i64>,
    /// For each group the values it reads, with their sizes.
    reads: BTreeMap<usize, Vec<(Value, i64)>>,
    /// The groups that read each value, without those that ran.
    readers: BTreeMap<Value, BTreeSet<usize>>,
}

impl Memory {
    fn new(g: &Graph, groups: &Groups, storage: &Storage) -> Memory {
        let (mut writes, mut reads, mut readers) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for (value, buffer) in &storage.of {
            let b = &storage.buffers[*buffer];
            let Some(writer) = groups.of[value.0].filter(|_| b.place == Place::Temp) else { continue };
            let size = bytes(&b.shape, b.dtype.size_bytes());
            *writes.entry(writer).or_insert(0) += size;
            let mut seen: BTreeSet<usize> = BTreeSet::new();
            for u in &g.uses[value.0] {
                // What is recomputed reads where its readers are; the direct group is close enough.
                if let Some(group) = groups.of[u.consumer].filter(|i| *i != writer && u.out == value.1)
                    && seen.insert(group)
                {
                    reads.entry(group).or_insert_with(Vec::new).push((*value, size));
                }
            }
            readers.insert(*value, seen);
        }
        Memory { writes, reads, readers }
    }

    fn grows_by(&self, group: usize) -> i64 {
        let freed: i64 = self
            .reads
            .get(&group)
            .into_iter()
            .flatten()
            .filter(|(v, _)| self.readers.get(v).is_some_and(|r| r.len() == 1))
            .map(|(_, size)| size)
            .sum();
        self.writes.get(&group).copied().unwrap_or(0) - freed
    }

    /// Notes that `group` ran; returns the groups that now are the last to read a value.
    fn run(&mut self, group: usize) -> Vec<usize> {
        let mut last = vec![];
        for (value, _) in self.reads.get(&group).into_iter().flatten() {
            if let Some(readers) = self.readers.get_mut(value)
                && readers.remove(&group)
                && readers.len() == 1
            {
                last.extend(readers.first());
            }
        }
        last
    }
}

fn bytes(shape: &rhyton_tensor::Shape, size: usize) -> i64 {
    // Any plausible sizes do: they only rank the choices.
    let mut names = BTreeSet::new();
    shape.iter().for_each(|d| d.symbols(&mut names));
    let sample: Bindings = names.into_iter().map(|n| (n, 32)).collect();
    // So large a value is refused before the plan runs.
    let elements = shape.eval(&sample).and_then(|s| memory::elements(&s).ok());
    elements.map_or(0, |n| (n * size) as i64)
}
