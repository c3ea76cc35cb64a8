//! Loops and folds over the same rows become one kernel that does them row by row: what one of them leaves for the next
//! is then still in the cache, and what only they see is never an array. Softmax, the norms, losses over classes and the
//! gradients of all of them are such chains.
//!
//! This looks at launches, not at groups: whether two kernels meet only row by row is a question of views, and here
//! every view is known.

use crate::backend::Limits;
use crate::plan::{Buffer, BufferId, Kernel, Launch, Place, Stage, Stop, View, product, row_major};
use rhyton_tensor::{Bindings, Dim};
use std::collections::{BTreeMap, BTreeSet};

/// How many launches back a partner is looked for: further away, its rows have left the cache, and moving it would let
/// arrays live longer.
const NEAR: usize = 16;

/// Joins what can be joined on each side of `stop`, and gives the values between stages their place.
pub fn merge(
    mut launches: Vec<Launch>,
    buffers: &mut [Buffer],
    stop: &mut Option<Stop>,
    limits: &Limits,
) -> Vec<Launch> {
    let after = launches.split_off(stop.map_or(launches.len(), |s| s.after));
    let mut chains = gather(launches, buffers, limits);
    if let Some(stop) = stop {
        stop.after = chains.len();
    }
    chains.extend(gather(after, buffers, limits));
    hand_over(&chains, buffers);
    chains.into_iter().map(Chain::launch).collect()
}

/// Launches done one after the other, row by row; a single one, whatever it is, as it was.
struct Chain {
    stages: Vec<Launch>,
    /// What the rows are, if something is folded.
    rows: Option<Dim>,
    reads: BTreeSet<BufferId>,
    writes: BTreeSet<BufferId>,
}

impl Chain {
    fn of(launch: Launch) -> Chain {
        let rows = match &launch.kernel {
            Kernel::Reduce { shape, folded, .. } => Some(product(&shape[..shape.len() - folded])),
            _ => None,
        };
        let buffers = |views: &[View]| views.iter().map(|v| v.buffer).collect();
        let (reads, writes) = (buffers(&launch.reads), buffers(&launch.writes));
        Chain { stages: vec![launch], rows: rows.filter(|r| !r.is(1)), reads, writes }
    }

    /// Both, in this order.
    fn then(mut self, mut later: Chain) -> Chain {
        self.stages.append(&mut later.stages);
        self.rows = self.rows.or(later.rows);
        self.reads.append(&mut later.reads);
        self.writes.append(&mut later.writes);
        self
    }

    /// Whether it matters which of the two runs first.
    fn meets(&self, other: &Chain) -> bool {
        let touches = |c: &Chain, b: &BufferId| c.reads.contains(b) || c.writes.contains(b);
        self.writes.iter().any(|b| touches(other, b)) || other.writes.iter().any(|b| touches(self, b))
    }

    /// Whether the two can be done row by row, `later` reading what this one writes.
    fn joins(&self, later: &Chain, buffers: &[Buffer], limits: &Limits) -> bool {
        let Some(rows) = self.rows.as_ref().or(later.rows.as_ref()) else { return false };
        let all = || self.stages.iter().chain(&later.stages);
        let shared = |b: &BufferId| {
            let written = self.writes.contains(b) || later.writes.contains(b);
            let both = |c: &Chain| c.reads.contains(b) || c.writes.contains(b);
            written && both(self) && both(later)
        };
        self.writes.iter().any(|b| later.reads.contains(b))
            && all().count() <= limits.stages
            && later.rows.as_ref().is_none_or(|r| r == rows)
            && all().all(|stage| suits(stage, rows, limits))
            && all().all(|stage| keeps_rows(stage, rows, buffers, shared))
    }

    fn launch(mut self) -> Launch {
        if self.stages.len() == 1 {
            return self.stages.remove(0);
        }
        let rows = self.rows.unwrap_or_default();
        let views = |of: fn(&Launch) -> &Vec<View>| self.stages.iter().flat_map(of).cloned().collect();
        let (reads, writes) = (views(|s| &s.reads), views(|s| &s.writes));
        let label = label(&self.stages);
        let stage = |s: Launch| Stage { kernel: s.kernel, label: s.label };
        let stages = self.stages.into_iter().map(stage).collect();
        Launch { kernel: Kernel::Rows { rows, stages }, reads, writes, label }
    }
}

/// The place of the stages, and what each does.
fn label(stages: &[Launch]) -> String {
    let mut label = String::new();
    let mut place = "";
    for stage in stages {
        let (own, what) = stage.label.rsplit_once(": ").unwrap_or(("", &stage.label));
        let separator = if label.is_empty() { "" } else { ", " };
        label += separator;
        label += if own == place { what } else { &stage.label };
        place = own;
    }
    label
}

