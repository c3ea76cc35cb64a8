//! Programs that end early: some updates wait for a result, and do not happen when it is not finite.

use super::graph::Graph;
use super::groups::Groups;
use super::storage::Storage;
use crate::compile::Watch;
use crate::plan::{Launch, Place, Stop};
use std::collections::HashSet;

/// Lets the kernels that write the held parameters run after the one that computes the watched result. False where
/// one of them cannot wait, because the result depends on it.
pub fn hold_back(
    g: &Graph,
    groups: &mut Groups,
    storage: &Storage,
    updates: &[(usize, usize)],
    watch: &Watch,
) -> bool {
    let value_of = |result: usize| g.function.results.get(result).map(|e| g.resolve(e).0);
    let Some(watched) = value_of(watch.result).and_then(|v| groups.of[v.0]) else { return false };
    let held: HashSet<usize> = watch.held.iter().copied().collect();
    let mut writers = HashSet::new();
    for (result, param) in updates.iter().filter(|(_, p)| held.contains(p)) {
        let buffer = storage.inputs[*param];
        let direct = value_of(*result).filter(|v| storage.of.get(v) == Some(&buffer));
        writers.extend(direct.and_then(|v| groups.of[v.0]));
        writers.extend(storage.copies.iter().filter(|(_, (_, to))| *to == buffer).map(|(group, _)| *group));
    }
    if writers.iter().any(|w| groups.order.reaches(*w, &[watched])) {
        return false;
    }
    writers.into_iter().for_each(|w| groups.order.edge(watched, w, false));
    true
}

/// The place behind the launch that stores the watched result. None where it comes too late.
pub fn place(storage: &Storage, launches: &[Launch], watch: &Watch) -> Option<Stop> {
    let result = storage.outputs.get(watch.result)?;
    let writes = |l: &Launch, buffer: usize| l.writes.iter().any(|v| v.buffer == buffer);
    let after = 1 + launches.iter().rposition(|l| writes(l, *result))?;
    let held = |l: &Launch| watch.held.iter().any(|p| writes(l, storage.inputs[*p]));
    let own = matches!(storage.buffers[*result].place, Place::Output(_));
    (own && !launches[..after].iter().any(held)).then_some(Stop { result: watch.result, after })
}
