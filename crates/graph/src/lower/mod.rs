//! From a function to a plan: decide what is stored and what is computed in passing, gather nodes into kernels,
//! let results replace state in place, order the kernels, write them down, join those that go over the same rows.
//!
//! The function has been through the passes; the last of them, `views`, made every copy visible.

mod emit;
mod graph;
mod groups;
mod join;
mod kernels;
mod order;
mod program;
mod recompute;
mod rows;
mod schedule;
mod stop;
mod storage;

use crate::backend::Backend;
use crate::compile::Watch;
use crate::function::Function;
use crate::plan::{Param, Plan};
use graph::Graph;
use groups::Groups;
use rhyton_tensor::Result;
use std::sync::Arc;

/// The plan of a function whose first `state` parameters are state. `updates` are (result, parameter) pairs; those that
/// `watch` holds wait for its result where they can.
///
/// # Errors
/// When the compiler made a mistake.
pub fn lower(
    function: &Arc<Function>,
    state: usize,
    updates: &[(usize, usize)],
    watch: Option<&Watch>,
    backend: &dyn Backend,
) -> Result<Plan> {
    let g = Graph::new(function, backend.limits());
    let recomputed = recompute::decide(&g);
    let mut weights = vec![1; g.nodes.len()];
    loop {
        let mut groups = groups::assign(&g, &recomputed, &weights);
        let mut storage = storage::assign(&g, &recomputed, &mut groups, updates)?;
        let watch = watch.filter(|w| stop::hold_back(&g, &mut groups, &storage, updates, w));
        let emit = emit::Emit { g: &g, r: &recomputed, groups: &groups, storage: &storage, backend };
        let (launches, too_large) = emit.launches(&schedule::schedule(&g, &groups, &storage))?;
        if !too_large.is_empty() {
            // How many operands a program has is known when it is written. These groups are made again, half as large.
            split(&groups, &too_large, &mut weights)?;
            continue;
        }
        let mut stop = watch.and_then(|w| stop::place(&storage, &launches, w));
        let launches = rows::merge(launches, &mut storage.buffers, &mut stop, &g.limits);
        return Ok(Plan {
            name: function.name.clone(),
            params: function.params.iter().map(Param::of).collect(),
            buffers: storage.buffers,
            launches,
            inputs: storage.inputs,
            state,
            updates: updates.to_vec(),
            stop,
            outputs: storage.outputs,
        });
    }
}

/// Doubles the weights of the nodes of these groups.
fn split(groups: &Groups, too_large: &[usize], weights: &mut [usize]) -> Result<()> {
    for group in too_large {
        let nodes = &groups.groups[*group].nodes;
        if nodes.len() < 2 {
            return Err(graph::internal("one value needs more operands than the backend has"));
        }
        nodes.iter().for_each(|n| weights[*n] *= 2);
    }
    Ok(())
}