fn gather(launches: Vec<Launch>, buffers: &[Buffer], limits: &Limits) -> Vec<Chain> {
    let mut done: Vec<Chain> = vec![];
    for launch in launches {
        let mut last = Chain::of(launch);
        loop {
            match partner(&done, &last, buffers, limits) {
                None => done.push(last),
                Some((at, true)) => {
                    // Those behind it do not wait for it. Joined, the two may find another one.
                    last = done.remove(at).then(last);
                    continue;
                }
                Some((at, false)) => {
                    let joined = done.remove(at).then(last);
                    done.insert(at, joined);
                }
            }
            break;
        }
    }
    done
}

/// The nearest chain that `last` can join, and whether it can be moved to the end; else `last` can be moved to it.
fn partner(done: &[Chain], last: &Chain, buffers: &[Buffer], limits: &Limits) -> Option<(usize, bool)> {
    let near = (done.len().saturating_sub(NEAR)..done.len()).rev();
    near.filter(|at| done[*at].joins(last, buffers, limits)).find_map(|at| {
        let between = &done[at + 1..];
        if between.iter().all(|b| !b.meets(&done[at])) {
            Some((at, true))
        } else {
            between.iter().all(|b| !b.meets(last)).then_some((at, false))
        }
    })
}

/// Whether a kernel goes over rows that are not too long, with neighbours in them.
fn suits(stage: &Launch, rows: &Dim, limits: &Limits) -> bool {
    let Some(axes) = stage.kernel.row_axes(rows) else { return false };
    let (reads, writes) = stage.shapes();
    let mut views = stage.reads.iter().chain(&stage.writes).zip(reads.iter().chain(&writes));
    views.all(|(view, shape)| {
        let row = &shape[axes..];
        let last = (axes..shape.len()).rev().find(|a| !shape[*a].is(1));
        let near = last.and_then(|a| view.strides.get(a)).is_none_or(|s| s.is(0) || s.is(1));
        near && product(row).as_fixed().is_none_or(|n| n <= limits.row)
    })
}

/// Whether row `i` of the kernel sees row `i` of those buffers, and nothing else of them.
fn keeps_rows(stage: &Launch, rows: &Dim, buffers: &[Buffer], of: impl Fn(&BufferId) -> bool) -> bool {
    let Some(axes) = stage.kernel.row_axes(rows) else { return false };
    let (reads, writes) = stage.shapes();
    let views = stage.reads.iter().chain(&stage.writes).zip(reads.iter().chain(&writes));
    views.filter(|(v, _)| of(&v.buffer)).all(|(v, shape)| own_row(v, shape, axes, &buffers[v.buffer]))
}

fn own_row(view: &View, shape: &[Dim], axes: usize, buffer: &Buffer) -> bool {
    let (leading, inner) = shape.split_at(axes);
    let (between, within) = view.strides.split_at(axes);
    let Some(last) = (0..axes).rev().find(|a| !leading[*a].is(1)) else { return false };
    let row = &between[last];
    let steady = |a: usize| leading[a].is(1) || between[a] == product(&leading[a + 1..]) * row;
    let whole = product(leading) * row == product(&buffer.shape);
    whole && (0..axes).all(steady) && lies_within(&view.offset, inner, within, row)
}

/// Whether the elements of a view lie among the first `len`.
fn lies_within(offset: &Dim, shape: &[Dim], strides: &[Dim], len: &Dim) -> bool {
    let axes = || shape.iter().zip(strides).filter(|(n, _)| !n.is(1));
    if offset.is(0) && axes().all(|(_, s)| s.is(0)) {
        return true;
    }
    let contiguous = row_major(shape);
    let in_order = shape.iter().zip(strides).zip(&contiguous).all(|((n, s), c)| n.is(1) || s == c);
    if offset.is(0) && in_order && product(shape) == *len {
        return true;
    }
    let known = |d: &Dim| d.eval_signed(&Bindings::new());
    let start = known(offset).map(|at| (at, at));
    let ends = axes().fold(start, |ends, (n, s)| {
        let far = known(s)?.checked_mul(known(n)? - 1)?;
        ends.map(|(first, last)| (first.saturating_add(far.min(0)), last.saturating_add(far.max(0))))
    });
    ends.zip(known(len)).is_some_and(|((first, last), len)| first >= 0 && last < len)
}

/// What only the stages of one kernel see lives there.
fn hand_over(chains: &[Chain], buffers: &mut [Buffer]) {
    // For each buffer the chain that uses it, and in how many stages; None for several.
    let mut users: BTreeMap<BufferId, Option<(usize, usize)>> = BTreeMap::new();
    for (i, chain) in chains.iter().enumerate() {
        for stage in &chain.stages {
            let used: BTreeSet<BufferId> =
                stage.reads.iter().chain(&stage.writes).map(|v| v.buffer).collect();
            for buffer in used {
                let user = users.entry(buffer).or_insert(Some((i, 0)));
                *user = user.filter(|(chain, _)| *chain == i).map(|(chain, n)| (chain, n + 1));
            }
        }
    }
    for (buffer, user) in users {
        let buffer = &mut buffers[buffer];
        if buffer.place == Place::Temp && user.is_some_and(|(_, stages)| stages > 1) {
            buffer.place = Place::Rows;
        }
    }
}
