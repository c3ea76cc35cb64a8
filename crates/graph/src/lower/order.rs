//! What must run before what, kept sorted while edges and merges come in (after Pearce and Kelly, "A dynamic
//! topological sort algorithm for directed acyclic graphs", 2006): asking whether a step would close a circle
//! looks only at what lies between.

use std::collections::{BTreeMap, BTreeSet, HashSet};

/// A graph without circles. An edge knows whether everything that crosses it is read at the same index.
#[derive(Default)]
pub struct Order {
    before: Vec<BTreeMap<usize, bool>>,
    after: Vec<BTreeSet<usize>>,
    /// Every edge goes from a lower rank to a higher one.
    rank: Vec<usize>,
}

impl Order {
    /// A new node behind all others.
    pub fn push(&mut self) -> usize {
        self.before.push(BTreeMap::new());
        self.after.push(BTreeSet::new());
        self.rank.push(self.rank.len());
        self.rank.len() - 1
    }

    /// What runs directly before `node`.
    pub fn before(&self, node: usize) -> &BTreeMap<usize, bool> {
        &self.before[node]
    }

    /// What runs directly after `node`.
    pub fn after(&self, node: usize) -> &BTreeSet<usize> {
        &self.after[node]
    }

    /// True when a path leads from `from` to one of `ends`.
    pub fn reaches(&self, from: usize, ends: &[usize]) -> bool {
        let last = ends.iter().map(|e| self.rank[*e]).max().unwrap_or(0);
        if ends.contains(&from) {
            return true;
        }
        self.forward(from, last).iter().any(|n| ends.contains(n))
    }

    /// What `from` leads to, up to a rank; itself included.
    fn forward(&self, from: usize, last: usize) -> Vec<usize> {
        let (mut found, mut seen) = (vec![from], HashSet::from([from]));
        let mut next = 0;
        while let Some(at) = found.get(next).copied() {
            next += 1;
            found.extend(self.after[at].iter().filter(|n| self.rank[**n] <= last && seen.insert(**n)));
        }
        found
    }

    fn backward(&self, from: usize, first: usize) -> Vec<usize> {
        let (mut found, mut seen) = (vec![from], HashSet::from([from]));
        let mut next = 0;
        while let Some(at) = found.get(next).copied() {
            next += 1;
            found.extend(self.before[at].keys().filter(|n| self.rank[**n] >= first && seen.insert(**n)));
        }
        found
    }

    /// `a` runs before `b`. There must be no path from `b` to `a`.
    pub fn edge(&mut self, a: usize, b: usize, same: bool) {
        if a == b {
            return;
        }
        *self.before[b].entry(a).or_insert(true) &= same;
        self.after[a].insert(b);
        if self.rank[a] < self.rank[b] {
            return;
        }
        let mut behind = self.backward(a, self.rank[b]);
        let mut ahead = self.forward(b, self.rank[a]);
        behind.sort_unstable_by_key(|n| self.rank[*n]);
        ahead.sort_unstable_by_key(|n| self.rank[*n]);
        let moved: Vec<usize> = behind.into_iter().chain(ahead).collect();
        let mut ranks: Vec<usize> = moved.iter().map(|n| self.rank[*n]).collect();
        ranks.sort_unstable();
        moved.into_iter().zip(ranks).for_each(|(n, rank)| self.rank[n] = rank);
    }

    /// Whether a path leads from one to the other by way of a third, or an edge that is not at the same index.
    pub fn is_between(&self, a: usize, b: usize) -> bool {
        [(a, b), (b, a)].into_iter().any(|(x, y)| {
            let ends: Vec<usize> = self.before[y].keys().copied().filter(|i| *i != x).collect();
            self.before[y].get(&x) == Some(&false) || (self.rank[x] < self.rank[y] && self.leads(x, &ends))
        })
    }

    fn leads(&self, from: usize, ends: &[usize]) -> bool {
        !ends.is_empty() && self.reaches(from, ends)
    }

    /// Makes one node of two that [`Order::is_between`] allows; `gone` has no edges afterwards.
    pub fn merge(&mut self, keep: usize, gone: usize) {
        let before = std::mem::take(&mut self.before[gone]);
        let after = std::mem::take(&mut self.after[gone]);
        for b in before.keys() {
            self.after[*b].remove(&gone);
        }
        let flags: Vec<(usize, bool)> =
            after.iter().map(|a| (*a, self.before[*a].remove(&gone).unwrap_or(false))).collect();
        before.into_iter().for_each(|(b, same)| self.edge(b, keep, same));
        flags.into_iter().for_each(|(a, same)| self.edge(keep, a, same));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_against_the_order_reorder() {
        let mut o = Order::default();
        let n: Vec<usize> = (0..6).map(|_| o.push()).collect();
        o.edge(n[5], n[0], true);
        o.edge(n[0], n[3], true);
        o.edge(n[4], n[5], true);
        assert!(o.reaches(n[4], &[n[3]]));
        assert!(!o.reaches(n[3], &[n[4]]));
        // 4 -> 5 -> 0 -> 3: ends cannot merge, neighbours can.
        assert!(o.is_between(n[4], n[0]));
        assert!(!o.is_between(n[5], n[0]));
        o.merge(n[5], n[0]);
        assert!(o.reaches(n[5], &[n[3]]));
        assert!(!o.is_between(n[1], n[3]));
    }

    #[test]
    fn ranks_stay_topological_under_random_merges() {
        let mut s = rhyton_tensor::rng::Stream::new(3, 0, 0);
        for _ in 0..50 {
            let mut o = Order::default();
            let n = 20;
            (0..n).for_each(|_| {
                o.push();
            });
            let mut alive: Vec<usize> = (0..n).collect();
            for _ in 0..60 {
                let mut pick = || alive[s.below(alive.len() as u32) as usize];
                let (a, b) = (pick(), pick());
                if a == b {
                    continue;
                }
                if s.below(3) == 0 && !o.is_between(a, b) {
                    o.merge(a, b);
                    alive.retain(|x| *x != b);
                } else if !o.reaches(b, &[a]) {
                    o.edge(a, b, true);
                }
                for x in &alive {
                    assert!(o.before[*x].keys().all(|y| o.rank[*y] < o.rank[*x]));
                }
            }
        }
    }
}
